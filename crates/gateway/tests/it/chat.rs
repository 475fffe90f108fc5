//! The shapes of OpenAI's protocol.

use inferstream::{ChatRequest, Timeouts};
use inferstream_gateway::Config;
use inferstream_simulator::{Answer, Fault, Simulator, SimulatorBuilder};
use serde_json::{Value, json};

use crate::support::{PROVIDERS, STREAMED, Served, TEXT, hub, request};

async fn start(answers: impl IntoIterator<Item = Answer>, config: Config) -> (Simulator, Served) {
    let builder = Simulator::builder();
    let builder = answers.into_iter().fold(builder, SimulatorBuilder::answer);
    let simulator = builder.start().await.unwrap();
    let hub = hub(&simulator, Timeouts::default());
    let served = Served::start(hub, config).await;
    (simulator, served)
}

#[tokio::test]
async fn a_stream_has_the_official_shape_for_every_provider() {
    for (provider, model) in PROVIDERS {
        let (_simulator, served) = start([Answer::text(TEXT)], Config::default()).await;
        let model = format!("{provider}/{model}");
        let members = format!("{STREAMED},\"stream_options\":{{\"include_usage\":true}}");
        let reply = served.chat(&request(&model, &members)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        assert_eq!(reply.header("x-accel-buffering"), Some("no"));
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        assert!(reply.header("x-request-id").unwrap().starts_with("req_"));
        assert_eq!(reply.text(), TEXT);
        assert_eq!(reply.finish_reasons(), ["stop"]);
        assert!(reply.is_done());
        let chunks = reply.chunks();
        let first = &chunks[0];
        assert!(first["id"].as_str().unwrap().starts_with("chatcmpl-"));
        assert!(0 < first["created"].as_u64().unwrap());
        for chunk in &chunks {
            assert_eq!(chunk["object"], "chat.completion.chunk");
            assert_eq!(chunk["model"], *model);
            assert_eq!(
                (&chunk["id"], &chunk["created"]),
                (&first["id"], &first["created"])
            );
        }
        let roles = chunks
            .iter()
            .filter(|chunk| chunk["choices"][0]["delta"].get("role").is_some());
        assert_eq!(roles.count(), 1);
        assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
        // The usage comes last, in a chunk without choices.
        let last = chunks.last().unwrap();
        assert_eq!(last["choices"], json!([]), "{provider}");
        assert!(0 < last["usage"]["completion_tokens"].as_u64().unwrap());
        let others = &chunks[..chunks.len() - 1];
        assert!(others.iter().all(|chunk| chunk["usage"] == Value::Null));
    }
}

#[tokio::test]
async fn a_stream_without_the_option_has_no_usage() {
    let (_simulator, served) = start([Answer::text(TEXT)], Config::default()).await;
    let reply = served
        .chat(&request("cerebras/gpt-oss-120b", STREAMED))
        .await;
    assert!(
        reply.is_done() && !reply.body.contains("usage"),
        "{reply:?}"
    );
}

#[tokio::test]
async fn a_document_has_the_official_shape_for_every_provider() {
    for (provider, model) in PROVIDERS {
        let (_simulator, served) = start([Answer::text(TEXT)], Config::default()).await;
        let model = format!("{provider}/{model}");
        let reply = served.chat(&request(&model, "")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let json = reply.json();
        assert!(json["id"].as_str().unwrap().starts_with("chatcmpl-"));
        assert_eq!(json["object"], "chat.completion");
        assert_eq!(json["model"], model);
        let choice = &json["choices"][0];
        assert_eq!(choice["message"]["role"], "assistant");
        assert_eq!(choice["message"]["content"], TEXT);
        assert_eq!(choice["finish_reason"], "stop");
        let usage = &json["usage"];
        let sum =
            usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
        assert_eq!(usage["total_tokens"], sum);
    }
}

#[tokio::test]
async fn reasoning_and_tool_calls_pass_in_both_forms() {
    let answer = || {
        Answer::text("")
            .reasoning("Let me see.")
            .tool_call("weather", r#"{"city":"Bern"}"#)
    };
    let (_simulator, served) = start([answer(), answer()], Config::default()).await;
    let tools = r#","tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]"#;
    let model = "cerebras/gpt-oss-120b";
    let reply = served.chat(&request(model, tools)).await;
    let message = &reply.json()["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "Let me see.");
    assert_eq!(message["tool_calls"][0]["type"], "function");
    let function = &message["tool_calls"][0]["function"];
    assert_eq!(
        function,
        &json!({"name": "weather", "arguments": r#"{"city":"Bern"}"#})
    );
    assert_eq!(reply.json()["choices"][0]["finish_reason"], "tool_calls");

    let reply = served
        .chat(&request(model, &format!("{tools}{STREAMED}")))
        .await;
    assert_eq!(reply.finish_reasons(), ["tool_calls"]);
    let chunks = reply.chunks();
    let deltas = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"].get(0)?.get("delta"));
    let calls: Vec<_> = deltas
        .filter_map(|delta| delta.get("tool_calls")?.get(0))
        .collect();
    assert!(calls[0]["id"].as_str().is_some_and(|id| !id.is_empty()));
    assert!(calls.iter().all(|call| call["index"] == 0));
    let arguments = calls
        .iter()
        .filter_map(|call| call["function"]["arguments"].as_str());
    assert_eq!(arguments.collect::<String>(), r#"{"city":"Bern"}"#);
}

#[tokio::test]
async fn a_request_reaches_the_service_as_it_was_sent() {
    let (simulator, served) = start([Answer::text("Blue.")], Config::default()).await;
    let sent = json!({
        "model": "cablyai/any",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "Which colour?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            ]},
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function",
                "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "blue"},
        ],
        "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["\n\n"], "presence_penalty": 0.1,
        "tools": [{"type": "function", "function": {"name": "look", "description": "Looks",
            "parameters": {"type": "object", "properties": {}}}}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "metadata": {"a": [1, {"b": null}]},
    });
    let reply = served.chat(&sent.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let requests = simulator.requests();
    let mut arrived: Value = serde_json::from_slice(&requests[0].body).unwrap();
    let mut expected = sent;
    expected["model"] = "any".into();
    let members = arrived.as_object_mut().unwrap();
    members.remove("stream");
    // No content is the same as `null`.
    if let Some(message) = members["messages"][2].as_object_mut() {
        message.retain(|name, value| name != "content" || !value.is_null());
    }
    assert_eq!(arrived, expected);
}

#[tokio::test]
async fn our_own_client_works_against_the_gateway() {
    let (_simulator, served) =
        start([Answer::text(TEXT), Answer::text(TEXT)], Config::default()).await;
    let request = || ChatRequest::new("replicate/meta/meta-llama-3-8b-instruct").user("Count!");
    let stream = served.client().stream(request()).await.unwrap();
    assert_eq!(stream.finish().await.unwrap().text(), TEXT);
    let response = served.client().chat(request()).await.unwrap();
    assert_eq!(response.text(), TEXT);
    assert!(response.usage.is_some());
}

#[tokio::test]
async fn errors_have_the_official_shape_and_status() {
    for (fault, status, code, retry) in [
        ("429:7", 429, "", true),
        ("503:1", 503, "", true),
        ("401", 502, "upstream_auth", false),
        ("403", 502, "upstream_auth", false),
        ("404", 404, "model_not_found", true),
        ("400", 400, "", true),
        ("500", 502, "", true),
    ] {
        let fault: Fault = fault.parse().unwrap();
        let simulator = Simulator::builder().every_fault(fault.clone());
        let simulator = simulator.start().await.unwrap();
        let served = Served::start(hub(&simulator, Timeouts::default()), Config::default()).await;
        for members in ["", STREAMED] {
            let reply = served
                .chat(&request("cerebras/gpt-oss-120b", members))
                .await;
            assert_eq!(reply.status, status, "{fault}: {reply:?}");
            let error = &reply.json()["error"];
            assert!(error["message"].is_string() && error["type"].is_string());
            assert!(error.get("param").is_some());
            assert!(
                error["code"].as_str().unwrap().contains(code),
                "{fault}: {reply:?}"
            );
            assert_eq!(reply.header("x-should-retry").is_none(), retry, "{fault}");
            assert!(!reply.body.contains("key-of-the-gateway"));
        }
    }
}

#[tokio::test]
async fn the_wait_of_a_limit_is_passed_on() {
    let simulator = Simulator::builder().every_fault("429:7".parse().unwrap());
    let simulator = simulator.start().await.unwrap();
    let served = Served::start(hub(&simulator, Timeouts::default()), Config::default()).await;
    let reply = served
        .chat(&request("cerebras/gpt-oss-120b", STREAMED))
        .await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("7"))
    );
}

#[tokio::test]
async fn a_setting_that_the_provider_lacks_is_named() {
    let (_simulator, served) = start([], Config::default()).await;
    let model = "replicate/meta/meta-llama-3-8b-instruct";
    let reply = served.chat(&request(model, r#","logprobs":true"#)).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    assert!(
        reply.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("logprobs")
    );

    let mut config = Config::default();
    config.serve.on_unsupported = Some(inferstream::OnUnsupported::Warn);
    let (_simulator, served) = start([Answer::text(TEXT)], config).await;
    let reply = served.chat(&request(model, r#","logprobs":true"#)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let warnings = reply.header("x-inferstream-warnings").unwrap();
    assert!(warnings.contains("`logprobs` was dropped"), "{warnings}");
}
