//! JSON schemas, rewritten to what a service supports.

use std::fmt::Write;

use inferstream_cerebras::Cerebras;
use inferstream_core::{ChatRequest, Error, ErrorKind, Json, ResponseFormat, Tool, Unsupported};
use inferstream_openai_compat::SchemaRules;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Service, body, compatible, wire};
use crate::support::block_on;

pub(super) fn of_schema(schema: &str, strict: bool) -> ChatRequest {
    let format = ResponseFormat::JsonSchema {
        name: "s".to_owned(),
        schema: Json::from_text(schema),
        strict: Some(strict),
    };
    Service::Cerebras.hi().response_format(format)
}

/// Sends a schema to Cerebras, and returns the schema that was sent, as text, and what was dropped.
#[track_caller]
pub(super) fn sent(schema: &str, strict: bool) -> (String, Vec<Unsupported>) {
    let request = of_schema(schema, strict);
    let list = Service::Cerebras.check(&request).unwrap();
    let wire = wire();
    let provider = Service::Cerebras.provider(&wire);
    block_on(&wire.clock, provider.stream(request)).unwrap_err();
    let text = wire.text();
    let start = text.find("\"schema\":").unwrap() + 9;
    let end = text.rfind("}}}").unwrap();
    (text[start..end].to_owned(), list)
}

/// Checks the rewritten form of a strict schema and the names of the dropped keywords.
#[track_caller]
pub(super) fn check(schema: &str, expected: &str, left_out: &[&str]) {
    let (text, list) = sent(schema, true);
    assert_eq!(text, expected);
    let names = list.iter().map(|one| {
        let name = one.field.strip_prefix("response_format#");
        name.unwrap()
    });
    assert_eq!(names.collect::<Vec<_>>(), left_out);
}

#[track_caller]
pub(super) fn refused(request: &ChatRequest) -> Error {
    Service::Cerebras.check(request).unwrap_err()
}

#[test]
fn a_schema_of_the_smallest_set_is_sent_unchanged() {
    let schema = r##"{"title":"Film","description":"d","type":"object","properties":{"z":{"type":"string","enum":["a","b"]},"a":{"type":"array","items":{"$ref":"#/$defs/P"}},"t":{"type":"array","prefixItems":[{"type":"integer"}],"items":false},"n":{"anyOf":[{"type":"null"},{"type":"number"}]}},"required":["z","a","t","n"],"additionalProperties":false,"$defs":{"P":{"type":"object","properties":{"x":{"type":"boolean"}},"required":["x"],"additionalProperties":false}}}"##;
    check(schema, schema, &[]);
}

#[test]
fn unsupported_restrictions_are_dropped_and_named() {
    check(
        r#"{"type":"object","properties":{"age":{"type":"integer","format":"uint8","minimum":0,"maximum":255},"tags":{"type":"array","items":{"type":"string","pattern":"^a","minLength":1},"minItems":1,"uniqueItems":true},"a/b~c":{"type":"string","default":"x"}}}"#,
        r#"{"type":"object","properties":{"age":{"type":"integer"},"tags":{"type":"array","items":{"type":"string"}},"a/b~c":{"type":"string"}},"additionalProperties":false}"#,
        &[
            "/properties/age/format",
            "/properties/age/minimum",
            "/properties/age/maximum",
            "/properties/tags/minItems",
            "/properties/tags/uniqueItems",
            "/properties/tags/items/pattern",
            "/properties/tags/items/minLength",
            "/properties/a~1b~0c/default",
        ],
    );
}

#[test]
fn synonyms_are_replaced_by_supported_keywords() {
    let check = |schema, expected| check(schema, expected, &[]);
    check(
        r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","$id":"i","$comment":"c","const":"a"}"#,
        r#"{"enum":["a"]}"#,
    );
    check(
        r#"{"type":["string","null"],"description":"d"}"#,
        r#"{"description":"d","anyOf":[{"type":"string"},{"type":"null"}]}"#,
    );
    check(
        r#"{"type":["object","array"],"properties":{},"items":{"type":"null"}}"#,
        r#"{"anyOf":[{"type":"object","properties":{},"additionalProperties":false},{"type":"array","items":{"type":"null"}}]}"#,
    );
    check(r#"{"type":["string"]}"#, r#"{"type":"string"}"#);
    check(
        r#"{"type":"string","nullable":true}"#,
        r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
    );
    check(
        r#"{"type":"string","nullable":false}"#,
        r#"{"type":"string"}"#,
    );
    check(
        r##"{"definitions":{"P":{"type":"string"}},"$ref":"#/definitions/P","nullable":true}"##,
        r##"{"anyOf":[{"$ref":"#/$defs/P"},{"type":"null"}],"$defs":{"P":{"type":"string"}}}"##,
    );
    check(
        r#"{"type":"array","prefixItems":[{"type":"string"},true]}"#,
        r#"{"type":"array","prefixItems":[{"type":"string"},{}]}"#,
    );
    check(r#"{"type":"array","items":true}"#, r#"{"type":"array"}"#);
    check(
        r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
        r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
    );
    check(
        r#"{"description":"mine","allOf":[{"allOf":[{"type":"string","description":"its"}]}]}"#,
        r#"{"description":"mine","type":"string"}"#,
    );
    check(
        r#"{"allOf":[true,{"type":"string"}]}"#,
        r#"{"type":"string"}"#,
    );
    check("true", "{}");
}

#[test]
fn the_schema_dialect_is_dropped_but_not_as_a_name_or_value() {
    check(
        r##"{"$schema":"s","type":"object","properties":{"$schema":{"$schema":"s","enum":[{"$schema":"s"}]},"d":{"$ref":"#/$defs/D","$schema":"s"}},"required":["$schema"],"$defs":{"D":{"$schema":"s","type":"null"}}}"##,
        r##"{"type":"object","properties":{"$schema":{"enum":[{"$schema":"s"}]},"d":{"$ref":"#/$defs/D"}},"required":["$schema"],"additionalProperties":false,"$defs":{"D":{"type":"null"}}}"##,
        &[],
    );
}

#[test]
fn objects_are_closed_in_strict_schemas() {
    check(
        r#"{"type":"object"}"#,
        r#"{"type":"object","properties":{},"additionalProperties":false}"#,
        &[],
    );
    check(
        r#"{"type":"object","additionalProperties":{"type":"string"}}"#,
        r#"{"type":"object","properties":{},"additionalProperties":false}"#,
        &["/additionalProperties"],
    );
    check(
        r#"{"properties":{"a":{"patternProperties":{"^a":{}}}},"additionalProperties":true}"#,
        r#"{"properties":{"a":{}},"additionalProperties":false}"#,
        &["/additionalProperties", "/properties/a/patternProperties"],
    );
    check(
        r#"{"additionalProperties":{"type":"string"}}"#,
        "{}",
        &["/additionalProperties"],
    );
    let open = r#"{"type":"object","additionalProperties":{"type":["string","null"]}}"#;
    let (text, list) = sent(open, false);
    assert_eq!(
        text,
        r#"{"type":"object","additionalProperties":{"anyOf":[{"type":"string"},{"type":"null"}]}}"#
    );
    assert!(list.is_empty());
    let open = r#"{"type":"object","additionalProperties":true}"#;
    assert_eq!(sent(open, false).0, r#"{"type":"object"}"#);
    let open = r#"{"type":"object","additionalProperties":false}"#;
    assert_eq!(sent(open, false).0, open);
    let (text, list) = sent(
        r#"{"type":"object","patternProperties":{"^a":{}},"additionalProperties":false}"#,
        false,
    );
    assert_eq!(text, r#"{"type":"object"}"#);
    assert_eq!(list.len(), 2);
}

#[test]
fn properties_may_have_the_names_of_keywords() {
    let schema = r#"{"type":"object","properties":{"type":{"type":"string"},"format":{"type":"string"},"allOf":{"type":"string"},"$ref":{"type":"string"}},"additionalProperties":false}"#;
    check(schema, schema, &[]);
}

#[test]
fn only_schemas_of_strict_tools_are_adapted() {
    let schema = r#"{"type":"object","properties":{"a":{"type":"string","minLength":1}}}"#;
    let request = |strict| {
        let tool = Tool::new("f", Json::from_text(schema)).strict(strict);
        Service::Cerebras.hi().tool(tool)
    };
    let list = Service::Cerebras.check(&request(true)).unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].field, "tools/f#/properties/a/minLength");
    let parameters = |strict| {
        let body = Service::Cerebras.body(request(strict));
        body["tools"][0]["function"]["parameters"].clone()
    };
    let closed = json!({
        "type": "object", "properties": { "a": { "type": "string" } }, "additionalProperties": false,
    });
    assert_eq!(parameters(true), closed);
    assert_eq!(
        parameters(false),
        serde_json::from_str::<Value>(schema).unwrap()
    );
}

#[test]
fn the_arguments_of_a_strict_tool_are_an_object() {
    let check = |schema: &str, expected: &str| {
        let tool = Tool::new("f", Json::from_text(schema)).strict(true);
        let body = Service::Cerebras.body(Service::Cerebras.hi().tool(tool));
        let sent = body["tools"][0]["function"]["parameters"].to_string();
        assert_eq!(sent, expected);
    };
    let none = r#"{"type":"object","properties":{},"additionalProperties":false}"#;
    check("{}", none);
    check("true", none);
    check(none, none);
    check(
        r#"{"properties":{"a":{"type":"null"}}}"#,
        r#"{"properties":{"a":{"type":"null"}},"additionalProperties":false}"#,
    );
}

#[test]
fn other_services_get_the_schema_unchanged() {
    let schema = r##"{"type":["string","null"],"minLength":1,"$ref":"#"}"##;
    for service in [
        Service::Elsewhere,
        Service::CablyAi,
        Service::Compatible,
        Service::WorkersAi,
    ] {
        let mut request = of_schema(schema, true);
        request.model = service.hi().model;
        assert_eq!(service.check(&request).unwrap(), []);
        let body = service.body(request);
        let sent = &body["response_format"]["json_schema"]["schema"];
        assert_eq!(*sent, serde_json::from_str::<Value>(schema).unwrap());
    }
}

#[test]
fn cerebras_behind_a_gateway_gets_the_same_schema() {
    let schema = r#"{"$schema":"u","type":"object","properties":{"a":{"type":["string","null"],"minLength":1}}}"#;
    let request = || of_schema(schema, true).max_tokens(7);
    for key in [None, Some("csk-own-key")] {
        let wire = wire();
        let builder = Cerebras::builder().base_url("https://gateway.test/cerebras/v1");
        let builder = match key {
            None => builder,
            Some(key) => builder.api_key(key),
        };
        let gateway = builder.behind_gateway().transport(wire.clone()).build();
        let gateway = gateway.unwrap();
        let own = Service::Cerebras.check(&request()).unwrap();
        assert_eq!(gateway.check(request()).unwrap(), own);
        let sent = body(&gateway, &wire, request());
        assert_eq!(sent, Service::Cerebras.body(request()));
        assert_eq!(sent["max_completion_tokens"], 7);
        assert_eq!(sent.get("max_tokens"), None);
        let has_key = wire.request().headers().contains_key("authorization");
        assert_eq!(has_key, key.is_some());
    }
    // At another host without `behind_gateway`, the service is a local engine.
    let sent = Service::Elsewhere.body(request());
    assert_eq!(sent["max_tokens"], 7);
    assert_eq!(sent.get("max_completion_tokens"), None);
}

#[test]
fn a_compatible_service_may_have_its_own_rules() {
    let rules = SchemaRules::new()
        .keywords(["minLength", "$anchor"])
        .recursion(true);
    let wire = wire();
    let provider = compatible(&wire, |builder| builder.schema_rules(rules));
    let schema = r##"{"$defs":{"A":{"$anchor":"a","minLength":1,"maxLength":2,"items":{"$ref":"#/$defs/A"}}},"$ref":"#/$defs/A"}"##;
    let request = of_schema(schema, false);
    let list = provider.check(&request).unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].field, "response_format#/$defs/A/maxLength");
    let sent = body(&*provider, &wire, request)["response_format"]["json_schema"]["schema"].clone();
    assert_eq!(sent["$defs"]["A"]["minLength"], 1);
}

/// Generates schemas of all kinds, as text.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({ "type": "string", "format": "email", "minLength": 1 })),
        Just(json!({ "type": ["integer", "null"], "minimum": 0 })),
        Just(json!({ "const": 5 })),
        Just(json!({ "enum": ["a", null] })),
        Just(json!(true)),
        Just(json!({})),
        Just(json!({ "$ref": "#/definitions/D", "nullable": true })),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map("[a-z$/~\"\\\\]{0,4}", inner.clone(), 0..4).prop_map(
                |properties| json!({ "type": "object", "properties": properties, "minProperties": 1 })
            ),
            inner
                .clone()
                .prop_map(|items| json!({ "type": "array", "items": items, "minItems": 2 })),
            prop::collection::vec(inner.clone(), 1..3)
                .prop_map(|list| json!({ "oneOf": list, "title": "t" })),
            prop::collection::vec(inner, 1..3)
                .prop_map(|list| json!({ "allOf": list, "x-mine": 1 })),
        ]
    })
    .prop_map(|schema| json!({ "definitions": { "D": { "const": 1 } }, "anyOf": [schema] }))
}

/// Lists all keywords of a schema beyond the smallest set, computed independently.
fn beyond(schema: &Value, found: &mut String) {
    const SET: [&str; 12] = [
        "$defs",
        "$ref",
        "additionalProperties",
        "anyOf",
        "description",
        "enum",
        "items",
        "prefixItems",
        "properties",
        "required",
        "title",
        "type",
    ];
    let Some(members) = schema.as_object() else {
        assert_eq!(*schema, json!(false));
        return;
    };
    for (name, value) in members {
        if !SET.contains(&name.as_str()) {
            write!(found, "{name} ").unwrap();
        }
        match name.as_str() {
            "properties" | "$defs" => {
                let inner = value.as_object().unwrap().values();
                inner.for_each(|one| beyond(one, found));
            }
            "anyOf" | "prefixItems" => {
                let inner = value.as_array().unwrap().iter();
                inner.for_each(|one| beyond(one, found));
            }
            "items" => beyond(value, found),
            "type" => assert!(value.is_string()),
            _ => {}
        }
    }
    if members.contains_key("properties") {
        assert_eq!(members["additionalProperties"], json!(false));
    }
}

proptest! {
    #[test]
    fn adapting_a_schema_twice_changes_nothing(schema in schemas()) {
        // Too many of these would fail the test.
        let request = of_schema(&schema.to_string(), true);
        prop_assume!(Service::Cerebras.check(&request).is_ok());
        let (text, _) = sent(&schema.to_string(), true);
        let value: Value = serde_json::from_str(&text).unwrap();
        let mut found = String::new();
        beyond(&value, &mut found);
        prop_assert_eq!(found, "");
        let (again, lost) = sent(&text, true);
        prop_assert_eq!(again, text);
        prop_assert!(lost.is_empty());
    }

    #[test]
    fn any_text_is_sent_as_json_or_refused(text in "[{}\\[\\]\":,a-z$#/ 0-9]{0,40}") {
        let request = of_schema(&text, true);
        match Service::Cerebras.check(&request) {
            Ok(_) => drop(Service::Cerebras.body(request)),
            Err(error) => prop_assert!(
                matches!(error.kind(), ErrorKind::Config | ErrorKind::Unsupported)
            ),
        }
    }
}
