//! A subscriber that records spans and events.

use std::{
    fmt,
    sync::{Arc, Mutex, Once},
};

use serde_json::{Map, Value, json};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::{Interest, set_global_default, with_default},
};

/// A filter for spans and events, as a user sets it.
pub(crate) type Filter = fn(&Metadata<'_>) -> bool;

/// A span and its state.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: &'static str,
    pub(crate) target: &'static str,
    pub(crate) level: Level,
    /// The span that it is below, by its number.
    pub(crate) parent: Option<usize>,
    pub(crate) fields: Map<String, Value>,
    pub(crate) closed: bool,
    handles: usize,
}

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) name: &'static str,
    pub(crate) target: &'static str,
    pub(crate) level: Level,
    pub(crate) span: Option<usize>,
    pub(crate) fields: Map<String, Value>,
}

impl Told {
    pub(crate) fn message(&self) -> &str {
        self.fields["message"].as_str().unwrap()
    }
}

/// Everything recorded so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) spans: Vec<Span>,
    pub(crate) events: Vec<Told>,
    /// The entered spans, the innermost last.
    pub(crate) entered: Vec<usize>,
}

impl Seen {
    /// Returns the calls' spans.
    pub(crate) fn calls(&self) -> Vec<&Span> {
        let spans = self.spans.iter();
        spans.filter(|span| span.name == "gen_ai.chat").collect()
    }

    /// Returns the span of the only call.
    #[track_caller]
    pub(crate) fn call(&self) -> &Span {
        let calls = self.calls();
        assert_eq!(calls.len(), 1, "one span per call");
        calls[0]
    }

    /// Returns everything that was recorded, as text.
    pub(crate) fn shown(&self) -> String {
        format!("{self:?}")
    }
}

/// A subscriber for one thread.
#[derive(Clone)]
pub(crate) struct Recorder {
    seen: Arc<Mutex<Seen>>,
    filter: Filter,
}

impl Recorder {
    pub(crate) fn new(filter: Filter) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| set_global_default(Undecided).unwrap());
        let seen = Arc::default();
        Self { seen, filter }
    }

    /// Runs a function with this subscriber.
    pub(crate) fn watch<T>(&self, work: impl FnOnce() -> T) -> T {
        with_default(self.clone(), work)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Seen) -> T) -> T {
        work(&mut self.seen.lock().unwrap())
    }
}

fn place(id: &span::Id) -> usize {
    usize::try_from(id.into_u64()).unwrap() - 1
}

fn id(place: usize) -> span::Id {
    span::Id::from_u64(place as u64 + 1)
}

/// A subscriber that records nothing, but keeps every call site enabled.
///
/// tracing remembers for a call site whether any subscriber is interested. A call site that is first
/// reached in one thread while another thread creates its subscriber could be remembered as disabled.
struct Undecided;

impl Subscriber for Undecided {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        id(0)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        (self.filter)(metadata)
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let metadata = span.metadata();
        let mut fields = Fields::default();
        span.record(&mut fields);
        self.with(|seen| {
            let parent = match span.parent() {
                Some(parent) => Some(place(parent)),
                None if span.is_contextual() => seen.entered.last().copied(),
                None => None,
            };
            seen.spans.push(Span {
                name: metadata.name(),
                target: metadata.target(),
                level: *metadata.level(),
                parent,
                fields: fields.0,
                closed: false,
                handles: 1,
            });
            id(seen.spans.len() - 1)
        })
    }

    fn record(&self, span: &span::Id, values: &span::Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        self.with(|seen| {
            for (name, value) in fields.0 {
                let old = seen.spans[place(span)].fields.insert(name, value);
                assert_eq!(old, None, "a field is recorded once");
            }
        });
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.with(|seen| {
            let span = match event.parent() {
                Some(parent) => Some(place(parent)),
                None if event.is_contextual() => seen.entered.last().copied(),
                None => None,
            };
            seen.events.push(Told {
                name: metadata.name(),
                target: metadata.target(),
                level: *metadata.level(),
                span,
                fields: fields.0,
            });
        });
    }

    fn enter(&self, span: &span::Id) {
        self.with(|seen| {
            assert!(!seen.spans[place(span)].closed, "entered after its end");
            seen.entered.push(place(span));
        });
    }

    fn exit(&self, span: &span::Id) {
        self.with(|seen| assert_eq!(seen.entered.pop(), Some(place(span)), "out of order"));
    }

    fn clone_span(&self, span: &span::Id) -> span::Id {
        self.with(|seen| seen.spans[place(span)].handles += 1);
        span.clone()
    }

    fn try_close(&self, span: span::Id) -> bool {
        self.with(|seen| {
            let span = &mut seen.spans[place(&span)];
            span.handles -= 1;
            span.closed = span.handles == 0;
            span.closed
        })
    }
}

/// Fields, each with the type that it was recorded with.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    // Values without their own type, which bridges show as text: only the message may be one.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        assert_eq!(field.name(), "message", "a type that bridges do not know");
        let value = format!("{value:?}");
        self.0.insert(field.name().to_owned(), json!(value));
    }
}
