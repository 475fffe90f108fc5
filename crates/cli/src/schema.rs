//! The schema of `--schema`: JSON in a file, or the short form.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use inferstream::{Error, Json, ResponseFormat, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::files;

/// Returns the format that an argument describes: a path, JSON, or the short form.
///
/// # Errors
///
/// Returns `Config` for a file that cannot be read, JSON that is not an object, and an invalid short
/// form.
pub(crate) fn read(argument: &str) -> Result<ResponseFormat> {
    let path = Path::new(argument);
    if argument.trim_start().starts_with('{') {
        return json("`--schema`", argument);
    }
    let is_short = argument.contains(|char: char| char.is_whitespace() || ",:".contains(char));
    if is_short && !path.exists() {
        let schema = short(argument).map_err(|what| {
            Error::config(format!(
                "invalid `--schema`: {what}; expected `name type: description`, separated by \
                 commas or line breaks, with the type str, int, float or bool"
            ))
        })?;
        return Ok(ResponseFormat::json_schema("response", Json::from_text(schema)).strict(true));
    }
    json(
        &format!("schema in {}", path.display()),
        &files::read_text(path)?,
    )
}

/// A schema with its name, as the chat protocol has it.
#[derive(Deserialize)]
struct Named {
    name: String,
    schema: Box<RawValue>,
    strict: Option<bool>,
}

fn json(place: &str, text: &str) -> Result<ResponseFormat> {
    let invalid =
        |error| Error::config(format!("invalid {place}: expected a JSON object: {error}"));
    if let Ok(named) = serde_json::from_str::<Named>(text) {
        let schema = Json::from_text(named.schema.get());
        let format = ResponseFormat::json_schema(named.name, schema);
        return Ok(match named.strict {
            None => format,
            Some(strict) => format.strict(strict),
        });
    }
    serde_json::from_str::<serde_json::Map<_, _>>(text).map_err(invalid)?;
    Ok(ResponseFormat::json_schema(
        "response",
        Json::from_text(text.trim()),
    ))
}

/// Translates the short form into a schema of an object.
///
/// The form is that of `llm --schema` (`docs/schemas.md` of `simonw/llm`): members are separated by
/// line breaks if there is one, or else by commas. An unknown type is an error here.
///
/// # Errors
///
/// Returns what is invalid.
fn short(text: &str) -> Result<String, String> {
    let separator = if text.contains('\n') { '\n' } else { ',' };
    let mut properties = String::new();
    let mut names = BTreeSet::new();
    let mut required = Vec::new();
    let members = text.split(separator).map(str::trim);
    for member in members.filter(|member| !member.is_empty()) {
        let (declared, description) = match member.split_once(':') {
            None => (member, ""),
            Some((declared, description)) => (declared, description.trim()),
        };
        let words: Vec<&str> = declared.split_whitespace().collect();
        let (name, kind) = match words.as_slice() {
            [name] => (*name, "str"),
            [name, kind] => (*name, *kind),
            _ => return Err(format!("`{member}` is not a name and a type")),
        };
        let kind = match kind {
            "str" | "string" => "string",
            "int" => "integer",
            "float" => "number",
            "bool" => "boolean",
            _ => return Err(format!("`{kind}` is not a type")),
        };
        if !names.insert(name) {
            return Err(format!("`{name}` is repeated"));
        }
        let name = Json::from(name);
        let comma = if properties.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(properties, r#"{comma}{name}:{{"type":"{kind}""#);
        if !description.is_empty() {
            let _ = write!(properties, r#","description":{}"#, Json::from(description));
        }
        properties.push('}');
        required.push(name.as_str().to_owned());
    }
    if required.is_empty() {
        return Err("it has no members".to_owned());
    }
    let required = required.join(",");
    Ok(format!(
        r#"{{"type":"object","properties":{{{properties}}},"required":[{required}],"additionalProperties":false}}"#
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::short;

    #[track_caller]
    fn check(text: &str, properties: &Value) {
        let schema: Value = serde_json::from_str(&short(text).unwrap()).unwrap();
        assert_eq!(schema["properties"], *properties, "{text}");
        let required = schema["required"].as_array().unwrap();
        assert_eq!(required.len(), properties.as_object().unwrap().len());
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn the_short_form_describes_an_object() {
        check(
            "name, age int, height float,ok bool,",
            &json!({"name": {"type": "string"}, "age": {"type": "integer"},
                "height": {"type": "number"}, "ok": {"type": "boolean"}}),
        );
        check(
            "name: the \"full\" name\n\nage int: in years, or 0\nbio str",
            &json!({"name": {"type": "string", "description": "the \"full\" name"},
                "age": {"type": "integer", "description": "in years, or 0"},
                "bio": {"type": "string"}}),
        );
    }

    #[test]
    fn an_invalid_short_form_is_an_error() {
        for (text, what) in [
            ("name, age number", "`number` is not a type"),
            ("name, age int years", "is not a name and a type"),
            ("name, : text", "is not a name and a type"),
            ("name, name", "`name` is repeated"),
            (" , ,", "no members"),
        ] {
            let error = short(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
