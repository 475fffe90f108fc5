//! JSON schemas that are refused, each with the keyword, its JSON pointer and a remedy.

use inferstream_core::{ErrorKind, OnUnsupported};

use super::{
    Service,
    schemas::{check, of_schema, refused},
};

/// Checks the error for a strict schema that is not supported.
#[track_caller]
fn check_refused(schema: &str, what: &str) {
    let error = refused(&of_schema(schema, true));
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{schema}");
    assert_eq!(
        error.to_string(),
        format!("unsupported JSON schema in `response_format`: {what}"),
        "{schema}"
    );
}

#[test]
fn rare_keywords_are_refused_by_name() {
    for (schema, what) in [
        ("false", "`false` at `#`; remove it"),
        (
            r#"{"properties":{"a":false}}"#,
            "`false` at `#/properties/a`; remove it",
        ),
        (
            r#"{"anyOf":[false,{"type":"null"}]}"#,
            "`false` at `#/anyOf/0`; remove it",
        ),
        (
            r##"{"$defs":{"A":false},"$ref":"#/$defs/A"}"##,
            "`false` at `#/$defs/A`; remove it",
        ),
        (
            r##"{"$defs":{"A":{"type":"string"}},"definitions":{"A":{"type":"null"}},"$ref":"#/definitions/A"}"##,
            "`$ref` to `#/definitions/A` at `#/$ref`; use `#/$defs/NAME` with the plain name of a \
             definition of the root",
        ),
        (
            r#"{"enum":["a"],"const":"a"}"#,
            "`enum` that cannot be merged with others for the same value at `#/const`; write one \
             schema that means both",
        ),
        (
            r#"{"type":["string","number"],"const":null}"#,
            "`enum` without a value of the `type` at `#/const`; change one of them",
        ),
        (
            r#"{"type":"integer","enum":["1",null]}"#,
            "`enum` without a value of the `type` at `#/enum`; change one of them",
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"null"}},"required":["a","b"]}"#,
            "`required` with `b`, which is not in `properties`, at `#/required`; add it to \
             `properties`",
        ),
    ] {
        check_refused(schema, what);
    }
    // An object that is not closed may have more properties than are named.
    let open = of_schema(r#"{"type":"object","required":["b"]}"#, false);
    Service::Cerebras.check(&open).unwrap();
}

#[test]
fn references_that_do_not_lead_to_a_definition_of_the_root_are_refused() {
    for away in [
        "https://a.test/s.json",
        "#anchor",
        "P",
        "#%zz",
        "#/properties/a",
        "#/$defs/A/properties/x",
        "#/$defs/Missing",
        "#/%24defs/A",
        "#/$defs/%41",
    ] {
        let schema = serde_json::json!({
            "$ref": away, "properties": { "a": {} }, "$defs": { "A": { "properties": { "x": {} } } },
        });
        let remedy = "use `#/$defs/NAME` with the plain name of a definition of the root";
        check_refused(
            &schema.to_string(),
            &format!("`$ref` to `{away}` at `#/$ref`; {remedy}"),
        );
    }
    check_refused(
        r##"{"$ref":"#/$defs/\u001b[31mA"}"##,
        "`$ref` to `#/$defs/\\u{1b}[31mA` at `#/$ref`; use `#/$defs/NAME` with the plain name of a \
         definition of the root",
    );
}

#[test]
fn a_schema_that_refers_to_itself_is_refused() {
    check_refused(
        r##"{"type":"object","properties":{"next":{"$ref":"#"}}}"##,
        "a reference to itself at `#`; write the nested levels explicitly",
    );
    check_refused(
        r##"{"$defs":{"A":{"anyOf":[{"$ref":"#/$defs/B"}]},"B":{"items":{"$ref":"#/$defs/A"}}},"$ref":"#/$defs/A"}"##,
        "a reference to itself at `#/$defs/A`; write the nested levels explicitly",
    );
    // Two references to one definition are not a circle.
    let twice = r##"{"$ref":"#/$defs/B","$defs":{"A":{"type":"string"},"B":{"type":"array","prefixItems":[{"$ref":"#/$defs/A"},{"$ref":"#/$defs/A"}]}}}"##;
    check(twice, twice, &[]);
}

#[test]
fn every_kind_of_recursion_is_found() {
    for schema in [
        r##"{"$defs":{"A":{"$ref":"#/$defs/A"}},"$ref":"#/$defs/A"}"##,
        r##"{"$defs":{"A":{"$ref":"#/$defs/B"},"B":{"$ref":"#/$defs/A"}},"$ref":"#/$defs/A"}"##,
        r##"{"$defs":{"A":{"properties":{"a":{"type":"object","$ref":"#/$defs/A"}}}},"type":"object","$ref":"#/$defs/A"}"##,
        r##"{"$defs":{"a%b":{"items":{"$ref":"#\/$defs\/a\u0025b"}}},"$ref":"#/$defs/a%b"}"##,
        r##"{"allOf":[{"$ref":"#"}]}"##,
        r##"{"$defs":{"A":{"allOf":[{"$ref":"#/$defs/A"},{"title":"t"}]}},"$ref":"#/$defs/A"}"##,
    ] {
        let error = refused(&of_schema(schema, true));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{schema}");
        assert!(
            error.to_string().contains("a reference to itself"),
            "{error}"
        );
    }
}

#[test]
fn incompatible_keywords_are_refused_by_name() {
    for (schema, keyword, at) in [
        (r#"{"enum":["a","b"],"const":"a"}"#, "enum", "/const"),
        (
            r#"{"allOf":[{"enum":[1]},{"const":1.0}]}"#,
            "enum",
            "/allOf/0/enum",
        ),
        (
            r#"{"type":"integer","allOf":[{"type":"number"}]}"#,
            "type",
            "/allOf/0/type",
        ),
        // Of members with the same name, it is not known which one counts.
        (r#"{"type":"string","type":"null"}"#, "type", "/type"),
        (
            r#"{"allOf":[{"enum":["a"]},{"enum":["a"]}]}"#,
            "enum",
            "/allOf/0/enum",
        ),
        (
            r#"{"allOf":[{"prefixItems":[{"type":"string"}]},{"items":{"type":"string"}}]}"#,
            "prefixItems",
            "/allOf/0/prefixItems",
        ),
        (
            r#"{"items":{"type":"string"},"allOf":[{"items":{"type":"string"}}]}"#,
            "items",
            "/items",
        ),
        (
            r#"{"anyOf":[{},{}],"oneOf":[{},{"type":"null"}]}"#,
            "anyOf",
            "/oneOf",
        ),
        (
            r#"{"anyOf":[{},{}],"allOf":[{"oneOf":[{},{"type":"null"}]}]}"#,
            "anyOf",
            "/anyOf",
        ),
        (
            r#"{"allOf":[{"type":"string","nullable":true}]}"#,
            "nullable",
            "/allOf/0/nullable",
        ),
        // The two schemas of a property.
        (
            r#"{"properties":{"a":{"type":"string"}},"allOf":[{"properties":{"a":{"enum":["x"]}}}]}"#,
            "properties",
            "/allOf/0/properties/a",
        ),
        (
            r##"{"allOf":[{"$ref":"#/$defs/A"},{"$ref":"#/$defs/B"}],"$defs":{"A":{"allOf":[{"$ref":"#/$defs/Base"}]},"B":{"allOf":[{"$ref":"#/$defs/Base"}]},"Base":{"properties":{"c":{}}}}}"##,
            "properties",
            "/$defs/Base/properties/c",
        ),
        // In a strict schema, each would exclude the properties of the other.
        (
            r#"{"type":"object","properties":{"a":{}},"oneOf":[{"properties":{"b":{}}},{"title":"t"}]}"#,
            "anyOf",
            "/oneOf",
        ),
        (
            r#"{"type":["object","null"],"anyOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}]}"#,
            "anyOf",
            "/anyOf",
        ),
        (
            r#"{"required":["a"],"anyOf":[{"properties":{"a":{}}}]}"#,
            "anyOf",
            "/anyOf",
        ),
        (
            r#"{"properties":{"b":{}},"additionalProperties":false,"allOf":[{"properties":{"a":{}}}]}"#,
            "additionalProperties",
            "/additionalProperties",
        ),
        (
            r##"{"$defs":{"B":{"type":"object","properties":{"b":{}},"additionalProperties":false}},"$ref":"#/$defs/B","properties":{"a":{}}}"##,
            "additionalProperties",
            "/$defs/B/additionalProperties",
        ),
    ] {
        check_refused(
            schema,
            &format!(
                "`{keyword}` that cannot be merged with others for the same value at `#{at}`; \
                 write one schema that means both"
            ),
        );
    }
}

#[test]
fn an_invalid_schema_is_refused_with_its_position() {
    let begins = "invalid JSON schema in `response_format`:";
    for (schema, what) in [
        ("", "unexpected value at `#`"),
        ("5", "unexpected value at `#`"),
        ("{", "unexpected value at `#`"),
        ("{\"type\":5}", "unexpected value at `#/type`"),
        (
            "{\"type\":[\"string\",5]}",
            "unexpected value at `#/type/1`",
        ),
        // The form of a tuple in older drafts.
        ("{\"items\":[{}]}", "unexpected value at `#/items`"),
        ("{\"properties\":[]}", "unexpected value at `#/properties`"),
        (
            "{\"properties\":{\"a\\n\":1}}",
            "unexpected value at `#/properties/a\\n`",
        ),
        ("{\"required\":true}", "unexpected value at `#/required`"),
        ("{\"$ref\":5}", "unexpected value at `#/$ref`"),
        ("{\"anyOf\":{}}", "unexpected value at `#/anyOf`"),
        (
            "{\"items\":{\"prefixItems\":5}}",
            "unexpected value at `#/items/prefixItems`",
        ),
    ] {
        let error = refused(&of_schema(schema, true));
        assert_eq!(error.kind(), ErrorKind::Config, "{schema}");
        assert_eq!(error.to_string(), format!("{begins} {what}"));
        // The text may come from the caller.
        assert!(std::error::Error::source(&error).is_none());
    }
}

#[test]
fn an_endless_schema_is_refused() {
    for (open, close) in [("{\"items\":", "}"), ("{\"anyOf\":[", "]}")] {
        for depth in [65, 100_000] {
            let schema = format!("{}{{}}{}", open.repeat(depth), close.repeat(depth));
            let error = refused(&of_schema(&schema, true));
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{depth}");
        }
    }
    let mut schema = String::from("{}");
    for _ in 0..64 {
        schema = format!("{{\"items\":{schema}}}");
    }
    Service::Cerebras.check(&of_schema(&schema, true)).unwrap();
}

#[test]
fn an_endless_chain_of_references_is_refused() {
    let of = |count: usize| {
        let definitions = (0..count).map(|number| {
            let next = number + 1;
            format!("\"D{number}\":{{\"items\":{{\"$ref\":\"#/$defs/D{next}\"}}}}")
        });
        let definitions = definitions.collect::<Vec<_>>().join(",");
        let schema = format!(
            "{{\"$ref\":\"#/$defs/D0\",\"$defs\":{{{definitions},\"D{count}\":{{\"type\":\"null\"}}}}}}"
        );
        of_schema(&schema, true)
    };
    Service::Cerebras.check(&of(30)).unwrap();
    let error = refused(&of(50_000)).to_string();
    assert!(error.contains("more than 64 levels"), "{error}");
}

#[test]
fn a_small_schema_does_not_become_a_huge_one() {
    let is_refused = |schema: &str| {
        let error = refused(&of_schema(schema, true));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            error.to_string().contains("64 levels or 65,536 schemas"),
            "{error}"
        );
    };
    // Each level doubles the size of the one below.
    let mut definitions = String::from("\"D0\":{\"type\":\"object\"}");
    for level in 1..30 {
        let below = format!(
            "{{\"$ref\":\"#/$defs/D{}\",\"type\":\"object\"}}",
            level - 1
        );
        definitions = format!(
            "{definitions},\"D{level}\":{{\"properties\":{{\"a\":{below},\"b\":{below}}}}}"
        );
    }
    let schema = format!("{{\"$ref\":\"#/$defs/D29\",\"$defs\":{{{definitions}}}}}");
    is_refused(&schema);
}

#[test]
fn a_schema_with_unsupported_keywords_is_refused_by_policy() {
    let schema = r#"{"type":"string","minLength":1}"#;
    let request = of_schema(schema, true).on_unsupported(OnUnsupported::Error);
    assert_eq!(
        refused(&request).to_string(),
        "cerebras does not support `response_format#/minLength`: the service does not support this \
         keyword; remove it, or set `on_unsupported` to drop it"
    );
}
