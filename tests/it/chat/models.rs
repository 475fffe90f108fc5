//! Lists of models, aliases and successors.

use http::Method;
use inferstream_core::{ChatRequest, ErrorKind};

use super::{
    Answer, Client, KEY, Wire, cerebras,
    errors::refuse_request,
    requests::{send, wire},
};
use crate::support::block_on;

#[test]
fn the_public_list_is_requested_without_the_key() {
    let wire = Wire::new([Answer::json(
        200,
        r#"{"data":[{"id":"a","owned_by":"o","created":5}]}"#,
    )]);
    let models = block_on(&wire.clock, cerebras(&wire).public_models()).unwrap();
    assert_eq!(models.len(), 1);
    assert_eq!((models[0].id.as_str(), models[0].created), ("a", Some(5)));
    let request = wire.request();
    assert_eq!(request.method(), Method::GET);
    assert!(!request.headers().contains_key("authorization"));
    assert!(request.body().is_empty());

    let wire = Wire::new([Answer::json(200, r#"{"data":[{"id":"a"},{"id":"b"}]}"#)]);
    let client = cerebras(&wire);
    assert_eq!(block_on(&wire.clock, client.models()).unwrap().len(), 2);
    assert_eq!(
        wire.request().headers()["authorization"],
        format!("Bearer {KEY}")
    );
    let known: Vec<_> = client
        .known_models()
        .into_iter()
        .map(|model| model.id)
        .collect();
    assert_eq!(known, ["a", "b"], "the last list");
}

#[test]
fn known_models_need_no_request() {
    let wire = wire();
    let known: Vec<_> = cerebras(&wire)
        .known_models()
        .into_iter()
        .map(|model| model.id)
        .collect();
    assert_eq!(known, ["gpt-oss-120b", "qwen-3.8-27b", "gemma-4-31b"]);
    assert_eq!(wire.count(), 0);
}

#[test]
fn an_invalid_list_of_models_is_an_error() {
    for body in ["", "null", "{}", "<html>", "{\"data\":[", "7"] {
        let wire = Wire::new([Answer::json(200, body)]);
        let error = block_on(&wire.clock, cerebras(&wire).models()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
    }
}

#[test]
fn plain_text_is_sent_to_the_default_model() {
    assert_eq!(send(Client::Cerebras, "hi").json()["model"], "gpt-oss-120b");
    assert_eq!(send(Client::Plain, "hi").json()["model"], "model");
}

#[test]
fn aliases_are_resolved_and_unknown_names_are_sent_unchanged() {
    for (asked, sent) in [
        ("llama-3.1-70b", "llama3.1-70b"),
        ("llama-3.1-8b", "llama3.1-8b"),
        ("deepseek-r1", "deepseek-r1-distill-llama-70b"),
        ("llama3.1-70b", "llama3.1-70b"),
        ("Llama-3.1-70B", "Llama-3.1-70B"),
        ("some/new-model:free", "some/new-model:free"),
    ] {
        let wire = send(Client::Cerebras, ChatRequest::new(asked).user("hi"));
        assert_eq!(wire.json()["model"], sent);
    }
}

#[test]
fn a_retired_model_has_a_warning_with_its_successor() {
    for model in [
        "llama3.1-70b",
        "llama-3.1-8b",
        "llama-3.3-70b",
        "deepseek-r1",
        "zai-glm-4.7",
    ] {
        let wire = wire();
        let request = ChatRequest::new(model).user("hi");
        let stream = block_on(&wire.clock, cerebras(&wire).stream(request)).unwrap();
        let [warning] = &*stream.meta().warnings else {
            panic!("{model}: {:?}", stream.meta().warnings);
        };
        assert!(warning.contains("gpt-oss-120b"), "{warning}");
    }
    let wire = wire();
    let stream = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap();
    assert!(stream.meta().warnings.is_empty());
}

#[test]
fn the_error_of_a_retired_model_names_the_successor() {
    let body = r#"{"message":"Model does not exist","type":"not_found_error","param":"model","code":"model_not_found"}"#;
    for model in [
        "llama3.1-8b",
        "llama-3.1-8b",
        "llama-3.3-70b",
        "deepseek-r1",
    ] {
        let request = ChatRequest::new(model).user("hi");
        let refusal = refuse_request([Answer::json(404, body)], request);
        assert_eq!(refusal.error.kind(), ErrorKind::NotFound);
        let line = refusal.error.to_string();
        assert!(line.contains("`gpt-oss-120b`"), "{line}");
    }
    let refusal = refuse_request(
        [Answer::json(404, body)],
        ChatRequest::new("new").user("hi"),
    );
    assert!(!refusal.error.to_string().contains("gpt-oss"));
}
