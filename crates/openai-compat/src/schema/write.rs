//! Writes the keywords that apply to one value for the service, and closes objects.

use std::collections::HashSet;

use inferstream_core::{Error, Json, Result};

use super::read::{ANNOTATIONS, Keywords, Rewriter, Source, applies};

impl<'a> Rewriter<'a> {
    /// Rewrites the complete schema.
    pub(super) fn document(mut self, json: &'a str) -> Result<Json> {
        let (json, at) = (json.trim(), String::new());
        let root = Source { json, at };
        // Anything but an object has none, and is read below.
        let mut members = self.members(&root).unwrap_or_default().into_iter();
        let list = members.find(|(name, _)| matches!(name.as_str(), "$defs" | "definitions"));
        let definitions = list.map_or(Ok(Vec::new()), |(_, list)| self.members(&list))?;
        let sources = definitions.iter().map(|(_, one)| one).chain([&root]);
        let sources = sources.map(|one| (one.at.clone(), one.clone()));
        self.state.definitions = sources.collect();
        self.state.written.insert(String::new(), None);
        let mut text = self.schema(root)?;
        let written = definitions.into_iter().filter_map(|(name, one)| {
            let json = self.state.written.remove(&one.at)??;
            Some(member(&name, &json))
        });
        let written = written.collect::<Vec<_>>();
        if !written.is_empty() {
            // The root has a member already, because something in it refers to the definition.
            text.truncate(text.len() - 1);
            text = format!("{text},{}}}", member("$defs", &object(&written)));
        }
        Ok(Json::from_text(text))
    }

    /// Writes a schema, with one alternative for each type of its values.
    fn schema(&mut self, schema: Source<'a>) -> Result<String> {
        let at = schema.at.clone();
        let mut keywords = self.collect(schema)?;
        self.state.depth += 1;
        // `None` are all types.
        let mut kinds = vec![None];
        if let [source, ..] = keywords.get("type") {
            let list = self.list(source)?.into_iter();
            let list = list.map(|kind| self.parse(&kind).map(Some));
            kinds = list.collect::<Result<_>>()?;
        }
        if let [source, ..] = keywords.get("enum") {
            let values = self.values(source, None)?;
            kinds.retain(|kind| values.iter().any(|json| may_be(json, *kind)));
            if kinds.is_empty() {
                let what = "`enum` without a value of the `type`";
                return Err(self.refuse(what, &source.at, "change one of them"));
            }
        }
        self.check(&keywords, &kinds, &at)?;
        let is_nullable = !keywords.take("nullable").is_empty();
        let mut members = Vec::new();
        if is_nullable || 1 < kinds.len() {
            // Annotations are written once, and not in each alternative.
            for name in ANNOTATIONS {
                let annotation = keywords.take(name);
                members.extend(annotation.first().map(|one| member(name, one.json)));
            }
        }
        let texts = kinds.iter();
        let texts = texts.map(|kind| self.write(&keywords, *kind));
        let mut texts = texts.collect::<Result<Vec<_>>>()?;
        if is_nullable {
            // OpenAPI 3.0: `null` is valid whatever the keywords beside it are.
            texts.push(r#"{"type":"null"}"#.to_owned());
        }
        self.state.depth -= 1;
        if texts.len() == 1 {
            return Ok(texts.remove(0));
        }
        members.push(member("anyOf", &format!("[{}]", texts.join(","))));
        Ok(object(&members))
    }

    /// Refuses what no single schema can express. Of the keywords of several schemas, only
    /// `properties` and `required` are merged: `items`, `additionalProperties` and the like apply to
    /// what their neighbours leave over, and would accept more beside others.
    fn check(&self, keywords: &Keywords<'a>, kinds: &[Option<&str>], at: &str) -> Result<()> {
        let is_object = kinds.iter().any(|kind| is_object(keywords, *kind));
        let closes = self.closed && (is_object || !keywords.get("required").is_empty());
        let restricts = |name: &str| !["description", "nullable", "title", "type"].contains(&name);
        let all = keywords.0.iter().filter(|(name, _)| restricts(name));
        let parents = all.flat_map(|(_, sources)| sources).map(parent);
        let is_merged = 1 < parents.collect::<HashSet<_>>().len();
        for (name, sources) in &keywords.0 {
            let first = &sources[0];
            let conflict = match name.as_str() {
                "description" | "properties" | "required" | "title" => None,
                "nullable" => sources.iter().find(|other| parent(other) != at),
                "type" => sources.iter().find(|other| other.json != first.json),
                // A closed object forbids the properties of the alternatives.
                "anyOf" if closes => Some(first),
                _ if is_merged => Some(first),
                _ => sources.get(1),
            };
            if let Some(source) = conflict {
                return Err(self.not_merged(name, source));
            }
        }
        Ok(())
    }

    fn not_merged(&self, keyword: &str, other: &Source<'a>) -> Error {
        let what = format!("`{keyword}` that cannot be merged with others for the same value");
        self.refuse(&what, &other.at, "write one schema that means both")
    }

    /// Writes the keywords that apply to values of a type, or to all values.
    fn write(&mut self, keywords: &Keywords<'a>, kind: Option<&str>) -> Result<String> {
        let closes = self.closed && is_object(keywords, kind);
        let (mut members, mut named, mut required) = (Vec::new(), HashSet::new(), HashSet::new());
        for (name, all) in &keywords.0 {
            let source = &all[0];
            let json = match name.as_str() {
                name if !applies(name, kind) => continue,
                "additionalProperties" if closes => continue,
                "type" => kind.map_or_else(String::new, |kind| format!("\"{kind}\"")),
                "enum" => format!("[{}]", self.values(source, kind)?.join(",")),
                "required" => {
                    let mut list = Vec::new();
                    for source in all {
                        list.extend(self.parse::<Vec<String>>(source)?);
                    }
                    list.retain(|name| required.insert(name.clone()));
                    let list = list.into_iter().map(|name| Json::from(name).to_string());
                    format!("[{}]", list.collect::<Vec<_>>().join(","))
                }
                "properties" => {
                    let mut properties = Vec::new();
                    for source in all {
                        for (name, schema) in self.members(source)? {
                            if !named.insert(name.clone()) {
                                return Err(self.not_merged("properties", &schema));
                            }
                            properties.push(member(&name, &self.schema(schema)?));
                        }
                    }
                    object(&properties)
                }
                "$ref" => self.refer(source)?,
                "additionalProperties" | "items" if source.json != "false" => {
                    self.schema(source.clone())?
                }
                "anyOf" | "prefixItems" => {
                    let texts = self.list(source)?.into_iter().map(|one| self.schema(one));
                    format!("[{}]", texts.collect::<Result<Vec<_>>>()?.join(","))
                }
                _ => source.json.to_owned(),
            };
            members.push(member(name, &json));
        }
        if closes {
            if let Some(name) = required.difference(&named).min() {
                let what = format!("`required` with `{name}`, which is not in `properties`,");
                let at = &keywords.get("required")[0].at;
                return Err(self.refuse(&what, at, "add it to `properties`"));
            }
            if keywords.get("properties").is_empty() {
                members.push(member("properties", "{}"));
            }
            members.push(member("additionalProperties", "false"));
        }
        Ok(object(&members))
    }

    /// Returns the values of an `enum` or a `const` that may be of a type. Services refuse others.
    fn values(&self, source: &Source<'a>, kind: Option<&str>) -> Result<Vec<&'a str>> {
        if source.at.ends_with("/const") {
            return Ok(vec![source.json]);
        }
        let values = self.list(source)?.into_iter().map(|value| value.json);
        Ok(values.filter(|json| may_be(json, kind)).collect())
    }

    /// Writes a reference, and the definition that it leads to.
    fn refer(&mut self, reference: &Source<'a>) -> Result<String> {
        let definition = self.target(reference)?;
        let at = definition.at.clone();
        if !self.state.written.contains_key(&at) {
            self.state.written.insert(at.clone(), None);
            let text = self.schema(definition)?;
            self.state.written.insert(at.clone(), Some(text));
        } else if self.state.written[&at].is_none() && !self.rules.recursion {
            let remedy = "write the nested levels explicitly";
            return Err(self.refuse("a reference to itself", &at, remedy));
        }
        let at = at.replacen("/definitions/", "/$defs/", 1);
        Ok(Json::from(format!("#{at}")).to_string())
    }
}

/// Returns false if a value has another type.
fn may_be(json: &str, kind: Option<&str>) -> bool {
    let first = json.as_bytes().first().copied().unwrap_or_default();
    match kind {
        Some("string") => first == b'"',
        Some("object") => first == b'{',
        Some("array") => first == b'[',
        Some("null") => first == b'n',
        Some("boolean") => matches!(first, b't' | b'f'),
        Some("integer" | "number") => matches!(first, b'-' | b'0'..=b'9'),
        _ => true,
    }
}

/// Returns true if keywords describe the properties of objects.
fn is_object(keywords: &Keywords<'_>, kind: Option<&str>) -> bool {
    let has = |keyword: &&str| !keywords.get(keyword).is_empty();
    let describes = || ["properties", "additionalProperties"].iter().any(has);
    kind.map_or_else(describes, |kind| kind == "object")
}

/// Returns the JSON pointer to the schema that a keyword belongs to.
fn parent<'k>(keyword: &'k Source<'_>) -> &'k str {
    keyword.at.rsplit_once('/').map_or("", |(at, _)| at)
}

fn object(members: &[String]) -> String {
    format!("{{{}}}", members.join(","))
}

fn member(name: &str, json: &str) -> String {
    format!("{}:{json}", Json::from(name))
}
