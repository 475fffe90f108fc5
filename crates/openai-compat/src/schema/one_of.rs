//! Decides whether the alternatives of a `oneOf` exclude each other.

use serde_json::Value;

/// Returns true if it is certain that no value matches two alternatives. Numbers that `serde_json`
/// cannot read, and more than 256 alternatives, are not compared.
pub(super) fn is_exclusive(json: &str) -> bool {
    let list = serde_json::from_str::<Vec<Value>>(json).unwrap_or_default();
    let excludes = |(index, one)| list[..index].iter().all(|other| exclude(other, one));
    (1..=256).contains(&list.len()) && list.iter().enumerate().all(excludes)
}

/// Compares what people and `schemars` write: types, constants of strings, and objects with a
/// required property that has different constants, or that the other schema forbids.
fn exclude(one: &Value, other: &Value) -> bool {
    match (one["type"].as_str(), other["type"].as_str()) {
        // It adds `null` to the type.
        _ if one.get("nullable").or(other.get("nullable")).is_some() => false,
        (Some("string"), Some("string")) => {
            let (own, its) = (constants(one), constants(other));
            !own.is_empty() && !its.is_empty() && own.iter().all(|value| !its.contains(value))
        }
        (Some("object"), Some("object")) => {
            let forbids = other["additionalProperties"] == false;
            let forbids = forbids && other.get("patternProperties").is_none();
            let names = one["required"].as_array().into_iter().flatten();
            names.filter_map(Value::as_str).any(|name| {
                let (own, its) = (&one["properties"][name], &other["properties"][name]);
                exclude(own, its) || forbids && its.is_null()
            })
        }
        // An integer is a number, too.
        (Some(own), Some(its)) => own != its && ![own, its].contains(&"number"),
        _ => false,
    }
}

/// Returns the values of a `const` or an `enum`.
fn constants(schema: &Value) -> Vec<&Value> {
    let list = schema["enum"].as_array().into_iter().flatten();
    schema.get("const").into_iter().chain(list).collect()
}
