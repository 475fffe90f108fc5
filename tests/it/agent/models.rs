//! The agent's list of models.

use inferstream_cloudflare::{ErrorKind, Model, Result};
use serde_json::{Value, json};

use super::{builder, double::Agent, plan, plan::Plan};
use crate::support::block_on;

fn models(reply: Value) -> (Result<Vec<Model>>, Agent) {
    let agent = Plan { reply, ..plan() }.serve();
    let client = builder(&agent).build().unwrap();
    let models = block_on(&agent.clock, client.models());
    if let Ok(models) = &models {
        assert_eq!(&client.known_models(), models);
    }
    (models, agent)
}

#[test]
fn text_generation_models_are_listed() {
    let (models, agent) = models(json!({"success": true, "done": true, "result": [
        {"name": "@cf/meta/llama-3.3-70b", "task": {"name": "Text Generation"},
         "properties": [{"property_id": "context_window", "value": "24000"}]},
        {"name": "@cf/openai/whisper", "task": {"name": "Automatic Speech Recognition"}},
        {"name": "@cf/qwen/qwq-32b"},
        {"name": ""},
        7,
    ]}));
    let models = models.unwrap();
    let ids: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids, ["@cf/meta/llama-3.3-70b", "@cf/qwen/qwq-32b"]);
    assert_eq!(models[0].context_length, Some(24_000));
    let seen = agent.seen.lock().unwrap();
    let (_, call) = &seen.messages[0];
    assert_eq!(
        (&call["method"], &call["args"]),
        (&json!("getModels"), &json!([]))
    );
}

#[test]
fn an_invalid_list_is_a_protocol_error() {
    for reply in [
        json!({"success": false, "error": "Method getModels does not exist"}),
        json!({"success": true, "result": {}}),
        json!({"success": true}),
    ] {
        let (models, _) = models(reply);
        assert_eq!(models.unwrap_err().kind(), ErrorKind::Protocol);
    }
}
