//! Secrets that are never shown: the key, the prompt and secret URLs.

use inferstream_core::{ChatRequest, Json, RetryPolicy};
use serde_json::{Value, json};

use super::{
    Answer, KEY, Scene, builder, client, created, document, failed, frame, healthy, prediction,
    run_with, scene, shown, trouble, with_url,
};
use crate::support::{block_on, problem};

/// A prompt that must never be shown.
const PROMPT: &str = "the very private prompt of the test";
const SYSTEM: &str = "the very private system prompt of it";

fn requests() -> Vec<ChatRequest> {
    let raw = json!({"prompt": PROMPT, "system_prompt": SYSTEM}).to_string();
    vec![
        ChatRequest::from(PROMPT).system(SYSTEM),
        ChatRequest::from("hi")
            .extra("prompt", PROMPT)
            .extra("system_prompt", SYSTEM),
        ChatRequest::from("hi").extra("input", Json::from_text(raw)),
        ChatRequest::from(PROMPT).assistant(SYSTEM).user(PROMPT),
    ]
}

/// Every way in which a service can repeat it.
fn echoes() -> Vec<Scene> {
    let said = format!("you said {PROMPT} and {SYSTEM} with Bearer {KEY}");
    let echo_body = json!({
        "title": said,
        "detail": said,
        "invalid_fields": [{"field": said, "description": said}],
    })
    .to_string();
    let mut scenes: Vec<_> = [400, 401, 402, 403, 404, 422, 429, 500, 503]
        .iter()
        .map(|status| scene("").create([problem(*status, &echo_body)]))
        .collect();
    scenes.push(scene("").create([Answer::json(201, &echo_body)]));
    scenes.push(scene("").create([Answer::new(500, [said.as_str()])]));
    let echo = problem(400, &echo_body).header("x-echo", said.clone());
    scenes.push(scene("").create([echo]));
    scenes.push(scene("").create([created(&failed(&said))]));
    scenes.push(scene("").prediction([document(&failed(&said))]));
    let error = frame("error", "1:0", &json!({ "detail": said }).to_string());
    scenes.push(scene(&error).prediction([trouble()]));
    scenes.push(scene(&frame("error", "1:0", &said)).prediction([trouble()]));
    let done = frame("done", "1:0", &json!({ "reason": said }).to_string());
    scenes.push(scene(&done).prediction([trouble()]));
    scenes.push(scene("").stream([problem(401, &echo_body)]));
    scenes.push(scene("").prediction([problem(401, &echo_body)]));
    let evil = format!("https://evil.example/{KEY}?p=private");
    let value = with_url(prediction("starting", &Value::Null), "stream", &evil);
    scenes.push(scene("").create([created(&value)]));
    scenes
}

#[test]
fn no_error_shows_the_key_or_the_prompt() {
    for (nth, scene) in echoes().into_iter().enumerate() {
        for (which, request) in requests().into_iter().enumerate() {
            let service = scene.clone().serve();
            let request = request.retry(RetryPolicy::never());
            let outcome = run_with(&service, &client(&service), request);
            let Err(error) = &outcome.end else { continue };
            let shown = shown(error);
            let at = format!("echo {nth}, request {which}: {shown}");
            assert!(!shown.contains(KEY), "{at}");
            assert!(!shown.contains("very private"), "{at}");
            assert!(!shown.contains("p=private"), "{at}");
            let message = error.provider_message().unwrap_or_default();
            assert!(!message.contains(KEY), "{at}");
            if let Some(meta) = &outcome.meta {
                assert!(
                    !format!("{:?}", meta.warnings).contains("very private"),
                    "{at}"
                );
            }
        }
    }
}

#[test]
fn the_url_of_a_stream_is_a_secret() {
    for failure in [trouble(), problem(401, "{}"), problem(404, "{}")] {
        let value = with_url(
            prediction("starting", &Value::Null),
            "stream",
            "https://stream.replicate.com/v1/files/unguessable-token",
        );
        let service = scene("")
            .create([created(&value)])
            .prediction([failure.clone()])
            .other([failure])
            .serve();
        let outcome = run_with(&service, &client(&service), "hi");
        let shown = shown(outcome.error());
        assert!(!shown.contains("unguessable-token"), "{shown}");
    }
}

#[test]
fn debug_output_shows_no_key() {
    let service = healthy(&["a"]).serve();
    let unbuilt = builder(&service);
    assert!(!format!("{unbuilt:?} {unbuilt:#?}").contains(KEY));
    let client = unbuilt.build().unwrap();
    assert!(!format!("{client:?} {client:#?}").contains(KEY));
    let stream = block_on(&service.clock, client.stream(PROMPT)).unwrap();
    let printed = format!("{stream:?} {:?} {:?}", stream.partial(), stream.meta());
    assert!(!printed.contains(KEY));
    assert!(!printed.contains("very private"));
    drop(stream);
    service.run_tasks();
    for asked in service.all() {
        let printed = format!("{:?}", asked.request.headers());
        assert!(!printed.contains(KEY), "{printed}");
    }
}

#[test]
fn the_prompt_is_sent_only_to_create_the_prediction() {
    let service = healthy(&["a"]).serve();
    run_with(&service, &client(&service), PROMPT);
    for asked in &service.all()[1..] {
        assert!(asked.request.body().is_empty(), "{}", asked.uri());
        assert!(!asked.uri().contains("private"));
    }
}

#[test]
fn a_host_that_equals_the_key_is_not_shown() {
    for name in ["stream", "cancel"] {
        let host = format!("https://{}.example/x", KEY.to_lowercase().replace('_', "-"));
        let value = with_url(prediction("starting", &Value::Null), name, &host);
        let key = KEY.to_lowercase().replace('_', "-");
        let service = scene("").create([created(&value)]).serve();
        let client = builder(&service).api_key(key.clone()).build().unwrap();
        let opened = block_on(&service.clock, client.stream("hi"));
        let shown = match opened {
            Err(error) => error.to_string(),
            Ok(stream) => stream.meta().warnings.concat(),
        };
        assert!(!shown.is_empty() && !shown.contains(&key), "{shown}");
    }
}
