//! Decides whether the alternatives of a `oneOf` exclude each other, so that `anyOf` means the
//! same.

use serde_json::Value;

/// The most alternatives that are compared with each other.
const MAX_ALTERNATIVES: usize = 256;

/// Returns the `$ref` of a schema that has no other keyword.
pub(super) fn only_reference(schema: &Value) -> Option<&str> {
    let members = schema.as_object()?;
    members.get("$ref")?.as_str().filter(|_| members.len() == 1)
}

/// Returns true if it is certain that no value matches two of the schemas.
pub(super) fn exclude_each_other(schemas: &[Value]) -> bool {
    let mut pairs = schemas.iter().enumerate().flat_map(|(index, one)| {
        let others = schemas[..index].iter();
        others.map(move |other| (one, other))
    });
    schemas.len() <= MAX_ALTERNATIVES && pairs.all(|(one, other)| exclude(one, other))
}

fn exclude(one: &Value, other: &Value) -> bool {
    // `nullable` makes `null` valid, whatever the other keywords are.
    if [one, other].iter().any(|it| it.get("nullable").is_some()) {
        return false;
    }
    if let (Some(values), Some(others)) = (values(one), values(other)) {
        if !values
            .iter()
            .any(|one| others.iter().any(|it| may_be_equal(one, it)))
        {
            return true;
        }
    }
    let (Some(types), Some(other_types)) = (types(one), types(other)) else {
        return false;
    };
    !types.iter().any(|name| other_types.contains(name))
        || types == ["object"]
            && other_types == ["object"]
            && (by_property(one, other) || by_property(other, one))
}

/// Returns true if a property that one schema requires has no value that the other one accepts.
fn by_property(one: &Value, other: &Value) -> bool {
    let required = one["required"].as_array().into_iter().flatten();
    required.filter_map(Value::as_str).any(|name| {
        let (own, its) = (&one["properties"][name], &other["properties"][name]);
        exclude(own, its) || its.is_null() && is_closed(other)
    })
}

/// Returns true if a schema forbids all properties that it does not name itself. Schemas that are
/// merged into it may name more.
fn is_closed(schema: &Value) -> bool {
    let more = ["$ref", "allOf", "anyOf", "oneOf", "patternProperties"];
    schema["additionalProperties"] == false && more.iter().all(|name| schema.get(name).is_none())
}

fn values(schema: &Value) -> Option<Vec<&Value>> {
    match schema.get("const") {
        Some(value) => Some(vec![value]),
        None => Some(schema.get("enum")?.as_array()?.iter().collect()),
    }
}

/// Returns the types of the values that match, with `number` for integers too.
fn types(schema: &Value) -> Option<Vec<&str>> {
    if let Some(values) = values(schema) {
        let types = values.into_iter().map(|value| match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        });
        return Some(types.collect());
    }
    let list = match schema.get("type")? {
        Value::Array(list) => list.iter().collect(),
        name => vec![name],
    };
    let types = list.into_iter().map(|name| match name.as_str()? {
        "integer" => Some("number"),
        name => Some(name),
    });
    types.collect()
}

/// Returns true if two values may be equal. `1` and `1.0` are equal; two lists or two objects
/// always may be, because their contents are not compared.
fn may_be_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => true,
        _ => one == other,
    }
}
