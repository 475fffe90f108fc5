//! Known services and local engines: each preset builds a client that sends a valid request.

use inferstream::Hub;
use inferstream_core::{ChatRequest, ErrorKind, Field, OnUnsupported, Result};
use inferstream_openai_compat::{Compatible, Preset};
use serde_json::json;

use super::{KEY, wire};
use crate::support::block_on;

/// Returns a request with every setting that a preset may not support.
fn demanding() -> ChatRequest {
    ChatRequest::new("m")
        .user("Hi")
        .max_tokens(9)
        .seed(7)
        .top_k(3)
        .n(2)
        .top_logprobs(2)
        .logprobs(true)
        .user_id("u")
        .service_tier("flex")
        .on_unsupported(OnUnsupported::Warn)
}

#[test]
fn names_are_sorted_and_unique() {
    let ids: Vec<&str> = Preset::all().iter().map(|preset| preset.id).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert_eq!(ids.len(), 15);
    for preset in Preset::all() {
        assert_eq!(Preset::find(preset.id).unwrap().id, preset.id);
    }
}

#[test]
fn each_preset_names_its_sources() {
    for preset in Preset::all() {
        assert!(!preset.label.is_empty(), "{}", preset.id);
        assert!(preset.docs_url.starts_with("https://"), "{}", preset.id);
        let is_local = preset.base_url.starts_with("http://localhost:");
        assert_eq!(preset.key_variable.is_none(), is_local, "{}", preset.id);
        assert_eq!(preset.login_url.is_none(), is_local, "{}", preset.id);
    }
}

#[test]
fn each_preset_sends_its_dialect_to_its_url() {
    for preset in Preset::all() {
        let wire = wire();
        let builder = Compatible::preset(preset.id).unwrap().api_key(KEY);
        let client = builder.transport(wire.clone()).build().unwrap();
        assert_eq!(client.info().id, preset.id);
        let response = block_on(&wire.clock, client.stream(demanding())).unwrap();
        assert_eq!(
            block_on(&wire.clock, response.finish()).unwrap().text(),
            "Hi"
        );

        let request = wire.request();
        let url = format!("{}/chat/completions", preset.base_url);
        assert_eq!(request.uri().to_string(), url);
        assert_eq!(request.headers()["authorization"], format!("Bearer {KEY}"));
        let body = wire.json();
        assert_eq!(body[preset.max_tokens_field], 9, "{}", preset.id);
        let usage = preset
            .asks_for_usage
            .then(|| json!({"include_usage": true}));
        assert_eq!(body.get("stream_options"), usage.as_ref(), "{}", preset.id);
        for field in Field::ALL {
            let name = match field {
                Field::MaxTokens => continue,
                Field::UserId => "user",
                field => field.name(),
            };
            let is_sent = body.get(name).is_some();
            let is_known = !preset.unknown_fields.contains(field);
            let was_asked = demanding().settings().any(|set| set == *field);
            assert_eq!(is_sent, is_known && was_asked, "{} {name}", preset.id);
        }
    }
}

#[test]
fn a_missing_key_names_the_variable_before_anything_is_sent() {
    for preset in Preset::all() {
        let wire = wire();
        let builder = Compatible::preset(preset.id).unwrap();
        let client = builder.transport(wire.clone()).build().unwrap();
        let outcome = block_on(&wire.clock, client.chat(ChatRequest::new("m").user("Hi")));
        match preset.key_variable {
            None => assert!(outcome.is_ok(), "{}", preset.id),
            Some(variable) => {
                let error = outcome.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Auth);
                let message = error.to_string();
                let named = [preset.id, variable, preset.login_url.unwrap()];
                assert!(named.iter().all(|name| message.contains(name)), "{message}");
                assert_eq!(wire.count(), 0);
            }
        }
    }
}

#[test]
fn at_another_url_the_key_is_optional_and_the_dialect_stays() {
    let wire = wire();
    let builder = Compatible::preset("openai").unwrap();
    let builder = builder.base_url("http://proxy.test").name("mine");
    let client = builder.transport(wire.clone()).build().unwrap();
    block_on(&wire.clock, client.chat(demanding())).unwrap();
    assert_eq!(
        wire.request().uri(),
        "http://proxy.test/v1/chat/completions"
    );
    assert!(!wire.request().headers().contains_key("authorization"));
    assert_eq!(wire.json()["max_completion_tokens"], 9);
    assert_eq!(client.info().id, "mine");
}

#[test]
fn reasoning_returns_in_the_field_of_the_preset() -> Result<()> {
    let mut answer = inferstream_core::Message::assistant("Hi");
    answer.reasoning = Some("Hm".to_owned());
    for preset in Preset::all() {
        let wire = wire();
        let builder = Compatible::preset(preset.id)?.api_key(KEY);
        let client = builder.transport(wire.clone()).build()?;
        let request = ChatRequest::new("m").user("Hi").message(answer.clone());
        block_on(&wire.clock, client.chat(request.user("More")))?;
        let body = wire.json();
        let told = body["messages"][1].as_object().unwrap();
        let told: Vec<&str> = told.keys().map(String::as_str).collect();
        let fields = ["role", "content"]
            .into_iter()
            .chain(preset.reasoning_field);
        assert_eq!(told, fields.collect::<Vec<_>>(), "{}", preset.id);
    }
    Ok(())
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let error = Compatible::preset("gorq").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error
            .to_string()
            .starts_with("unknown preset: expected one of deepseek, fireworks")
    );
}

#[test]
fn the_readme_lists_each_preset() {
    let readme = include_str!("../../../crates/openai-compat/README.md");
    for preset in Preset::all() {
        let key = preset.key_variable.map(|name| format!("`{name}` "));
        let key = key.unwrap_or_default();
        let Preset {
            id,
            label,
            base_url,
            docs_url,
            ..
        } = preset;
        let row = format!("| `{id}` | [{label}]({docs_url}) | `{base_url}` | {key}|");
        assert!(readme.contains(&row), "{row}");
    }
}

#[test]
fn a_hub_has_each_preset() {
    let hub = Hub::from_env().unwrap();
    for preset in Preset::all() {
        assert_eq!(hub.provider(preset.id).unwrap().info().id, preset.id);
    }
}
