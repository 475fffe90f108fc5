//! Reads the keywords that apply to one value, and drops by name those that are not supported.

use std::collections::{HashMap, HashSet};

use inferstream_client::Dropped;
use inferstream_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{SchemaRules, one_of};
use crate::members::Members;

/// The deepest nesting: far beyond what services support, and safe for the stack.
const MAX_DEPTH: usize = 64;

/// The most schemas that are read. Nested references can double their number at each level.
const MAX_SCHEMAS: usize = 1 << 16;

/// The keywords that are read: those of all values, of arrays, of objects, and annotations.
const OF_ALL: [&str; 6] = ["$ref", "allOf", "anyOf", "enum", "nullable", "type"];
const OF_ARRAYS: [&str; 2] = ["items", "prefixItems"];
const OF_OBJECTS: [&str; 3] = ["additionalProperties", "properties", "required"];
pub(super) const ANNOTATIONS: [&str; 2] = ["title", "description"];

/// Returns whether a keyword restricts values of a type. Services refuse it beside another type.
pub(super) fn applies(keyword: &str, kind: Option<&str>) -> bool {
    let is_of = |name: &str| kind.is_none_or(|kind| kind == name);
    (is_of("array") || !OF_ARRAYS.contains(&keyword))
        && (is_of("object") || !OF_OBJECTS.contains(&keyword))
}

/// A schema or a keyword's value as it is written, and the JSON pointer to it (RFC 6901).
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    pub(super) json: &'a str,
    pub(super) at: String,
}

/// The keywords that apply to one value, in order, each with its values in all schemas that apply.
/// `const` is an `enum` here, and `oneOf` an `anyOf`.
#[derive(Debug, Default)]
pub(super) struct Keywords<'a>(pub(super) Vec<(String, Vec<Source<'a>>)>);

impl<'a> Keywords<'a> {
    pub(super) fn get(&self, keyword: &str) -> &[Source<'a>] {
        let found = self.0.iter().find(|(name, _)| name == keyword);
        found.map_or(&[], |(_, sources)| sources)
    }

    pub(super) fn take(&mut self, keyword: &str) -> Vec<Source<'a>> {
        let position = self.0.iter().position(|(name, _)| name == keyword);
        position.map_or(Vec::new(), |position| self.0.remove(position).1)
    }

    fn add(&mut self, keyword: &str, source: Source<'a>) {
        match self.0.iter_mut().find(|(name, _)| name == keyword) {
            Some((_, sources)) => sources.push(source),
            None => self.0.push((keyword.to_owned(), vec![source])),
        }
    }
}

/// Rewrites one schema.
pub(super) struct Rewriter<'a> {
    pub(super) rules: &'a SchemaRules,
    /// Whether objects are closed.
    pub(super) closed: bool,
    /// The setting of the request that the schema belongs to.
    pub(super) setting: String,
    pub(super) dropped: &'a mut Dropped,
    pub(super) state: State<'a>,
}

#[derive(Default)]
pub(super) struct State<'a> {
    /// The JSON pointers to what was named as lost.
    lost: HashSet<String>,
    /// The root and its definitions, by JSON pointer.
    pub(super) definitions: HashMap<String, Source<'a>>,
    /// Their new texts, as far as references lead to them; `None` while one is being written.
    pub(super) written: HashMap<String, Option<String>>,
    pub(super) depth: usize,
    schemas: usize,
}

impl<'a> Rewriter<'a> {
    /// Returns the keywords of a schema, of its `allOf`, and of what `$ref` leads to unless it can
    /// stay a reference.
    pub(super) fn collect(&mut self, schema: Source<'a>) -> Result<Keywords<'a>> {
        let mut keywords = Keywords::default();
        let mut schemas = vec![schema];
        while !schemas.is_empty() {
            for schema in std::mem::take(&mut schemas) {
                self.read(&schema, &mut keywords)?;
            }
            for all_of in keywords.take("allOf") {
                schemas.extend(self.list(&all_of)?);
            }
            let stays = |name: &str| ["$ref", "description", "nullable", "title"].contains(&name);
            let stay = keywords.0.iter().all(|(name, _)| stays(name));
            if schemas.is_empty() && (!stay || 1 < keywords.get("$ref").len()) {
                for reference in keywords.take("$ref") {
                    schemas.push(self.target(&reference)?);
                }
            }
        }
        Ok(keywords)
    }

    /// Adds the keywords of a schema.
    fn read(&mut self, schema: &Source<'a>, keywords: &mut Keywords<'a>) -> Result<()> {
        self.state.schemas += 1;
        if MAX_SCHEMAS < self.state.schemas || MAX_DEPTH < self.state.depth {
            let what = "more than 64 levels or 65,536 schemas, or a reference to itself,";
            return Err(self.refuse(what, &schema.at, "use fewer of them"));
        }
        let members = match schema.json {
            // The same as `{}`.
            "true" => return Ok(()),
            "false" => return Err(self.refuse("`false`", &schema.at, "remove it")),
            _ => self.members(schema)?,
        };
        let has_patterns = members.iter().any(|(name, _)| name == "patternProperties");
        let opens = has_patterns && !self.closed && !self.supports("patternProperties");
        for (name, source) in members {
            match (name.as_str(), source.json) {
                ("const", _) => keywords.add("enum", source),
                ("oneOf", json) => {
                    if !one_of::is_exclusive(json) {
                        let reason = "`anyOf` is sent, which accepts values that match several";
                        self.lose(source.at.clone(), reason);
                    }
                    keywords.add("anyOf", source);
                }
                ("additionalProperties", json) if opens || self.closed && json != "false" => {
                    let reason = "an object is closed if strict, and open to patterns otherwise";
                    self.lose(source.at, reason);
                }
                // These restrict nothing.
                ("additionalProperties" | "items", "true")
                | ("nullable", "false")
                | ("$comment" | "$defs" | "$schema" | "definitions", _) => {}
                ("$id", _) if schema.at.is_empty() => {}
                (name, _) if self.supports(name) => keywords.add(name, source),
                _ => self.lose(source.at, "the service does not support this keyword"),
            }
        }
        Ok(())
    }

    fn supports(&self, keyword: &str) -> bool {
        let known = [&OF_ALL[..], &OF_ARRAYS, &OF_OBJECTS, &ANNOTATIONS].concat();
        known.contains(&keyword) || self.rules.keywords.iter().any(|own| own == keyword)
    }

    /// Returns the definition that a `$ref` leads to, or the root.
    pub(super) fn target(&self, reference: &Source<'a>) -> Result<Source<'a>> {
        let text = self.parse::<String>(reference)?;
        let at = text.strip_prefix('#');
        let found = at.and_then(|at| self.state.definitions.get(at));
        found.cloned().ok_or_else(|| {
            let remedy = "use `#/$defs/NAME` with the plain name of a definition of the root";
            self.refuse(&format!("`$ref` to `{text}`"), &reference.at, remedy)
        })
    }

    /// Returns the elements of a list. A single `type` is a list of one.
    pub(super) fn list(&self, source: &Source<'a>) -> Result<Vec<Source<'a>>> {
        if source.at.ends_with("/type") && source.json.starts_with('"') {
            return Ok(vec![source.clone()]);
        }
        let list = self.parse::<Vec<&'a RawValue>>(source)?.into_iter();
        let list = list.enumerate().map(|(index, json)| Source {
            json: json.get(),
            at: format!("{}/{index}", source.at),
        });
        Ok(list.collect())
    }

    pub(super) fn members(&self, source: &Source<'a>) -> Result<Vec<(String, Source<'a>)>> {
        let members = self.parse::<Members<'a>>(source)?.0.into_iter();
        let members = members.map(|(name, json)| {
            let segment = name.replace('~', "~0").replace('/', "~1");
            let (json, at) = (json.get(), format!("{}/{segment}", source.at));
            (name, Source { json, at })
        });
        Ok(members.collect())
    }

    pub(super) fn parse<T: Deserialize<'a>>(&self, source: &Source<'a>) -> Result<T> {
        serde_json::from_str(source.json).map_err(|_| {
            let begin = format!("invalid JSON schema in `{}`", self.setting);
            Error::config(format!("{begin}: unexpected value at `#{}`", source.at))
        })
    }

    /// Names a keyword as lost.
    fn lose(&mut self, at: String, reason: &str) {
        let field = format!("{}#{at}", self.setting);
        if self.state.lost.insert(at) {
            self.dropped.detail(field, reason);
        }
    }

    /// Returns the error for a schema that cannot be rewritten.
    pub(super) fn refuse(&self, what: &str, at: &str, remedy: &str) -> Error {
        let begin = format!("unsupported JSON schema in `{}`", self.setting);
        let message = format!("{begin}: {what} at `#{at}`; {remedy}");
        Error::new(ErrorKind::Unsupported, message)
    }
}
