//! The metadata of complete, streamed and truncated responses.

use inferstream_compose::ThinkTags;
use inferstream_core::{ChatRequest, ChatResponse, ErrorKind, Replays, RetryPolicy, Timing, Usage};

use super::{Answer, Client, FINISH, Piece, TEXT, Wire, block_on, broken, frames};
use crate::support::seconds;

/// A response after one that was refused.
fn wire(answer: Answer) -> Wire {
    Wire::new([
        Answer::json(503, "{}"),
        answer
            .header("inference-id", "chatcmpl-1")
            .header("x-ratelimit-limit-requests", "10")
            .header("x-ratelimit-remaining-requests", "4"),
    ])
}

/// A request for a model that causes a warning.
fn request() -> ChatRequest {
    ChatRequest::new("llama-3.3-70b").user("hi")
}

#[track_caller]
fn check(response: &ChatResponse) {
    let meta = &response.meta;
    assert_eq!((meta.attempts, meta.status.as_u16()), (2, 200));
    assert_eq!(meta.request_id(), Some("chatcmpl-1"));
    let limits = meta.rate_limits();
    let requests = limits.get("requests").unwrap();
    assert_eq!((requests.limit, requests.remaining), (Some(10), Some(4)));
    assert!(!meta.time_to_head.is_zero(), "there was a wait");
    assert_eq!(meta.time_to_first_event, Some(meta.time_to_head));
    assert_eq!(meta.warnings.len(), 1, "{:?}", meta.warnings);
    assert_eq!(response.text(), "a");
}

#[test]
fn a_complete_response_has_metadata() {
    let document = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;
    let stream = [frames(&[TEXT, FINISH]), Piece::from("data: [DONE]\n\n")];
    for answer in [Answer::json(200, document), Answer::sse(stream)] {
        let wire = wire(answer);
        check(&block_on(&wire.clock, Client::Cerebras.chat(&wire, request())).unwrap());
    }
}

#[test]
fn a_partial_response_of_an_error_has_metadata() {
    let pieces = || [frames(&[TEXT]), wait(3), broken()];
    let wire_of = || wire(Answer::sse(pieces()));
    let wire = wire_of();
    let error = block_on(&wire.clock, Client::Cerebras.chat(&wire, request())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    let partial = error.partial().unwrap();
    check(partial);
    let time = partial.meta.time_to_end.unwrap();
    assert_eq!(time, partial.meta.time_to_head + seconds(3));

    let wire = wire_of();
    let mut stream = block_on(&wire.clock, Client::Cerebras.stream(&wire, request())).unwrap();
    block_on(&wire.clock, stream.next()).unwrap().unwrap();
    check(stream.partial());
    let error = block_on(&wire.clock, stream.next()).unwrap().unwrap_err();
    check(error.partial().unwrap());
    check(stream.partial());
    assert_eq!(stream.meta(), &error.partial().unwrap().meta);
}

#[test]
fn a_canceled_response_has_metadata() {
    let wire = wire(Answer::sse([frames(&[TEXT]), Piece::Hang]));
    let mut stream = block_on(&wire.clock, Client::Cerebras.stream(&wire, request())).unwrap();
    block_on(&wire.clock, stream.next()).unwrap().unwrap();
    let partial = block_on(&wire.clock, stream.cancel()).unwrap();
    check(&partial);
    assert_eq!(partial.meta.time_to_end, None);
}

// Tokens per second.

const COUNTS: &str = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":60}}"#;
const COUNTS_AND_TIMES: &str = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":60},"time_info":{"completion_time":0.5}}"#;

fn wait(time: u64) -> Piece {
    Piece::Wait(seconds(time))
}

fn done() -> Piece {
    Piece::from("data: [DONE]\n\n")
}

/// Checks the rate of a response, streamed and complete.
#[track_caller]
fn check_rate(answer: &Answer, rate: Option<f64>) {
    let wire = Wire::new([answer.clone()]);
    let stream = block_on(&wire.clock, Client::Plain.stream(&wire, "hi")).unwrap();
    let response = block_on(&wire.clock, stream.finish()).unwrap();
    assert_eq!(response.tokens_per_second(), rate, "{response:?}");
    let whole = block_on(&wire.clock, Client::Plain.chat(&wire, "hi")).unwrap();
    assert_eq!(whole.tokens_per_second(), rate, "whole: {whole:?}");
}

#[test]
fn a_rate_is_measured_from_the_first_event_to_the_end() {
    let pieces = [
        wait(7),
        frames(&[TEXT]),
        wait(1),
        frames(&[TEXT]),
        wait(1),
        frames(&[FINISH]),
        wait(1),
        frames(&[COUNTS]),
        done(),
    ];
    check_rate(&Answer::sse(pieces), Some(20.0));
}

#[test]
fn a_rate_does_not_include_the_wait_for_the_end_marker() {
    let pieces = [
        frames(&[TEXT]),
        wait(3),
        frames(&[TEXT, COUNTS, FINISH]),
        Piece::Hang,
    ];
    check_rate(&Answer::sse(pieces), Some(20.0));
}

#[test]
fn a_rate_uses_the_time_of_the_service_if_reported() {
    let text = |rest| {
        [
            frames(&[TEXT]),
            wait(1),
            frames(&[TEXT, FINISH, rest]),
            done(),
        ]
    };
    check_rate(&Answer::sse(text(COUNTS_AND_TIMES)), Some(120.0));
    check_rate(&Answer::sse(text(COUNTS)), Some(60.0));
    let document = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"completion_tokens":60},"time_info":{"completion_time":0.5}}"#;
    check_rate(&Answer::json(200, document), Some(120.0));
}

#[test]
fn a_document_has_no_measured_rate() {
    let document = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"completion_tokens":60}}"#;
    check_rate(&Answer::json(200, document), None);
    // However it is split.
    let (begin, end) = document.split_at(40);
    let pieces = [Piece::from(begin), wait(1), Piece::from(end), wait(1)];
    let answer = Answer::new(200, pieces).header("content-type", "application/json");
    check_rate(&answer, None);
}

#[test]
fn a_stream_in_one_read_has_no_measured_rate() {
    for pieces in [
        vec![wait(2), frames(&[TEXT, TEXT, FINISH, COUNTS]), done()],
        vec![
            frames(&[TEXT, TEXT]),
            wait(1),
            frames(&[FINISH, COUNTS]),
            done(),
        ],
    ] {
        check_rate(&Answer::sse(pieces), None);
    }
    // In two reads at the same time.
    let pieces = [frames(&[TEXT]), frames(&[TEXT, FINISH, COUNTS]), done()];
    check_rate(&Answer::sse(pieces), None);
}

#[test]
fn missing_token_counts_have_no_rate() {
    let times = r#"{"choices":[],"usage":{"prompt_tokens":9},"time_info":{"completion_time":0.5}}"#;
    for rest in [times, r#"{"choices":[]}"#] {
        let pieces = [
            frames(&[TEXT]),
            wait(1),
            frames(&[TEXT, FINISH, rest]),
            done(),
        ];
        check_rate(&Answer::sse(pieces), None);
    }
}

#[test]
fn there_is_a_rate_only_after_the_end_or_an_error() {
    let pieces = [
        frames(&[TEXT, COUNTS]),
        wait(2),
        frames(&[TEXT]),
        wait(1),
        broken(),
    ];
    let wire = Wire::new([Answer::sse(pieces)]);
    let mut stream = block_on(&wire.clock, Client::Plain.stream(&wire, "hi")).unwrap();
    for _ in 0..3 {
        block_on(&wire.clock, stream.next()).unwrap().unwrap();
        assert_eq!(stream.partial().tokens_per_second(), None);
    }
    let error = block_on(&wire.clock, stream.next()).unwrap().unwrap_err();
    assert_eq!(error.partial().unwrap().tokens_per_second(), Some(20.0));
}

#[test]
fn separated_reasoning_does_not_change_the_rate() {
    let pieces = [
        frames(&[TEXT]),
        wait(3),
        frames(&[TEXT, FINISH, COUNTS]),
        done(),
    ];
    let wire = Wire::new([Answer::sse(pieces)]);
    let stream = block_on(&wire.clock, Client::Plain.stream(&wire, "hi")).unwrap();
    let stream = ThinkTags::default().split_stream(stream);
    let response = block_on(&wire.clock, stream.finish()).unwrap();
    assert_eq!(response.tokens_per_second(), Some(20.0));
}

#[test]
fn an_invalid_time_is_ignored() {
    let mut response = ChatResponse::default();
    let (mut usage, mut timing) = (Usage::default(), Timing::default());
    usage.output_tokens = Some(60);
    response.usage = Some(usage);
    for time in [
        0.0,
        -0.0,
        -1.0,
        1e-320,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        timing.completion_time = Some(time);
        response.timing = Some(timing);
        assert_eq!(response.tokens_per_second(), None, "{time}");
    }
    response.meta.streamed = true;
    response.meta.time_to_first_event = Some(seconds(1));
    response.meta.time_to_end = Some(seconds(3));
    timing.completion_time = Some(0.0);
    response.timing = Some(timing);
    assert_eq!(response.tokens_per_second(), Some(30.0));
}

#[test]
fn replays_of_the_transport_count_as_attempts() {
    let replayed = |status| {
        Wire::by(move |request, before| {
            let replays = request.extensions().get::<Replays>().unwrap();
            match before.len() {
                // The transport found a stale connection, and replayed the request on another one.
                0 => replays.add(),
                _ => assert_eq!(replays.count(), 1, "attempts share the number"),
            }
            match before.len() {
                0 => Answer::json(503, "{}"),
                _ if status == 200 => Answer::sse([frames(&[TEXT, FINISH])]),
                _ => Answer::json(status, "{}"),
            }
        })
    };
    let wire = replayed(200);
    let stream = block_on(&wire.clock, Client::Cerebras.stream(&wire, "hi")).unwrap();
    assert_eq!((wire.count(), stream.meta().attempts), (2, 3));
    let wire = replayed(400);
    let error = block_on(&wire.clock, Client::Cerebras.stream(&wire, "hi")).unwrap_err();
    assert_eq!((wire.count(), error.attempts()), (2, 3));
}

#[test]
fn a_policy_without_server_errors_sends_once() {
    let policy = RetryPolicy::default().retry_server_errors(false);
    for (status, attempts) in [(500, 1), (503, 1), (408, 1), (429, 3)] {
        let wire = Wire::new([Answer::json(status, "{}")]);
        let request = ChatRequest::from("hi").retry(policy);
        let error = block_on(&wire.clock, Client::Cerebras.stream(&wire, request)).unwrap_err();
        assert_eq!(error.attempts(), attempts, "{status}");
    }
}
