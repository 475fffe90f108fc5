//! The fields of a call's span; unknown values are omitted.

use inferstream_core::{Json, ResponseFormat};
use serde_json::{Value, json};
use tracing::Level;

use super::*;

/// Returns the fields of the span of a complete response from an endpoint.
fn expected(endpoint: Endpoint) -> Value {
    let mut fields = json!({
        "otel.kind": "client",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.stream": true,
        "gen_ai.response.finish_reasons": "[\"stop\"]",
        "gen_ai.response.time_to_first_chunk": 2.0,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 11,
        "inferstream.outcome": "whole",
        "server.port": 443,
    });
    let (provider, model, address) = match endpoint {
        Endpoint::CablyAi => ("cablyai", "deepseek-v3", "cablyai.com"),
        Endpoint::Compatible => ("groq", "llama3.2", "gateway.test"),
        Endpoint::Cerebras => ("cerebras", "gpt-oss-120b", "api.cerebras.ai"),
        Endpoint::WorkersAi => (
            "cloudflare",
            "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
            "api.cloudflare.com",
        ),
        Endpoint::Playground => (
            "cloudflare",
            "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
            "playground.ai.cloudflare.com",
        ),
        Endpoint::Replicate => (
            "replicate",
            "meta/meta-llama-3-70b-instruct",
            "api.replicate.com",
        ),
    };
    fields["gen_ai.provider.name"] = json!(provider);
    fields["gen_ai.request.model"] = json!(model);
    fields["otel.name"] = json!(format!("chat {model}"));
    fields["server.address"] = json!(address);
    if endpoint == Endpoint::Compatible {
        fields["server.port"] = json!(8443);
    }
    match endpoint {
        Endpoint::CablyAi | Endpoint::Cerebras | Endpoint::Compatible | Endpoint::WorkersAi => {
            fields["gen_ai.response.id"] = json!("chatcmpl-1");
            fields["gen_ai.response.model"] = json!("model-that-answered");
            fields["gen_ai.usage.cache_read.input_tokens"] = json!(3);
            if endpoint != Endpoint::WorkersAi {
                fields["gen_ai.usage.reasoning.output_tokens"] = json!(5);
            }
        }
        Endpoint::Playground => fields["gen_ai.response.id"] = json!("m-1"),
        Endpoint::Replicate => {
            fields["gen_ai.response.id"] = json!("4awn473bsrztjzlx2b6ufoxkkm");
            fields["gen_ai.response.model"] = json!("meta/meta-llama-3-70b-instruct");
            fields["gen_ai.response.finish_reasons"] = json!("[\"unknown\"]");
        }
    }
    fields
}

#[test]
fn the_span_of_a_stream_follows_the_conventions() {
    for endpoint in ENDPOINTS {
        let (outcome, seen) = ask(endpoint, endpoint.answers(), endpoint.request());
        assert_eq!(outcome.text(), ANSWER, "{endpoint:?}");
        let call = seen.call();
        assert_eq!((call.target, call.level), ("inferstream", Level::INFO));
        assert_eq!(
            Value::Object(call.fields.clone()),
            expected(endpoint),
            "{endpoint:?}"
        );
        assert!(call.closed, "{endpoint:?}");
        assert!(seen.events.is_empty(), "{:?}", seen.events);
    }
}

#[test]
fn the_span_of_a_chat_has_no_fields_of_streams() {
    for endpoint in ENDPOINTS {
        let recorder = Recorder::new(usual);
        let wire = Wire::new(endpoint.whole());
        let asked = || block_on(&wire.clock, endpoint.client(&wire).chat(endpoint.request()));
        assert_eq!(
            recorder.watch(asked).unwrap().text(),
            ANSWER,
            "{endpoint:?}"
        );
        let mut expected = expected(endpoint);
        expected["gen_ai.request.stream"] = json!(false);
        let members = expected.as_object_mut().unwrap();
        members.remove("gen_ai.response.time_to_first_chunk");
        let seen = recorder.seen();
        assert_eq!(seen.call().fields, *members, "{endpoint:?}");
        assert!(seen.call().closed, "{endpoint:?}");
    }
}

#[test]
fn the_settings_of_a_request_are_recorded() {
    let request = ChatRequest::new("a-model")
        .user(PROMPT)
        .temperature(0.5)
        .top_p(0.25)
        .max_tokens(64_u64)
        .seed(-3)
        .n(2_u32)
        .frequency_penalty(0.125)
        .presence_penalty(-0.5)
        .stop(["a \"b\"", "\n"])
        .reasoning_effort("low")
        .response_format(ResponseFormat::JsonObject);
    let (_, seen) = ask(Endpoint::Cerebras, Endpoint::Cerebras.answers(), request);
    let fields = &seen.call().fields;
    for (name, value) in [
        ("otel.name", json!("chat a-model")),
        ("gen_ai.request.model", json!("a-model")),
        ("gen_ai.request.temperature", json!(0.5)),
        ("gen_ai.request.top_p", json!(0.25)),
        ("gen_ai.request.max_tokens", json!(64)),
        ("gen_ai.request.seed", json!(-3)),
        ("gen_ai.request.choice.count", json!(2)),
        ("gen_ai.request.frequency_penalty", json!(0.125)),
        ("gen_ai.request.presence_penalty", json!(-0.5)),
        (
            "gen_ai.request.stop_sequences",
            json!("[\"a \\\"b\\\"\",\"\\n\"]"),
        ),
        ("gen_ai.request.reasoning.level", json!("low")),
        ("gen_ai.output.type", json!("json")),
    ] {
        assert_eq!(fields.get(name), Some(&value), "{name}");
    }
}

#[test]
fn the_output_type_is_recorded() {
    let schema = ResponseFormat::JsonSchema {
        name: "a".to_owned(),
        schema: Json::from_text("{}"),
        strict: None,
    };
    for (format, shown) in [(schema, "json"), (ResponseFormat::Text, "text")] {
        let request = ChatRequest::from(PROMPT).response_format(format);
        let (_, seen) = ask(Endpoint::Cerebras, Endpoint::Cerebras.answers(), request);
        assert_eq!(seen.call().fields["gen_ai.output.type"], shown);
    }
}

#[test]
fn another_server_is_recorded_without_its_path() {
    for (url, address, port) in [
        ("http://127.0.0.1:8080/s3cret/v1", "127.0.0.1", 8080),
        ("http://[::1]/v1", "::1", 80),
        ("https://engine.test/v1", "engine.test", 443),
    ] {
        let recorder = Recorder::new(everything);
        let wire = Wire::new(Endpoint::Cerebras.answers());
        let builder = Cerebras::builder().base_url(url).transport(wire.clone());
        let client = builder.build().unwrap();
        let asked = || block_on(&wire.clock, client.stream(PROMPT));
        drop(recorder.watch(asked));
        let seen = recorder.seen();
        assert_eq!(seen.call().fields["server.address"], address);
        assert_eq!(seen.call().fields["server.port"], port);
        assert!(!seen.shown().contains("s3cret"));
    }
}

#[test]
fn invalid_identifiers_of_the_service_are_not_recorded() {
    for (said, is_word) in [
        ("a".repeat(256), true),
        ("a".repeat(257), false),
        ("meta-llama/Llama-3.1:70b@v2".to_owned(), true),
        ("何が知りたいの".to_owned(), false),
        (String::new(), false),
        (format!("bad prompt: {PROMPT}"), false),
        (format!("bad\n{PROMPT}"), false),
    ] {
        let chunk = json!({
            "id": said,
            "model": said,
            "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": said}],
        });
        let answer = Answer::sse([Piece::from(sse(&[&chunk.to_string(), "[DONE]"]).as_str())]);
        let (_, seen) = ask(Endpoint::Cerebras, vec![answer], PROMPT);
        let fields = &seen.call().fields;
        for name in ["gen_ai.response.id", "gen_ai.response.model"] {
            let shown = fields.get(name).and_then(Value::as_str);
            assert_eq!(shown, is_word.then_some(said.as_str()), "{name}");
        }
        let reason = if is_word { &said } else { "unknown" };
        let reasons = &fields["gen_ai.response.finish_reasons"];
        assert_eq!(reasons, &json!([reason]).to_string());
    }
}

#[test]
fn a_prompt_passed_as_an_identifier_is_not_recorded() {
    for prompt in ["Why is the sky blue?", "空はなぜ青いのですか", ""] {
        let request = ChatRequest::new(prompt)
            .user(PROMPT)
            .reasoning_effort(prompt);
        let (_, seen) = ask_under(
            everything,
            Endpoint::Cerebras,
            Endpoint::Cerebras.answers(),
            request,
        );
        let fields = &seen.call().fields;
        assert_eq!(fields["otel.name"], "chat");
        for name in ["gen_ai.request.model", "gen_ai.request.reasoning.level"] {
            assert_eq!(fields.get(name), None::<&Value>, "{name}");
        }
    }
}

#[test]
fn several_choices_have_several_finish_reasons() {
    let choice = |index: u32, reason: &str| json!({"index": index, "delta": {"content": "a"}, "finish_reason": reason});
    let chunk = json!({"choices": [choice(0, "stop"), choice(1, "length")]});
    let answer = Answer::sse([Piece::from(sse(&[&chunk.to_string(), "[DONE]"]).as_str())]);
    let request = ChatRequest::from(PROMPT).n(2_u32);
    let (_, seen) = ask(Endpoint::Cerebras, vec![answer], request);
    let reasons = &seen.call().fields["gen_ai.response.finish_reasons"];
    assert_eq!(reasons, "[\"stop\",\"length\"]");
}
