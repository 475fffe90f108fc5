//! Removal of the keyword `$schema` from JSON schemas before they are sent.

use std::{borrow::Cow, fmt};

use inferstream_core::Json;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The deepest level that is searched. Services refuse schemas with far fewer levels.
const MAX_DEPTH: u32 = 128;

/// Keywords whose value is a schema, or a list of schemas (JSON Schema 2020-12, chapter 10, and the
/// drafts before it).
const SCHEMAS: [&str; 18] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "disallow",
    "else",
    "extends",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords whose value is an object of schemas by name.
const NAMED_SCHEMAS: [&str; 6] = [
    "$defs",
    "definitions",
    "dependencies",
    "dependentSchemas",
    "patternProperties",
    "properties",
];

/// Members of a request, below `response_format` and `tools`, whose value is or holds a schema.
const WRAPPERS: [&str; 4] = ["function", "json_schema", "parameters", "schema"];

/// Returns the value of a request's member without the keyword `$schema` in the schemas that it
/// holds.
pub(crate) fn in_member<'a>(name: &str, json: &'a str) -> Cow<'a, str> {
    match name {
        "response_format" | "tools" => in_schema(json, 0),
        _ => json.into(),
    }
}

/// Returns a JSON schema without the keyword `$schema`, at any depth; the rest stays as it is
/// written.
///
/// The keyword names the dialect of JSON Schema for validators. It says nothing to a model, and
/// strict services refuse it. Properties of that name stay, and so do values in `const`, `enum`,
/// `default` and `examples`. Text that is not JSON, or is nested more than 128 levels deep, is
/// returned unchanged.
///
/// ```
/// use inferstream_core::Json;
/// use inferstream_openai_compat::without_schema_uri;
///
/// let schema = r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}"#;
/// let sent = without_schema_uri(&Json::from_text(schema));
/// assert_eq!(sent.as_str(), r#"{"type":"object"}"#);
/// ```
pub fn without_schema_uri(schema: &Json) -> Json {
    Json::from_text(in_schema(schema.as_str(), 0))
}

fn in_schema(json: &str, depth: u32) -> Cow<'_, str> {
    // `$schema` may be written with escapes, so the text is searched too if it has any.
    if MAX_DEPTH < depth || !json.contains("$schema") && !json.contains("\\u") {
        return json.into();
    }
    match json.trim_start().as_bytes().first() {
        Some(b'{') => members(json, |name, value| match name {
            "$schema" => None,
            _ if SCHEMAS.contains(&name) || WRAPPERS.contains(&name) => {
                Some(in_schema(value, depth + 1))
            }
            _ if NAMED_SCHEMAS.contains(&name) => Some(in_named(value, depth + 1)),
            _ => Some(value.into()),
        }),
        Some(b'[') => in_list(json, depth),
        _ => json.into(),
    }
}

fn in_named(json: &str, depth: u32) -> Cow<'_, str> {
    members(json, |_, schema| Some(in_schema(schema, depth + 1)))
}

fn in_list(json: &str, depth: u32) -> Cow<'_, str> {
    let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(json) else {
        return json.into();
    };
    let list = list.iter().map(|one| in_schema(one.get(), depth + 1));
    let list = list.collect::<Vec<_>>();
    if list.iter().all(|one| matches!(one, Cow::Borrowed(_))) {
        return json.into();
    }
    format!("[{}]", list.join(",")).into()
}

/// Changes the members of an object, and removes those that become `None`. If no member changes,
/// the text is returned as it is written.
fn members<'a>(
    json: &'a str,
    change: impl Fn(&str, &'a str) -> Option<Cow<'a, str>>,
) -> Cow<'a, str> {
    let Ok(Members(list)) = serde_json::from_str::<Members<'a>>(json) else {
        return json.into();
    };
    let mut is_changed = false;
    let mut written = String::from("{");
    for (name, value) in list {
        let value = change(&name, value.get());
        is_changed |= !matches!(value, Some(Cow::Borrowed(_)));
        let Some(value) = value else { continue };
        if 1 < written.len() {
            written.push(',');
        }
        written.push_str(Json::from(name).as_str());
        written.push(':');
        written.push_str(&value);
    }
    written.push('}');
    if is_changed {
        written.into()
    } else {
        json.into()
    }
}

/// The members of an object in their order, as they are written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Reader).map(Self)
    }
}
