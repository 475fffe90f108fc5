//! The keyword `$schema`, which is never sent.

use inferstream_core::{Json, ResponseFormat, Tool};
use inferstream_openai_compat::without_schema_uri;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Service;

#[track_caller]
fn check(schema: &str, expected: &str) {
    let sent = without_schema_uri(&Json::from_text(schema));
    assert_eq!(sent.as_str(), expected);
}

#[test]
fn the_keyword_is_removed_from_every_schema() {
    check(r#"{"$schema":"u","type":"object"}"#, r#"{"type":"object"}"#);
    check(
        r#"{"type":"object", "$schema":"u"}"#,
        r#"{"type":"object"}"#,
    );
    check(r#" { "$schema" : "u" } "#, "{}");
    check(r#"{"\u0024schema":"u","a":1}"#, r#"{"a":1}"#);
    for keyword in [
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    ] {
        let of = |schema: &str| format!("{{\"{keyword}\":{schema}}}");
        check(
            &of(r#"{"$schema":"u","type":"null"}"#),
            &of(r#"{"type":"null"}"#),
        );
    }
    for keyword in ["allOf", "anyOf", "items", "oneOf", "prefixItems"] {
        let of = |schema: &str| format!("{{\"{keyword}\":[true,{schema}]}}");
        check(
            &of(r#"{"$schema":"u","type":"null"}"#),
            &of(r#"{"type":"null"}"#),
        );
    }
    for keyword in [
        "$defs",
        "definitions",
        "dependencies",
        "dependentSchemas",
        "patternProperties",
        "properties",
    ] {
        let of = |schema: &str| format!("{{\"{keyword}\":{{\"x\":{schema},\"y\":[\"a\"]}}}}");
        check(
            &of(r#"{"$schema":"u","type":"null"}"#),
            &of(r#"{"type":"null"}"#),
        );
    }
}

#[test]
fn properties_and_values_of_that_name_are_kept() {
    for schema in [
        // A property, and a definition.
        r#"{"properties":{"$schema":{"type":"string"}},"required":["$schema"]}"#,
        r##"{"$defs":{"$schema":{"type":"null"}},"$ref":"#/$defs/$schema"}"##,
        // Data.
        r#"{"const":{"$schema":"u"}}"#,
        r#"{"default":{"$schema":"u"}}"#,
        r#"{"enum":[{"$schema":"u"},"$schema"]}"#,
        r#"{"examples":[{"properties":{"a":{"$schema":"u"}}}]}"#,
        r#"{"description":"say \"$schema\":"}"#,
        r#"{"x-of-a-vendor":{"$schema":"u"}}"#,
        // Not JSON, which is refused elsewhere.
        r#"{"$schema":"u""#,
        "",
    ] {
        check(schema, schema);
    }
    check(
        r#"{"$schema":"u","properties":{"$schema":{"$schema":"u","const":{"$schema":"u"}}}}"#,
        r#"{"properties":{"$schema":{"const":{"$schema":"u"}}}}"#,
    );
}

#[test]
fn numbers_and_the_order_of_members_are_kept() {
    check(
        r#"{"z":1.0e+2,"$schema":"u","a":123456789012345678901234567890, "m": { "y" : 1 }}"#,
        r#"{"z":1.0e+2,"a":123456789012345678901234567890,"m":{ "y" : 1 }}"#,
    );
}

#[test]
fn endless_nesting_does_not_overflow() {
    for open in ["{\"items\":", "{\"items\":[", "["] {
        let close = open
            .replace("\"items\":", "")
            .replace('{', "}")
            .replace('[', "]");
        let close = close.chars().rev().collect::<String>();
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        let schema = format!("{open}{{\"$schema\":\"u\"}}{close}");
        assert!(
            !without_schema_uri(&Json::from_text(schema))
                .as_str()
                .is_empty()
        );
    }
}

/// Returns true if the keyword occurs anywhere in a value.
fn has(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(has),
        Value::Object(members) => members.contains_key("$schema") || members.values().any(has),
        _ => false,
    }
}

#[test]
fn no_service_gets_it() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": { "a": { "$ref": "#/$defs/A" } },
        "required": ["a"],
        "additionalProperties": false,
        "$defs": { "A": { "$schema": "https://json-schema.org/draft-07/schema#", "type": "string" } },
    });
    let schema = || Json::from_text(schema.to_string());
    for service in Service::ALL {
        for strict in [None, Some(false), Some(true)] {
            let mut tool = Tool::new("f", schema());
            tool.strict = strict;
            let format = ResponseFormat::JsonSchema {
                name: "s".to_owned(),
                schema: schema(),
                strict,
            };
            for request in [
                service.hi().tool(tool),
                service.hi().response_format(format),
            ] {
                // A setting that a service does not support at all is not sent.
                if service
                    .check(&request)
                    .is_ok_and(|lacking| lacking.is_empty())
                {
                    let body = service.body(request);
                    assert!(
                        body.to_string().contains("properties"),
                        "{service:?}: {body}"
                    );
                    assert!(!has(&body), "{service:?} {strict:?}: {body}");
                }
            }
        }
    }
}

#[test]
fn no_service_gets_it_in_extra() {
    let schema = json!({
        "$schema": "u",
        "properties": { "a": { "$schema": "u", "const": { "b": 1 } }, "$schema": { "type": "null" } },
    });
    let sent = json!({
        "properties": { "a": { "const": { "b": 1 } }, "$schema": { "type": "null" } },
    });
    let members = |schema: &Value| {
        [
            (
                "response_format",
                json!({ "type": "json_schema", "json_schema": { "name": "s", "schema": schema } }),
            ),
            // Workers AI has the bare schema at this position.
            (
                "response_format",
                json!({ "type": "json_schema", "json_schema": schema }),
            ),
            (
                "tools",
                json!([{ "type": "function", "function": { "name": "f", "parameters": schema } }]),
            ),
        ]
    };
    for service in [
        Service::CablyAi,
        Service::Cerebras,
        Service::Elsewhere,
        Service::Compatible,
        Service::WorkersAi,
        Service::Native,
    ] {
        for ((name, value), (_, expected)) in members(&schema).into_iter().zip(members(&sent)) {
            let value = Json::from_text(value.to_string());
            let body = service.body(service.hi().extra(name, value));
            assert_eq!(body[name], expected, "{service:?}: {body}");
        }
    }
}

/// Generates schemas with the keyword at random positions, and the same ones without it.
fn schemas() -> impl Strategy<Value = (Value, Value)> {
    let leaf = prop_oneof![
        Just((json!({ "type": "string" }), json!({ "type": "string" }))),
        Just((
            json!({ "const": { "$schema": 1 } }),
            json!({ "const": { "$schema": 1 } })
        )),
        Just((json!(true), json!(true))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        const KEYWORDS: &[&str] = &["items", "anyOf", "properties", "$defs", "not", "x-other"];
        (prop::sample::select(KEYWORDS), inner, any::<bool>()).prop_map(
            |(keyword, (with, without), marked)| {
                let nested = |schema: Value| match keyword {
                    "anyOf" => json!([schema, {}]),
                    "properties" | "$defs" => json!({ "$schema": schema }),
                    _ => schema,
                };
                let without = if keyword == "x-other" {
                    with.clone()
                } else {
                    without
                };
                let mut pair = (
                    json!({ keyword: nested(with) }),
                    json!({ keyword: nested(without) }),
                );
                if marked {
                    pair.0["$schema"] = json!("u");
                }
                pair
            },
        )
    })
}

proptest! {
    #[test]
    fn removing_the_keyword_restores_the_original_schema((with, without) in schemas()) {
        let sent = without_schema_uri(&Json::from_text(with.to_string()));
        let sent: Value = serde_json::from_str(sent.as_str()).unwrap();
        prop_assert_eq!(sent, without);
    }
}
