//! Responses that are one JSON document, requested or not.

use inferstream_core::{End, ErrorKind, FinishReason, ToolCall};

use super::{Answer, Client, Wire, broken, piece, run};
use crate::support::{Piece, block_on, recordings};

/// Requests a complete response and a stream; both must have the same result.
#[track_caller]
fn read(client: Client, body: &str) -> super::Outcome {
    let outcome = run(client, Answer::json(200, body));
    let wire = Wire::new([Answer::json(200, body)]);
    let whole = block_on(&wire.clock, client.chat(&wire, "hi"));
    match (&whole, &outcome.end) {
        (Ok(whole), Ok(response)) => assert_eq!(whole, response),
        (Err(whole), Err(error)) => assert_eq!(whole.kind(), error.kind()),
        _ => panic!("{whole:?} and {:?}", outcome.end),
    }
    outcome
}

#[track_caller]
fn check_error(body: &str, kind: ErrorKind) {
    let outcome = read(Client::Plain, body);
    let start: String = body.chars().take(100).collect();
    assert_eq!(outcome.kind(), Some(kind), "{start}: {:?}", outcome.end);
    assert_eq!(outcome.text(), "", "{start}");
}

#[test]
fn a_complete_response_equals_its_stream() {
    for name in [
        "cerebras/t-cb-4.json",
        "cerebras/t-cb-4-reasoning.json",
        "openai-compat/u-22.json",
    ] {
        let body = String::from_utf8(recordings::read(name)).unwrap();
        let outcome = read(Client::Cerebras, &body);
        let response = outcome.response();
        assert_eq!(response.end, Some(End::FinishReason), "{name}");
        assert_eq!(
            response.finish_reason(),
            Some(&FinishReason::Stop),
            "{name}"
        );
        assert!(response.id.is_some() && response.model.is_some() && response.usage.is_some());
    }
}

#[test]
fn a_document_cut_at_any_byte_is_truncated() {
    let tools = r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"\ud83d\ude00 \n\u00e9é","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\": -1.5e3}"}}]},"finish_reason":"tool_calls","logprobs":null}],"usage":{"prompt_tokens":1.5e1},"ok":[true,false,null]}"#;
    let mut bodies = vec![tools.as_bytes().to_vec()];
    for name in [
        "cerebras/t-cb-4.json",
        "cerebras/t-cb-4-reasoning.json",
        "openai-compat/u-22.json",
        "openai-compat/u-01.json",
    ] {
        bodies.push(recordings::read(name));
    }
    for body in bodies {
        for place in 0..body.len() {
            let cut = &body[..place];
            for pieces in [vec![piece(cut)], vec![piece(cut), broken()]] {
                let answer = Answer::new(200, pieces).header("content-type", "application/json");
                let outcome = run(Client::Cerebras, answer.clone());
                let text = String::from_utf8_lossy(cut);
                let kind = outcome.kind();
                // The JSON parser reports a truncated number as an invalid number.
                let in_number = text.ends_with(['.', '-', '+', 'e', 'E']);
                let protocol = in_number && kind == Some(ErrorKind::Protocol);
                assert!(
                    protocol || kind == Some(ErrorKind::Truncated),
                    "{text}: {kind:?}"
                );
                assert!(outcome.events.is_empty(), "{text}");
                let wire = Wire::new([answer]);
                let error = block_on(&wire.clock, Client::Cerebras.chat(&wire, "hi")).unwrap_err();
                assert_eq!((Some(error.kind()), wire.count()), (kind, 1), "{text}");
            }
        }
        // The document is complete, but the connection broke, so the client cannot know that.
        let answer = Answer::new(200, [piece(&body), broken()]);
        assert_eq!(
            run(Client::Cerebras, answer).kind(),
            Some(ErrorKind::Truncated)
        );
    }
}

#[test]
fn content_may_be_missing_if_tools_are_called() {
    for content in ["", r#""content":null,"#, r#""content":"","#] {
        let body = format!(
            r#"{{"choices":[{{"finish_reason":"tool_calls","index":0,"message":{{{content}"role":"assistant","tool_calls":[{{"id":"a","type":"function","function":{{"name":"f","arguments":"{{}}"}}}},{{"id":"b","type":"function","function":{{"name":"g","arguments":"[1]"}}}}]}}}}]}}"#
        );
        let outcome = read(Client::Cerebras, &body);
        let response = outcome.response();
        assert_eq!(response.text(), "");
        let calls = [
            ToolCall::new("a", "f", "{}"),
            ToolCall::new("b", "g", "[1]"),
        ];
        assert_eq!(response.tool_calls(), calls);
        assert_eq!(response.finish_reason(), Some(&FinishReason::ToolCalls));
    }
}

#[test]
fn white_space_and_a_byte_order_mark_around_a_document_are_ignored() {
    let body = String::from_utf8(recordings::read("openai-compat/u-22.json")).unwrap();
    assert_eq!(
        read(Client::Plain, &format!("\u{feff}{body}")).text(),
        "whole"
    );
    for around in [format!("\n\n {body}\r\n "), body.replace(',', " ,\n\t")] {
        assert_eq!(read(Client::Plain, &around).text(), "whole", "{around}");
        let pieces: Vec<_> = around.as_bytes().chunks(1).map(piece).collect();
        assert_eq!(
            run(Client::Plain, Answer::sse(pieces)).text(),
            "whole",
            "{around}"
        );
    }
}

#[test]
fn a_document_may_have_any_content_type_except_html() {
    let body = recordings::read("openai-compat/u-22.json");
    for content_type in [
        "text/event-stream",
        "application/json; charset=utf-8",
        "text/plain",
        "",
    ] {
        let answer = Answer::new(200, [piece(&body)]).header("content-type", content_type);
        assert_eq!(run(Client::Plain, answer).text(), "whole", "{content_type}");
    }
    assert_eq!(
        run(Client::Plain, Answer::new(200, [piece(&body)])).text(),
        "whole"
    );
}

#[test]
fn an_event_stream_instead_of_a_document_is_read() {
    let bytes = recordings::read("cerebras/t-cb-1.sse");
    let wire = Wire::new([Answer::sse([piece(&bytes)])]);
    let response = block_on(&wire.clock, Client::Cerebras.chat(&wire, "hi")).unwrap();
    assert_eq!(response.text(), "Oi!");
    let wire = Wire::new([Answer::sse([piece(&bytes[..bytes.len() / 2])])]);
    let error = block_on(&wire.clock, Client::Cerebras.chat(&wire, "hi")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

#[test]
fn a_document_that_is_not_a_response_is_an_error() {
    use ErrorKind::{Protocol, Provider, Truncated};
    check_error("{}", Protocol);
    check_error(r#"{"choices":[]}"#, Protocol);
    check_error(r#"{"choices":null}"#, Protocol);
    check_error(r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, Protocol);
    check_error(r#"{"response":"Hi"}"#, Protocol);
    check_error(
        r#"{"choices":[{"message":{"content":"a"}}]} trailing"#,
        Protocol,
    );
    check_error(r#"{"choices":"none"}"#, Protocol);
    check_error("{not json}", Protocol);
    check_error("<html>", Protocol);
    check_error("<", Protocol);
    check_error("{", Truncated);
    check_error("", Truncated);
    check_error(r#"{"error":{"message":"m"}}"#, Provider);
    check_error(r#"{"error":"m"}"#, Provider);
    check_error(
        r#"{"message":"m","type":"server_error","param":null,"code":null}"#,
        Provider,
    );
    check_error(r#"{"detail":"m"}"#, Provider);
    check_error(r#"{"errors":[{"message":"m"}]}"#, Provider);
    check_error(&r#"{"a":"#.repeat(20_000), Truncated);
    let deep = "[".repeat(100_000);
    check_error(
        &format!(r#"{{"choices":[{{"message":{{"content":{deep}"#),
        Truncated,
    );
}

#[test]
fn a_response_truncated_by_the_token_limit_has_its_finish_reason() {
    let body = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"length"}]}"#;
    assert_eq!(
        read(Client::Plain, body).response().finish_reason(),
        Some(&FinishReason::Length)
    );
    // A token limit that was used up by reasoning leaves an empty response.
    let body = r#"{"choices":[{"message":{"content":""},"finish_reason":"length"}]}"#;
    let outcome = read(Client::Plain, body);
    assert_eq!(outcome.response().text(), "");
    assert_eq!(
        outcome.response().finish_reason(),
        Some(&FinishReason::Length)
    );
}

#[test]
fn a_stalled_document_times_out() {
    let answer = Answer::new(200, [Piece::from("{\"choices\":"), Piece::Hang]);
    let outcome = run(Client::Plain, answer);
    assert!(
        matches!(outcome.kind(), Some(ErrorKind::Timeout(_))),
        "{:?}",
        outcome.end
    );
}

#[test]
fn a_byte_order_mark_before_a_document_may_be_split() {
    let body =
        "\u{feff}{\"choices\":[{\"message\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}";
    let bytes = body.as_bytes();
    let outcome = run(
        Client::Plain,
        Answer::new(200, [piece(&bytes[..1]), piece(&bytes[1..])]),
    );
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
}

#[test]
fn json_that_is_not_an_object_is_an_error() {
    for document in ["null", "[]", "1"] {
        let outcome = run(Client::Plain, Answer::json(200, document));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{document}");
    }
}

#[test]
fn a_document_without_content_is_an_error() {
    for document in [r#"{"choices":[{}]}"#, r#"{"choices":[{"message":null}]}"#] {
        let outcome = run(Client::Plain, Answer::json(200, document));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{document}");
    }
}
