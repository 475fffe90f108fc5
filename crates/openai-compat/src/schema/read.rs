//! Reads the keywords that apply to one value, and drops by name those that are not supported.

use std::collections::{HashMap, HashSet};

use inferstream_client::Dropped;
use inferstream_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{SchemaRules, one_of};
use crate::members::Members;

/// The most schemas that are read. Nested references can double their number at each level, so that
/// a small schema becomes a huge one.
const MAX_SCHEMAS: usize = 1 << 16;

/// The most alternatives of a `oneOf` that are compared with each other.
const MAX_ALTERNATIVES: usize = 256;

/// A schema or a keyword's value as it is written, and the JSON pointer to it (RFC 6901).
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    pub(super) json: &'a str,
    pub(super) at: String,
}

/// The keywords that apply to one value, in order, each with its values in all schemas that apply.
/// `const` is an `enum` here, and `oneOf` an `anyOf`.
#[derive(Clone, Debug, Default)]
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
    pub(super) setting: &'a str,
    pub(super) dropped: &'a mut Dropped,
    pub(super) state: State<'a>,
}

#[derive(Default)]
pub(super) struct State<'a> {
    /// The JSON pointers to what was named as lost.
    lost: HashSet<String>,
    /// The definitions of the root, by JSON pointer.
    pub(super) definitions: HashMap<String, &'a str>,
    /// Their new texts, as far as references lead to them; `None` while one is being written.
    pub(super) written: HashMap<String, Option<String>>,
    pub(super) depth: usize,
    schemas: usize,
}

impl<'a> Rewriter<'a> {
    /// Collects the keywords of schemas, of their `allOf`, and of what `$ref` leads to unless it
    /// can stay a reference.
    pub(super) fn collect(
        &mut self,
        keywords: &mut Keywords<'a>,
        mut schemas: Vec<Source<'a>>,
    ) -> Result<()> {
        schemas.reverse();
        let mut resolved = HashSet::new();
        loop {
            while let Some(schema) = schemas.pop() {
                schemas.extend(self.read(keywords, &schema)?.into_iter().rev());
            }
            let stays = |name: &str| ["$ref", "description", "nullable", "title"].contains(&name);
            let stay = keywords.0.iter().all(|(name, _)| stays(name));
            if stay && keywords.get("$ref").len() < 2 {
                return Ok(());
            }
            let references = keywords.take("$ref");
            if references.is_empty() {
                return Ok(());
            }
            for reference in references.iter().rev() {
                let at = self.target(reference)?;
                match self.state.definitions.get(&at) {
                    None => return Err(self.recursion(&at)),
                    // Applying the same definition again adds no restriction.
                    Some(_) if !resolved.insert(at.clone()) => {}
                    Some(&json) => schemas.push(Source { json, at }),
                }
            }
        }
    }

    /// Reads the keywords of a schema, and returns its `allOf`.
    fn read(
        &mut self,
        keywords: &mut Keywords<'a>,
        schema: &Source<'a>,
    ) -> Result<Vec<Source<'a>>> {
        self.state.schemas += 1;
        if MAX_SCHEMAS < self.state.schemas {
            let what = "more than 65,536 schemas, also by references,";
            return Err(self.refuse(what, &schema.at, "merge fewer of them"));
        }
        let members = match schema.json {
            // The same as `{}`.
            "true" => return Ok(Vec::new()),
            "false" => return Err(self.refuse("`false`", &schema.at, "remove it")),
            _ => self.members(schema)?,
        };
        let has = |keyword: &str| members.iter().any(|(name, _)| name == keyword);
        let has_properties = has("properties");
        let loses_patterns = has("patternProperties") && !self.rules.supports("patternProperties");
        let mut all_of = Vec::new();
        for (name, source) in members {
            match (name.as_str(), source.json) {
                ("allOf", _) => all_of = self.list(&source)?,
                ("const", _) => keywords.add("enum", source),
                ("oneOf", _) => {
                    self.check_one_of(&source)?;
                    keywords.add("anyOf", source);
                }
                ("items", json) if json.starts_with('[') => {
                    let remedy = "use `prefixItems`, and `items` for `additionalItems`";
                    return Err(self.refuse("`items` with a list", &source.at, remedy));
                }
                ("additionalProperties", json) if self.closed && json != "false" => {
                    self.lose(source.at, "a strict object has no additional properties");
                }
                ("additionalProperties", _) if loses_patterns && !self.closed => {
                    self.lose(
                        source.at,
                        "it would forbid what `patternProperties` accepts",
                    );
                }
                // These restrict nothing.
                ("additionalProperties" | "items", "true")
                | ("nullable", "false")
                | ("$comment" | "$defs" | "$schema" | "definitions", _) => {}
                // Closing the object means the same.
                ("unevaluatedProperties", "false") if self.closed && has_properties => {}
                ("$id", _) if schema.at.is_empty() => {}
                (
                    "$ref"
                    | "additionalProperties"
                    | "anyOf"
                    | "description"
                    | "enum"
                    | "items"
                    | "nullable"
                    | "prefixItems"
                    | "properties"
                    | "required"
                    | "title"
                    | "type",
                    _,
                ) => keywords.add(&name, source),
                (name, _) if self.rules.supports(name) => keywords.add(name, source),
                _ => self.lose(source.at, "the service does not support this keyword"),
            }
        }
        Ok(all_of)
    }

    /// Reports a `oneOf` as lost if a value may match several of its alternatives.
    fn check_one_of(&mut self, source: &Source<'a>) -> Result<()> {
        // What `serde_json` cannot read, such as `1e400`, counts as `null`, which excludes nothing.
        let value = |json| serde_json::from_str::<serde_json::Value>(json).unwrap_or_default();
        let mut list = Vec::new();
        for one in self.list(source)? {
            let one = value(one.json);
            let is_reference = one.as_object().is_some_and(|members| members.len() == 1);
            let at = one["$ref"].as_str().and_then(pointer_in);
            match at.and_then(|at| self.state.definitions.get(&at)) {
                Some(&json) if is_reference => list.push(value(json)),
                _ => list.push(one),
            }
        }
        let mut all = list.iter().enumerate();
        let excludes =
            |(index, one): (usize, _)| list[..index].iter().all(|it| one_of::exclude(one, it));
        if MAX_ALTERNATIVES < list.len() || !all.all(excludes) {
            let reason = "`anyOf` is sent instead, which accepts values that match several";
            self.lose(source.at.clone(), reason);
        }
        Ok(())
    }

    /// Returns the JSON pointer to the definition that a `$ref` leads to, or `""`, that to the root.
    pub(super) fn target(&self, reference: &Source<'a>) -> Result<String> {
        let text = self.parse::<String>(reference)?;
        match pointer_in(&text) {
            Some(at) if at.is_empty() || self.state.definitions.contains_key(&at) => Ok(at),
            _ => {
                let remedy = "use `#/$defs/NAME`, a definition of the root";
                Err(self.refuse(&format!("`$ref` to `{text}`"), &reference.at, remedy))
            }
        }
    }

    pub(super) fn list(&self, source: &Source<'a>) -> Result<Vec<Source<'a>>> {
        let list = self.parse::<Vec<&'a RawValue>>(source)?;
        if list.is_empty() {
            return Err(self.invalid("empty list", &source.at));
        }
        let at = |index| format!("{}/{index}", source.at);
        let list = list.into_iter().map(RawValue::get).enumerate();
        let list = list.map(|(index, json)| Source {
            json,
            at: at(index),
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
        let parsed = serde_json::from_str(source.json);
        parsed.map_err(|_| self.invalid("unexpected value", &source.at))
    }

    /// Names a keyword as lost.
    fn lose(&mut self, at: String, reason: &str) {
        let field = format!("{}#{at}", self.setting);
        if self.state.lost.insert(at) {
            self.dropped.detail(field, reason);
        }
    }

    pub(super) fn recursion(&self, at: &str) -> Error {
        self.refuse(
            "a reference to itself",
            at,
            "write the nested levels explicitly",
        )
    }

    pub(super) fn invalid(&self, what: &str, at: &str) -> Error {
        let setting = self.setting;
        Error::config(format!(
            "invalid JSON schema in `{setting}`: {what} at `#{at}`"
        ))
    }

    /// Returns the error for a schema that cannot be rewritten.
    pub(super) fn refuse(&self, what: &str, at: &str, remedy: &str) -> Error {
        let begin = format!("unsupported JSON schema in `{}`", self.setting);
        Error::new(
            ErrorKind::Unsupported,
            format!("{begin}: {what} at `#{at}`; {remedy}"),
        )
    }
}

/// Returns the JSON pointer in a reference within the schema: the decoded fragment of its URL (RFC
/// 3986, section 2.1).
fn pointer_in(reference: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = reference.strip_prefix('#')?.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        bytes.push(match byte {
            b'%' => u8::try_from((digit()? << 4) | digit()?).ok()?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
