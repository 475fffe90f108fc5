//! Traces of an agent's turns.

use serde_json::Value;

use super::{
    PROMPT, TEXT, ask, client,
    double::Agent,
    plan,
    plan::{Break, Plan},
};
use crate::{
    support::{Double, block_on},
    tracing::{recorder::Recorder, usual},
};

fn watched<T>(agent: &Agent, work: impl FnOnce(&Agent) -> T) -> (T, Recorder) {
    let recorder = Recorder::new(usual);
    let outcome = recorder.watch(|| {
        let outcome = work(agent);
        agent.run_detached();
        outcome
    });
    (outcome, recorder)
}

#[test]
fn a_turn_is_a_call() {
    let (outcome, recorder) = watched(&plan().serve(), |agent| ask(agent, PROMPT));
    assert_eq!(outcome.text(), TEXT);
    let seen = recorder.seen();
    let call = seen.call();
    for (name, value) in [
        ("gen_ai.provider.name", "cloudflare"),
        ("gen_ai.response.finish_reasons", "[\"stop\"]"),
        ("inferstream.outcome", "whole"),
        ("server.address", "playground.ai.cloudflare.com"),
    ] {
        assert_eq!(call.fields.get(name), Some(&Value::from(value)), "{name}");
    }
    assert!(call.closed);
    assert!(seen.events.is_empty(), "{:?}", seen.events);
}

#[test]
fn a_resumed_turn_is_one_call() {
    let plan = Plan {
        cuts: vec![Some((700, Break::Lost))],
        ..plan()
    };
    let (outcome, recorder) = watched(&plan.serve(), |agent| ask(agent, PROMPT));
    assert_eq!(outcome.text(), TEXT);
    let seen = recorder.seen();
    assert_eq!(seen.call().fields["inferstream.outcome"], "whole");
    assert_eq!(seen.events.len(), 1, "{:?}", seen.events);
    assert_eq!(seen.events[0].fields["error.type"], "truncated");
    assert_eq!(seen.events[0].span, Some(0));
}

#[test]
fn a_dropped_turn_is_not_an_error() {
    for cancels in [false, true] {
        let agent = plan().serve();
        let ((), recorder) = watched(&agent, |agent| {
            let opened = block_on(&agent.clock, client(agent).stream(PROMPT));
            let mut stream = opened.unwrap();
            block_on(&agent.clock, stream.next()).unwrap().unwrap();
            if cancels {
                block_on(&agent.clock, stream.cancel()).unwrap();
            }
        });
        let seen = recorder.seen();
        let fields = &seen.call().fields;
        let outcome = if cancels { "canceled" } else { "dropped" };
        assert_eq!(fields["inferstream.outcome"], outcome);
        assert!(!fields.contains_key("error.type"));
        assert!(seen.call().closed);
    }
}
