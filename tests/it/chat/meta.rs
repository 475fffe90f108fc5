//! What comes with an answer: the same in whole ones, in streams, and in those that broke off.

use inferstream_core::{ChatRequest, ChatResponse, ErrorKind};

use super::{Answer, Client, FINISH, Piece, TEXT, Wire, block_on, broken, frames};
use crate::support::seconds;

/// An answer after one that was refused.
fn wire(answer: Answer) -> Wire {
    Wire::new([
        Answer::json(503, "{}"),
        answer
            .header("inference-id", "chatcmpl-1")
            .header("x-ratelimit-limit-requests", "10")
            .header("x-ratelimit-remaining-requests", "4"),
    ])
}

/// A model that the client has something to say about.
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
fn a_whole_answer_tells_what_came_with_it() {
    let document = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;
    let stream = [frames(&[TEXT, FINISH]), Piece::from("data: [DONE]\n\n")];
    for answer in [Answer::json(200, document), Answer::sse(stream)] {
        let wire = wire(answer);
        check(&block_on(&wire.clock, Client::Cerebras.chat(&wire, request())).unwrap());
    }
}

#[test]
fn what_came_of_a_broken_answer_tells_what_came_with_it() {
    let pieces = || [frames(&[TEXT]), Piece::Wait(seconds(3)), broken()];
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
fn what_came_before_a_cancellation_tells_what_came_with_it() {
    let wire = wire(Answer::sse([frames(&[TEXT]), Piece::Hang]));
    let mut stream = block_on(&wire.clock, Client::Cerebras.stream(&wire, request())).unwrap();
    block_on(&wire.clock, stream.next()).unwrap().unwrap();
    let partial = block_on(&wire.clock, stream.cancel()).unwrap();
    check(&partial);
    assert_eq!(partial.meta.time_to_end, None);
}
