//! Schemas composed with `allOf`, `anyOf`, `oneOf` and `$ref`.

use inferstream_core::{ErrorKind, OnUnsupported};
use inferstream_openai_compat::SchemaRules;
use proptest::prelude::*;
use serde_json::json;

use super::{
    Service, body, compatible,
    schemas::{check, of_schema, refused, sent},
    wire,
};

#[test]
fn compatible_keywords_are_merged() {
    check(
        r#"{"allOf":[{"type":"string"},{"enum":["a"]}]}"#,
        r#"{"type":"string","enum":["a"]}"#,
        &[],
    );
    check(
        r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"allOf":[{"properties":{"b":{"type":"null"}},"required":["b"]}]}"#,
        r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"null"}},"required":["a","b"],"additionalProperties":false}"#,
        &[],
    );
    check(
        r#"{"allOf":[{"title":"t","allOf":[{"type":"integer"},{"type":"integer"}]}],"title":"u"}"#,
        r#"{"title":"u","type":"integer"}"#,
        &[],
    );
    // It is ambiguous which description belongs to the definition and which to the property.
    check(
        r##"{"$defs":{"A":{"type":"string","description":"its"}},"$ref":"#/$defs/A","enum":["a"],"description":"own"}"##,
        r#"{"enum":["a"],"description":"own","type":"string"}"#,
        &[],
    );
}

#[test]
fn a_keyword_is_named_with_its_original_position() {
    let lost = ["/minimum", "/allOf/0/minimum", "/allOf/1/allOf/0/minimum"];
    check(
        r#"{"allOf":[{"minimum":1},{"allOf":[{"minimum":2}]}],"minimum":3,"type":"integer"}"#,
        r#"{"type":"integer"}"#,
        &lost,
    );
}

#[test]
fn a_list_of_types_becomes_alternatives() {
    // Each alternative has the values of its type.
    check(
        r#"{"type":["string","null"],"enum":["a",null]}"#,
        r#"{"anyOf":[{"type":"string","enum":["a"]},{"type":"null","enum":[null]}]}"#,
        &[],
    );
    // It adds `null` to everything else.
    check(
        r#"{"type":"string","nullable":true,"enum":["a"],"description":"d"}"#,
        r#"{"description":"d","anyOf":[{"type":"string","enum":["a"]},{"type":"null"}]}"#,
        &[],
    );
    check(
        r#"{"type":["integer","null"],"anyOf":[{"title":"a"},{"title":"b"}]}"#,
        concat!(
            r#"{"anyOf":[{"type":"integer","anyOf":[{"title":"a"},{"title":"b"}]},"#,
            r#"{"type":"null","anyOf":[{"title":"a"},{"title":"b"}]}]}"#
        ),
        &[],
    );
}

#[test]
fn keywords_of_other_types_are_not_sent() {
    check(
        r#"{"type":"string","properties":{"a":{"type":"null"}},"required":["a"],"items":{}}"#,
        r#"{"type":"string"}"#,
        &[],
    );
    check(
        r#"{"type":"string","minimum":1}"#,
        r#"{"type":"string"}"#,
        &["/minimum"],
    );
}

#[test]
fn closed_objects_do_not_forbid_each_other() {
    check(
        r##"{"$defs":{"B":{"type":"object","properties":{"b":{"type":"null"}}}},"$ref":"#/$defs/B","properties":{"a":{"type":"null"}}}"##,
        r#"{"properties":{"a":{"type":"null"},"b":{"type":"null"}},"type":"object","additionalProperties":false}"#,
        &[],
    );
    // An open object needs none of this.
    let open = r#"{"type":"object","properties":{"a":{}},"anyOf":[{"properties":{"b":{}}}]}"#;
    assert_eq!(sent(open, false).0, open);
}

#[test]
fn required_names_are_sent_once() {
    check(
        r#"{"type":"object","properties":{"a":{"type":"null"}},"required":["a","a"],"allOf":[{"required":["a"]}]}"#,
        r#"{"type":"object","properties":{"a":{"type":"null"}},"required":["a"],"additionalProperties":false}"#,
        &[],
    );
    check(
        r#"{"additionalProperties":false}"#,
        r#"{"properties":{},"additionalProperties":false}"#,
        &[],
    );
}

#[test]
fn one_of_becomes_any_of_if_the_alternatives_exclude_each_other() {
    let told = |alternatives: &str, names: &[&str]| {
        let schema = format!("{{\"oneOf\":[{alternatives}]}}");
        let (_, left_out) = sent(&schema, true);
        let fields = left_out.iter().map(|one| one.field.as_str());
        let expected = names.iter().map(|at| format!("response_format#{at}"));
        assert!(fields.eq(expected), "{schema} {left_out:?}");
    };
    let object = |name: &str, schema: &str| {
        format!(
            "{{\"type\":\"object\",\"properties\":{{\"{name}\":{schema}}},\"required\":[\"{name}\"]}}"
        )
    };
    told(r#"{"type":"string"},{"type":"null"}"#, &[]);
    told(r#"{"type":"string"},{"type":"number"}"#, &["/oneOf"]);
    told(
        r#"{"type":"string","const":"a"},{"type":"string","enum":["b","c"]}"#,
        &[],
    );
    told(r#"{"type":"string","const":"a"},{"type":"integer"}"#, &[]);
    let tagged = [
        object("kind", r#"{"type":"string","const":"a"}"#),
        object("kind", r#"{"type":"string","enum":["b"]}"#),
    ];
    told(&tagged.join(","), &[]);
    // An object with both properties matches both.
    told(
        &[object("a", "{}"), object("b", "{}")].join(","),
        &["/oneOf"],
    );
    let closed = ["a", "b"].map(|name| {
        let open = object(name, "{}");
        format!(
            "{},\"additionalProperties\":false}}",
            &open[..open.len() - 1]
        )
    });
    told(&closed.join(","), &[]);
    // A property that matches the pattern is allowed.
    let pattern = r#"{"type":"object","additionalProperties":false,"patternProperties":{"a":{}}}"#;
    let (_, left_out) = sent(&format!("{{\"oneOf\":[{},{pattern}]}}", closed[0]), true);
    assert_eq!(left_out[0].field, "response_format#/oneOf");
    // Definitions are not compared.
    let (_, left_out) = sent(
        r##"{"oneOf":[{"$ref":"#/$defs/A"},{"type":"null"}],"$defs":{"A":{"type":"string"}}}"##,
        true,
    );
    assert_eq!(left_out[0].field, "response_format#/oneOf");
    told(
        r#"{"type":"string","nullable":true},{"type":"integer","nullable":true}"#,
        &["/oneOf"],
    );
    told(r#"{"type":"string"},{"enum":["a"]}"#, &["/oneOf"]);
    told(
        r#"{"type":"string"},{"type":"string","enum":["a"]}"#,
        &["/oneOf"],
    );
    // Only strings are compared.
    told(r#"{"const":1},{"const":2}"#, &["/oneOf"]);
    told(
        r#"{"type":"integer","const":1},{"type":"integer","const":2}"#,
        &["/oneOf"],
    );
    told(r#"{"enum":[1e400]}"#, &["/oneOf"]);
    told(r#"{"type":"integer"},{"type":"number"}"#, &["/oneOf"]);
    told(r#"{"properties":{"a":{}}},{"type":"object"}"#, &["/oneOf"]);
    let request = of_schema(r#"{"oneOf":[{},{}]}"#, true);
    let request = request.on_unsupported(OnUnsupported::Error);
    assert_eq!(
        refused(&request).to_string(),
        "cerebras does not support `response_format#/oneOf`: `anyOf` is sent, which accepts values \
         that match several; remove it, or set `on_unsupported` to drop it"
    );
}

#[test]
fn unused_definitions_are_not_sent() {
    check(
        r##"{"type":"string","$defs":{"Tree":{"items":{"$ref":"#/$defs/Tree"}},"B":{"minLength":1}}}"##,
        r#"{"type":"string"}"#,
        &[],
    );
}

#[test]
fn references_may_have_escaped_names() {
    let escaped = r##"{"$ref":"#/$defs/a b~1c~0d","$defs":{"a b/c~d":{"type":"null"}}}"##;
    check(escaped, escaped, &[]);
    check(
        r##"{"definitions":{"é":{"type":"null"}},"$ref":"#\/definitions\/\u00e9"}"##,
        r##"{"$ref":"#/$defs/é","$defs":{"é":{"type":"null"}}}"##,
        &[],
    );
}

#[test]
fn recursive_schemas_are_kept_if_supported() {
    let put = |schema: &str| {
        let wire = wire();
        let rules = SchemaRules::new().recursion(true);
        let provider = compatible(&wire, |builder| builder.schema_rules(rules));
        let sent = body(&*provider, &wire, of_schema(schema, false));
        sent["response_format"]["json_schema"]["schema"].clone()
    };
    let list = json!({ "type": "array", "items": { "$ref": "#" } });
    assert_eq!(put(&list.to_string()), list);
    let tree = json!({
        "$defs": { "Tree": { "type": "object", "properties": {
            "left": { "$ref": "#/$defs/Tree", "description": "d" },
        } } },
        "$ref": "#/$defs/Tree",
    });
    assert_eq!(put(&tree.to_string()), tree);
}

#[test]
fn numbers_are_sent_as_written() {
    let schema = r#"{"enum":[1.0,-0.0,1e400,12345678901234567890123,0.10]}"#;
    check(schema, schema, &[]);
}

#[test]
fn a_huge_schema_is_read_once() {
    let count = 50_000;
    let properties = (0..count).map(|number| format!("\"p{number}\":{{\"minLength\":1}}"));
    let properties = properties.collect::<Vec<_>>().join(",");
    let required = (0..count).map(|number| format!("\"p{number}\""));
    let required = required.collect::<Vec<_>>().join(",");
    let schema = format!(
        "{{\"type\":\"object\",\"properties\":{{{properties}}},\"required\":[{required}]}}"
    );
    let list = Service::Cerebras.check(&of_schema(&schema, true)).unwrap();
    assert_eq!(list.len(), count);

    let alternatives =
        (0..256).map(|number| format!("{{\"type\":\"string\",\"const\":\"p{number}\"}}"));
    let alternatives = alternatives.collect::<Vec<_>>().join(",");
    let schema = format!("{{\"oneOf\":[{alternatives}],\"enum\":[{required}]}}");
    assert_eq!(
        Service::Cerebras.check(&of_schema(&schema, true)).unwrap(),
        []
    );
}

proptest! {
    #[test]
    fn any_json_is_rewritten_or_refused(
        text in r#"(\{|\}|\[|\]|,|:|"(type|anyOf|allOf|oneOf|\$ref|#|items|properties|object|a|\$defs|nullable|required|enum)"|true|false|1|null){0,24}"#,
    ) {
        for strict in [true, false] {
            if let Err(error) = Service::Cerebras.check(&of_schema(&text, strict)) {
                prop_assert!(matches!(error.kind(), ErrorKind::Config | ErrorKind::Unsupported));
            }
        }
    }
}
