//! Calls with the filters that programs use: global, per layer, dynamic, and several at once.

use inferstream_core::ChatStream;
use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber, dispatcher::with_default, info, info_span, span,
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    filter::{DynFilterFn, LevelFilter, Targets, filter_fn},
    layer::SubscriberExt,
    registry, reload,
};

use super::{log::Log, *};

fn targets(filter: &str) -> Targets {
    filter.parse().unwrap()
}

/// Opens a response without reading it.
fn open(wire: &Wire, request: impl Into<ChatRequest>) -> ChatStream {
    let client = Endpoint::Cerebras.client(wire);
    block_on(&wire.clock, client.stream(request.into())).unwrap()
}

fn read(wire: &Wire, stream: ChatStream) {
    let answer = block_on(&wire.clock, stream.finish()).unwrap();
    assert_eq!(answer.text(), ANSWER);
}

/// Makes a call under a subscriber.
fn call(subscriber: impl Into<Dispatch>, request: impl Into<ChatRequest>) {
    let wire = Wire::new(Endpoint::Cerebras.answers());
    with_default(&subscriber.into(), || read(&wire, open(&wire, request)));
}

#[track_caller]
fn check_says(log: &Log, prompt: bool, answer: bool) {
    let text = log.text();
    assert_eq!(text.contains(PROMPT), prompt, "{text}");
    assert_eq!(text.contains(ANSWER), answer, "{text}");
    assert!(!text.contains(KEY), "{text}");
}

#[test]
fn content_is_recorded_if_the_request_and_the_filter_allow_it() {
    for (filter, enables) in [
        ("trace", true),
        ("off", false),
        ("info", false),
        ("inferstream=trace", true),
        ("inferstream=trace,inferstream::content=off", false),
        ("inferstream::content=debug", false),
        ("off,inferstream::content=trace", true),
        ("inferstream::content=trace", true),
        ("inferstream=info,inferstream::content=trace", true),
        ("trace,inferstream=debug", false),
    ] {
        for (request, shows) in [(PROMPT.into(), false), (recorded(PROMPT), enables)] {
            let log = Log::default();
            call(
                registry().with(targets(filter)).with(log.clone()),
                request.clone(),
            );
            check_says(&log, shows, shows);
            let log = Log::default();
            let layer = log.clone().with_filter(targets(filter));
            call(registry().with(layer), request);
            check_says(&log, shows, shows);
        }
    }
}

#[test]
fn without_a_filter_the_request_decides() {
    for (request, shows) in [(PROMPT.into(), false), (recorded(PROMPT), true)] {
        let log = Log::default();
        call(registry().with(log.clone()), request);
        assert_eq!(log.lines("span gen_ai.chat").len(), 1);
        check_says(&log, shows, shows);
    }
}

#[test]
fn layers_with_their_own_filters_lose_nothing() {
    for filter in [
        "trace",
        "inferstream=trace",
        "inferstream::content=trace,info",
    ] {
        let (usual, other) = (Log::default(), Log::default());
        let subscriber = registry()
            .with(usual.clone().with_filter(LevelFilter::INFO))
            .with(other.with_filter(targets(filter)));
        with_default(&subscriber.into(), || {
            let wire = Wire::new(Endpoint::Cerebras.answers());
            let client = Endpoint::Cerebras.client(&wire);
            let call = client.stream(recorded(PROMPT));
            info_span!("mine").in_scope(|| info!("called"));
            let stream = block_on(&wire.clock, call).unwrap();
            info!("opened");
            read(&wire, stream);
            info!("finished");
        });
        let lines = usual.text();
        for line in [
            "span gen_ai.chat",
            "span mine",
            "called",
            "opened",
            "finished",
        ] {
            assert_eq!(usual.lines(line).len(), 1, "{filter}: {line}\n{lines}");
        }
        assert!(lines.contains("in mine message=called"), "{lines}");
    }
}

#[test]
fn each_layer_gets_the_content_that_its_own_filter_enables() {
    for (request, shows) in [(PROMPT.into(), false), (recorded(PROMPT), true)] {
        let (content, all, usual) = (Log::default(), Log::default(), Log::default());
        let filter = targets("off,inferstream::content=trace");
        let subscriber = registry()
            .with(content.clone().with_filter(filter))
            .with(all.clone().with_filter(LevelFilter::TRACE))
            .with(usual.clone().with_filter(LevelFilter::DEBUG));
        call(subscriber, request);
        check_says(&content, shows, shows);
        check_says(&all, shows, shows);
        check_says(&usual, false, false);
    }
}

/// Replaces the filter between the start and the rest of a response.
fn changes(before: &str, after: &str, request: impl Into<ChatRequest>) -> Log {
    let log = Log::default();
    let (filter, handle) = reload::Layer::new(targets(before));
    let subscriber = registry().with(filter).with(log.clone());
    let wire = Wire::new(Endpoint::Cerebras.answers());
    with_default(&subscriber.into(), || {
        let stream = open(&wire, request);
        handle.reload(targets(after)).unwrap();
        read(&wire, stream);
    });
    log
}

#[test]
fn a_replaced_filter_decides_from_then_on() {
    const CONTENT: &str = "inferstream=info,inferstream::content=trace";
    for after in ["inferstream=info", "off"] {
        check_says(&changes(CONTENT, after, recorded(PROMPT)), true, false);
        check_says(&changes(after, CONTENT, recorded(PROMPT)), false, true);
        check_says(&changes(after, CONTENT, PROMPT), false, false);
    }
    check_says(&changes(CONTENT, CONTENT, recorded(PROMPT)), true, true);
    check_says(&changes(CONTENT, "trace", recorded(PROMPT)), true, true);
    check_says(&changes(CONTENT, "trace", PROMPT), false, false);
}

#[test]
fn each_subscriber_gets_the_content_that_it_enables() {
    let (content, usual) = (Log::default(), Log::default());
    let filter = targets("inferstream=info,inferstream::content=trace");
    let enabling = Dispatch::new(registry().with(filter).with(content.clone()));
    let other = registry().with(LevelFilter::DEBUG);
    let other = Dispatch::new(other.with(usual.clone()));
    let wire = Wire::new(Endpoint::Cerebras.answers());
    let stream = with_default(&enabling, || open(&wire, recorded(PROMPT)));
    with_default(&other, || {
        info_span!("other").in_scope(|| read(&wire, stream));
    });
    check_says(&content, true, false);
    check_says(&usual, false, false);
    assert!(content.text().contains("inferstream.outcome=\"whole\""));
    assert!(!usual.text().contains("gen_ai"), "{}", usual.text());

    // The other way round.
    let wire = Wire::new(Endpoint::Cerebras.answers());
    let stream = with_default(&other, || open(&wire, recorded(PROMPT)));
    with_default(&enabling, || read(&wire, stream));
    check_says(&usual, false, false);
    assert_eq!(content.lines(ANSWER).len(), 1);
}

#[test]
fn content_of_a_call_without_a_span_is_in_the_span_of_the_caller() {
    let log = Log::default();
    let filter = targets("mine=info,inferstream::content=trace");
    let subscriber = registry().with(filter).with(log.clone());
    let wire = Wire::new(Endpoint::Cerebras.answers());
    with_default(&subscriber.into(), || {
        info_span!(target: "mine", "mine").in_scope(|| read(&wire, open(&wire, recorded(PROMPT))));
    });
    assert_eq!(log.lines("event inferstream::content in mine").len(), 2);
}

/// Filters that decide about each event again, or about events only.
#[test]
fn no_filter_records_content_that_the_request_does_not_allow() {
    for (request, shows) in [(PROMPT.into(), false), (recorded(PROMPT), true)] {
        let log = Log::default();
        let filter = DynFilterFn::new(|_, _| true);
        call(registry().with(filter).with(log.clone()), request.clone());
        check_says(&log, shows, shows);
        let log = Log::default();
        let filter = filter_fn(|metadata: &Metadata<'_>| metadata.is_event());
        call(registry().with(filter).with(log.clone()), request);
        check_says(&log, shows, shows);
    }
}

/// A subscriber that decides about each event again.
struct Dynamic(Recorder);

impl Subscriber for Dynamic {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        self.0.new_span(span)
    }

    fn record(&self, span: &span::Id, values: &span::Record<'_>) {
        self.0.record(span, values);
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        self.0.event(event);
    }

    fn enter(&self, span: &span::Id) {
        self.0.enter(span);
    }

    fn exit(&self, span: &span::Id) {
        self.0.exit(span);
    }
}

#[test]
fn a_dynamic_subscriber_sees_calls_too() {
    let recorder = Recorder::new(|metadata| {
        metadata.target() == "inferstream::content" || *metadata.level() <= Level::INFO
    });
    let subscriber = Dynamic(recorder.clone());
    let wire = Wire::new(Endpoint::Cerebras.answers());
    with_default(&Dispatch::new(subscriber), || {
        read(&wire, open(&wire, PROMPT));
    });
    let seen = recorder.seen();
    assert_eq!(seen.calls().len(), 1);
    assert!(!seen.shown().contains(PROMPT));
}
