//! Writes the keywords that apply to one value for the service, and closes objects.

use std::collections::{HashMap, HashSet};

use inferstream_core::{Json, Result};

use super::read::{Keywords, Rewriter, Source};

/// The deepest nesting: far beyond what services support, and safe for the stack.
const MAX_DEPTH: usize = 64;

const TYPES: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// Keywords that are merged, or that the keywords of other schemas do not depend on.
const MERGED: [&str; 8] = [
    "$ref",
    "anyOf",
    "description",
    "enum",
    "nullable",
    "required",
    "title",
    "type",
];

impl<'a> Rewriter<'a> {
    /// Rewrites the complete schema, merged with others.
    pub(super) fn document(mut self, json: &'a str, beside: &[&'static str]) -> Result<Json> {
        let source = |json: &'a str| Source {
            json,
            at: String::new(),
        };
        let root = source(json.trim());
        let mut definitions = Vec::new();
        let members = if root.json.starts_with('{') {
            self.members(&root)?
        } else {
            Vec::new()
        };
        for (keyword, list) in members {
            if !matches!(keyword.as_str(), "$defs" | "definitions") {
                continue;
            }
            if !definitions.is_empty() {
                let what = "`$defs` beside `definitions`";
                return Err(self.refuse(what, &list.at, "move all of them to `$defs`"));
            }
            definitions = self.members(&list)?;
        }
        let pointers = definitions
            .iter()
            .map(|(_, one)| (one.at.clone(), one.json));
        self.state.definitions = pointers.collect();
        self.state.written.insert(String::new(), None);
        let beside = beside.iter().copied().map(source);
        let mut text = self.schema([root].into_iter().chain(beside).collect())?;
        let written = definitions.into_iter();
        let written =
            written.filter_map(|(name, one)| Some((name, self.state.written.remove(&one.at)??)));
        let written = written.collect::<Vec<_>>();
        if !written.is_empty() {
            // The root has a member already, because something in it refers to the definition.
            text.truncate(text.len() - 1);
            text = format!("{text},\"$defs\":{}}}", object(&written));
        }
        Ok(Json::from_text(text))
    }

    /// Writes schemas that apply to the same value.
    fn schema(&mut self, schemas: Vec<Source<'a>>) -> Result<String> {
        let (at, is_one) = (schemas[0].at.clone(), schemas.len() == 1);
        let mut keywords = Keywords::default();
        self.collect(&mut keywords, schemas)?;
        match keywords.get("nullable") {
            [one] if is_one && one.json == "true" && parent(one) == at => {
                // OpenAPI 3.0: `null` is valid whatever the keywords beside it are.
                keywords.take("nullable");
                let own = self.value(keywords, &at)?;
                Ok(format!(r#"{{"anyOf":[{own},{{"type":"null"}}]}}"#))
            }
            _ => self.value(keywords, &at),
        }
    }

    /// Writes the keywords that apply to a value.
    fn value(&mut self, mut keywords: Keywords<'a>, at: &str) -> Result<String> {
        if MAX_DEPTH < self.state.depth {
            let what = "more than 64 levels, or a reference to itself,";
            return Err(self.refuse(what, at, "use fewer levels"));
        }
        self.state.depth += 1;
        self.check_merged(&keywords)?;
        let kinds = self.kinds(&keywords, at)?;
        // A closed object forbids what it does not name. With `anyOf` beside `properties`, each
        // side would forbid the properties of the other, so the two are merged into each
        // alternative.
        let is_object = is_object(&keywords, kinds[0]) || !keywords.get("required").is_empty();
        let spreads = 1 < kinds.len() || self.closed && is_object;
        let any_of = if spreads {
            keywords.take("anyOf")
        } else {
            Vec::new()
        };
        let text = if any_of.is_empty() && kinds.len() == 1 {
            self.write(&keywords, kinds[0], at)?
        } else {
            // Annotations are written once, and not in each alternative.
            let annotations = ["title", "description"].map(|name| (name, keywords.take(name)));
            let annotations = annotations.iter().filter_map(|(name, list)| {
                Some(((*name).to_owned(), list.first()?.json.to_owned()))
            });
            let mut members = annotations.collect::<Vec<_>>();
            let mut texts = Vec::new();
            for source in any_of {
                for alternative in self.list(&source)? {
                    let mut keywords = keywords.clone();
                    self.collect(&mut keywords, vec![alternative])?;
                    texts.push(self.value(keywords, at)?);
                }
            }
            if texts.is_empty() {
                for kind in kinds {
                    texts.push(self.write(&keywords, kind, at)?);
                }
            }
            members.push(("anyOf".to_owned(), array(&texts)));
            object(&members)
        };
        self.state.depth -= 1;
        Ok(text)
    }

    /// Refuses what no single schema can express.
    fn check_merged(&self, keywords: &Keywords<'a>) -> Result<()> {
        for (name, sources) in &keywords.0 {
            let first = &sources[0];
            let other = match name.as_str() {
                "description" | "properties" | "required" | "title" => None,
                "enum" | "type" => sources
                    .iter()
                    .find(|other| other.json != first.json || is_const(other) != is_const(first)),
                "nullable" => Some(first),
                "$ref" | "anyOf" => sources.get(1),
                // `items`, `additionalProperties` and the like apply to what the keywords of their
                // own schema leave over. After a merge they would apply to less, and accept what
                // they forbid.
                _ => {
                    let others = keywords
                        .0
                        .iter()
                        .filter(|(name, _)| !MERGED.contains(&name.as_str()));
                    let mut others = others.flat_map(|(_, sources)| sources);
                    others.find(|other| parent(other) != parent(first))
                }
            };
            if let Some(other) = other {
                let what =
                    format!("`{name}` that cannot be merged with another for the same value");
                return Err(self.refuse(&what, &other.at, "write one schema that means both"));
            }
        }
        Ok(())
    }

    /// Returns the types of the values that match, or `None` for all types.
    fn kinds(&self, keywords: &Keywords<'a>, at: &str) -> Result<Vec<Option<&'static str>>> {
        let mut kinds = vec![None];
        if let [source, ..] = keywords.get("type") {
            let is_list = source.json.starts_with('[');
            let names = if is_list {
                self.parse(source)?
            } else {
                vec![self.parse(source)?]
            };
            let known = |name: String| TYPES.into_iter().find(|known| *known == name);
            kinds = names.into_iter().map(known).collect();
            if kinds.is_empty() || kinds.contains(&None) {
                return Err(self.invalid("unknown type", &source.at));
            }
        }
        if let [source, ..] = keywords.get("enum") {
            let values = self.values(source)?;
            kinds.retain(|kind| values.iter().any(|json| is_of(json, *kind)));
        }
        if kinds.is_empty() {
            let what = "`enum` without a value of the `type` beside it";
            return Err(self.refuse(what, at, "change one of them"));
        }
        Ok(kinds)
    }

    /// Returns the values in an `enum` or a `const`.
    fn values(&self, source: &Source<'a>) -> Result<Vec<&'a str>> {
        if is_const(source) {
            return Ok(vec![source.json]);
        }
        Ok(self.list(source)?.into_iter().map(|one| one.json).collect())
    }

    /// Writes the keywords that apply to values of a type, or to all values.
    fn write(&mut self, keywords: &Keywords<'a>, kind: Option<&str>, at: &str) -> Result<String> {
        let closes = self.closed && is_object(keywords, kind);
        let (mut members, mut named, mut required) = (Vec::new(), HashSet::new(), Vec::new());
        for (name, sources) in &keywords.0 {
            let (name, source) = (name.as_str(), &sources[0]);
            let json = match name {
                _ if kind.is_some_and(|kind| !applies(name, kind)) => continue,
                "additionalProperties" if closes => continue,
                "type" => kind.map_or_else(String::new, string),
                "enum" => {
                    let values = self.values(source)?.into_iter();
                    array(values.filter(|json| is_of(json, kind)))
                }
                "required" => {
                    for source in sources {
                        required.extend(self.parse::<Vec<String>>(source)?);
                    }
                    let mut known = HashSet::new();
                    required.retain(|name| known.insert(name.clone()));
                    array(required.iter().map(|name| string(name)))
                }
                "properties" => {
                    let properties = self.properties(sources)?;
                    named.extend(properties.iter().map(|(name, _)| name.clone()));
                    object(&properties)
                }
                "$ref" => self.refer(source)?,
                "additionalProperties" | "items" if source.json == "false" => "false".to_owned(),
                "additionalProperties" | "items" => self.schema(vec![source.clone()])?,
                "anyOf" | "prefixItems" => {
                    let list = self.list(source)?.into_iter();
                    let texts = list.map(|one| self.schema(vec![one]));
                    array(texts.collect::<Result<Vec<_>>>()?)
                }
                _ => source.json.to_owned(),
            };
            members.push((name.to_owned(), json));
        }
        if closes {
            if let Some(name) = required.iter().find(|name| !named.contains(*name)) {
                let what = format!("`required` with `{name}`, which is not in `properties`,");
                return Err(self.refuse(&what, at, "add it to `properties`"));
            }
            if keywords.get("properties").is_empty() {
                members.push(("properties".to_owned(), "{}".to_owned()));
            }
            members.push(("additionalProperties".to_owned(), "false".to_owned()));
        }
        Ok(object(&members))
    }

    /// Writes the properties of all schemas; those of the same name are merged.
    fn properties(&mut self, sources: &[Source<'a>]) -> Result<Vec<(String, String)>> {
        let mut properties: Vec<(String, Vec<Source<'a>>)> = Vec::new();
        let mut positions = HashMap::new();
        for source in sources {
            for (name, schema) in self.members(source)? {
                let position = *positions.entry(name.clone()).or_insert(properties.len());
                match properties.get_mut(position) {
                    Some((_, schemas)) => schemas.push(schema),
                    None => properties.push((name, vec![schema])),
                }
            }
        }
        let properties = properties.into_iter();
        properties
            .map(|(name, schemas)| Ok((name, self.schema(schemas)?)))
            .collect()
    }

    /// Writes a reference, and the definition that it leads to.
    fn refer(&mut self, reference: &Source<'a>) -> Result<String> {
        let at = self.target(reference)?;
        let text = if at.starts_with("/definitions/") {
            // `%` is the escape character of a URL's fragment (RFC 3986, section 2.1).
            let at = at.replacen("/definitions/", "/$defs/", 1);
            string(&format!("#{}", at.replace('%', "%25")))
        } else {
            reference.json.to_owned()
        };
        match (self.state.written.get(&at), self.state.definitions.get(&at)) {
            (Some(None), _) if !self.rules.recursion => Err(self.recursion(&at)),
            (None, Some(&json)) => {
                self.state.written.insert(at.clone(), None);
                let definition = Source {
                    json,
                    at: at.clone(),
                };
                let written = self.schema(vec![definition])?;
                self.state.written.insert(at, Some(written));
                Ok(text)
            }
            _ => Ok(text),
        }
    }
}

/// Returns the JSON pointer to the schema that a keyword belongs to.
fn parent<'k>(keyword: &'k Source<'_>) -> &'k str {
    keyword.at.rsplit_once('/').map_or("", |(at, _)| at)
}

fn is_const(keyword: &Source<'_>) -> bool {
    keyword.at.ends_with("/const")
}

/// Returns true if keywords restrict objects by more than `required`.
fn is_object(keywords: &Keywords<'_>, kind: Option<&str>) -> bool {
    let has = |name: &&str| !keywords.get(name).is_empty();
    match kind {
        None => ["properties", "additionalProperties"].iter().any(has),
        Some(kind) => kind == "object",
    }
}

fn object(members: &[(String, String)]) -> String {
    let members = members.iter();
    let members = members.map(|(name, json)| format!("{}:{json}", string(name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn array<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let texts = texts.into_iter().map(|text| text.as_ref().to_owned());
    format!("[{}]", texts.collect::<Vec<_>>().join(","))
}

fn string(text: &str) -> String {
    Json::from(text).to_string()
}

/// Returns whether a keyword restricts values of a type. Services refuse it beside another type,
/// and a list of types is split into one schema for each.
fn applies(keyword: &str, kind: &str) -> bool {
    match keyword {
        "items" | "maxItems" | "minItems" | "prefixItems" | "uniqueItems" => kind == "array",
        "additionalProperties" | "maxProperties" | "minProperties" | "properties" | "required" => {
            kind == "object"
        }
        "maxLength" | "minLength" | "pattern" => kind == "string",
        "exclusiveMaximum" | "exclusiveMinimum" | "maximum" | "minimum" | "multipleOf" => {
            matches!(kind, "integer" | "number")
        }
        _ => true,
    }
}

/// Returns whether a JSON value is of a type, if there is one; a number too large to be read counts
/// as an integer.
fn is_of(json: &str, kind: Option<&str>) -> bool {
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
    kind.is_none_or(|kind| own == kind || own == "integer" && kind == "number")
}
