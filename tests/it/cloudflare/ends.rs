//! The end of a response: finish reasons, markers and timeouts.

use inferstream_cloudflare::{End, Endpoint, ErrorKind};

use super::{Answer, ENDPOINTS, chunks, open_chunks, run, sse, stream_of, streams::TAIL};
use crate::support::{Piece, seconds};

#[test]
fn the_last_finish_reason_counts() {
    let choice = |text: &str, reason: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{reason}}}]}}"#
        )
    };
    let length = choice("a", "\"length\"");
    let stop = choice("b", "\"stop\"");
    let none = choice("c", "null");
    let outcome = chunks(&[&length, &stop, &none, TAIL]);
    assert_eq!(outcome.text(), "abc");
    assert_eq!(outcome.reason(), "stop");
    let outcome = chunks(&[&stop, &length]);
    assert_eq!(outcome.reason(), "length");
    let outcome = open_chunks(&[&stop, &none]);
    assert_eq!(outcome.text(), "abc".replace('a', ""));
    assert_eq!(outcome.reason(), "stop");
}

#[test]
fn a_finish_reason_may_be_outside_the_choices() {
    let outcome = open_chunks(&[
        r#"{"response":"a"}"#,
        r#"{"response":"","finish_reason":"length"}"#,
    ]);
    assert_eq!(outcome.reason(), "length");
    let outcome = open_chunks(&[
        r#"{"response":"a","finish_reason":"length"}"#,
        r#"{"response":"b"}"#,
        r#"{"finish_reason":"stop"}"#,
    ]);
    assert_eq!(outcome.text(), "ab");
    assert_eq!(outcome.reason(), "stop");
}

#[test]
fn the_finish_reason_of_a_choice_takes_precedence() {
    let outcome = chunks(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"length"}],"finish_reason":"stop"}"#,
    ]);
    assert_eq!(outcome.reason(), "length");
    let outcome = chunks(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"finish_reason":"length"}"#,
    ]);
    assert_eq!(outcome.reason(), "length");
}

#[test]
fn every_finish_reason_is_mapped() {
    for (word, reason) in [
        ("stop", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("other", "other"),
        ("something_new", "something_new"),
    ] {
        let choice = format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"a"}},"finish_reason":"{word}"}}]}}"#
        );
        assert_eq!(open_chunks(&[&choice]).reason(), reason);
        let top = format!(r#"{{"response":"a","finish_reason":"{word}"}}"#);
        assert_eq!(open_chunks(&[&top]).reason(), reason);
        let document = format!(
            r#"{{"result":{{"choices":[{{"index":0,"message":{{"content":"a"}},"finish_reason":"{word}"}}]}},"success":true,"errors":[],"messages":[]}}"#
        );
        for endpoint in ENDPOINTS {
            assert_eq!(run(endpoint, Answer::json(200, &document)).reason(), reason);
        }
    }
}

#[test]
fn unknown_is_a_finish_reason() {
    let choice = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"unknown"}]}"#;
    assert_eq!(open_chunks(&[choice]).reason(), "unknown");
}

#[test]
fn the_finish_reason_error_is_an_error() {
    for chunk in [
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"error"}]}"#,
        r#"{"response":"a","finish_reason":"error"}"#,
    ] {
        for outcome in [
            open_chunks(&[chunk]),
            chunks(&[chunk]),
            chunks(&[chunk, TAIL]),
        ] {
            assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{chunk}");
        }
    }
    let document = r#"{"result":{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"error"}]},"success":true}"#;
    let outcome = run(Endpoint::OpenAi, Answer::json(200, document));
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{document}");
}

#[test]
fn an_end_marker_without_a_finish_reason_means_stop() {
    let outcome = chunks(&[r#"{"response":"a"}"#]);
    assert_eq!(outcome.reason(), "stop");
    assert_eq!(outcome.response().end, Some(End::Marker));
    for marker in [
        "[DONE]\n\n",
        "data:[DONE]\n\n",
        "data: [DONE]\r\r",
        "data: [DONE]",
        "[DONE]",
    ] {
        let bytes = [r#"data: {"response":"a"}"#, "\n\n", marker].concat();
        for endpoint in ENDPOINTS {
            let outcome = run(endpoint, stream_of(&bytes));
            assert_eq!(outcome.kind(), None, "{marker:?}");
            assert_eq!((outcome.text().as_str(), outcome.reason()), ("a", "stop"));
        }
    }
}

#[test]
fn data_without_an_end_is_truncated() {
    for list in [
        &[r#"{"response":"a"}"#][..],
        &[r#"{"response":"a"}"#, TAIL],
        &[r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#],
        &[r#"{"response":"a","finish_reason":null}"#],
        &[r#"{"response":"a","finish_reason":""}"#],
        &[],
    ] {
        let outcome = open_chunks(list);
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{list:?}");
        let text = if list.is_empty() { "" } else { "a" };
        assert_eq!(outcome.text(), text);
    }
}

#[test]
fn nothing_after_the_end_marker_is_read() {
    let outcome = chunks(&[
        r#"{"response":"a"}"#,
        "[DONE]",
        r#"{"response":"late"}"#,
        "no JSON",
    ]);
    assert_eq!(outcome.text(), "a");
    let bytes = sse(&[r#"{"response":"a"}"#, "[DONE]"]);
    let pieces = [Piece::from(bytes.as_str()), Piece::Hang];
    let outcome = run(Endpoint::Native, Answer::sse(pieces));
    assert_eq!(
        outcome.elapsed,
        seconds(0),
        "nothing is awaited after the marker"
    );
}

#[test]
fn an_end_marker_in_the_text_is_text() {
    let outcome = chunks(&[r#"{"response":"data: [DONE]\n\n"}"#, r#"{"response":"a"}"#]);
    assert_eq!(outcome.text(), "data: [DONE]\n\na");
}

#[test]
fn the_last_chunk_is_waited_for_two_seconds() {
    let finish = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#;
    let pieces = [Piece::from(sse(&[finish]).as_str()), Piece::Hang];
    let outcome = run(Endpoint::OpenAi, Answer::sse(pieces.clone()));
    assert_eq!(outcome.elapsed, seconds(2));
    assert_eq!(outcome.reason(), "stop");
    let [finish, hang] = pieces;
    let late = [
        finish,
        Piece::Wait(seconds(1)),
        Piece::from(sse(&[TAIL]).as_str()),
        hang,
    ];
    let outcome = run(Endpoint::OpenAi, Answer::sse(late));
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
}
