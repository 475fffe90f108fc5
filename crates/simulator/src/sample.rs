//! Sample values for JSON schemas.

use fastrand::Rng;
use serde_json::{Map, Value};

/// The maximum depth; a schema that refers to itself has no end.
const MAX_DEPTH: usize = 8;

/// Generates a value that matches the schema, with `word` for its strings.
///
/// Supports types, `enum`, `const`, `properties`, `items`, the first of `anyOf`, and `$ref` within
/// the schema; ignores limits on lengths and numbers, and patterns.
pub(crate) fn value(rng: &mut Rng, schema: &Value, word: &str) -> Value {
    Sample {
        root: schema,
        word,
        rng,
    }
    .value(schema, MAX_DEPTH)
}

struct Sample<'a> {
    root: &'a Value,
    word: &'a str,
    rng: &'a mut Rng,
}

impl Sample<'_> {
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        let Some(depth) = depth.checked_sub(1) else {
            return Value::Null;
        };
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.root.pointer(reference.trim_start_matches('#'));
            return match target {
                Some(target) => self.value(target, depth),
                None => Value::Null,
            };
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(first) = schema.pointer("/enum/0") {
            return first.clone();
        }
        if let Some(first) = schema.pointer("/anyOf/0") {
            return self.value(first, depth);
        }
        match type_name(schema) {
            "array" => match schema.get("items") {
                Some(items) => Value::Array(vec![self.value(items, depth)]),
                None => Value::Array(Vec::new()),
            },
            "boolean" => Value::Bool(self.rng.bool()),
            "integer" => Value::from(self.rng.u8(1..10)),
            "number" => Value::from(f64::from(self.rng.u8(1..100)) / 4.0),
            "null" => Value::Null,
            "string" => Value::from(self.word),
            _ => self.object(schema, depth),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let properties = schema.get("properties").and_then(Value::as_object);
        let values = properties
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.clone(), self.value(schema, depth)));
        Value::Object(values.collect::<Map<_, _>>())
    }
}

fn type_name(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        // A list of types such as `["string", "null"]`.
        Some(Value::Array(names)) => names.first().and_then(Value::as_str).unwrap_or_default(),
        _ => "object",
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use serde_json::{Value, json};

    use super::value;

    #[track_caller]
    fn check(schema: &Value, expected: &Value) {
        assert_eq!(value(&mut Rng::with_seed(0), schema, "sky"), *expected);
    }

    #[test]
    fn an_object_has_its_properties() {
        check(
            &json!({
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "unit": {"enum": ["C", "F"]},
                    "tags": {"type": "array", "items": {"type": ["string", "null"]}},
                },
            }),
            &json!({"city": "sky", "unit": "C", "tags": ["sky"]}),
        );
    }

    #[test]
    fn a_reference_is_followed() {
        check(
            &json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}),
            &json!("sky"),
        );
    }

    #[test]
    fn a_recursive_schema_ends() {
        check(&json!({"$ref": "#"}), &Value::Null);
    }
}
