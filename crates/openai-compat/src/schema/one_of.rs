//! Decides whether two alternatives of a `oneOf` exclude each other.

use serde_json::Value;

/// Returns true if it is certain that no value matches both schemas.
pub(super) fn exclude(one: &Value, other: &Value) -> bool {
    // `nullable` makes `null` valid, whatever the other keywords are.
    if [one, other].iter().any(|it| it.get("nullable").is_some()) {
        return false;
    }
    let (values, others) = (strings(one), strings(other));
    if !values.is_empty() && !others.is_empty() {
        return values.iter().all(|value| !others.contains(value));
    }
    match (type_of(one, &values), type_of(other, &others)) {
        (Some("object"), Some("object")) => by_property(one, other) || by_property(other, one),
        (Some(own), Some(its)) => own != its,
        _ => false,
    }
}

/// Returns true if a property that one schema requires has no value that the other one accepts.
fn by_property(one: &Value, other: &Value) -> bool {
    let is_closed = other["additionalProperties"] == false && other["patternProperties"].is_null();
    let required = one["required"].as_array().into_iter().flatten();
    required.filter_map(Value::as_str).any(|name| {
        let (own, its) = (&one["properties"][name], &other["properties"][name]);
        exclude(own, its) || its.is_null() && is_closed
    })
}

/// Returns the type of the values that a schema accepts, with `number` for integers too.
fn type_of<'a>(schema: &'a Value, strings: &[&str]) -> Option<&'a str> {
    match schema["type"].as_str() {
        None if !strings.is_empty() => Some("string"),
        Some("integer") => Some("number"),
        kind => kind,
    }
}

/// Returns the values that a schema accepts, if it lists them and they are strings.
fn strings(schema: &Value) -> Vec<&str> {
    match (&schema["const"], &schema["enum"]) {
        (Value::Null, Value::Array(list)) => {
            let strings = list.iter().map(Value::as_str);
            strings.collect::<Option<_>>().unwrap_or_default()
        }
        (constant, _) => constant.as_str().into_iter().collect(),
    }
}
