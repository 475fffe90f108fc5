//! Answers and errors that were once told wrongly.

use inferstream_core::{ChatEvent, ChatRequest, Error, ErrorKind, Message, Part, Role, ToolCall};

use super::{
    Answer, Client, FINISH, KEY, TEXT, Wire, cerebras, chunks, frames, piece, plain_stream, run,
    run_request, sse,
};
use crate::support::{Piece, block_on, seconds};

const SECOND: &str = r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#;
const SECOND_FINISH: &str = r#"{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#;

#[test]
fn choice_1_may_come_after_choice_0_has_ended() {
    let pieces = [
        frames(&[TEXT, FINISH, SECOND]),
        Piece::Wait(seconds(3)),
        frames(&[SECOND, SECOND_FINISH, "[DONE]"]),
    ];
    let outcome = run_request(
        Client::Plain,
        Answer::sse(pieces),
        ChatRequest::from("hi").n(2),
    );
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
    assert_eq!(outcome.text_of(1), "xx");
}

#[test]
fn one_of_two_choices_is_not_the_whole_answer() {
    let pieces = [
        frames(&[TEXT, FINISH]),
        Piece::Wait(seconds(3)),
        frames(&[SECOND, SECOND_FINISH, "[DONE]"]),
    ];
    let outcome = run_request(
        Client::Plain,
        Answer::sse(pieces),
        ChatRequest::from("hi").n(2),
    );
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
    assert_eq!(outcome.text_of(1), "x");
}

#[test]
fn one_of_two_choices_and_a_clean_end_are_cut_off() {
    let pieces = [frames(&[TEXT, FINISH])];
    let outcome = run_request(
        Client::Plain,
        Answer::sse(pieces),
        ChatRequest::from("hi").n(2),
    );
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
fn usage_of_an_earlier_chunk_does_not_end_the_stream() {
    let early = r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}"#;
    let late = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;
    let outcome = run(
        Client::Cerebras,
        Answer::sse([frames(&[early, FINISH, late, "[DONE]"])]),
    );
    assert_eq!(outcome.response().usage.unwrap().output_tokens, Some(2));
}

fn echo(request: ChatRequest, words: &str) -> Error {
    let body = format!("{{\"message\":{}}}", serde_json::to_string(words).unwrap());
    let wire = Wire::new([Answer::json(400, &body)]);
    let client = cerebras(&wire);
    block_on(&wire.clock, client.stream(request)).unwrap_err()
}

#[test]
fn a_prompt_that_begins_with_another_is_not_shown() {
    let short = "Summarize the letter.";
    let long = "Summarize the letter. Dear Anna, the code is 4711.";
    let error = echo(
        ChatRequest::default().system(short).user(long),
        &format!("bad content: {long}"),
    );
    assert!(!error.to_string().contains("4711"), "{error}");
}

#[test]
fn a_prompt_with_the_key_is_not_shown() {
    let long = format!("My key is {KEY} and my name is Anna Schmidt.");
    let error = echo(
        ChatRequest::from(long.as_str()),
        &format!("bad content: {long}"),
    );
    assert!(!error.to_string().contains("Schmidt"), "{error}");
}

#[test]
fn a_prompt_quoted_as_json_is_not_shown() {
    let long = "Dear Anna,\nthe \"code\" is 4711.";
    let error = echo(
        ChatRequest::from(long),
        &format!("bad content: {}", serde_json::to_string(long).unwrap()),
    );
    assert!(!error.to_string().contains("4711"), "{error}");
}

#[test]
fn a_prompt_is_not_shown_in_part() {
    let long = "Dear Anna, the code is 4711. ".repeat(50);
    let error = echo(
        ChatRequest::from(long.as_str()),
        &format!("bad content: {}...", &long[..200]),
    );
    assert!(!error.to_string().contains("4711"), "{error}");
}

#[test]
fn reasoning_and_tool_results_are_not_shown() {
    let request = ChatRequest::from("hi")
        .message(Message::assistant("x").reasoning("Anna told me the code is 4711"))
        .message(Message::empty(Role::Assistant).tool_call(ToolCall::new(
            "a",
            "f",
            "{\"code\":\"Anna 4711 is it\"}",
        )));
    let error = echo(
        request.clone(),
        "bad reasoning: Anna told me the code is 4711",
    );
    assert!(!error.to_string().contains("4711"), "{error}");
}

#[test]
fn arguments_of_tools_are_not_shown() {
    let request =
        ChatRequest::from("hi").message(Message::empty(Role::Assistant).tool_call(ToolCall::new(
            "a",
            "f",
            "{\"code\":\"Anna 4711 is it\"}",
        )));
    let error = echo(request, "bad arguments: {\"code\":\"Anna 4711 is it\"}");
    assert!(!error.to_string().contains("4711"), "{error}");
}

fn chunk(choice: u32, name: &str, text: &str) -> String {
    format!(r#"{{"choices":[{{"index":{choice},"delta":{{"{name}":"{text}"}}}}]}}"#)
}

#[test]
fn a_lone_half_is_a_replacement_character() {
    let list = [chunk(0, "content", "x\\ud83d"), chunk(0, "content", "y")];
    let outcome = chunks(&[&list[0], &list[1], FINISH]);
    assert_eq!(outcome.text(), "x\u{fffd}y");
}

#[test]
fn halves_far_apart_are_not_joined() {
    let list = [
        chunk(0, "content", "x\\ud83d"),
        chunk(0, "content", "y"),
        chunk(0, "content", "\\ude00"),
    ];
    let outcome = chunks(&[&list[0], &list[1], &list[2], FINISH]);
    assert_eq!(outcome.text(), "x\u{fffd}y\u{fffd}");
}

#[test]
fn halves_of_two_choices_are_not_mixed() {
    let list = [
        chunk(0, "content", "\\ud83d"),
        chunk(1, "content", "\\ud83c"),
        chunk(0, "content", "\\ude00"),
        chunk(1, "content", "\\udf00"),
    ];
    let mut refs: Vec<&str> = list.iter().map(String::as_str).collect();
    refs.extend([FINISH, SECOND_FINISH]);
    let outcome = run_request(
        Client::Plain,
        Answer::sse([frames(&refs)]),
        ChatRequest::from("hi").n(2),
    );
    assert_eq!(
        (outcome.text(), outcome.text_of(1)),
        ("😀".to_owned(), "🌀".to_owned())
    );
}

#[test]
fn a_half_of_an_unknown_member_does_not_join_text() {
    let list = [
        r#"{"choices":[{"index":0,"delta":{"content":"x"}}],"obfuscation":"ab\ud83d"}"#.to_owned(),
        chunk(0, "content", "\\ude00y"),
    ];
    let outcome = chunks(&[&list[0], &list[1], FINISH]);
    assert_eq!(outcome.text(), "x\u{fffd}y");
}

#[test]
fn a_half_at_the_end_of_a_document_is_replaced() {
    let outcome = run(
        Client::Plain,
        Answer::json(
            200,
            r#"{"choices":[{"message":{"content":"x\ud83d"},"finish_reason":"stop"}]}"#,
        ),
    );
    assert_eq!(outcome.text(), "x\u{fffd}");
}

#[test]
fn raw_is_as_it_came() {
    let list = [
        chunk(0, "content", "\\ud83d"),
        chunk(0, "content", "\\ude00"),
    ];
    let bytes = sse(&[&list[0], &list[1], FINISH]);
    let outcome = run_request(
        Client::Plain,
        Answer::sse([piece(bytes.as_bytes())]),
        ChatRequest::from("hi").raw(true),
    );
    let raw: Vec<_> = outcome
        .events
        .iter()
        .filter_map(|e| match e {
            ChatEvent::Raw { chunk, .. } => Some(chunk.as_str().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(raw, [list[0].clone(), list[1].clone(), FINISH.to_owned()]);
}

#[test]
fn a_choice_that_was_not_asked_for_is_passed_over() {
    for index in ["18446744073709551615", "1e300"] {
        let odd = format!(r#"{{"choices":[{{"index":{index},"delta":{{"content":"x"}}}}]}}"#);
        assert_eq!(chunks(&[TEXT, &odd, FINISH]).text(), "a", "{index}");
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
fn a_mark_before_a_document_may_be_cut() {
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
fn an_image_of_another_role_is_not_dropped_silently() {
    for message in [
        Message::tool("a", Part::image_url("https://a.test/b.png")),
        Message::system("s").part(Part::image_url("https://a.test/b.png")),
        Message::assistant(Part::image_url("https://a.test/b.png")),
    ] {
        let wire = Wire::new([Answer::sse([frames(&[TEXT, FINISH])])]);
        let outcome = block_on(
            &wire.clock,
            cerebras(&wire).stream(ChatRequest::default().message(message)),
        );
        match outcome {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
            Ok(_) => assert!(wire.text().contains("b.png"), "{}", wire.text()),
        }
    }
}

#[test]
fn a_status_without_a_name_is_its_number() {
    let wire = Wire::new([Answer::json(529, "")]);
    let error = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap_err();
    assert!(!error.to_string().contains("<unknown"), "{error}");
}

fn tools(list: &[&str]) -> Vec<(String, String, String)> {
    let list: Vec<_> = list
        .iter()
        .map(|p| format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":{p}}}}}]}}"#))
        .collect();
    let mut refs: Vec<&str> = list.iter().map(String::as_str).collect();
    refs.push(FINISH);
    let outcome = chunks(&refs);
    outcome
        .response()
        .tool_calls()
        .iter()
        .map(|c| (c.id.clone(), c.name.clone(), c.arguments.clone()))
        .collect()
}

#[test]
fn calls_without_number_and_id_are_told_apart() {
    let calls = tools(&[
        r#"[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"g","arguments":"{}"}}]"#,
    ]);
    assert_eq!(calls.len(), 2, "{calls:?}");
}

#[test]
fn a_calls_number_may_come_later() {
    let calls = tools(&[
        r#"[{"id":"a","function":{"name":"f","arguments":"["}}]"#,
        r#"[{"index":0,"function":{"arguments":"1]"}}]"#,
    ]);
    assert_eq!(calls.len(), 1, "{calls:?}");
}

#[test]
fn a_calls_number_may_come_later_with_its_id() {
    let calls = tools(&[
        r#"[{"id":"a","function":{"name":"f","arguments":"["}}]"#,
        r#"[{"index":0,"id":"a","function":{"arguments":"1]"}}]"#,
    ]);
    assert_eq!(calls.len(), 1, "{calls:?}");
}

#[test]
fn a_calls_id_may_come_later() {
    let calls = tools(&[
        r#"[{"index":0,"function":{"name":"f","arguments":"["}}]"#,
        r#"[{"id":"a","function":{"arguments":"1]"}}]"#,
    ]);
    assert_eq!(calls.len(), 1, "{calls:?}");
}

#[test]
fn usage_of_another_type_is_none() {
    for usage in ["\"n/a\"", "0", "false", "[]"] {
        let c = format!(r#"{{"choices":[],"usage":{usage}}}"#);
        let outcome = chunks(&[TEXT, &c, FINISH]);
        assert_eq!(outcome.kind(), None, "{usage} {:?}", outcome.end);
    }
}

#[test]
fn a_400_with_envelope_and_status() {
    let body = r#"{"error":{"message":"Encountered a server error, please try again.","type":"server_error","code":"server_error"},"status_code":500}"#;
    let wire = Wire::new([Answer::json(400, body)]);
    let error = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap_err();
    assert_eq!((wire.count(), error.is_retryable()), (3, true));
}

#[test]
fn slashes_at_the_end_of_the_base_url_do_not_count() {
    let wire = Wire::new([Answer::json(400, "")]);
    let client = inferstream_cerebras::Cerebras::builder()
        .api_key(KEY)
        .base_url("https://api.cerebras.ai//")
        .transport(wire.clone())
        .build()
        .unwrap();
    drop(block_on(&wire.clock, client.stream("hi")));
    assert_eq!(
        wire.request().uri(),
        "https://api.cerebras.ai/v1/chat/completions"
    );
}

#[test]
fn in_stream_429_is_retryable() {
    let outcome = chunks(&[TEXT, r#"{"error":{"message":"boom","code":429}}"#]);
    assert!(outcome.error().is_retryable());
}

#[test]
fn a_message_beside_a_delta_does_not_count() {
    let odd = r#"{"choices":[{"index":0,"delta":{"content":"x"},"message":{"content":"x"}}]}"#;
    assert_eq!(chunks(&[odd, FINISH]).text(), "x");
}

#[test]
fn a_low_balance_is_a_quota() {
    let body = r#"{"error":{"message":"Your credit balance is too low to access the API.","type":"invalid_request_error"}}"#;
    let wire = Wire::new([Answer::json(429, body)]);
    let error = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap_err();
    assert_eq!((error.kind(), wire.count()), (ErrorKind::Quota, 1));
}

#[test]
fn an_event_named_error_is_an_error_whatever_its_data() {
    let outcome = plain_stream(sse(&[TEXT]) + "event: error\ndata: [DONE]\n\n");
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Provider),
        "{:?}",
        outcome.end
    );
}

#[test]
fn a_number_is_its_text() {
    let outcome = chunks(&[
        r#"{"choices":[{"index":0,"delta":{"content":1.0}}]}"#,
        FINISH,
    ]);
    assert_eq!(outcome.text(), "1.0");
}

#[test]
fn an_error_in_a_choice_is_an_error() {
    let outcome = chunks(&[
        TEXT,
        r#"{"choices":[{"index":0,"delta":{"content":""},"error":{"message":"m","code":502},"finish_reason":"error"}]}"#,
    ]);
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Provider),
        "{:?}",
        outcome.end
    );
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
fn a_final_message_does_not_double_the_text() {
    let outcome = chunks(&[
        TEXT,
        TEXT,
        r#"{"choices":[{"index":0,"delta":{},"message":{"role":"assistant","content":"aa"},"finish_reason":"stop"}]}"#,
    ]);
    assert_eq!(outcome.text(), "aa");
}

#[test]
fn an_empty_frame_after_the_finish_reason_does_not_hold_the_end() {
    let pieces = [
        frames(&[TEXT, FINISH]),
        Piece::from("data:\n\n"),
        Piece::Hang,
    ];
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.elapsed, seconds(2));
}

#[test]
fn a_port_that_is_none_is_not_dropped() {
    for port in ["99999", "65536", "-1", "+80", "80x", ""] {
        let wire = Wire::new([]);
        let url = format!("http://127.0.0.1:{port}/v1");
        let client = inferstream_cerebras::Cerebras::builder()
            .base_url(url)
            .transport(wire);
        assert_eq!(
            client.build().unwrap_err().kind(),
            ErrorKind::Config,
            "{port}"
        );
    }
}

#[test]
fn a_prompt_of_several_lines_is_not_shown() {
    for prompt in [
        "secret 4711 and more text\nhi 4711",
        "a first word\t4711\tb",
        "a first word 4711\r\nb 4711",
    ] {
        let error = echo(ChatRequest::from(prompt), &format!("bad: {prompt}"));
        assert!(!error.to_string().contains("4711"), "{error}");
        let json = serde_json::to_string(prompt).unwrap();
        let error = echo(ChatRequest::from(prompt), &format!("bad: {json}"));
        assert!(!error.to_string().contains("4711"), "{error}");
    }
}

#[test]
fn a_header_that_repeats_the_key_is_not_kept() {
    let wire = Wire::new([Answer::json(400, "{}").header("x-request-id", KEY)]);
    let error = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap_err();
    assert!(!format!("{:?}", error.headers()).contains(KEY));
    assert_ne!(error.request_id(), Some(KEY));
}

#[test]
fn an_event_of_another_name_may_hold_anything() {
    let ping = "event: ping\ndata: 2026-01-01\n\n";
    let outcome = plain_stream(format!("{ping}{}{ping}{}", sse(&[TEXT]), sse(&[FINISH])));
    assert_eq!((outcome.kind(), outcome.text().as_str()), (None, "a"));
}

#[test]
fn json_that_is_no_object_is_no_answer() {
    for document in ["null", "[]", "1"] {
        let outcome = run(Client::Plain, Answer::json(200, document));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{document}");
    }
}

#[test]
fn an_engine_elsewhere_gets_the_limit_under_the_name_that_all_know() {
    let wire = Wire::new([Answer::json(400, "")]);
    let client = inferstream_cerebras::Cerebras::builder()
        .base_url("http://127.0.0.1:8801/v1")
        .transport(wire.clone())
        .build()
        .unwrap();
    drop(block_on(
        &wire.clock,
        client.stream(ChatRequest::from("hi").max_tokens(5)),
    ));
    assert!(wire.text().contains("\"max_tokens\":5"), "{}", wire.text());
}

#[test]
fn an_answer_without_end_is_too_large() {
    let long = chunk(0, "content", &"x".repeat(500_000));
    let frame = sse(&[long.as_str()]);
    let pieces = (0..100).map(|_| piece(frame.as_bytes()));
    let outcome = run(Client::Plain, Answer::sse(pieces.collect::<Vec<_>>()));
    assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge));
    let kept = outcome.text().len();
    assert!((15 << 20..=16 << 20).contains(&kept), "{kept}");
}

#[test]
fn an_event_of_another_name_is_no_error() {
    for data in [
        r#"{"type":"ping","message":"alive"}"#,
        r#"{"code":200,"message":"ok"}"#,
        r#"{"detail":"alive"}"#,
        "{ping}",
    ] {
        for name in ["ping", "keepalive", "news"] {
            let other = format!("event: {name}\ndata: {data}\n\n");
            let outcome = plain_stream(sse(&[TEXT]) + &other + &sse(&[TEXT, FINISH]));
            assert_eq!(
                (outcome.kind(), outcome.text().as_str()),
                (None, "aa"),
                "{other}"
            );
        }
    }
}

#[test]
fn content_of_another_shape_is_not_lost_silently() {
    let odd = r#"{"choices":[{"index":0,"delta":{"content":{"a":"lost"}}}]}"#;
    assert_eq!(
        chunks(&[TEXT, odd, FINISH]).kind(),
        Some(ErrorKind::Protocol)
    );
}

#[test]
fn a_document_without_content_is_no_answer() {
    for document in [r#"{"choices":[{}]}"#, r#"{"choices":[{"message":null}]}"#] {
        let outcome = run(Client::Plain, Answer::json(200, document));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{document}");
    }
}

#[test]
fn a_prompt_that_comes_back_in_another_form_is_not_shown() {
    let prompt = "secret 4711 é and\r\n4711 more  4711";
    for form in [
        "secret 4711 \\u00e9 and\\r\\n4711 more  4711",
        "secret 4711 é and 4711 more 4711",
    ] {
        let error = echo(ChatRequest::from(prompt), &format!("bad: {form}"));
        assert!(!error.to_string().contains("4711"), "{error}");
    }
}

#[test]
fn an_event_cannot_pass_for_a_document() {
    let cut = format!("event: document\ndata: {FINISH}");
    let outcome = plain_stream(sse(&[TEXT]) + &cut);
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
}
