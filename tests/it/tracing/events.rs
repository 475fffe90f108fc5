//! Events inside a call's span: retries and resumed responses.

use serde_json::Value;
use tracing::Level;

use super::*;
use crate::support::broken;

#[test]
fn a_repeated_attempt_is_recorded() {
    let recorder = Recorder::new(usual);
    let limited = Answer::json(429, &format!("{{\"message\":\"{KEY} {PROMPT}\"}}"));
    let mut answers = vec![limited.header("retry-after", "3"), Answer::error(refused())];
    answers.extend(Endpoint::Cerebras.answers());
    let wire = Wire::new(answers);
    let builder = Cerebras::builder().api_key(KEY).transport(wire.clone());
    let client = builder.build().unwrap();
    let asked = || block_on(&wire.clock, client.stream(PROMPT));
    let opened = recorder.watch(asked);
    assert_eq!(opened.unwrap().meta().attempts, 3);

    let seen = recorder.seen();
    let [first, second] = &*seen.events else {
        panic!("{:?}", seen.events);
    };
    for told in [first, second] {
        assert_eq!((told.target, told.level), ("inferstream", Level::WARN));
        assert_eq!(told.message(), "the request failed and will be retried");
        assert_eq!(told.span, Some(0), "in the call's span");
        assert!(seen.spans[0].name == "gen_ai.chat");
    }
    assert_eq!(first.fields["error.type"], "rate_limited");
    assert_eq!(first.fields["http.response.status_code"], 429);
    assert_eq!(first.fields["attempt"], 1);
    assert!(3.0 <= first.fields["wait"].as_f64().unwrap());
    assert_eq!(second.fields["error.type"], "connect");
    assert_eq!(
        second.fields.get("http.response.status_code"),
        None::<&Value>
    );
    assert_eq!(second.fields["attempt"], 2);
}

#[test]
fn the_last_attempt_is_recorded_only_in_the_span() {
    let answers = vec![Answer::json(429, "{}")];
    let (_, seen) = ask(Endpoint::Cerebras, answers, PROMPT);
    assert!(seen.events.is_empty(), "{:?}", seen.events);
}

#[test]
fn a_resumed_response_is_recorded() {
    let piece = "event: output\nid: 1:0\ndata: answ\n\n";
    let rest = "event: output\nid: 2:0\ndata: 3r\n\nevent: done\nid: 3:0\ndata: {}\n\n";
    for (end, level, error_type) in [
        (Some(broken()), Level::INFO, Some("truncated")),
        (None, Level::DEBUG, None),
    ] {
        let pieces = [Piece::from(piece)].into_iter().chain(end);
        let mut answers = Endpoint::Replicate.answers();
        answers[1] = Answer::sse(pieces);
        answers.insert(2, Answer::sse([Piece::from(rest)]));
        let (outcome, seen) = ask(Endpoint::Replicate, answers, PROMPT);
        assert_eq!(outcome.text(), ANSWER);
        // After an interruption the prediction is compared, which causes no further event.
        let [told, compared] = &*seen.events else {
            panic!("{:?}", seen.events);
        };
        assert_eq!(compared.level, Level::DEBUG);
        assert_eq!((told.target, told.level), ("inferstream", level));
        assert_eq!(told.span, Some(0));
        let found = told.fields.get("error.type").and_then(Value::as_str);
        assert_eq!(found, error_type);
        assert!(0.0 < told.fields["wait"].as_f64().unwrap());
    }
}

#[test]
fn chunks_are_not_events() {
    let many = vec![chunk(); 100];
    let mut all: Vec<_> = many.iter().map(String::as_str).collect();
    let finish = finish();
    all.push(&finish);
    let answer = Answer::sse([Piece::from(sse(&all).as_str())]);
    let (outcome, seen) = ask_under(everything, Endpoint::Cerebras, vec![answer], PROMPT);
    assert_eq!(outcome.events.len(), 102);
    assert!(seen.events.is_empty());
    assert_eq!(seen.spans.len(), 1);
}
