//! The JSON schemas that the service refuses, and its error messages.

use inferstream_simulator::Simulator;
use serde_json::{Value, json};

use crate::client::{Response, request, send};

/// Sends a request with a schema for the response, or for a tool.
async fn ask(path: &str, fields: &Value) -> Response {
    let simulator = Simulator::builder().start().await.unwrap();
    let fields = fields.to_string();
    let body = request("tiny", "Hi", &fields[1..fields.len() - 1]);
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer any\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    send(&simulator, &(head + &body)).await
}

fn format(schema: &Value, strict: bool) -> Value {
    let named = json!({ "name": "s", "schema": schema, "strict": strict });
    json!({ "response_format": { "type": "json_schema", "json_schema": named } })
}

fn tool(schema: &Value, strict: bool) -> Value {
    let function = json!({ "name": "f", "parameters": schema, "strict": strict });
    json!({ "tools": [{ "type": "function", "function": function }] })
}

const CHAT: &str = "/v1/chat/completions";

async fn check(schema: Value, status: u16, message: &str) {
    for (fields, param) in [
        (format(&schema, true), "response_format"),
        (tool(&schema, true), "tools"),
    ] {
        let response = ask(CHAT, &fields).await;
        assert_eq!(response.status(), status, "{schema} {}", response.text());
        let expected = json!({
            "message": message,
            "type": "invalid_request_error",
            "param": param,
            "code": "wrong_api_format",
        });
        assert_eq!(response.json(), expected, "{schema}");
    }
    // Schemas are only enforced in strict mode, and a local engine accepts all of them.
    for fields in [format(&schema, false), tool(&schema, false)] {
        assert_eq!(ask(CHAT, &fields).await.status(), 200, "{schema}");
    }
    let elsewhere = ask("/compatible/v1/chat/completions", &format(&schema, true)).await;
    assert_eq!(elsewhere.status(), 200, "{schema}");
}

/// Creates an object schema with one property.
fn of(property: &Value) -> Value {
    json!({
        "type": "object",
        "properties": { "a": property },
        "required": ["a"],
        "additionalProperties": false,
    })
}

#[tokio::test]
async fn keywords_beyond_the_smallest_set_are_refused() {
    for (property, message) in [
        (
            json!({ "type": "string", "format": "email" }),
            "Invalid fields for schema with types ['string']: {'format'}",
        ),
        (
            json!({ "type": "array", "items": { "type": "null" }, "minItems": 1, "maxItems": 2 }),
            "Invalid fields for schema with types ['array']: {'maxItems', 'minItems'}",
        ),
        (
            json!({ "type": "string", "properties": {} }),
            "Invalid fields for schema with types ['string']: {'properties'}",
        ),
        (
            json!({ "type": ["string", "null"] }),
            "Lists of types are not supported in JSON schema. If you are trying to make a field Optional, use anyOf with a null type",
        ),
        (
            json!({ "oneOf": [{ "type": "string" }] }),
            "Unsupported JSON schema fields in schema with keys: dict_keys(['oneOf']).",
        ),
        (
            json!({}),
            "Unsupported JSON schema fields in schema with keys: dict_keys([]).",
        ),
        (
            json!({ "type": "object", "additionalProperties": false }),
            "Object fields require at least one of: 'properties' or 'anyOf' with a list of possible properties.",
        ),
        (
            json!({ "type": "array" }),
            "Array fields require at least one of 'items' or 'prefixItems'.",
        ),
        (
            json!({ "type": "array", "items": false }),
            "A JSON schema is not an object.",
        ),
        (
            json!({ "$ref": "#/properties/b" }),
            "The reference \"#/properties/b\" is not among '$defs'.",
        ),
    ] {
        check(of(&property), 400, message).await;
    }
}

#[tokio::test]
async fn an_open_object_is_refused_with_another_message() {
    let message = "'additionalProperties' is required to be supplied and set to false.";
    check(json!({ "type": "object", "properties": {} }), 422, message).await;
    let mut open = of(&json!({ "type": "null" }));
    open["additionalProperties"] = json!(true);
    check(of(&open), 422, message).await;
}

#[tokio::test]
async fn the_root_schema_must_be_an_object() {
    for (schema, key) in [
        (json!({ "allOf": [] }), "allOf"),
        (
            json!({ "type": "array", "items": { "type": "null" } }),
            "items",
        ),
        (
            json!({ "$schema": "https://json-schema.org/draft/2020-12/schema" }),
            "$schema",
        ),
    ] {
        let message = format!("Extra top level keys found in JSON schema: {{'{key}'}}.");
        check(schema, 400, &message).await;
    }
}

#[tokio::test]
async fn definitions_must_be_in_defs_and_not_recursive() {
    let mut schema = of(&json!({ "$ref": "#/$defs/A" }));
    schema["definitions"] = json!({ "A": { "type": "null" } });
    let message = "'definitions' is not supported in JSON schema. Use '$defs' instead";
    check(schema, 400, message).await;

    let mut schema = of(&json!({ "$ref": "#/$defs/A" }));
    schema["$defs"] = json!({
        "A": { "anyOf": [{ "$ref": "#/$defs/B" }, { "type": "null" }] },
        "B": { "type": "array", "items": { "$ref": "#/$defs/A" } },
    });
    let message = "Recursive JSON schemas are not currently supported.";
    check(schema, 400, message).await;
}

#[tokio::test]
async fn a_schema_of_the_smallest_set_is_accepted() {
    let mut schema = of(&json!({
        "title": "t", "description": "d", "anyOf": [
            { "type": "string", "enum": ["a"] },
            { "enum": [1] },
            { "$ref": "#/$defs/a%20b~1c" },
            { "type": "array", "prefixItems": [{ "type": "null" }], "items": false },
        ],
    }));
    schema["$defs"] = json!({ "a b/c": { "type": "integer" } });
    for fields in [format(&schema, true), tool(&schema, true)] {
        let response = ask(CHAT, &fields).await;
        assert_eq!(response.status(), 200, "{}", response.text());
    }
}

#[tokio::test]
async fn a_schema_needs_a_name() {
    let named = json!({ "schema": of(&json!({ "type": "null" })), "strict": true });
    let fields = json!({ "response_format": { "type": "json_schema", "json_schema": named } });
    let response = ask(CHAT, &fields).await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.json()["code"], "wrong_api_format");
}
