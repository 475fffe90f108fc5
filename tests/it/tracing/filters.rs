//! What subscribers make of calls that filter as people set them up: by layer, anew, several at once.

use std::sync::Mutex;

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

/// Begins an answer of which nothing has been read.
fn open(wire: &Wire) -> ChatStream {
    let client = Door::Cerebras.client(wire);
    block_on(&wire.clock, client.stream(PROMPT.into())).unwrap()
}

fn read(wire: &Wire, stream: ChatStream) {
    let answer = block_on(&wire.clock, stream.finish()).unwrap();
    assert_eq!(answer.text(), ANSWER);
}

/// Makes a call under a subscriber.
fn call(subscriber: impl Into<Dispatch>) {
    let wire = Wire::new(Door::Cerebras.answers());
    with_default(&subscriber.into(), || read(&wire, open(&wire)));
}

#[track_caller]
fn check_says(log: &Log, prompt: bool, answer: bool) {
    let text = log.text();
    assert_eq!(text.contains(PROMPT), prompt, "{text}");
    assert_eq!(text.contains(ANSWER), answer, "{text}");
    assert!(!text.contains(KEY), "{text}");
}

#[test]
fn what_is_said_is_shown_to_filters_that_name_it() {
    for (filter, shows) in [
        ("trace", false),
        ("off", false),
        ("inferstream=trace", false),
        ("inferstream=trace,inferstream::content=trace", false),
        ("inferstream::content=debug", false),
        ("off,inferstream::content=trace", true),
        ("inferstream::content=trace", true),
        ("inferstream=info,inferstream::content=trace", true),
        ("trace,inferstream=debug,inferstream::content=trace", true),
    ] {
        let log = Log::default();
        call(registry().with(targets(filter)).with(log.clone()));
        check_says(&log, shows, shows);
        let log = Log::default();
        call(registry().with(log.clone().with_filter(targets(filter))));
        check_says(&log, shows, shows);
    }
}

#[test]
fn without_a_filter_nothing_is_named() {
    let log = Log::default();
    call(registry().with(log.clone()));
    assert_eq!(log.lines("span gen_ai.chat").len(), 1);
    check_says(&log, false, false);
}

#[test]
fn layers_with_filters_of_their_own_lose_nothing() {
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
            let wire = Wire::new(Door::Cerebras.answers());
            let client = Door::Cerebras.client(&wire);
            let call = client.stream(PROMPT.into());
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
fn a_layer_that_lets_everything_through_sees_nothing_that_another_names() {
    let (named, all) = (Log::default(), Log::default());
    let filter = targets("off,inferstream::content=trace");
    let subscriber = registry()
        .with(named.clone().with_filter(filter))
        .with(all.clone().with_filter(LevelFilter::TRACE));
    call(subscriber);
    check_says(&all, false, false);
    check_says(&named, false, false);
}

#[test]
fn a_layer_that_lets_less_through_takes_nothing_from_one_that_names_it() {
    let (named, usual) = (Log::default(), Log::default());
    let filter = targets("off,inferstream::content=trace");
    let subscriber = registry()
        .with(named.clone().with_filter(filter))
        .with(usual.clone().with_filter(LevelFilter::DEBUG));
    call(subscriber);
    check_says(&usual, false, false);
    check_says(&named, true, true);
}

/// A filter that is another one from the half of an answer on.
fn changes(before: &str, after: &str) -> Log {
    let log = Log::default();
    let (filter, handle) = reload::Layer::new(targets(before));
    let subscriber = registry().with(filter).with(log.clone());
    let wire = Wire::new(Door::Cerebras.answers());
    with_default(&subscriber.into(), || {
        let stream = open(&wire);
        handle.reload(targets(after)).unwrap();
        read(&wire, stream);
    });
    log
}

#[test]
fn a_filter_that_names_it_no_longer_shows_no_more() {
    const NAMED: &str = "inferstream=info,inferstream::content=trace";
    for after in ["trace", "inferstream=trace", "inferstream=info", "off"] {
        check_says(&changes(NAMED, after), true, false);
    }
    check_says(&changes(NAMED, NAMED), true, true);
    check_says(&changes("inferstream=info", NAMED), false, true);
}

#[test]
fn each_subscriber_is_shown_what_it_names_itself() {
    let (named, all) = (Log::default(), Log::default());
    let filter = targets("inferstream=info,inferstream::content=trace");
    let naming = Dispatch::new(registry().with(filter).with(named.clone()));
    let taking_all = Dispatch::new(registry().with(all.clone()));
    let wire = Wire::new(Door::Cerebras.answers());
    let stream = with_default(&naming, || open(&wire));
    with_default(&taking_all, || {
        info_span!("other").in_scope(|| read(&wire, stream));
    });
    check_says(&named, true, false);
    check_says(&all, false, false);
    assert!(named.text().contains("inferstream.outcome=\"whole\""));
    assert!(!all.text().contains("gen_ai"), "{}", all.text());

    // The other way round.
    let wire = Wire::new(Door::Cerebras.answers());
    let stream = with_default(&taking_all, || open(&wire));
    with_default(&naming, || read(&wire, stream));
    check_says(&all, false, false);
    assert_eq!(named.lines(ANSWER).len(), 1);
}

#[test]
fn subscribers_one_within_the_other_are_each_asked() {
    let (outer, inner) = (Log::default(), Log::default());
    let naming = registry().with(targets("inferstream::content=trace"));
    let outside = Dispatch::new(naming.with(outer.clone()));
    let inside = Dispatch::new(registry().with(inner.clone()));
    let wire = Wire::new(Door::Cerebras.answers());
    with_default(&outside, || {
        let stream = open(&wire);
        with_default(&inside, || info!("between"));
        read(&wire, stream);
    });
    check_says(&outer, true, true);
    check_says(&inner, false, false);
}

#[test]
fn what_is_said_is_told_where_the_caller_is_if_the_call_has_no_span() {
    let log = Log::default();
    let filter = targets("mine=info,inferstream::content=trace");
    let subscriber = registry().with(filter).with(log.clone());
    let wire = Wire::new(Door::Cerebras.answers());
    with_default(&subscriber.into(), || {
        info_span!(target: "mine", "mine").in_scope(|| read(&wire, open(&wire)));
    });
    assert_eq!(log.lines("event inferstream::content in mine").len(), 2);
}

/// A filter that says yes now and no then.
#[test]
fn a_filter_that_decides_anew_each_time_names_nothing() {
    for first in [true, false] {
        let turn = Mutex::new(first);
        let filter = DynFilterFn::new(move |_, _| {
            let mut turn = turn.lock().unwrap();
            *turn = !*turn;
            *turn
        });
        let log = Log::default();
        let subscriber = registry().with(filter).with(log.clone());
        let subscriber = Dispatch::new(subscriber);
        for _ in 0..4 {
            call(subscriber.clone());
        }
        check_says(&log, false, false);
    }
}

/// A subscriber that wants all events and no spans.
#[test]
fn a_filter_for_events_alone_names_nothing() {
    let log = Log::default();
    let filter = filter_fn(|metadata: &Metadata<'_>| metadata.is_event());
    call(registry().with(filter).with(log.clone()));
    check_says(&log, false, false);
}

/// A subscriber that asks to be asked about each event.
struct Anew(Recorder);

impl Subscriber for Anew {
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
fn a_subscriber_that_is_asked_each_time_sees_calls_too() {
    let recorder = Recorder::new(|metadata| {
        metadata.target() == "inferstream::content" || *metadata.level() <= Level::INFO
    });
    let subscriber = Anew(recorder.clone());
    let wire = Wire::new(Door::Cerebras.answers());
    with_default(&Dispatch::new(subscriber), || read(&wire, open(&wire)));
    let seen = recorder.seen();
    assert_eq!(seen.calls().len(), 1);
    assert!(!seen.shown().contains(PROMPT));
}
