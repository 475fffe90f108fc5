//! Removal of the keyword `$schema` from JSON schemas before they are sent.

use std::borrow::Cow;

use inferstream_core::Json;
use serde_json::value::RawValue;

use crate::members::Members;

/// The deepest level that is searched. Services refuse schemas with far fewer levels.
const MAX_DEPTH: u32 = 128;

/// Keywords whose value is data and not a schema.
const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];

/// Returns the value of a request's member without the keyword `$schema` in the schemas that it
/// holds.
pub(crate) fn in_member<'a>(name: &str, json: &'a str) -> Cow<'a, str> {
    match name {
        "response_format" | "tools" => in_value(json, 0),
        _ => json.into(),
    }
}

/// Returns a JSON schema without the keyword `$schema`, at any depth; the rest stays as it is
/// written.
///
/// The keyword names the dialect of JSON Schema for validators. It has no meaning for a model, and
/// strict services refuse it. Properties of that name stay, and so do values in `const`, `enum`,
/// `default`, `examples` and members that begin with `x-`. Text that is not JSON, or is nested more
/// than 128 levels deep, is returned unchanged.
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
    Json::from_text(in_value(schema.as_str(), 0))
}

/// Returns a value as it is written, without the keyword in its objects.
fn in_value(json: &str, depth: u32) -> Cow<'_, str> {
    // `$schema` may be written with escapes, so the text is searched too if it has any.
    if MAX_DEPTH < depth || !json.contains("$schema") && !json.contains("\\u") {
        return json.into();
    }
    let (mut is_changed, mut parts) = (false, Vec::new());
    if let Ok(Members(list)) = serde_json::from_str(json) {
        for (name, value) in list {
            let value = value.get();
            // The keyword's value is a string, and that of a property of this name is a schema.
            if name == "$schema" && value.starts_with('"') {
                is_changed = true;
                continue;
            }
            let value = match name.as_str() {
                name if DATA.contains(&name) || name.starts_with("x-") => value.into(),
                _ => in_value(value, depth + 1),
            };
            is_changed |= matches!(value, Cow::Owned(_));
            parts.push(format!("{}:{value}", Json::from(name)));
        }
    } else if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(json) {
        for one in list {
            let value = in_value(one.get(), depth + 1);
            is_changed |= matches!(value, Cow::Owned(_));
            parts.push(value.into_owned());
        }
    }
    let parts = parts.join(",");
    match json.trim_start().as_bytes().first() {
        Some(b'{') if is_changed => format!("{{{parts}}}").into(),
        Some(b'[') if is_changed => format!("[{parts}]").into(),
        _ => json.into(),
    }
}
