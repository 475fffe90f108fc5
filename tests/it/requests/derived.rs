//! Schemas that `schemars` generates, rewritten for a service.

use std::collections::{BTreeMap, HashMap};

use inferstream_core::Json;
use inferstream_openai_compat::json_schema;
use schemars::JsonSchema;
use serde::Deserialize;

use super::schemas::{of_schema, refused, sent};

#[derive(JsonSchema)]
#[allow(dead_code)]
struct Inner {
    a: String,
    b: Option<bool>,
}

#[derive(JsonSchema)]
#[allow(dead_code)]
enum External {
    Unit,
    Struct { a: String },
    Newtype(Inner),
    Tuple(String, bool),
}

#[derive(JsonSchema)]
#[serde(tag = "kind")]
#[allow(dead_code)]
enum Internal {
    Unit,
    /// A variant with a description.
    Struct {
        a: String,
    },
    Newtype(Inner),
}

#[derive(JsonSchema)]
#[serde(tag = "t", content = "c")]
#[allow(dead_code)]
enum Adjacent {
    Unit,
    Newtype(Inner),
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Untagged {
    Text(String),
    Object(Inner),
}

#[derive(JsonSchema)]
#[allow(dead_code)]
struct Flattened {
    own: String,
    #[serde(flatten)]
    inner: Inner,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Denying {
    /// A described reference.
    inner: Inner,
    list: Vec<Option<Inner>>,
    pair: (String, bool),
    map: BTreeMap<String, bool>,
}

/// Rewrites the schema of a type in strict mode, and returns the pointers of dropped keywords.
fn lost<T: JsonSchema>() -> Vec<String> {
    let (text, list) = sent(json_schema::<T>().as_str(), true);
    assert!(text.contains("\"additionalProperties\":false"), "{text}");
    let names = list.iter().map(|one| one.field.rsplit_once('#').unwrap().1);
    names.map(str::to_owned).collect()
}

#[test]
fn enums_and_flattened_structs_lose_nothing() {
    assert_eq!(lost::<Internal>(), [] as [&str; 0]);
    assert_eq!(lost::<Adjacent>(), [] as [&str; 0]);
    assert_eq!(lost::<Untagged>(), [] as [&str; 0]);
    assert_eq!(lost::<Flattened>(), [] as [&str; 0]);
}

#[test]
fn lengths_of_tuples_and_values_of_maps_are_named_as_lost() {
    assert_eq!(
        lost::<External>(),
        [
            "/oneOf/3/properties/Tuple/minItems",
            "/oneOf/3/properties/Tuple/maxItems"
        ]
    );
    assert_eq!(
        lost::<Denying>(),
        [
            "/properties/pair/minItems",
            "/properties/pair/maxItems",
            "/properties/map/additionalProperties"
        ]
    );
}

const INNER: &str = r#""Inner":{"type":"object","properties":{"a":{"type":"string"},"b":{"anyOf":[{"type":"boolean"},{"type":"null"}]}},"required":["a"],"additionalProperties":false}"#;

/// Checks the rewritten schema of a type without its definitions, which are `INNER` or nothing.
#[track_caller]
fn check_type<T: JsonSchema>(expected: &str) {
    let (text, _) = sent(json_schema::<T>().as_str(), true);
    let text = text.replace(&format!(",\"$defs\":{{{INNER}}}"), "");
    assert_eq!(text, expected);
}

#[test]
fn the_variants_of_an_enum_become_alternatives() {
    check_type::<External>(concat!(
        r#"{"anyOf":[{"type":"string","enum":["Unit"]},"#,
        r#"{"type":"object","properties":{"Struct":{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}},"required":["Struct"],"additionalProperties":false},"#,
        r##"{"type":"object","properties":{"Newtype":{"$ref":"#/$defs/Inner"}},"required":["Newtype"],"additionalProperties":false},"##,
        r#"{"type":"object","properties":{"Tuple":{"type":"array","prefixItems":[{"type":"string"},{"type":"boolean"}]}},"required":["Tuple"],"additionalProperties":false}],"title":"External"}"#,
    ));
    // A newtype variant is a `$ref` with siblings, which is merged.
    check_type::<Internal>(concat!(
        r#"{"anyOf":[{"type":"object","properties":{"kind":{"type":"string","enum":["Unit"]}},"required":["kind"],"additionalProperties":false},"#,
        r#"{"type":"object","properties":{"kind":{"type":"string","enum":["Struct"]},"a":{"type":"string"}},"required":["kind","a"],"description":"A variant with a description.","additionalProperties":false},"#,
        r#"{"type":"object","properties":{"kind":{"type":"string","enum":["Newtype"]},"a":{"type":"string"},"b":{"anyOf":[{"type":"boolean"},{"type":"null"}]}},"required":["kind","a"],"additionalProperties":false}],"title":"Internal"}"#,
    ));
    check_type::<Adjacent>(concat!(
        r#"{"anyOf":[{"type":"object","properties":{"t":{"type":"string","enum":["Unit"]}},"required":["t"],"additionalProperties":false},"#,
        r##"{"type":"object","properties":{"t":{"type":"string","enum":["Newtype"]},"c":{"$ref":"#/$defs/Inner"}},"required":["t","c"],"additionalProperties":false}],"title":"Adjacent"}"##,
    ));
    check_type::<Untagged>(
        r##"{"anyOf":[{"type":"string"},{"$ref":"#/$defs/Inner"}],"title":"Untagged"}"##,
    );
}

#[test]
fn a_flattened_enum_is_refused() {
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Holder {
        own: String,
        #[serde(flatten)]
        internal: Internal,
    }
    let error = refused(&of_schema(json_schema::<Holder>().as_str(), true));
    assert_eq!(
        error.to_string(),
        "unsupported JSON schema in `response_format`: `anyOf` that cannot be merged with others \
         for the same value at `#/oneOf`; write one schema that means both"
    );
}

#[test]
fn names_maps_and_inlined_enums_are_rewritten() {
    #[derive(JsonSchema)]
    #[serde(rename = "odd/~")]
    #[allow(dead_code)]
    struct Odd {
        x: bool,
    }
    #[derive(JsonSchema)]
    #[schemars(inline)]
    #[allow(dead_code)]
    enum Inlined {
        A,
    }
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Holder {
        odd: Odd,
        inlined: Option<Inlined>,
        by_number: HashMap<u32, bool>,
    }
    let (text, list) = sent(json_schema::<Holder>().as_str(), true);
    assert_eq!(
        text,
        concat!(
            r##"{"type":"object","properties":{"odd":{"$ref":"#/$defs/odd~1~0"},"##,
            r#""inlined":{"anyOf":[{"type":"string","enum":["A"]},{"type":"null","enum":[null]}]},"#,
            r#""by_number":{"type":"object","properties":{},"additionalProperties":false}},"#,
            r#""required":["odd","by_number"],"title":"Holder","additionalProperties":false,"#,
            r#""$defs":{"odd/~":{"type":"object","properties":{"x":{"type":"boolean"}},"required":["x"],"additionalProperties":false}}}"#,
        )
    );
    let fields = list.iter().map(|one| one.field.as_str());
    let expected = ["response_format#/properties/by_number/patternProperties"];
    assert_eq!(fields.collect::<Vec<_>>(), expected);
}

#[test]
fn recursive_types_and_types_without_values_are_refused() {
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Tree {
        children: Vec<Tree>,
    }
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Forest {
        trees: Vec<Tree>,
    }
    #[derive(JsonSchema)]
    enum Never {}
    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Impossible {
        never: Never,
    }
    let check = |schema: Json, what: &str| {
        let error = refused(&of_schema(schema.as_str(), true)).to_string();
        assert!(error.contains(what), "{error}");
    };
    check(json_schema::<Tree>(), "a reference to itself at `#`");
    check(
        json_schema::<Forest>(),
        "a reference to itself at `#/$defs/Tree`",
    );
    check(json_schema::<Impossible>(), "`false` at `#/$defs/Never`");
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
struct Film {
    title: String,
    /// The year of the first showing.
    year: u16,
    director: Option<String>,
    kind: Kind,
    cast: Vec<Person>,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
struct Person {
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Without sound.
    Silent,
    Talkie,
}

#[test]
fn the_schema_of_a_type_is_adapted() {
    let (text, list) = sent(json_schema::<Film>().as_str(), true);
    let expected = concat!(
        r#"{"type":"object","properties":{"title":{"type":"string"},"#,
        r#""year":{"type":"integer","description":"The year of the first showing."},"#,
        r##""director":{"anyOf":[{"type":"string"},{"type":"null"}]},"kind":{"$ref":"#/$defs/Kind"},"##,
        r##""cast":{"type":"array","items":{"$ref":"#/$defs/Person"}}},"##,
        r#""required":["title","year","kind","cast"],"title":"Film","additionalProperties":false,"$defs":{"#,
        r#""Kind":{"anyOf":[{"type":"string","enum":["talkie"]},"#,
        r#"{"type":"string","enum":["silent"],"description":"Without sound."}]},"#,
        r#""Person":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"],"#,
        r#""additionalProperties":false}}}"#,
    );
    assert_eq!(text, expected);
    let fields = list.iter().map(|one| one.field.as_str());
    let year = "response_format#/properties/year";
    let expected = ["format", "minimum", "maximum"].map(|name| format!("{year}/{name}"));
    assert_eq!(fields.collect::<Vec<_>>(), expected);
}
