//! Recorded responses and their events, also when split at any byte.

use inferstream_cloudflare::{ChatEvent, Endpoint, ErrorKind};

use super::{Answer, ENDPOINTS, Outcome, piece, run, sse};
use crate::support::{
    Piece,
    cuts::{Beginning, Came, Streams, check_cuts, judge_events_and_error},
    lines,
    recordings::{self, check_splits, read, variants},
};

const SSE: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";

/// File, status, content type.
const FIXTURES: &[(&str, u16, &str)] = &[
    ("cloudflare/t-cf-5.sse", 200, SSE),
    ("cloudflare/t-cf-6.sse", 200, SSE),
    ("cloudflare/t-cf-7.sse", 200, SSE),
    ("cloudflare/t-cf-8.sse", 200, SSE),
    ("cloudflare/t-cf-9.json", 200, JSON),
    ("cloudflare/t-cf-9-bare.json", 200, JSON),
    ("cloudflare/t-cf-10.json", 429, JSON),
    ("cloudflare/t-cf-10-rest.json", 429, JSON),
    ("cloudflare/t-cf-11.json", 401, JSON),
    ("cloudflare/t-cf-12.json", 400, JSON),
];

/// The streams, for tests that modify them.
pub(super) fn streams() -> Vec<Vec<u8>> {
    let streams = FIXTURES
        .iter()
        .filter(|(_, _, content_type)| *content_type == SSE);
    streams.map(|(name, ..)| read(name)).collect()
}

fn run_as(
    endpoint: Endpoint,
    (_, status, content_type): &(&str, u16, &str),
    pieces: impl IntoIterator<Item = Piece>,
) -> Outcome {
    let answer = Answer::new(*status, pieces).header("content-type", *content_type);
    run(endpoint, answer)
}

#[test]
fn recorded_responses_have_their_events() {
    for fixture in FIXTURES {
        for endpoint in ENDPOINTS {
            let outcome = run_as(endpoint, fixture, [piece(&read(fixture.0))]);
            recordings::check(fixture.0, &outcome);
        }
    }
}

#[test]
fn every_fixture_is_in_the_table() {
    let known: Vec<_> = FIXTURES.iter().map(|(name, ..)| *name).collect();
    recordings::check_table("cloudflare", &known);
}

#[test]
fn the_split_of_a_recorded_response_does_not_matter() {
    for fixture in FIXTURES {
        let bytes = read(fixture.0);
        let run = |pieces| run_as(Endpoint::ByModel, fixture, pieces);
        let expected = run(vec![piece(&bytes)]).transcript();
        check_splits(fixture.0, &bytes, &expected, run);
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_do_not_matter() {
    for bytes in streams() {
        let run = |pieces| run(Endpoint::ByModel, Answer::sse(pieces));
        let expected = run(vec![piece(&bytes)]).transcript();
        for (variant, bytes) in variants(&bytes) {
            check_splits(variant, &bytes, &expected, run);
        }
    }
}

impl Streams for Endpoint {
    fn run(&self, pieces: Vec<Piece>) -> Outcome {
        run(*self, Answer::sse(pieces))
    }

    fn judge(&self, bytes: &[u8]) -> Beginning {
        judge_events_and_error(bytes, |frame| {
            if frame.contains("{\"error\":") || frame.contains("{\"errors\":") {
                Came::Error
            } else if frame.contains("\"finish_reason\":\"") {
                Came::Reason
            } else {
                Came::Part
            }
        })
    }

    /// Returns the events that must be equal; it is not specified when usage is reported.
    fn content(&self, outcome: &Outcome) -> Vec<String> {
        let is_content = |event: &&ChatEvent| {
            !outcome.is_terminal(event) && !matches!(event, ChatEvent::Usage { .. })
        };
        lines(outcome.events.iter().filter(is_content))
    }
}

#[test]
fn a_recorded_stream_cut_at_any_byte_is_never_complete() {
    for (name, ..) in FIXTURES
        .iter()
        .filter(|(_, _, content_type)| *content_type == SSE)
    {
        check_cuts(name, &Endpoint::ByModel, &read(name));
    }
}

#[test]
fn a_stream_of_both_endpoints_cut_at_any_byte_is_never_complete() {
    let calls = sse(&[
        r#"{"response":"a","p":"x"}"#,
        r#"{"tool_calls":[{"name":"add","arguments":{"a":1}}]}"#,
        r#"{"tool_calls":[{"id":"call123","type":"function","index":1,"function":{"name":"g","arguments":"{}"}}]}"#,
        r#"{"finish_reason":"tool_calls"}"#,
        r#"{"response":"","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
        "[DONE]",
    ]);
    let twice = sse(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"length"}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
        r#"{"response":"","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
    ]);
    let tail_alone = sse(&[
        r#"{"response":"a"}"#,
        r#"{"response":"","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
    ]);
    let bare = r#"data: {"response":"é😀"}"#.to_owned() + "\n\n[DONE]\n\n";
    let error = sse(&[
        r#"{"response":"a"}"#,
        r#"{"error":{"message":"boom","code":7009}}"#,
        "[DONE]",
    ]);
    let errors = sse(&[
        r#"{"response":"a"}"#,
        r#"{"errors":[{"code":3040,"message":"busy"}],"success":false,"result":{},"messages":[]}"#,
        "[DONE]",
    ]);
    for endpoint in ENDPOINTS {
        for (name, text) in [
            ("calls", &calls),
            ("two reasons", &twice),
            ("the tail alone", &tail_alone),
            ("a bare marker", &bare),
            ("an error", &error),
            ("errors", &errors),
        ] {
            check_cuts(name, &endpoint, text.as_bytes());
        }
        for (variant, bytes) in variants(calls.as_bytes()) {
            check_cuts(variant, &endpoint, &bytes);
        }
        for (variant, bytes) in variants(twice.as_bytes()) {
            check_cuts(variant, &endpoint, &bytes);
        }
    }
}

#[test]
fn recorded_responses_match_the_documentation() {
    let of = |name: &str| {
        let fixture = FIXTURES.iter().find(|(known, ..)| *known == name).unwrap();
        run_as(Endpoint::ByModel, fixture, [piece(&read(name))])
    };
    let outcome = of("cloudflare/t-cf-5.sse");
    assert_eq!(outcome.text(), "Hello chunk1");
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
    assert_eq!(outcome.reason(), "stop");
    assert!(outcome.response().tool_calls().is_empty());

    let outcome = of("cloudflare/t-cf-6.sse");
    assert_eq!(outcome.text(), "أ");
    assert_eq!(outcome.usage(), [Some(147), Some(16), Some(163)]);
    assert_eq!(outcome.response().usage.unwrap().cached_tokens, Some(0));
    assert_eq!(outcome.reason(), "stop");
    assert_eq!(outcome.reasoning(), "");

    let outcome = of("cloudflare/t-cf-7.sse");
    assert_eq!(outcome.text(), "Count1true");
    assert_eq!(outcome.reason(), "stop");

    let outcome = of("cloudflare/t-cf-8.sse");
    assert_eq!(outcome.text(), "A cow is cool");
    assert_eq!(outcome.reasoning(), "Okay, the user");
    assert_eq!(outcome.usage(), [Some(15), Some(1), Some(16)]);
    assert_eq!(outcome.reason(), "stop");

    for name in ["cloudflare/t-cf-9.json", "cloudflare/t-cf-9-bare.json"] {
        let outcome = of(name);
        assert_eq!(outcome.text(), "أهلا");
        assert_eq!(outcome.usage(), [Some(147), Some(16), Some(163)]);
        assert_eq!(outcome.reason(), "stop");
        let model = outcome.response().model.as_deref();
        assert_eq!(model, Some("@cf/google/gemma-4-26b-a4b-it-external"));
    }

    for name in ["cloudflare/t-cf-10.json", "cloudflare/t-cf-10-rest.json"] {
        let outcome = of(name);
        assert_eq!(outcome.kind(), Some(ErrorKind::Quota));
        assert_eq!(outcome.attempts, 1);
        assert!(!outcome.error().is_retryable());
        assert_eq!(outcome.error().code(), Some("4006"));
        let message = outcome.error().to_string();
        assert!(
            message.contains("you have used up your daily free"),
            "{message}"
        );
    }

    let outcome = of("cloudflare/t-cf-11.json");
    assert_eq!(outcome.kind(), Some(ErrorKind::Auth));
    assert_eq!(outcome.error().code(), Some("10000"));
    assert_eq!(
        outcome.error().provider_message(),
        Some("Authentication error")
    );

    let outcome = of("cloudflare/t-cf-12.json");
    assert_eq!(outcome.kind(), Some(ErrorKind::ContentFilter));
    assert_eq!(outcome.error().code(), Some("8007"));
    let message = outcome.error().to_string();
    assert!(message.contains("Input prompt contains NSFW"), "{message}");
}
