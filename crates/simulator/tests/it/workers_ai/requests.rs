//! Requests that the models accept or refuse.

use inferstream_simulator::Answer;
use serde_json::{Value, json};

use super::{
    GEMMA, GLM, LLAMA_2, LLAMA_3_1, LLAMA_3_3, MISTRAL, body, call, chat, events, run, said, start,
};

/// Checks that a request to `ai/run` is refused with this status, code and message.
async fn check(model: &str, body: &str, status: u16, code: u16, part: &str) {
    let simulator = start([]).await;
    let response = call(&simulator, "POST", &format!("run/{model}"), body).await;
    assert_eq!(response.status(), status, "{body}");
    let refusal = response.json();
    assert_eq!(refusal["success"], false);
    assert_eq!(refusal["errors"][0]["code"], code, "{refusal}");
    let message = refusal["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains(part), "{message}");
}

/// Returns the body of a request with these messages and fields.
fn messages(messages: &Value) -> String {
    json!({ "messages": messages }).to_string()
}

#[tokio::test]
async fn a_request_needs_messages_or_a_prompt() {
    let one_of = "AiError: AiError: Bad input: Error: oneOf at '/' not met";
    check(LLAMA_3_1, "", 400, 3003, "missing headers or body").await;
    check(LLAMA_3_1, "[]", 400, 5006, "Type mismatch of '/'").await;
    check(LLAMA_3_1, "{}", 400, 5006, one_of).await;
    check(LLAMA_3_1, r#"{"messages":[]}"#, 400, 5006, one_of).await;
    check(
        LLAMA_3_1,
        r#"{"messages":[{"content":"Hi"}]}"#,
        400,
        5006,
        "required properties at '/messages/0'",
    )
    .await;
    let simulator = start([Answer::text("Hello.")]).await;
    let response = call(
        &simulator,
        "POST",
        &format!("run/{LLAMA_3_1}"),
        r#"{"prompt":"Hi there"}"#,
    )
    .await;
    let result = &response.json()["result"];
    assert_eq!(result["response"], "Hello.");
    assert_eq!(result["usage"]["prompt_tokens"], 2);
    let body = json!({"model": LLAMA_3_1, "prompt": "Hi"}).to_string();
    let refused = call(&simulator, "POST", "v1/chat/completions", &body).await;
    assert_eq!(refused.json()["errors"][0]["code"], 5006);
}

#[tokio::test]
async fn an_unknown_model_is_refused() {
    let part = "No such model @cf/x/y or task";
    check("@cf/x/y", &body("Hi", ""), 400, 5007, part).await;
    let simulator = start([]).await;
    let response = chat(&simulator, "@cf/x/y", "").await;
    assert_eq!(response.status(), 400);
    assert_eq!(
        response.text(),
        r#"{"success":false,"errors":[{"code":5007,"message":"No such model @cf/x/y or task"}],"messages":[],"result":null}"#
    );
}

#[tokio::test]
async fn the_name_of_a_model_may_be_encoded() {
    let simulator = start([]).await;
    for path in [
        "run/%40cf/meta/llama-3.1-8b-instruct-fp8",
        "run/%40cf%2Fmeta%2Fllama-3.1-8b-instruct-fp8",
    ] {
        let response = call(&simulator, "POST", path, &body("Hi", "")).await;
        assert_eq!(response.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_content_must_not_be_null() {
    let content = messages(&json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": null, "tool_calls": []},
    ]));
    let part = "Type mismatch of '/messages/1/content', 'string' not in 'null'";
    for model in [LLAMA_2, GEMMA, MISTRAL] {
        check(model, &content, 400, 5006, part).await;
    }
    let simulator = start([]).await;
    let empty = content.replace("null", "\"\"");
    let taken = call(&simulator, "POST", &format!("run/{LLAMA_2}"), &empty).await;
    assert_eq!(taken.status(), 200);
}

#[tokio::test]
async fn a_response_is_truncated_at_256_tokens() {
    let long = || Answer::tokens((0..300).map(|_| " a"));
    for (fields, count) in [
        ("", 256),
        (r#""max_tokens":null"#, 256),
        (r#""max_tokens":7"#, 7),
        (r#""max_completion_tokens":299"#, 299),
        (r#""max_tokens":400"#, 300),
    ] {
        let simulator = start([long(), long(), long()]).await;
        let stream = format!(
            "{fields}{}\"stream\":true",
            if fields.is_empty() { "" } else { "," }
        );
        let native = events(&run(&simulator, LLAMA_2, &stream).await);
        assert_eq!(said(&native).len(), 2 * count, "{fields}");
        assert!(
            native
                .iter()
                .all(|event| event.get("finish_reason").is_none())
        );
        let hybrid = events(&run(&simulator, GEMMA, &stream).await);
        assert_eq!(said(&hybrid).len(), 2 * count, "{fields}");
        let reasons = hybrid
            .iter()
            .filter_map(|event| event["choices"][0]["finish_reason"].as_str());
        let reason = if count == 300 { "stop" } else { "length" };
        assert_eq!(reasons.collect::<Vec<_>>(), [reason]);
        let whole = chat(&simulator, GEMMA, fields).await.json();
        assert_eq!(whole["choices"][0]["finish_reason"], reason);
    }
    let wrong = body("Hi", r#""max_tokens":"7""#);
    let part = "Type mismatch of '/max_tokens', 'integer' not in 'string'";
    check(LLAMA_2, &wrong, 400, 5006, part).await;
}

#[tokio::test]
async fn prompt_and_response_must_fit_into_the_context() {
    let fields = r#""max_tokens":8188"#;
    let part = "The estimated number of input and maximum output tokens (8193) exceeded this model context window limit (8192)";
    check(LLAMA_2, &body("Hi", fields), 413, 5021, part).await;
    let simulator = start([]).await;
    let taken = run(&simulator, LLAMA_2, r#""max_tokens":8187"#).await;
    assert_eq!(taken.status(), 200);
}

#[tokio::test]
async fn an_image_must_be_in_the_request() {
    let picture = |url: &str| {
        messages(&json!([{"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": url}},
        ]}]))
    };
    let far = picture("https://example.com/a.png");
    check(MISTRAL, &far, 400, 5004, "data URL").await;
    let simulator = start([]).await;
    let near = picture("data:image/png;base64,AA==");
    let response = call(&simulator, "POST", &format!("run/{MISTRAL}"), &near).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn mistral_is_strict() {
    let turn = |id: &str, last: &str| {
        messages(&json!([
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": id, "type": "function", "function": {"name": "a", "arguments": "{}"}},
            ]},
            {"role": "tool", "content": "b", "tool_call_id": id},
            {"role": last, "content": "c"},
        ]))
    };
    let id = "must be a-z, A-Z, 0-9, with a length of 9";
    check(MISTRAL, &turn("call_1", "assistant"), 400, 5006, id).await;
    check(MISTRAL, &turn("aaaa-bbbb", "assistant"), 400, 5006, id).await;
    let role = "Unexpected role 'user' after role 'tool'";
    check(MISTRAL, &turn("abcDEF123", "user"), 400, 5006, role).await;
    for fields in [
        r#""chat_template_kwargs":{}"#,
        r#""response_format":{"type":"json_schema","json_schema":{}}"#,
    ] {
        check(MISTRAL, &body("Hi", fields), 400, 5006, "not supported").await;
    }
    let simulator = start([]).await;
    for (model, body) in [
        (MISTRAL, turn("abcDEF123", "assistant")),
        (LLAMA_3_3, turn("call_1", "user")),
    ] {
        let response = call(&simulator, "POST", &format!("run/{model}"), &body).await;
        assert_eq!(response.status(), 200, "{}", response.text());
    }
}

#[tokio::test]
async fn one_model_does_not_support_required_tool_calls() {
    let fields = r#""tool_choice":"required","tools":[{"name":"sky","parameters":{}}]"#;
    check(GLM, &body("Hi", fields), 400, 5006, "tool_choice").await;
}

#[tokio::test]
async fn a_tool_is_called_if_the_prompt_mentions_tools() {
    let simulator = start([]).await;
    let parameters = r#"{"type":"object","properties":{"at":{"type":"string"}}}"#;
    for tool in [
        format!(r#"{{"name":"sky","description":"","parameters":{parameters}}}"#),
        format!(r#"{{"type":"function","function":{{"name":"sky","parameters":{parameters}}}}}"#),
    ] {
        let fields = format!(r#""tools":[{tool}],"tool_choice":"required""#);
        let native = run(&simulator, LLAMA_3_1, &fields).await.json();
        assert_eq!(
            native["result"]["tool_calls"],
            json!([{"arguments": {"at": "this"}, "name": "sky"}])
        );
        let hybrid = run(&simulator, LLAMA_3_3, &fields).await.json();
        let choice = &hybrid["result"]["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls");
    }
}

#[tokio::test]
async fn json_is_sent_on_request() {
    let simulator = start([]).await;
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"}}}"#;
    for schema in [
        schema.to_owned(),
        format!(r#"{{"name":"x","strict":true,"schema":{schema}}}"#),
    ] {
        let fields =
            format!(r#""response_format":{{"type":"json_schema","json_schema":{schema}}}"#);
        let native = run(&simulator, LLAMA_3_1, &fields).await.json();
        assert_eq!(native["result"]["response"], json!({"city": "this"}));
        let hybrid = chat(&simulator, GEMMA, &fields).await.json();
        let content = &hybrid["choices"][0]["message"]["content"];
        assert_eq!(content, r#"{"city":"this"}"#);
    }
}
