//! Responses without faults.

use std::time::{Duration, Instant};

use inferstream_simulator::{Answer, Piece, Simulator};
use serde_json::{Value, json};

use crate::client::{chat, compatible, request, said};

const STREAM: &str = r#""stream":true"#;

#[tokio::test]
async fn same_seed_and_request_give_the_same_bytes() {
    let body = request("gpt-oss-120b", "Why is the sky blue?", STREAM);
    let mut answers = Vec::new();
    for seed in [7, 7, 8] {
        let simulator = Simulator::builder().seed(seed).start().await.unwrap();
        let response = chat(&simulator, &body).await;
        answers.push((response.head.clone(), response.body));
    }
    assert_eq!(answers[0], answers[1]);
    assert_ne!(answers[0], answers[2]);
}

#[tokio::test]
async fn complete_and_streamed_responses_have_the_same_text() {
    let simulator = Simulator::builder().start().await.unwrap();
    let prompt = "Tell me a story about a lighthouse.";
    let events = chat(&simulator, &request("tiny", prompt, STREAM)).await;
    let events = events.events();
    let whole = chat(&simulator, &request("tiny", prompt, "")).await.json();
    let text = said(&events, 0, "content");
    assert_eq!(whole["choices"][0]["message"]["content"], text);
    let usage = &events.last().unwrap()["usage"];
    assert_eq!(
        usage["completion_tokens"],
        whole["usage"]["completion_tokens"]
    );
    assert_eq!(usage["completion_tokens"], events.len() - 3);
    assert!((60..=120).contains(&(events.len() - 3)), "{text}");
}

#[tokio::test]
async fn a_stream_has_the_recorded_format() {
    let simulator = Simulator::builder()
        .answer(Answer::text("Oi!"))
        .start()
        .await
        .unwrap();
    let response = chat(&simulator, &request("tiny", "Hi", STREAM)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert!(
        response
            .header("x-ratelimit-remaining-tokens-minute")
            .is_some()
    );

    let events = response.events();
    let text = |key: &str| events[0][key].to_string();
    assert_eq!(response.header("inference-id"), events[0]["id"].as_str());
    let tail = format!(
        r#""created":{},"model":"tiny","system_fingerprint":{},"object":"chat.completion.chunk""#,
        text("created"),
        text("system_fingerprint"),
    );
    let expected = [
        r#"{"delta":{"role":"assistant"},"index":0}"#,
        r#"{"delta":{"content":"Oi"},"index":0}"#,
        r#"{"delta":{"content":"!"},"index":0}"#,
        r#"{"delta":{},"index":0}"#,
        r#"{"delta":{},"finish_reason":"stop","index":0}"#,
    ];
    let expected = expected
        .map(|choice| format!(r#"data: {{"id":{},"choices":[{choice}],{tail}"#, text("id")));
    let (chunks, _) = response.chunks();
    assert_eq!(chunks.len(), expected.len());
    for (chunk, expected) in chunks[..4].iter().zip(&expected) {
        assert_eq!(*chunk, format!("{expected}}}\n\n"));
    }
    let rest = chunks[4].strip_prefix(&expected[4]).unwrap();
    let usage = r#","usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":0}},"time_info":{"queue_time":"#;
    assert!(rest.starts_with(usage), "{rest}");
    let names = ["queue", "prompt", "completion", "total"].map(|name| format!("\"{name}_time\":"));
    let positions = names.map(|name| rest.find(&name).unwrap());
    assert!(positions.is_sorted(), "{rest}");
}

#[tokio::test]
async fn a_complete_response_has_the_recorded_format() {
    let simulator = Simulator::builder()
        .answer(Answer::text("2 + 2 = 4.").reasoning("Easy."))
        .start()
        .await
        .unwrap();
    let response = chat(&simulator, &request("qwen-3.8-27b", "2+2", "")).await;
    assert_eq!(response.header("content-type"), Some("application/json"));
    let text = response.text();
    let start = r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"2 + 2 = 4.","reasoning":"Easy.","role":"assistant"}}],"created":"#;
    assert!(text.starts_with(start), "{text}");
    let keys = [
        "created",
        "id",
        "model",
        "object",
        "system_fingerprint",
        "time_info",
        "usage",
    ];
    let positions = keys.map(|key| text.find(&format!(",\"{key}\":")).unwrap());
    assert!(positions.is_sorted(), "{text}");
}

#[tokio::test]
async fn reasoning_comes_first_unless_turned_off() {
    let simulator = Simulator::builder().start().await.unwrap();
    let events = chat(&simulator, &request("gpt-oss-120b", "Sky?", STREAM)).await;
    let events = events.events();
    assert!(events[1]["choices"][0]["delta"]["reasoning"].is_string());
    let reasoning = &events.last().unwrap()["usage"]["completion_tokens_details"];
    assert!(0 < reasoning["reasoning_tokens"].as_u64().unwrap());

    let fields = r#""stream":true,"reasoning_effort":"none""#;
    let events = chat(&simulator, &request("gpt-oss-120b", "Sky?", fields)).await;
    assert_eq!(said(&events.events(), 0, "reasoning"), "");
}

#[tokio::test]
async fn a_token_limit_ends_the_response_with_length() {
    let simulator = Simulator::builder().start().await.unwrap();
    let whole = chat(&simulator, &request("tiny", "Sky?", "")).await.json();
    let body = request("tiny", "Sky?", r#""max_completion_tokens":5"#);
    let cut = chat(&simulator, &body).await.json();
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
    assert_eq!(cut["usage"]["completion_tokens"], 5);
    let content = |answer: &Value| {
        let content = &answer["choices"][0]["message"]["content"];
        content.as_str().unwrap().to_owned()
    };
    assert!(content(&whole).starts_with(&content(&cut)));
}

#[tokio::test]
async fn a_stop_sequence_ends_the_text_before_it() {
    let simulator = Simulator::builder().start().await.unwrap();
    let fields = r#""stop":["never said"," a"],"stream":true"#;
    let events = chat(&simulator, &request("tiny", "Sky?", fields)).await;
    let events = events.events();
    let text = said(&events, 0, "content");
    assert!(!text.is_empty() && !text.contains(" a"), "{text}");
    let last = events.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn several_choices_are_interleaved_and_end_with_the_usage() {
    let simulator = Simulator::builder().start().await.unwrap();
    let fields = r#""n":3,"stream":true,"max_tokens":12"#;
    let events = chat(&simulator, &request("tiny", "Sky?", fields)).await;
    let events = events.events();
    let texts = [0, 1, 2].map(|index| said(&events, index, "content"));
    assert!(texts.iter().all(|text| !text.is_empty()));
    assert!(texts[0] != texts[1] || texts[1] != texts[2], "{texts:?}");
    let with_usage = events.iter().filter(|event| event.get("usage").is_some());
    assert_eq!(with_usage.count(), 1);
    assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], 36);
}

#[tokio::test]
async fn a_tool_is_called_in_one_delta() {
    let simulator = Simulator::builder().start().await.unwrap();
    let fields = r#""stream":true,"tool_choice":"required","tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]"#;
    let response = chat(&simulator, &request("tiny", "In Paris?", fields)).await;
    let events = response.events();
    assert_eq!(events.len(), 4);
    let (chunks, _) = response.chunks();
    let call =
        r#"{"tool_calls":[{"function":{"name":"weather","arguments":"{\"city\":\"Paris\"}"},"#;
    assert!(chunks[1].contains(call), "{}", chunks[1]);
    assert_eq!(events[3]["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_compatible_service_sends_arguments_in_fragments() {
    let answer = Answer::tokens([""; 0])
        .tool_call("add", r#"{"a":2}"#)
        .tool_call("clock", "{}");
    let simulator = Simulator::builder().answer(answer).start().await.unwrap();
    let response = compatible(&simulator, &request("any", "Hi", STREAM)).await;
    let mut events = response.events();
    let last = events.pop().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");

    let mut calls = Vec::new();
    for event in &events {
        if let Some(call) = event["choices"][0]["delta"].get("tool_calls") {
            calls.extend(call.as_array().unwrap());
        }
    }
    let head = |at: usize, index, name| {
        let id = calls[at]["id"].as_str().unwrap();
        let function = json!({"name": name, "arguments": ""});
        json!({"function": function, "type": "function", "id": id, "index": index})
    };
    let piece = |index, text| json!({"function": {"arguments": text}, "index": index});
    let mut expected = vec![head(0, 0, "add")];
    expected.extend(["{", "\"", "a", "\"", ":", "2", "}"].map(|text| piece(0, text)));
    expected.extend([head(8, 1, "clock"), piece(1, "{"), piece(1, "}")]);
    assert!(calls.into_iter().eq(&expected), "{events:?}");
}

#[tokio::test]
async fn a_tool_with_a_result_is_not_called_again() {
    let simulator = Simulator::builder().start().await.unwrap();
    let tools = json!([{"type": "function", "function": {"name": "clock"}}]);
    let user = json!({"role": "user", "content": "Use a tool: what time is it?"});
    let asked = json!({"model": "tiny", "tools": tools, "messages": [user]});
    let mut call = chat(&simulator, &asked.to_string()).await.json();
    let message = call["choices"][0]["message"].take();
    assert!(message.get("content").is_none());
    let id = message["tool_calls"][0]["id"].clone();

    let result = json!({"role": "tool", "tool_call_id": id, "content": "noon"});
    let answered = json!({"model": "tiny", "tools": tools, "messages": [user, message, result]});
    let answer = chat(&simulator, &answered.to_string()).await.json();
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

/// Returns the names of the tools that a request with these fields, and with two tools, calls.
async fn called(prompt: &str, fields: &str) -> Vec<Value> {
    let simulator = Simulator::builder().start().await.unwrap();
    let tools = r#""tools":[{"function":{"name":"weather"}},{"function":{"name":"clock"}}]"#;
    let body = request("tiny", prompt, &format!("{tools},{fields}"));
    let answer = chat(&simulator, &body).await.json();
    let calls = answer["choices"][0]["message"]["tool_calls"].as_array();
    let names = calls.into_iter().flatten();
    names.map(|call| call["function"]["name"].clone()).collect()
}

#[tokio::test]
async fn every_tool_is_called_if_a_call_is_required() {
    let required = r#""tool_choice":"required""#;
    assert_eq!(called("Hi", required).await, ["weather", "clock"]);
    let one = r#""tool_choice":"required","parallel_tool_calls":false"#;
    assert_eq!(called("Hi", one).await, ["weather"]);
    let named = r#""tool_choice":{"type":"function","function":{"name":"clock"}}"#;
    assert_eq!(called("Hi", named).await, ["clock"]);
    let auto = r#""tool_choice":"auto""#;
    assert_eq!(called("Use a tool.", auto).await, ["weather"]);
    assert_eq!(called("Hi", auto).await, [Value::Null; 0]);
    let none = r#""tool_choice":"none""#;
    assert_eq!(called("Use a tool.", none).await, [Value::Null; 0]);
}

#[tokio::test]
async fn the_response_matches_the_schema() {
    let simulator = Simulator::builder().start().await.unwrap();
    let fields = r#""response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object","properties":{"place":{"type":"string"}}}}}"#;
    let answer = chat(&simulator, &request("tiny", "In Paris?", fields)).await;
    let content = &answer.json()["choices"][0]["message"]["content"];
    assert_eq!(content, r#"{"place":"Paris"}"#);
}

#[tokio::test]
async fn a_scripted_answer_is_sent_unchanged() {
    let answer = Answer::text("Well")
        .reasoning("Hm")
        .tool_call("add", r#"{"a": 2}"#)
        .tool_call("broken", "{")
        .finish_reason("content_filter")
        .done_marker(true);
    let simulator = Simulator::builder().answer(answer).start().await.unwrap();
    let response = chat(&simulator, &request("tiny", "Hi", STREAM)).await;
    let (chunks, whole) = response.chunks();
    assert!(whole);
    let parts = [
        r#""delta":{"role":"assistant"}"#,
        r#""delta":{"reasoning":"Hm"}"#,
        r#""delta":{"content":"Well"}"#,
        r#""function":{"name":"broken","arguments":"{"},"type":"function","id":""#,
        r#""delta":{}"#,
        r#""delta":{},"finish_reason":"content_filter","#,
        "data: [DONE]\n\n",
    ];
    assert_eq!(chunks.len(), parts.len());
    for (chunk, part) in chunks.iter().zip(parts) {
        assert!(chunk.contains(part), "{chunk} has no {part}");
    }
}

#[tokio::test]
async fn a_raw_answer_is_sent_byte_for_byte() {
    let pieces = [
        Piece::from(": hi\n\n"),
        Piece::Wait(Duration::from_millis(1)),
        Piece::from("da"),
    ];
    let simulator = Simulator::builder()
        .answer(Answer::raw(299, &[("x-a", "1"), ("x-a", "2")], pieces))
        .start()
        .await
        .unwrap();
    let response = chat(&simulator, "not even JSON").await;
    assert_eq!(response.status(), 299);
    assert!(response.head.contains("x-a: 1\r\nx-a: 2\r\n"));
    let expected = vec![": hi\n\n".to_owned(), "da".to_owned()];
    assert_eq!(response.chunks(), (expected, true));
}

#[tokio::test]
async fn the_token_rate_is_respected() {
    let simulator = Simulator::builder()
        .tokens_per_second(100.0)
        .answer(Answer::text("a b c d e f g h i j"))
        .answer(Answer::text("a b c d e f g h i j"))
        .start()
        .await
        .unwrap();
    for fields in [STREAM, ""] {
        let start = Instant::now();
        let response = chat(&simulator, &request("tiny", "Hi", fields)).await;
        assert_eq!(response.status(), 200);
        assert!(Duration::from_millis(100) <= start.elapsed());
    }
}

#[tokio::test]
async fn a_chat_sends_only_the_first_step() {
    let raw = Answer::raw(200, &[], []);
    let answer = Answer::text("one").step(raw).step(Answer::text("two"));
    let simulator = Simulator::builder().answer(answer).start().await.unwrap();
    let whole = chat(&simulator, &request("tiny", "Hi", "")).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], "one");
}

#[tokio::test]
async fn the_order_of_members_does_not_change_the_response() {
    let simulator = Simulator::builder().start().await.unwrap();
    let one = r#"{"model":"gpt-oss-120b","messages":[{"role":"user","content":"Hi"}]}"#;
    let other = r#"{"messages":[{"content":"Hi","role":"user"}],"model":"gpt-oss-120b"}"#;
    assert_eq!(
        chat(&simulator, one).await.body,
        chat(&simulator, other).await.body
    );
}
