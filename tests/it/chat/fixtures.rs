//! Recorded responses and their events, also when split at any byte.

use inferstream_core::FinishReason;

use super::{Answer, Client, Outcome, piece, run};
use crate::support::{
    Piece,
    cuts::{Beginning, Came, Rest, Streams, check_cuts, judge_events_and_error},
    recordings::{self, check_splits, is, read, variants},
};

const SSE: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";

/// File, client, content type. The status is always 200.
const FIXTURES: &[(&str, Client, &str)] = &[
    ("cerebras/t-cb-1.sse", Client::Cerebras, SSE),
    ("cerebras/t-cb-2.sse", Client::Cerebras, SSE),
    ("cerebras/t-cb-3.sse", Client::Cerebras, SSE),
    ("cerebras/t-cb-4.json", Client::Cerebras, JSON),
    ("cerebras/t-cb-4-reasoning.json", Client::Cerebras, JSON),
    ("cerebras/t-cb-6.sse", Client::Cerebras, SSE),
    ("openai-compat/final-message.sse", Client::Plain, SSE),
    ("openai-compat/function-call.sse", Client::Plain, SSE),
    ("openai-compat/id-per-fragment.sse", Client::Plain, SSE),
    ("openai-compat/image-only.sse", Client::Plain, SSE),
    ("openai-compat/index-counts-chunks.sse", Client::Plain, SSE),
    ("openai-compat/infinite-logprobs.sse", Client::Plain, SSE),
    ("openai-compat/parallel-same-index.sse", Client::Plain, SSE),
    ("openai-compat/text-beside-delta.sse", Client::Plain, SSE),
    ("openai-compat/thinking-parts.sse", Client::Plain, SSE),
    ("openai-compat/two-choices.json", Client::Plain, JSON),
    ("openai-compat/usage-in-choice.sse", Client::Plain, SSE),
    ("openai-compat/usage-of-groq.sse", Client::Plain, SSE),
    ("openai-compat/error-base-resp.json", Client::Plain, JSON),
    ("openai-compat/error-code.json", Client::Plain, JSON),
    ("openai-compat/error-field.sse", Client::Plain, SSE),
    ("openai-compat/error-upstream.sse", Client::Plain, SSE),
    ("openai-compat/u-01.json", Client::Plain, JSON),
    ("openai-compat/u-02.sse", Client::Plain, SSE),
    ("openai-compat/u-03.sse", Client::Plain, SSE),
    ("openai-compat/u-07.sse", Client::Plain, SSE),
    ("openai-compat/u-08.sse", Client::Plain, SSE),
    ("openai-compat/u-09.sse", Client::Plain, SSE),
    ("openai-compat/u-10.sse", Client::Plain, SSE),
    ("openai-compat/u-11.sse", Client::Plain, SSE),
    ("openai-compat/u-12.sse", Client::Plain, SSE),
    ("openai-compat/u-13.sse", Client::Plain, SSE),
    ("openai-compat/u-14.sse", Client::Plain, SSE),
    ("openai-compat/u-15.sse", Client::Plain, SSE),
    ("openai-compat/u-16.sse", Client::Plain, SSE),
    ("openai-compat/u-19.sse", Client::Plain, SSE),
    ("openai-compat/u-20.sse", Client::Plain, SSE),
    ("openai-compat/u-21.sse", Client::Plain, "text/x-unknown"),
    ("openai-compat/u-22.json", Client::Plain, JSON),
    ("openai-compat/u-25.sse", Client::Plain, SSE),
    ("openai-compat/u-26.sse", Client::Plain, SSE),
    ("openai-compat/u-27.sse", Client::Plain, SSE),
];

/// The streams, for tests that modify them.
pub(super) fn streams() -> Vec<(Client, Vec<u8>)> {
    let streams = FIXTURES.iter().filter(|(name, ..)| is(name, "sse"));
    streams
        .map(|(name, client, _)| (*client, read(name)))
        .collect()
}

fn run_as(
    (_, client, content_type): &(&str, Client, &str),
    pieces: impl IntoIterator<Item = Piece>,
) -> Outcome {
    let answer = Answer::new(200, pieces).header("content-type", *content_type);
    run(*client, answer)
}

#[test]
fn recorded_responses_have_their_events() {
    for fixture in FIXTURES {
        let name = fixture.0;
        recordings::check(name, &run_as(fixture, [piece(&read(name))]));
    }
}

#[test]
fn every_fixture_is_in_the_table() {
    let known: Vec<_> = FIXTURES.iter().map(|(name, ..)| *name).collect();
    recordings::check_table("cerebras", &known);
    recordings::check_table("openai-compat", &known);
}

#[test]
fn the_split_of_a_recorded_response_does_not_matter() {
    for fixture in FIXTURES {
        let bytes = read(fixture.0);
        let expected = run_as(fixture, [piece(&bytes)]).transcript();
        check_splits(fixture.0, &bytes, &expected, |pieces| {
            run_as(fixture, pieces)
        });
    }
}

impl Streams for Client {
    fn run(&self, pieces: Vec<Piece>) -> Outcome {
        run(*self, Answer::sse(pieces))
    }

    fn judge(&self, bytes: &[u8]) -> Beginning {
        let mut beginning = judge_events_and_error(bytes, |frame| {
            let is_reason = frame.contains(REASON);
            // At Cerebras, a chunk with finish reason and usage announces the end.
            if is_reason && *self == Self::Cerebras && frame.contains("\"usage\":{") {
                Came::Marker
            } else if frame.contains("event: error")
                || frame.starts_with("error:")
                || frame.contains("{\"error\":")
            {
                Came::Error
            } else if is_reason {
                Came::Reason
            } else {
                Came::Part
            }
        });
        // A complete message after deltas repeats their text, so its start contains nothing new.
        let text = String::from_utf8_lossy(bytes);
        let rest = text.rsplit("\n\n").next().unwrap_or_default();
        if beginning.rest == Rest::Text && rest.contains("\"message\":{") {
            beginning.rest = Rest::Beginning;
        }
        beginning
    }

    fn check(&self, bytes: &[u8], clean: &Outcome) {
        if let Ok(response) = &clean.end {
            let is_unknown = *response.finish_reason().unwrap() == FinishReason::Unknown;
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(is_unknown, !text.contains(REASON), "{text}");
        }
    }
}

const REASON: &str = "\"finish_reason\":\"";

#[test]
fn a_recorded_stream_cut_at_any_byte_is_never_complete() {
    for (name, client, _) in FIXTURES.iter().filter(|(name, ..)| is(name, "sse")) {
        check_cuts(name, client, &read(name));
    }
}

#[test]
fn all_line_ends_are_cut_in_the_same_way() {
    let bytes = read("openai-compat/u-11.sse");
    let expected = Client::Plain.run(vec![piece(&bytes)]).transcript();
    for (variant, bytes) in variants(&bytes) {
        check_cuts(variant, &Client::Plain, &bytes);
        let found = Client::Plain.run(vec![piece(&bytes)]);
        assert_eq!(found.transcript(), expected, "{variant}");
    }
}

#[test]
fn a_byte_order_mark_may_be_cut() {
    let [.., (variant, bytes)] = variants(&read("openai-compat/u-09.sse"));
    check_cuts(variant, &Client::Plain, &bytes);
}
