//! The service's checks of strict JSON schemas.
//!
//! The rules are those of strict schemas, from the service's documentation of 2025 and the errors that
//! its users quoted until September 2026. Everything else is accepted.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Map, Value};

use crate::{chat::refusal::Refusal, reply::Reply};

/// The keywords of every schema.
const OF_ALL: [&str; 6] = ["$ref", "anyOf", "description", "enum", "title", "type"];

/// The additional keywords of each type.
const OF_TYPES: [(&str, &[&str]); 2] = [
    ("array", &["items", "prefixItems"]),
    (
        "object",
        &["additionalProperties", "properties", "required"],
    ),
];

/// The keywords of the root schema, which is an object.
const OF_ROOT: [&str; 10] = [
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "description",
    "enum",
    "properties",
    "required",
    "title",
    "type",
];

/// The maximum nesting depth of a schema.
const MAX_DEPTH: usize = 100;

/// Why a schema is refused.
struct Wrong {
    status: StatusCode,
    message: String,
}

fn wrong<T>(message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong {
        status: StatusCode::BAD_REQUEST,
        message: message.into(),
    })
}

/// Checks the schemas of the response and of the tools if they are strict.
pub(super) fn check(body: &Value) -> Result<(), Box<Reply>> {
    let format = &body["response_format"];
    if format["type"] == "json_schema" {
        let named = &format["json_schema"];
        if !named["name"].is_string() {
            let wrong = Wrong {
                status: StatusCode::BAD_REQUEST,
                message: "json_schema.name: Field required".to_owned(),
            };
            return Err(refuse(&wrong, "validation_error"));
        }
        if named["strict"] == true {
            document(&named["schema"]).map_err(|wrong| refuse(&wrong, "response_format"))?;
        }
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        let function = &tool["function"];
        if function["strict"] == true {
            document(&function["parameters"]).map_err(|wrong| refuse(&wrong, "tools"))?;
        }
    }
    Ok(())
}

fn refuse(wrong: &Wrong, param: &str) -> Box<Reply> {
    let refusal = Refusal {
        message: &wrong.message,
        kind: "invalid_request_error",
        param: Some(param),
        code: Some("wrong_api_format"),
    };
    Box::new(refusal.reply(wrong.status))
}

fn document(schema: &Value) -> Result<(), Wrong> {
    let Some(members) = schema.as_object() else {
        return wrong("The JSON schema is not an object.");
    };
    if members.contains_key("definitions") {
        return wrong("'definitions' is not supported in JSON schema. Use '$defs' instead");
    }
    let extra = beyond(members, &[&OF_ROOT]);
    if !extra.is_empty() {
        let extra = set(&extra);
        return wrong(format!(
            "Extra top level keys found in JSON schema: {extra}."
        ));
    }
    let definitions = match members.get("$defs") {
        None => &Map::new(),
        Some(Value::Object(definitions)) => definitions,
        Some(_) => return wrong("'$defs' is not an object."),
    };
    let mut leads = BTreeMap::new();
    for (name, definition) in definitions {
        let mut references = BTreeSet::new();
        node(definition, definitions, &mut references, 0)?;
        leads.insert(name.as_str(), references);
    }
    let mut own = members.clone();
    own.remove("$defs");
    node(&Value::Object(own), definitions, &mut BTreeSet::new(), 0)?;
    if has_circle(&leads) {
        return wrong("Recursive JSON schemas are not currently supported.");
    }
    Ok(())
}

fn node(
    schema: &Value,
    definitions: &Map<String, Value>,
    references: &mut BTreeSet<String>,
    depth: usize,
) -> Result<(), Wrong> {
    let Some(members) = schema.as_object() else {
        return wrong("A JSON schema is not an object.");
    };
    if MAX_DEPTH < depth {
        return wrong("The JSON schema is nested too deep.");
    }
    if members.contains_key("definitions") {
        return wrong("'definitions' is not supported in JSON schema. Use '$defs' instead");
    }
    let kind = match members.get("type") {
        None => None,
        Some(Value::String(kind)) => Some(kind.as_str()),
        Some(_) => {
            return wrong(
                "Lists of types are not supported in JSON schema. If you are trying to make a field Optional, use anyOf with a null type",
            );
        }
    };
    check_keys(members, kind)?;
    check_kind(members, kind)?;
    if let Some(reference) = members.get("$ref") {
        let name = reference
            .as_str()
            .and_then(|text| text.strip_prefix("#/$defs/"));
        match name
            .map(decoded)
            .filter(|name| definitions.contains_key(name))
        {
            Some(name) => drop(references.insert(name)),
            None => return wrong(format!("The reference {reference} is not among '$defs'.")),
        }
    }
    let mut below = |schema| node(schema, definitions, references, depth + 1);
    let properties = members.get("properties").and_then(Value::as_object);
    for property in properties.into_iter().flat_map(Map::values) {
        below(property)?;
    }
    for name in ["anyOf", "prefixItems"] {
        let list = members.get(name).and_then(Value::as_array);
        for one in list.into_iter().flatten() {
            below(one)?;
        }
    }
    match members.get("items") {
        None => Ok(()),
        Some(Value::Bool(false)) if members.contains_key("prefixItems") => Ok(()),
        Some(items) => below(items),
    }
}

/// Checks that a schema has keywords, and only supported ones.
fn check_keys(members: &Map<String, Value>, kind: Option<&str>) -> Result<(), Wrong> {
    let Some(kind) = kind else {
        let all = OF_TYPES.map(|(_, keys)| keys);
        let known = [&OF_ALL[..], all[0], all[1]];
        let says = members
            .keys()
            .any(|key| key != "description" && key != "title");
        if says && beyond(members, &known).is_empty() {
            return Ok(());
        }
        let keys = members.keys().map(|key| format!("'{key}'"));
        let keys = keys.collect::<Vec<_>>().join(", ");
        return wrong(format!(
            "Unsupported JSON schema fields in schema with keys: dict_keys([{keys}])."
        ));
    };
    let own = OF_TYPES.iter().find(|(known, _)| *known == kind);
    let own = own.map_or(&[][..], |(_, keys)| keys);
    match beyond(members, &[&OF_ALL, own]).as_slice() {
        [] => Ok(()),
        extra => wrong(format!(
            "Invalid fields for schema with types ['{kind}']: {}",
            set(extra)
        )),
    }
}

fn check_kind(members: &Map<String, Value>, kind: Option<&str>) -> Result<(), Wrong> {
    let has = |name: &str| members.contains_key(name);
    if kind == Some("object") && !has("properties") && !has("anyOf") {
        return wrong(
            "Object fields require at least one of: 'properties' or 'anyOf' with a list of possible properties.",
        );
    }
    let is_object = kind == Some("object") || kind.is_none() && has("properties");
    if is_object && members.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err(Wrong {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            message: "'additionalProperties' is required to be supplied and set to false."
                .to_owned(),
        });
    }
    if kind == Some("array") && !has("items") && !has("prefixItems") {
        return wrong("Array fields require at least one of 'items' or 'prefixItems'.");
    }
    Ok(())
}

/// Returns the keys that are in none of the lists.
fn beyond<'a>(members: &'a Map<String, Value>, known: &[&[&str]]) -> Vec<&'a str> {
    let keys = members.keys().map(String::as_str);
    keys.filter(|key| !known.iter().any(|list| list.contains(key)))
        .collect()
}

/// Writes names as a Python set, sorted so that the text is stable.
fn set(names: &[&str]) -> String {
    let mut names = names
        .iter()
        .map(|name| format!("'{name}'"))
        .collect::<Vec<_>>();
    names.sort();
    format!("{{{}}}", names.join(", "))
}

/// Decodes a definition's name from a JSON pointer in a URL fragment.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match tail {
            [high, low, ..] if *first == b'%' => str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    let name = String::from_utf8_lossy(&bytes);
    name.replace("~1", "/").replace("~0", "~")
}

/// Returns true if a definition refers to itself, directly or not: definitions without remaining
/// references are removed until none is left to remove.
fn has_circle(leads: &BTreeMap<&str, BTreeSet<String>>) -> bool {
    let mut left = BTreeMap::new();
    let mut from = BTreeMap::<&str, Vec<&str>>::new();
    for (name, after) in leads {
        left.insert(*name, after.len());
        for after in after {
            from.entry(after).or_default().push(name);
        }
    }
    let ends = left.iter().filter(|(_, count)| **count == 0);
    let mut ends = ends.map(|(name, _)| *name).collect::<Vec<_>>();
    while let Some(end) = ends.pop() {
        left.remove(end);
        for name in from.get(end).into_iter().flatten() {
            if let Some(count) = left.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    ends.push(name);
                }
            }
        }
    }
    !left.is_empty()
}
