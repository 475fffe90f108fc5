//! A layer for the registry of `tracing-subscriber`.

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// A layer that records what it sees.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }

    /// Returns the lines that contain this text.
    pub(crate) fn lines(&self, what: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let lines = lines.iter().filter(|line| line.contains(what));
        lines.cloned().collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, span: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let above = context.span(id).and_then(|span| span.parent());
        let above = above.map_or("no span", |span| span.name());
        let mut line = format!("span {} in {above}", span.metadata().name());
        span.record(&mut Writer(&mut line));
        self.add(line);
    }

    fn on_record(&self, _: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        let mut line = "record".to_owned();
        values.record(&mut Writer(&mut line));
        self.add(line);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let span = context.event_span(event);
        let within = span.map_or("no span", |span| span.name());
        let mut line = format!("event {} in {within}", event.metadata().target());
        event.record(&mut Writer(&mut line));
        self.add(line);
    }
}

struct Writer<'a>(&'a mut String);

impl Visit for Writer<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}
