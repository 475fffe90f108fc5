//! Merges the schemas that apply to the same value, and writes the result for the service.

use std::collections::{HashMap, HashSet};

use inferstream_client::Dropped;
use inferstream_core::{Json, Result};

use super::{
    SchemaRules,
    definitions::{Definition, Definitions},
    merge::{ANNOTATIONS, Schema, Value},
    read::{Reader, pointer},
};

/// The most bytes of schemas that are copied into others. Nested references can double the size at
/// each level, so that a small schema becomes a huge one.
const MAX_COPIED: usize = 1 << 20;

/// Rewrites one schema.
pub(super) struct Writer<'a, 'b> {
    reader: Reader<'a, 'b>,
    definitions: Definitions<'a>,
    copied: usize,
}

/// A schema as it is sent.
#[derive(Debug, Default)]
struct Object {
    members: Vec<(String, String)>,
    /// The alternatives of the member `anyOf`.
    any_of: Vec<String>,
}

impl Object {
    fn json(&self) -> String {
        let members = self.members.iter().map(|(name, json)| {
            let name = Json::from(name.as_str());
            format!("{name}:{json}")
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }

    fn set_any_of(&mut self, list: Vec<Self>) {
        let mut known = HashSet::new();
        for one in list {
            // Alternatives of an alternative are alternatives.
            let texts = match one.members.as_slice() {
                [(name, _)] if name == "anyOf" => one.any_of,
                _ => vec![one.json()],
            };
            let new = texts.into_iter().filter(|text| known.insert(text.clone()));
            self.any_of.extend(new);
        }
        self.members.push(("anyOf".to_owned(), array(&self.any_of)));
    }
}

impl<'a, 'b> Writer<'a, 'b> {
    pub(super) fn new(
        rules: &'b SchemaRules,
        closed: bool,
        place: &'b str,
        root: &'a str,
        dropped: &'b mut Dropped,
    ) -> Self {
        let root = root.trim();
        Self {
            reader: Reader {
                rules,
                closed,
                place,
                root,
                dropped,
                lost: HashSet::new(),
                opened: HashMap::new(),
            },
            definitions: Definitions::default(),
            copied: 0,
        }
    }

    /// Writes the complete schema, merged with another one.
    pub(super) fn document(mut self, beside: Option<&'static str>) -> Result<Json> {
        let mut schema = self.reader.schema(self.reader.root, "", 0)?;
        if let Some(beside) = beside {
            let beside = self.reader.schema(beside, "", 0)?;
            self.merge(&mut schema, beside)?;
        }
        let mut root = self.some(schema, 0)?;
        let mut texts = Vec::new();
        // Writing a definition may add others.
        while let Some(Definition { json, at, .. }) = self.definitions.start(texts.len()) {
            let (json, at) = (*json, at.clone());
            let schema = self.reader.schema(json, &at, 1)?;
            texts.push(self.some(schema, 1)?.json());
        }
        if let (false, Some(at)) = (self.reader.rules.recursion, self.definitions.recursion()) {
            return Err(self.reader.unsupported("a reference to itself", at));
        }
        let members = self.definitions.in_order(texts);
        let defs = root.members.iter().position(|(name, _)| name == "$defs");
        if members.is_empty() {
            root.members.retain(|(name, _)| name != "$defs");
        } else {
            let defs = defs.unwrap_or_else(|| {
                root.members.push(("$defs".to_owned(), String::new()));
                root.members.len() - 1
            });
            let any_of = Vec::new();
            root.members[defs].1 = Object { members, any_of }.json();
        }
        Ok(Json::from_text(root.json()))
    }

    /// Writes a schema, or refuses it if no value matches.
    fn some(&mut self, schema: Schema, depth: usize) -> Result<Object> {
        let at = schema.at.clone();
        let object = self.write(schema, depth)?;
        let what = "a schema that no value matches";
        object.ok_or_else(|| self.reader.unsupported(what, &at))
    }

    /// Writes a schema; `None` is that no value matches.
    fn write(&mut self, schema: Schema, depth: usize) -> Result<Option<Object>> {
        self.reader.check_depth(depth, &schema.at)?;
        let mut schema = self.resolve(schema)?;
        if schema.keywords.is_none() {
            return Ok(None);
        }
        let mut types = schema.names("type").to_vec();
        if types.iter().any(|name| name == "number") {
            types.retain(|name| name != "integer");
        }
        let values = schema.names("enum");
        if 1 < types.len() && !values.is_empty() {
            types.retain(|name| values.iter().any(|json| is_of(json, name)));
            if types.is_empty() {
                return Ok(None);
            }
            schema.add("type", Value::Names(types.clone()));
        }
        let is_object = schema.is_about_objects() || schema.get("required").is_some();
        // A closed object forbids what it does not name. With `anyOf` beside `properties`, each
        // side would forbid the properties of the other, so the two are merged into each
        // alternative.
        let collides = self.reader.closed && is_object || 1 < types.len();
        if let (true, Some(Value::List(list))) = (collides, schema.get("anyOf").cloned()) {
            schema.take("anyOf");
            return self.spread(schema, list, depth);
        }
        // A list of types becomes one alternative for each type.
        if 1 < types.len() {
            let values = schema.take("enum");
            let list = types.into_iter().map(|name| {
                let mut one = Schema::new(&schema.at, 0);
                if let Some(Value::Names(values)) = &values {
                    let values = values.iter().filter(|json| is_of(json, &name));
                    one.add("enum", Value::Names(values.cloned().collect()));
                }
                one.add("type", Value::Names(vec![name]));
                one
            });
            let list = list.collect();
            return self.spread(schema, list, depth);
        }
        self.object(&schema, types.first(), depth)
    }

    /// Merges the `allOf` of a schema, and what its `$ref` points to unless it can stay a
    /// reference.
    fn resolve(&mut self, mut schema: Schema) -> Result<Schema> {
        // The schemas that are still to be merged, the next one last. What is merged in may bring
        // an `allOf` or a `$ref` of its own, so both are checked again after each step. The end is
        // certain: each step adds to `copied`, which is limited.
        let mut parts = Vec::new();
        loop {
            if let Some(Value::List(list)) = schema.take("allOf") {
                parts.extend(list.into_iter().rev());
            }
            // A schema can have one `$ref`, so the first is resolved before a second one is merged
            // in.
            let next_refers = parts.last().is_some_and(|part| part.get("$ref").is_some());
            if schema.get("$ref").is_some() && (schema.restricts() || next_refers) {
                self.inline(&mut schema)?;
            } else if let Some(part) = parts.pop() {
                self.merge(&mut schema, part)?;
            } else {
                return Ok(schema);
            }
        }
    }

    /// Merges what the `$ref` of a schema points to.
    fn inline(&mut self, schema: &mut Schema) -> Result<()> {
        if let Some(Value::Text(reference)) = schema.take("$ref") {
            let (json, at) = self.target(&reference, &schema.at)?;
            let target = self.reader.schema(json, &at, 1)?;
            self.merge(schema, target)?;
        }
        Ok(())
    }

    fn merge(&mut self, schema: &mut Schema, other: Schema) -> Result<()> {
        self.copied = self.copied.saturating_add(other.length);
        let at = other.at.clone();
        if MAX_COPIED < self.copied {
            let what = "more than 1 MiB of merged text, or a reference to itself,";
            return Err(self.reader.unsupported(what, &at));
        }
        match schema.merge(other) {
            Some(keyword) => Err(self.reader.conflict(&keyword, &at)),
            None => Ok(()),
        }
    }

    fn target(&mut self, reference: &str, at: &str) -> Result<(&'a str, String)> {
        let at = pointer(at, "$ref");
        match serde_json::from_str::<String>(reference) {
            Ok(reference) => self.reader.target(&reference, &at),
            Err(_) => Err(self
                .reader
                .unsupported("a reference that is not a string", &at)),
        }
    }

    /// Writes alternatives, each merged with the keywords beside the `anyOf`.
    fn spread(
        &mut self,
        mut schema: Schema,
        list: Vec<Schema>,
        depth: usize,
    ) -> Result<Option<Object>> {
        let mut object = Object::default();
        // Annotations are written once, and not in each alternative.
        for name in ANNOTATIONS {
            if let Some(Value::Text(json)) = schema.take(name) {
                object.members.push((name.to_owned(), json));
            }
        }
        let mut alternatives = Vec::new();
        for part in list {
            let mut one = schema.clone();
            self.merge(&mut one, part)?;
            self.copied = self.copied.saturating_add(schema.length);
            alternatives.extend(self.write(one, depth + 1)?);
        }
        match alternatives.as_mut_slice() {
            [] => return Ok(None),
            [one] => {
                one.members
                    .retain(|(name, _)| object.members.iter().all(|(known, _)| known != name));
                object.members.append(&mut one.members);
                object.any_of = std::mem::take(&mut one.any_of);
            }
            _ => object.set_any_of(alternatives),
        }
        Ok(Some(object))
    }

    /// Writes a schema of at most one type.
    fn object(
        &mut self,
        schema: &Schema,
        kind: Option<&String>,
        depth: usize,
    ) -> Result<Option<Object>> {
        let closed = self.reader.closed && schema.is_about_objects();
        let mut object = Object::default();
        for (name, value) in schema.keywords.iter().flatten() {
            if kind.is_some_and(|kind| !applies(name, kind)) {
                continue;
            }
            let json = match (name.as_str(), value) {
                ("type", _) => kind.map(|kind| Json::from(kind.as_str()).to_string()),
                ("additionalProperties", _) if closed => None,
                ("$defs", _) => (depth == 0).then(String::new),
                ("$ref", Value::Text(reference)) => Some(self.refer(reference, &schema.at)?),
                ("required", Value::Names(names)) => Some(required(names)),
                (_, Value::Names(texts)) => Some(array(texts)),
                (_, Value::Text(json)) => Some(json.clone()),
                (_, Value::Properties(_)) => Some(self.properties(schema, closed, depth)?),
                (_, Value::Schema(below)) => {
                    let below = self.write(below.clone(), depth + 1)?;
                    Some(below.map_or_else(|| "false".to_owned(), |below| below.json()))
                }
                ("anyOf", Value::List(list)) => {
                    let mut alternatives = Vec::new();
                    for one in list {
                        alternatives.extend(self.write(one.clone(), depth + 1)?);
                    }
                    if alternatives.is_empty() {
                        return Ok(None);
                    }
                    object.set_any_of(alternatives);
                    None
                }
                (_, Value::List(list)) => {
                    let mut texts = Vec::new();
                    for one in list {
                        texts.push(self.some(one.clone(), depth + 1)?.json());
                    }
                    (!texts.is_empty()).then(|| array(&texts))
                }
            };
            object.members.extend(json.map(|json| (name.clone(), json)));
        }
        if closed {
            if schema.get("properties").is_none() {
                let properties = self.properties(schema, closed, depth)?;
                object.members.push(("properties".to_owned(), properties));
            }
            let closing = ("additionalProperties".to_owned(), "false".to_owned());
            object.members.push(closing);
        }
        Ok(Some(object))
    }

    fn properties(&mut self, schema: &Schema, closed: bool, depth: usize) -> Result<String> {
        let mut properties = Object::default();
        let mut names = HashSet::new();
        for (name, below) in schema.properties() {
            names.insert(name);
            let below = self.some(below.clone(), depth + 1)?;
            properties.members.push((name.clone(), below.json()));
        }
        // A closed object forbids what it does not name, so required properties have to be named. But if
        // the schema has `additionalProperties: false` itself, it forbids the others already, and naming
        // them would allow them.
        let forbids = matches!(schema.get("additionalProperties"), Some(Value::Schema(_)));
        if closed && !forbids {
            let unnamed = schema
                .names("required")
                .iter()
                .filter(|name| names.insert(name));
            let unnamed = unnamed.map(|name| (name.clone(), "{}".to_owned()));
            properties.members.extend(unnamed);
        }
        Ok(properties.json())
    }

    /// Writes a reference, and notes what it points to as a definition.
    fn refer(&mut self, reference: &str, at: &str) -> Result<String> {
        let (json, at) = self.target(reference, at)?;
        let Definition { at, name, .. } = self.definitions.note(json, at);
        let pointer = pointer("/$defs", name);
        if *at == pointer && reference.starts_with("\"#/$defs/") {
            return Ok(reference.to_owned());
        }
        // `%` is the escape character of a URL's fragment (RFC 3986, section 2.1).
        Ok(Json::from(format!("#{pointer}").replace('%', "%25")).to_string())
    }
}

fn required(names: &[String]) -> String {
    let mut known = HashSet::new();
    let names = names.iter().filter(|name| known.insert(*name));
    let names = names.map(|name| Json::from(name.as_str()).to_string());
    array(&names.collect::<Vec<_>>())
}

fn array(texts: &[String]) -> String {
    format!("[{}]", texts.join(","))
}

/// Returns whether a keyword restricts values of a type. Services refuse it beside another type,
/// and a list of types is split into one schema for each.
fn applies(keyword: &str, kind: &str) -> bool {
    let kinds: &[&str] = match keyword {
        "items" | "maxItems" | "minItems" | "prefixItems" | "uniqueItems" => &["array"],
        "additionalProperties" | "maxProperties" | "minProperties" | "properties" | "required" => {
            &["object"]
        }
        "maxLength" | "minLength" | "pattern" => &["string"],
        "exclusiveMaximum" | "exclusiveMinimum" | "maximum" | "minimum" | "multipleOf" => {
            &["integer", "number"]
        }
        _ => return true,
    };
    kinds.contains(&kind)
}

/// Returns whether a JSON value is of a type; a number too large to be read counts as an integer.
fn is_of(json: &str, kind: &str) -> bool {
    let own = match json.as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "boolean",
        Some(b'"') => "string",
        Some(b'[') => "array",
        Some(b'{') => "object",
        _ => match json.parse::<f64>() {
            Ok(number) if number.is_finite() && number.fract() != 0.0 => "number",
            _ => "integer",
        },
    };
    own == kind || own == "integer" && kind == "number"
}
