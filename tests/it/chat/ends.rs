//! The end of a response, and how long the client waits for it.

use std::time::Duration;

use inferstream_core::{ChatRequest, End, ErrorKind, FinishReason, Phase, Timeouts};

use super::{
    Answer, Client, FINISH, Outcome, TEXT, broken, frames, halves::chunk, piece, plain_stream, run,
    run_request, sse,
};
use crate::support::{Piece, seconds};

const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":7}}"#;
const LAST: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":7},"time_info":{"total_time":0.5}}"#;
const SECOND: &str = r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#;
pub(super) const SECOND_FINISH: &str =
    r#"{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#;
const DONE: &str = "[DONE]";

#[test]
fn a_stream_ends_two_seconds_after_the_finish_reason() {
    for client in [Client::Plain, Client::Cerebras] {
        let outcome = run(client, Answer::sse([frames(&[TEXT, FINISH]), Piece::Hang]));
        assert_eq!(outcome.elapsed, seconds(2));
        assert_eq!(outcome.response().end, Some(End::FinishReason));
        assert_eq!(
            outcome.response().finish_reason(),
            Some(&FinishReason::Stop)
        );
        assert_eq!(outcome.text(), "a");
    }
}

#[test]
fn usage_within_two_seconds_is_usage() {
    let late = [
        frames(&[TEXT, FINISH]),
        Piece::Wait(Duration::from_millis(1900)),
        frames(&[USAGE]),
    ];
    let outcome = run(
        Client::Plain,
        Answer::sse([&late[..], &[Piece::Hang]].concat()),
    );
    assert_eq!(outcome.response().usage.unwrap().input_tokens, Some(7));
    assert_eq!(outcome.elapsed, seconds(2), "two seconds in all");

    let outcome = run(
        Client::Plain,
        Answer::sse([&late[..], &[frames(&[DONE])]].concat()),
    );
    assert_eq!(outcome.response().usage.unwrap().input_tokens, Some(7));
    assert_eq!(outcome.response().end, Some(End::Marker));

    let too_late = [
        frames(&[TEXT, FINISH]),
        Piece::Wait(seconds(3)),
        frames(&[USAGE, DONE]),
    ];
    let outcome = run(Client::Plain, Answer::sse(too_late));
    assert_eq!(outcome.elapsed, seconds(2));
    assert_eq!(outcome.response().usage, None);
    assert_eq!(outcome.response().end, Some(End::FinishReason));
}

#[test]
fn nothing_is_read_after_the_end_marker() {
    for client in [Client::Plain, Client::Cerebras] {
        let outcome = run(
            client,
            Answer::sse([frames(&[TEXT, FINISH, DONE]), Piece::Hang]),
        );
        assert_eq!(outcome.elapsed, Duration::ZERO);
        assert_eq!(outcome.response().end, Some(End::Marker));
        let outcome = run(
            client,
            Answer::sse([frames(&[TEXT, FINISH, DONE]), broken()]),
        );
        assert_eq!(outcome.response().end, Some(End::Marker));
    }
}

#[test]
fn cerebras_ends_at_the_chunk_with_reason_and_usage() {
    for rest in [Piece::Hang, broken(), frames(&[DONE]), frames(&[TEXT])] {
        let outcome = run(Client::Cerebras, Answer::sse([frames(&[TEXT, LAST]), rest]));
        assert_eq!(outcome.elapsed, Duration::ZERO);
        assert_eq!(outcome.text(), "a");
        let response = outcome.response();
        assert_eq!(response.usage.unwrap().input_tokens, Some(7));
        assert_eq!(response.timing.unwrap().total_time, Some(0.5));
    }
    // Usage in the chunk of the finish reason does not end the streams of other services.
    let outcome = run(
        Client::Plain,
        Answer::sse([frames(&[TEXT, LAST, TEXT, DONE])]),
    );
    assert_eq!(outcome.text(), "aa");
}

#[test]
fn cerebras_may_send_usage_after_the_reason() {
    let outcome = run(
        Client::Cerebras,
        Answer::sse([frames(&[TEXT, FINISH, USAGE]), Piece::Hang]),
    );
    assert_eq!(outcome.response().usage.unwrap().input_tokens, Some(7));
    assert_eq!(outcome.elapsed, Duration::ZERO);
}

#[test]
fn a_connection_that_breaks_after_the_reason_is_truncated() {
    for client in [Client::Plain, Client::Cerebras] {
        let outcome = run(client, Answer::sse([frames(&[TEXT, FINISH]), broken()]));
        let error = outcome.error();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert_eq!(error.partial().unwrap().text(), "a");
        assert!(error.is_retryable());
        assert!(
            std::error::Error::source(error).is_some(),
            "the cause is kept"
        );
    }
}

#[test]
fn an_error_after_the_reason_is_an_error() {
    let error = r#"{"error":{"message":"m","type":"server_error"}}"#;
    let pieces = [frames(&[TEXT, FINISH, error, DONE])];
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
    assert_eq!(outcome.text(), "a");
    let pieces = [frames(&[TEXT, FINISH]), Piece::from("data: no JSON\n\n")];
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.kind(), Some(ErrorKind::Protocol));
}

#[test]
fn comments_do_not_extend_the_two_seconds() {
    let mut pieces = vec![frames(&[TEXT, FINISH])];
    for _ in 0..10 {
        pieces.extend([Piece::Wait(seconds(1)), Piece::from(": keep-alive\n\n")]);
    }
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.elapsed, seconds(2));
    assert_eq!(outcome.response().end, Some(End::FinishReason));
}

#[test]
fn silence_is_not_an_end() {
    let silent = |pieces: Vec<Piece>| run(Client::Plain, Answer::sse(pieces));
    let outcome = silent(vec![Piece::Hang]);
    assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::FirstEvent)));
    assert_eq!(outcome.elapsed, seconds(120));
    let outcome = silent(vec![frames(&[TEXT]), Piece::Hang]);
    assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::Idle)));
    assert_eq!(outcome.elapsed, seconds(120));
    assert_eq!(outcome.error().partial().unwrap().text(), "a");
}

#[test]
fn comments_are_not_progress() {
    let mut pieces = vec![frames(&[TEXT])];
    for _ in 0..100 {
        pieces.extend([Piece::Wait(seconds(10)), Piece::from(": keep-alive\n\n")]);
    }
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::Progress)));
    assert_eq!(outcome.elapsed, seconds(300));
}

#[test]
fn comments_during_long_reasoning_prevent_a_timeout() {
    let mut pieces = vec![frames(&[TEXT])];
    for _ in 0..25 {
        pieces.extend([
            Piece::Wait(seconds(10)),
            Piece::from(": OPENROUTER PROCESSING\n\n"),
        ]);
    }
    pieces.push(frames(&[TEXT, FINISH, DONE]));
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.text(), "aa");
}

#[test]
fn timeouts_are_those_of_the_request() {
    let timeouts = Timeouts::default().idle(seconds(3)).first_event(seconds(4));
    let request = ChatRequest::from("hi").timeouts(timeouts);
    let answer = Answer::sse([frames(&[TEXT]), Piece::Hang]);
    let outcome = run_request(Client::Cerebras, answer, request.clone());
    assert_eq!(outcome.elapsed, seconds(3));
    let outcome = run_request(Client::Cerebras, Answer::sse([Piece::Hang]), request);
    assert_eq!(outcome.elapsed, seconds(4));
}

#[test]
fn two_choices_end_when_both_have_finished() {
    let second = r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#;
    let second_finish = r#"{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#;
    // Both choices have started: the end of one starts no timeout.
    let pieces = [
        frames(&[TEXT, second, FINISH]),
        Piece::Wait(seconds(10)),
        frames(&[second, second_finish]),
        Piece::Hang,
    ];
    let outcome = run_two(pieces);
    assert_eq!(
        (outcome.text(), outcome.text_of(1)),
        ("a".into(), "xx".into())
    );
    assert_eq!(outcome.elapsed, seconds(12));
}

/// Reads a response to a request for two choices.
#[track_caller]
fn run_two(pieces: impl IntoIterator<Item = Piece>) -> Outcome {
    let request = ChatRequest::from("hi").n(2);
    run_request(Client::Plain, Answer::sse(pieces), request)
}

#[test]
fn choice_1_may_come_after_choice_0_has_ended() {
    let pieces = [
        frames(&[TEXT, FINISH, SECOND]),
        Piece::Wait(seconds(3)),
        frames(&[SECOND, SECOND_FINISH, "[DONE]"]),
    ];
    let outcome = run_two(pieces);
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
    assert_eq!(outcome.text_of(1), "xx");
}

#[test]
fn one_of_two_choices_is_not_the_complete_response() {
    let pieces = [
        frames(&[TEXT, FINISH]),
        Piece::Wait(seconds(3)),
        frames(&[SECOND, SECOND_FINISH, "[DONE]"]),
    ];
    let outcome = run_two(pieces);
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
    assert_eq!(outcome.text_of(1), "x");
}

#[test]
fn one_of_two_choices_and_a_clean_end_are_truncated() {
    let pieces = [frames(&[TEXT, FINISH])];
    let outcome = run_two(pieces);
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Truncated),
        "{:?}",
        outcome.end
    );
}

#[test]
fn text_after_a_finish_reason_keeps_the_stream_alive() {
    let mut pieces = vec![frames(&[TEXT, FINISH])];
    for _ in 0..5 {
        pieces.extend([Piece::Wait(seconds(1)), frames(&[TEXT])]);
    }
    pieces.push(frames(&[FINISH, "[DONE]"]));
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.text(), "aaaaaa");
}

#[test]
fn an_empty_frame_after_the_finish_reason_does_not_delay_the_end() {
    let pieces = [
        frames(&[TEXT, FINISH]),
        Piece::from("data:\n\n"),
        Piece::Hang,
    ];
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.elapsed, seconds(2));
}

#[test]
fn an_endless_response_is_too_large() {
    let long = chunk(0, "content", &"x".repeat(500_000));
    let frame = sse(&[long.as_str()]);
    let pieces = (0..100).map(|_| piece(frame.as_bytes()));
    let outcome = run(Client::Plain, Answer::sse(pieces.collect::<Vec<_>>()));
    assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge));
    let kept = outcome.text().len();
    assert!((15 << 20..=16 << 20).contains(&kept), "{kept}");
}

#[test]
fn an_event_is_not_a_document() {
    let cut = format!("event: document\ndata: {FINISH}");
    let outcome = plain_stream(sse(&[TEXT]) + &cut);
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
}

#[test]
fn the_last_of_several_finish_reasons_counts() {
    let finish =
        |word| format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{word}"}}]}}"#);
    let (stop, length) = (finish("stop"), finish("length"));
    for end in ["", "data: [DONE]\n\n", "data: [DONE]\n\ndata: [DONE]\n\n"] {
        let outcome = plain_stream(sse(&[TEXT, &stop, TEXT, &stop, &length]) + end);
        assert_eq!(outcome.text(), "aa");
        assert_eq!(
            outcome.response().finish_reason(),
            Some(&FinishReason::Length)
        );
        assert_eq!(outcome.response().choices.len(), 1);
    }
}

#[test]
fn the_end_marker_may_have_several_forms() {
    for marker in [
        "data: [DONE]\n\n",
        "data:[DONE]\n\n",
        "data:  [DONE] \n\n",
        "data: \"[DONE]\"\n\n",
        "[DONE]\n\n",
        "data: [DONE]\r\n\r\n",
        "event: done\ndata: [DONE]\n\n",
        // Truncated by a clean end.
        "data: [DONE]\n",
        "data: [DONE]",
        "[DONE]",
    ] {
        let outcome = plain_stream(sse(&[TEXT]) + marker);
        assert_eq!(outcome.kind(), None, "{marker:?}");
        assert_eq!(outcome.response().end, Some(End::Marker), "{marker:?}");
        assert_eq!(
            outcome.response().finish_reason(),
            Some(&FinishReason::Unknown)
        );
    }
    for no_marker in [
        "data: [DON",
        "data: DONE\n\n",
        ": [DONE]\n\n",
        "id: [DONE]\n\n",
    ] {
        let outcome = plain_stream(sse(&[TEXT]) + no_marker);
        assert!(outcome.kind().is_some(), "{no_marker:?}");
    }
}

#[test]
fn nothing_after_the_end_marker_counts() {
    let late = "data: [DONE]\n\n".to_owned()
        + &sse(&[
            TEXT,
            r#"{"error":{"message":"late"}}"#,
            "no JSON",
            r#"{"choices":[],"usage":{"prompt_tokens":1}}"#,
        ]);
    let outcome = plain_stream(sse(&[TEXT, FINISH]) + &late);
    assert_eq!(outcome.text(), "a");
    assert_eq!(outcome.response().usage, None);
    assert_eq!(outcome.response().end, Some(End::Marker));
}

#[test]
fn an_unterminated_line_is_truncated() {
    let endless = vec![piece(&vec![b'x'; 64 << 10]); 64];
    let mut pieces = vec![Piece::from(sse(&[TEXT]).as_str()), Piece::from("data: ")];
    pieces.extend(endless.clone());
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge));
    assert_eq!(outcome.text(), "a");
    let mut pieces = vec![Piece::from("{\"choices\":[{\"message\":{\"content\":\"")];
    pieces.extend(vec![piece(&vec![b'x'; 64 << 10]); 65]);
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge));
}
