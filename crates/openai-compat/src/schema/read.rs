//! Reads the text of a schema, and drops by name the keywords that the service does not support.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use inferstream_client::Dropped;
use inferstream_core::{Error, ErrorKind, Result};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    SchemaRules,
    merge::{ANNOTATIONS, Schema, Value},
    one_of,
};

/// The deepest nesting: far beyond what services support, and safe for the stack.
pub(super) const MAX_DEPTH: usize = 64;

const TYPES: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// The members of an object, as they are in the text.
type Members<'a> = Vec<(String, &'a str)>;

/// Reads the parts of one schema.
pub(super) struct Reader<'a, 'b> {
    pub(super) rules: &'b SchemaRules,
    /// Whether objects are closed.
    pub(super) closed: bool,
    /// The setting of the request that the schema belongs to.
    pub(super) place: &'b str,
    pub(super) root: &'a str,
    pub(super) dropped: &'b mut Dropped,
    /// The JSON pointers (RFC 6901) to what was named as lost.
    pub(super) lost: HashSet<String>,
    /// The children of objects and lists that references lead through, by JSON pointer. Without
    /// this cache, each reference would parse all of `$defs` again.
    pub(super) opened: HashMap<String, HashMap<String, &'a str>>,
}

impl<'a> Reader<'a, '_> {
    /// Reads a schema; `at` is the JSON pointer to it.
    pub(super) fn schema(&mut self, json: &'a str, at: &str, depth: usize) -> Result<Schema> {
        let mut schema = Schema::new(at, json.len());
        match json {
            // The same as `{}`.
            "true" => return Ok(schema),
            "false" => {
                schema.keywords = None;
                return Ok(schema);
            }
            _ => {}
        }
        self.check_depth(depth, at)?;
        let members = self.members(json, at)?;
        let get = |name: &str| {
            let found = members.iter().find(|(known, _)| known == name);
            found.map_or("", |(_, json)| *json)
        };
        // Before draft 2020-12 a tuple is `items` with a list, and the rest `additionalItems`.
        let is_tuple = get("items").starts_with('[');
        let is_closed = self.closed && !get("properties").is_empty();
        let has_patterns = !get("patternProperties").is_empty();
        let loses_patterns =
            has_patterns && !self.closed && !self.rules.supports("patternProperties");
        for (name, json) in &members {
            let at = pointer(at, name);
            let keyword = match name.as_str() {
                "const" => "enum",
                "definitions" => "$defs",
                "items" if is_tuple => "prefixItems",
                "additionalItems" if is_tuple => "items",
                "oneOf" => "anyOf",
                name => name,
            };
            let value = match name.as_str() {
                "type" => Value::Names(self.types(json, &at)?),
                "const" => Value::Names(vec![(*json).to_owned()]),
                "enum" => {
                    let list = self.parse::<Vec<&RawValue>>(json, &at)?;
                    if list.is_empty() {
                        return Err(self.invalid("empty list", &at));
                    }
                    Value::Names(list.iter().map(|one| one.get().to_owned()).collect())
                }
                "required" => Value::Names(self.parse(json, &at)?),
                "properties" => {
                    let mut properties = Vec::new();
                    for (name, json) in self.members(json, &at)? {
                        let schema = self.schema(json, &pointer(&at, &name), depth + 1)?;
                        properties.push((name, schema));
                    }
                    Value::Properties(properties)
                }
                "allOf" | "anyOf" | "oneOf" | "prefixItems" => self.list(name, json, &at, depth)?,
                "items" if is_tuple => self.list(name, json, &at, depth)?,
                "additionalProperties" if self.closed && *json != "false" => {
                    self.lose(&at, "a strict object has no additional properties");
                    // `true` stays as a mark: the schema is about objects, so the writer closes it.
                    Value::Text("true".to_owned())
                }
                "additionalProperties" if loses_patterns => {
                    self.lose(&at, "it would forbid what `patternProperties` accepts");
                    continue;
                }
                "additionalProperties" if *json == "true" => Value::Text("true".to_owned()),
                "additionalItems" if !is_tuple => continue,
                "items" | "additionalItems" if *json == "true" => continue,
                "items" | "additionalItems" | "additionalProperties" => {
                    Value::Schema(self.schema(json, &at, depth + 1)?)
                }
                // Definitions are written once it is known which of them are referred to.
                "$defs" | "definitions" => Value::Text(String::new()),
                "$ref" => {
                    self.parse::<String>(json, &at)?;
                    Value::Text((*json).to_owned())
                }
                "$schema" | "$comment" | "nullable" => continue,
                "$id" if schema.at.is_empty() => continue,
                // Closing the object means the same.
                "unevaluatedProperties" if is_closed && *json == "false" => continue,
                name if ANNOTATIONS.contains(&name) || self.rules.supports(name) => {
                    Value::Text((*json).to_owned())
                }
                _ => {
                    self.lose(&at, "the service does not support this keyword");
                    continue;
                }
            };
            if !schema.add(keyword, value) {
                return Err(self.conflict(keyword, &at));
            }
        }
        if get("nullable") == "true" {
            // OpenAPI 3.0: `null` is valid whatever the keywords beside it are.
            let null = self.schema(r#"{"type":"null"}"#, at, depth)?;
            let own = std::mem::replace(&mut schema, Schema::new(at, 0));
            schema.add("anyOf", Value::List(vec![own, null]));
        }
        Ok(schema)
    }

    fn types(&self, json: &'a str, at: &str) -> Result<Vec<String>> {
        let mut types = if json.starts_with('[') {
            self.parse::<Vec<String>>(json, at)?
        } else {
            vec![self.parse(json, at)?]
        };
        let has = |name: &str| types.iter().any(|known| known == name);
        if types.is_empty() || types.iter().any(|name| !TYPES.contains(&name.as_str())) {
            return Err(self.invalid("unknown type", at));
        }
        // Every integer is a number. With both names in it, two lists can be intersected by name.
        if has("number") && !has("integer") {
            types.push("integer".to_owned());
        }
        Ok(types)
    }

    fn list(&mut self, name: &str, json: &'a str, at: &str, depth: usize) -> Result<Value> {
        let list = self.parse::<Vec<&RawValue>>(json, at)?;
        if list.is_empty() && matches!(name, "anyOf" | "oneOf") {
            return Err(self.invalid("empty list", at));
        }
        let mut schemas = Vec::new();
        for (index, one) in list.iter().enumerate() {
            schemas.push(self.schema(one.get(), &format!("{at}/{index}"), depth + 1)?);
        }
        if name == "oneOf" {
            let mut alternatives = Vec::new();
            for one in list {
                // A value that `serde_json` cannot read, such as `1e400`, counts as `null`, which
                // excludes nothing.
                let mut value = serde_json::from_str(one.get()).unwrap_or_default();
                if let Some(reference) = one_of::only_reference(&value) {
                    let (json, _) = self.target(reference, at)?;
                    value = serde_json::from_str(json).unwrap_or_default();
                }
                alternatives.push(value);
            }
            if !one_of::exclude_each_other(&alternatives) {
                self.lose(
                    at,
                    "`anyOf` is sent instead, which accepts values that match several",
                );
            }
        }
        Ok(Value::List(schemas))
    }

    /// Reads the members of an object in their order; of members with the same name the last one
    /// counts.
    fn members(&self, json: &'a str, at: &str) -> Result<Members<'a>> {
        let InOrder(list) = self.parse(json, at)?;
        let mut positions = HashMap::with_capacity(list.len());
        let mut members = Members::with_capacity(list.len());
        for (name, json) in list {
            let position = *positions.entry(name.clone()).or_insert(members.len());
            match members.get_mut(position) {
                Some((_, known)) => *known = json.get(),
                None => members.push((name, json.get())),
            }
        }
        Ok(members)
    }

    fn parse<T: Deserialize<'a>>(&self, json: &'a str, at: &str) -> Result<T> {
        serde_json::from_str(json).map_err(|_| self.invalid("unexpected value", at))
    }

    /// Returns the text that a `$ref` points to, and the JSON pointer to it.
    pub(super) fn target(&mut self, reference: &str, at: &str) -> Result<(&'a str, String)> {
        let fragment = reference.strip_prefix('#').and_then(percent_decoded);
        let path = match fragment.as_deref() {
            Some("") => Vec::new(),
            Some(path) if path.starts_with('/') => path[1..].split('/').collect(),
            _ => return Err(self.unsupported("reference out of the schema", at)),
        };
        let (mut json, mut place) = (self.root, String::new());
        for segment in path {
            if !self.opened.contains_key(&place) {
                let children = if json.starts_with('[') {
                    let list = self.parse::<Vec<&RawValue>>(json, &place)?.into_iter();
                    list.enumerate()
                        .map(|(index, one)| (index.to_string(), one.get()))
                        .collect()
                } else {
                    self.members(json, &place)?.into_iter().collect()
                };
                self.opened.insert(place.clone(), children);
            }
            let name = segment.replace("~1", "/").replace("~0", "~");
            let Some(child) = self.opened[&place].get(&name) else {
                let what = format!("reference to the missing `{}`", brief(reference));
                return Err(self.invalid(&what, at));
            };
            (json, place) = (child, pointer(&place, &name));
        }
        Ok((json, place))
    }

    /// Names a keyword as lost.
    fn lose(&mut self, at: &str, reason: &str) {
        if self.lost.insert(at.to_owned()) {
            self.dropped.detail(format!("{}#{at}", self.place), reason);
        }
    }

    pub(super) fn check_depth(&self, depth: usize, at: &str) -> Result<()> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(self.unsupported("more than 64 levels, or a reference to itself,", at))
    }

    pub(super) fn conflict(&self, keyword: &str, at: &str) -> Error {
        let what = format!("`{keyword}` that cannot be merged with another for the same value");
        self.unsupported(&what, at)
    }

    fn invalid(&self, what: &str, at: &str) -> Error {
        let (place, at) = (self.place, brief(at));
        Error::config(format!(
            "invalid JSON schema in `{place}`: {what} at `#{at}`"
        ))
    }

    /// Returns the error for a schema that cannot be rewritten.
    pub(super) fn unsupported(&self, what: &str, at: &str) -> Error {
        let (place, at) = (self.place, brief(at));
        let message = format!("unsupported JSON schema in `{place}`: {what} at `#{at}`");
        Error::new(ErrorKind::Unsupported, message)
    }
}

/// Returns the JSON pointer to a member.
pub(super) fn pointer(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Shortens a pointer for an error message.
fn brief(text: &str) -> String {
    match text.char_indices().nth(120) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Decodes a URL's fragment (RFC 3986, section 2.1), or returns `None` if it is invalid.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// The members of an object in their order. `serde_json::Value` would lose the order and the
/// spelling of numbers.
struct InOrder<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for InOrder<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                std::iter::from_fn(|| map.next_entry().transpose()).collect()
            }
        }

        deserializer.deserialize_map(Collect).map(Self)
    }
}
