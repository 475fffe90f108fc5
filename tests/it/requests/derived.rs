//! Schemas that `schemars` generates, rewritten for a service.

use std::collections::BTreeMap;

use inferstream_openai_compat::json_schema;
use schemars::JsonSchema;

use super::schemas::sent;

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
    #[serde(flatten)]
    internal: Internal,
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
