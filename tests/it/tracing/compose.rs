//! Composed providers: one span per call, below the caller's span.

use std::{future::Future, sync::Arc};

use inferstream_compose::{ConcurrencyLimit, Fallback};
use inferstream_core::{BoxFuture, Result};
use tracing::{info_span, subscriber::with_default};
use tracing_subscriber::{layer::SubscriberExt, registry};

use super::{log::Log, *};

fn client(endpoint: Endpoint, wire: &Wire) -> Arc<dyn Provider> {
    endpoint.client(wire).into()
}

/// Calls inside one span and waits inside another. Returns how each call started and ended.
fn ask_within<F: Future<Output = ()>>(wire: &Wire, call: impl FnOnce() -> F) -> Vec<String> {
    let log = Log::default();
    with_default(registry().with(log.clone()), || {
        let asked = info_span!("mine").in_scope(call);
        let other = info_span!("other");
        other.in_scope(|| block_on(&wire.clock, asked));
    });
    let lines = log.text();
    let lines = lines.lines().filter_map(|line| {
        let fields = line.strip_prefix("span gen_ai.chat in ");
        let began = fields.and_then(|fields| fields.split_once(' '));
        let ended = line.strip_prefix("record inferstream.outcome=");
        match (began, ended) {
            (Some((above, _)), _) => Some(format!("in {above}")),
            (_, ended) => ended.map(str::to_owned),
        }
    });
    lines.collect()
}

/// Sends the prompt as a stream or for a complete response.
fn asked(provider: &impl Provider, streams: bool) -> BoxFuture<'static, ()> {
    let request = ChatRequest::from(PROMPT).retry(RetryPolicy::never());
    let check = |answer: Result<inferstream_core::ChatResponse>| {
        assert_eq!(answer.unwrap().text(), ANSWER);
    };
    if streams {
        let stream = provider.stream(request);
        Box::pin(async move { check(stream.await.unwrap().finish().await) })
    } else {
        let answer = provider.chat(request);
        Box::pin(async move { check(answer.await) })
    }
}

/// A service that fails for one provider and responds to another.
fn broken_first(endpoint: Endpoint) -> Wire {
    Wire::by(move |_, before| match before.len().checked_sub(1) {
        None => Answer::json(503, "{}"),
        Some(place) => endpoint.answers()[place].clone(),
    })
}

#[test]
fn a_fallback_has_a_span_for_each_provider() {
    for streams in [false, true] {
        let wire = broken_first(Endpoint::Replicate);
        let first = Fallback::new(client(Endpoint::Cerebras, &wire));
        let provider = first.or(client(Endpoint::Replicate, &wire));
        assert_eq!(
            ask_within(&wire, || asked(&provider, streams)),
            ["in mine", "\"error\"", "in mine", "\"whole\""],
        );
    }
}

#[test]
fn a_limited_provider_has_the_span_of_the_call() {
    for streams in [false, true] {
        let wire = Wire::new(Endpoint::Replicate.answers());
        let provider = ConcurrencyLimit::new(client(Endpoint::Replicate, &wire)).max_in_flight(1);
        assert_eq!(
            ask_within(&wire, || asked(&provider, streams)),
            ["in mine", "\"whole\""],
        );
    }
}

#[test]
fn a_call_that_waits_for_a_permit_has_no_span_yet() {
    let recorder = Recorder::new(everything);
    let wire = Wire::new([Answer::hang()]);
    let provider = ConcurrencyLimit::new(client(Endpoint::Cerebras, &wire)).max_in_flight(1);
    recorder.watch(|| {
        let mut first = provider.stream(PROMPT.into());
        let mut second = provider.stream(PROMPT.into());
        for call in [&mut first, &mut second] {
            assert!(crate::support::poll_once(call).0.is_pending());
        }
        assert_eq!(recorder.seen().calls().len(), 1);
    });
}

#[test]
fn combinators_keep_the_setting_for_content() {
    for (request, events) in [(ChatRequest::from(PROMPT), 0), (recorded(PROMPT), 3)] {
        let recorder = Recorder::new(everything);
        let wire = broken_first(Endpoint::Replicate);
        let first = Fallback::new(client(Endpoint::Cerebras, &wire));
        let fallback = first.or(client(Endpoint::Replicate, &wire));
        let provider = ConcurrencyLimit::new(fallback).max_in_flight(1);
        let request = request.retry(RetryPolicy::never());
        recorder.watch(|| block_on(&wire.clock, provider.chat(request)).unwrap());
        // The messages of both calls, and the response of the second.
        let shown = recorder.seen().events;
        let content = shown
            .iter()
            .filter(|event| event.target == "inferstream::content");
        assert_eq!(content.count(), events);
    }
}
