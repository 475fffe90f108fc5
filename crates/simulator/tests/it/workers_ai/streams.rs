//! Responses in each of the service's formats.

use inferstream_simulator::Answer;
use serde_json::{Value, json};

use super::{
    GEMMA, GLM, GPT_OSS, KIMI, LLAMA_2, LLAMA_3_1, LLAMA_3_3, MISTRAL, QWQ, TOKENS, chat, events,
    run, said, start, unpadded,
};

const STREAM: &str = r#""stream":true"#;

#[tokio::test]
async fn a_native_stream_has_padding_and_a_usage_chunk() {
    let simulator = start([Answer::tokens(["Hello", " chunk1"])]).await;
    let response = run(&simulator, LLAMA_3_1, STREAM).await;
    let mut events = events(&response);
    let tail = events.pop().unwrap();
    let events: Vec<_> = events.into_iter().map(unpadded).collect();
    assert_eq!(
        events,
        [
            json!({"response": "Hello"}),
            json!({"response": " chunk1"}),
            json!({"tool_calls": []}),
        ]
    );
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    assert_eq!(tail, json!({"response": "", "usage": usage}));
    assert!(
        response
            .text()
            .contains("data: {\"response\":\"Hello\",\"p\":\"")
    );
}

#[tokio::test]
async fn a_native_document_has_a_response() {
    let simulator = start([Answer::text("Hello there.")]).await;
    let response = run(&simulator, LLAMA_2, "").await;
    assert_eq!(
        response.json(),
        json!({
            "result": {
                "response": "Hello there.",
                "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
            },
            "success": true,
            "errors": [],
            "messages": [],
        })
    );
}

#[tokio::test]
async fn typed_tokens_are_json() {
    let answer = Answer::tokens(["Count", "1", "true", "null", "", " 2", "007"]);
    let simulator = start([answer, Answer::text("42")]).await;
    let events = events(&run(&simulator, QWQ, STREAM).await);
    let responses = events[..7].iter().map(|event| event["response"].clone());
    assert_eq!(
        responses.collect::<Value>(),
        json!(["Count", 1, true, null, null, " 2", "007"])
    );
    let whole = run(&simulator, QWQ, "").await.json();
    assert_eq!(whole["result"]["response"], 42);
}

#[tokio::test]
async fn a_typed_model_reasons_without_an_opening_tag() {
    let simulator = start([Answer::text("Yes.").reasoning("Hm.")]).await;
    let events = events(&run(&simulator, QWQ, STREAM).await);
    assert_eq!(said(&events), "Hm.\n</think>\n\nYes.");
}

#[tokio::test]
async fn a_hybrid_stream_has_increments_and_a_total_at_the_end() {
    for at_run in [true, false] {
        let simulator = start([Answer::tokens(TOKENS)]).await;
        let response = if at_run {
            run(&simulator, GEMMA, STREAM).await
        } else {
            chat(&simulator, GEMMA, STREAM).await
        };
        let mut events = events(&response);
        assert_eq!(said(&events), TOKENS.concat());
        let tail = events.pop().unwrap();
        assert_eq!(tail.as_object().unwrap().len(), 2);
        assert_eq!(tail["response"], "");
        assert_eq!(tail["usage"]["prompt_tokens"], 5);
        // The token that ends a response counts.
        assert_eq!(tail["usage"]["completion_tokens"], 11);
        assert_eq!(tail["usage"]["total_tokens"], 16);

        let events: Vec<_> = events.into_iter().map(unpadded).collect();
        let tokens = events.iter().map(|event| {
            let count = |name: &str| event["usage"][name].as_u64().unwrap();
            (count("prompt_tokens"), count("completion_tokens"))
        });
        let mut expected = vec![(0, 1); 10];
        expected.insert(0, (5, 0));
        expected.extend([(0, 0), (0, 1)]);
        assert_eq!(tokens.collect::<Vec<_>>(), expected);
        for event in &events {
            assert_eq!(event["model"], "@cf/google/gemma-4-26b-a4b-it-external");
            assert_eq!(event["object"], "chat.completion.chunk");
        }
        assert_eq!(
            events[0]["choices"],
            json!([{
                "delta": {"content": "", "reasoning_content": null, "role": "assistant"},
                "finish_reason": null,
                "index": 0,
                "logprobs": null,
                "matched_stop": null,
            }])
        );
        assert_eq!(
            events[1]["choices"][0]["delta"],
            json!({"content": "one", "reasoning_content": null})
        );
        assert_eq!(
            events[11]["choices"],
            json!([{
                "delta": {"reasoning_content": null},
                "finish_reason": "stop",
                "index": 0,
                "logprobs": null,
                "matched_stop": 106,
            }])
        );
        assert_eq!(events[12]["choices"], json!([]));
    }
}

#[tokio::test]
async fn other_servers_have_other_padding() {
    let simulator = start([Answer::text("Hi")]).await;
    let events = events(&run(&simulator, LLAMA_3_3, STREAM).await);
    assert_eq!(events[1]["model"], LLAMA_3_3);
    for name in ["kv_transfer_params", "prompt_token_ids"] {
        assert_eq!(events[1].get(name), Some(&Value::Null), "{name}");
    }
    let choice = &events[1]["choices"][0];
    assert_eq!(choice.get("token_ids"), Some(&Value::Null));
    assert_eq!(choice.get("matched_stop"), None);
}

#[tokio::test]
async fn a_hybrid_document_is_a_completion() {
    let simulator = start([Answer::text("Hello."), Answer::text("Hello.")]).await;
    let bare = chat(&simulator, GEMMA, "").await.json();
    let wrapped = run(&simulator, GEMMA, "").await.json();
    assert_eq!(
        bare["choices"],
        json!([{
            "finish_reason": "stop",
            "index": 0,
            "logprobs": null,
            "message": {"content": "Hello.", "role": "assistant"},
        }])
    );
    assert_eq!(bare["model"], "@cf/google/gemma-4-26b-a4b-it-external");
    assert_eq!(bare["object"], "chat.completion");
    assert_eq!(bare["usage"]["completion_tokens"], 3);
    assert!(bare["usage"]["neurons"].is_f64());
    assert_eq!(
        wrapped,
        json!({"result": bare, "success": true, "errors": [], "messages": []})
    );
}

#[tokio::test]
async fn an_old_model_is_hybrid_at_the_other_endpoint() {
    for model in [LLAMA_2, LLAMA_3_1, QWQ] {
        let simulator = start([Answer::text("Hello."), Answer::text("1")]).await;
        let events = events(&chat(&simulator, model, STREAM).await);
        assert_eq!(said(&events), "Hello.");
        let whole = chat(&simulator, model, "").await.json();
        assert_eq!(whole["choices"][0]["message"]["content"], "1");
    }
}

#[tokio::test]
async fn reasoning_has_two_names() {
    for (model, key) in [
        (GLM, "reasoning_content"),
        (KIMI, "reasoning"),
        (LLAMA_3_3, "reasoning_content"),
    ] {
        let answers = [
            Answer::text("Yes.").reasoning("Hm. Well."),
            Answer::text("").reasoning("Hm. Well."),
        ];
        let simulator = start(answers).await;
        let events = events(&run(&simulator, model, STREAM).await);
        let reasoning: String = events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"][key].as_str())
            .collect();
        assert_eq!(reasoning, "Hm. Well.", "{model}");
        assert_eq!(said(&events), "Yes.", "{model}");
        let whole = run(&simulator, model, "").await.json();
        let message = &whole["result"]["choices"][0]["message"];
        assert_eq!(message[key], "Hm. Well.");
        assert_eq!(message["content"], Value::Null);
    }
}

#[tokio::test]
async fn some_models_reason_by_default() {
    let simulator = start([]).await;
    for (model, key) in [
        (GLM, Some("reasoning_content")),
        (KIMI, Some("reasoning")),
        (GPT_OSS, Some("reasoning_content")),
        (LLAMA_3_3, None),
        (MISTRAL, None),
        (GEMMA, None),
    ] {
        let whole = chat(&simulator, model, "").await.json();
        let message = whole["choices"][0]["message"].as_object().unwrap();
        let found = message.keys().find(|key| key.starts_with("reasoning"));
        assert_eq!(found.map(String::as_str), key, "{model}");
    }
}

#[tokio::test]
async fn one_model_has_no_stream_at_one_endpoint() {
    let simulator = start([Answer::text("Hello."), Answer::text("Hello.")]).await;
    let response = run(&simulator, GPT_OSS, STREAM).await;
    assert_eq!(response.header("content-type"), Some("application/json"));
    let document = response.json();
    assert_eq!(document["success"], true);
    let message = &document["result"]["choices"][0]["message"];
    assert_eq!(message["content"], "Hello.");
    let events = events(&chat(&simulator, GPT_OSS, STREAM).await);
    assert_eq!(said(&events), "Hello.");
}

/// Returns a response that calls a tool.
fn call() -> Answer {
    Answer::tokens([""; 0]).tool_call("sky", r#"{"at":"noon"}"#)
}

#[tokio::test]
async fn native_calls_are_flat_or_complete() {
    let simulator = start([call(), call(), call()]).await;
    let flat = events(&run(&simulator, LLAMA_2, STREAM).await);
    assert_eq!(
        flat[0]["tool_calls"],
        json!([{"arguments": {"at": "noon"}, "name": "sky"}])
    );
    assert_eq!(flat[1], json!({"finish_reason": "tool_calls"}));
    let whole = events(&run(&simulator, LLAMA_3_1, STREAM).await);
    let id = whole[0]["tool_calls"][0]["id"].as_str().unwrap();
    assert_eq!(id.len(), 9);
    assert_eq!(
        whole[0]["tool_calls"],
        json!([{
            "function": {"arguments": r#"{"at":"noon"}"#, "name": "sky"},
            "id": id,
            "index": 0,
            "type": "function",
        }])
    );
    let answer = run(&simulator, LLAMA_3_1, "").await.json();
    assert_eq!(
        answer["result"]["tool_calls"],
        json!([{"arguments": {"at": "noon"}, "name": "sky"}])
    );
}

/// Checks the fragments of a call.
#[track_caller]
fn check_bits(bits: &[Value]) {
    let (first, rest) = bits.split_first().unwrap();
    let (last, middle) = rest.split_last().unwrap();
    assert_eq!(first["function"], json!({"name": "sky"}));
    assert_eq!(first["type"], "function");
    let arguments = middle
        .iter()
        .map(|bit| bit["function"]["arguments"].as_str().unwrap());
    assert_eq!(arguments.collect::<String>(), r#"{"at":"noon"}"#);
    assert!(middle.iter().all(|bit| bit.get("id").is_none()));
    assert_eq!(
        *last,
        json!({"function": {"arguments": "", "name": null}, "id": null, "index": 0, "type": null})
    );
}

#[tokio::test]
async fn calls_are_sent_in_fragments() {
    let simulator = start([call(), call(), call()]).await;
    let native = events(&run(&simulator, QWQ, STREAM).await);
    let bits = native.iter().filter_map(|event| event.get("tool_calls"));
    check_bits(&bits.map(|calls| calls[0].clone()).collect::<Vec<_>>());
    let hybrid = events(&run(&simulator, LLAMA_3_3, STREAM).await);
    let bits = hybrid
        .iter()
        .filter_map(|event| event["choices"][0]["delta"].get("tool_calls"));
    check_bits(&bits.map(|calls| calls[0].clone()).collect::<Vec<_>>());
    let mut reasons = hybrid
        .iter()
        .map(|event| &event["choices"][0]["finish_reason"]);
    assert!(reasons.any(|reason| reason == "tool_calls"));
    let answer = chat(&simulator, LLAMA_3_3, "").await.json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(
        choice["message"]["tool_calls"][0]["function"],
        json!({"arguments": r#"{"at":"noon"}"#, "name": "sky"})
    );
}

#[tokio::test]
async fn a_scripted_finish_reason_is_sent() {
    let answer = || Answer::text("Hi").finish_reason("model_length");
    let simulator = start([answer(), answer()]).await;
    let native = events(&run(&simulator, LLAMA_2, STREAM).await);
    assert_eq!(native[2], json!({"finish_reason": "model_length"}));
    let hybrid = events(&run(&simulator, GEMMA, STREAM).await);
    assert_eq!(hybrid[2]["choices"][0]["finish_reason"], "model_length");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bytes() {
    let (one, other) = (start([]).await, start([]).await);
    for model in [LLAMA_3_1, GEMMA, GLM] {
        let first = run(&one, model, STREAM).await;
        let second = run(&other, model, STREAM).await;
        assert_eq!(first.body, second.body);
        let text = said(&events(&first));
        let whole = run(&one, model, "").await.json();
        let result = &whole["result"];
        let content = result["response"]
            .as_str()
            .or_else(|| result["choices"][0]["message"]["content"].as_str());
        assert_eq!(content, Some(text.as_str()));
    }
}
