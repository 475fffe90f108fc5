//! Bodies whose content differs from their content type.

use inferstream_core::ErrorKind;

use super::{Answer, Client, FINISH, TEXT, chunks, frames, plain_stream, run, sse};
use crate::support::Piece;

#[test]
fn any_content_type_except_html_is_accepted() {
    let bytes = sse(&[TEXT, FINISH]) + "data: [DONE]\n\n";
    let answer = || Answer::new(200, [Piece::from(bytes.as_str())]);
    for content_type in [
        "text/event-stream",
        "Text/Event-Stream;charset=UTF-8",
        "text/x-unknown",
        "text/plain",
        "application/octet-stream",
        "application/x-ndjson",
        "application/json",
        "",
    ] {
        let outcome = run(Client::Plain, answer().header("content-type", content_type));
        assert_eq!(outcome.text(), "a", "{content_type}");
        assert_eq!(outcome.kind(), None, "{content_type}");
    }
    assert_eq!(run(Client::Plain, answer()).kind(), None);
    for content_type in ["text/html", "text/html; charset=utf-8", "TEXT/HTML"] {
        let outcome = run(Client::Plain, answer().header("content-type", content_type));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{content_type}");
        assert_eq!(outcome.error().attempts(), 1);
    }
}

#[test]
fn a_stream_declared_in_another_encoding_is_not_read() {
    let answer = Answer::sse([Piece::from(sse(&[TEXT, FINISH]).as_str())]);
    let answer = answer.header("content-type", "text/event-stream; charset=utf-16");
    let outcome = run(Client::Plain, answer);
    assert_eq!(outcome.kind(), Some(ErrorKind::Protocol));
}

#[test]
fn utf8_and_ascii_are_utf_8() {
    for charset in ["utf8", "us-ascii", "'utf-8'"] {
        let answer = Answer::sse([frames(&[TEXT, FINISH])]).header(
            "content-type",
            format!("text/event-stream; charset={charset}"),
        );
        let outcome = run(Client::Plain, answer);
        assert_eq!(outcome.kind(), None, "{charset} {:?}", outcome.end);
    }
}

#[test]
fn an_html_page_declared_as_a_stream_is_an_error() {
    for page in [
        "<!DOCTYPE html>\n<html><body>data: nothing</body></html>\n",
        "\n\n  <html>\n\ndata: {\"choices\":[]}\n\n",
        "\u{feff}<?xml version=\"1.0\"?><error/>",
        "Bad Gateway\n",
        "upstream connect error or disconnect/reset before headers\n\n",
        "0:\"Hel\"\n0:\"lo\"\nd:{\"finishReason\":\"stop\"}\n",
    ] {
        for client in [Client::Plain, Client::Cerebras] {
            let outcome = run(client, Answer::sse([Piece::from(page)]));
            let kind = outcome.kind();
            assert!(
                matches!(kind, Some(ErrorKind::Protocol | ErrorKind::Truncated)),
                "{page}: {kind:?}"
            );
            assert!(outcome.events.is_empty());
            assert!(!outcome.error().to_string().contains('<'));
        }
    }
}

#[test]
fn a_response_without_a_body_is_an_error() {
    for status in [204, 205] {
        let outcome = run(Client::Cerebras, Answer::empty(status));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{status}");
    }
    for bytes in ["", "\n", "\n\n\n", " ", ": hi\n\n", "data:\n\n", "\u{feff}"] {
        let outcome = plain_stream(bytes);
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{bytes:?}");
    }
    let outcome = run(Client::Cerebras, Answer::empty(200));
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
}

#[test]
fn another_protocol_with_the_same_end_marker_is_an_error() {
    for list in [
        &[][..],
        &[r#"{"response":"tok","p":"abc"}"#, r#"{"response":" en"}"#],
        &[r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}"#],
        &[r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#],
        &[r#"{"type":"text-delta","delta":"Hi"}"#],
        &[r#"{"choices":[],"usage":{"prompt_tokens":1}}"#],
        &[r#"{"choices":null}"#],
        &["{}"],
        &["[]"],
        &["null"],
        &["7"],
        &["\"text\""],
    ] {
        for client in [Client::Plain, Client::Cerebras] {
            let bytes = sse(list) + "data: [DONE]\n\n";
            let outcome = run(client, Answer::sse([Piece::from(bytes.as_str())]));
            assert_eq!(
                outcome.kind(),
                Some(ErrorKind::Protocol),
                "{list:?}: {:?}",
                outcome.end
            );
        }
    }
}

#[test]
fn another_protocol_is_a_protocol_error() {
    let outcome = chunks(&[r#"{"type":"message_start","message":{"id":"x","role":"assistant"}}"#]);
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Protocol),
        "{:?}",
        outcome.end
    );
}

#[test]
fn invalid_utf_8_becomes_replacement_characters() {
    let mut bytes =
        b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\xFFb\xC3\"}}]}\n\n".to_vec();
    bytes.extend(sse(&[FINISH]).bytes());
    assert_eq!(plain_stream(bytes).text(), "a\u{fffd}b\u{fffd}");
}
