//! Schemas that hold together in, what they say as one out.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use inferstream_core::Result;
use serde_json::{Value, value::RawValue};

use super::source::{Members, Part, Source, pointer};

/// Says nothing about what a value must be.
const MARKS: [&str; 3] = ["$schema", "$id", "$comment"];

/// What schemas that hold together say, each keyword once.
#[derive(Debug, Default)]
pub(super) struct Sum<'a> {
    /// The keywords that there are, in the order they came.
    pub(super) slots: Vec<String>,
    known_slots: HashSet<String>,
    /// The types that a value may have; `None` is any.
    pub(super) types: Option<Vec<String>>,
    /// The values that it may be; `None` is any.
    pub(super) values: Option<Vec<&'a str>>,
    pub(super) properties: Vec<(String, Vec<Part<'a>>)>,
    /// The properties by their names.
    places: HashMap<String, usize>,
    pub(super) required: Vec<String>,
    /// What is said of properties that are not named.
    pub(super) additional: Vec<Additional<'a>>,
    pub(super) prefix: Vec<Vec<Part<'a>>>,
    /// What is said of the elements behind those.
    pub(super) items: Vec<Part<'a>>,
    /// Those that go out as they came, or not at all, and where they stand.
    pub(super) others: Vec<(String, &'a str, Rc<str>)>,
    /// It cannot be.
    pub(super) is_nothing: bool,
}

/// What one schema says of the properties that it does not name.
#[derive(Clone, Debug)]
pub(super) struct Additional<'a> {
    pub(super) part: Part<'a>,
    /// The properties that it is not about.
    named: Rc<Vec<String>>,
    /// Others that it is not about cannot be told.
    pub(super) has_patterns: bool,
}

/// The keywords of one schema; those that are made of schemas for the same value have lost them.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) at: Rc<str>,
    pub(super) members: Rc<Members<'a>>,
}

/// What one schema says of the elements of an array.
struct Elements<'a> {
    prefix: Vec<Part<'a>>,
    items: Option<Part<'a>>,
}

impl<'a> Node<'a> {
    /// Returns true if no keyword has anything to say.
    pub(super) fn is_plain(&self) -> bool {
        self.members.iter().all(|(_, json)| json.is_empty())
    }

    /// Takes keywords out.
    pub(super) fn remove(&mut self, keywords: &[&str]) {
        let is_one = |(name, _): &(String, &str)| keywords.contains(&name.as_str());
        if self.members.iter().any(is_one) {
            Rc::make_mut(&mut self.members).retain(|member| !is_one(member));
        }
    }

    pub(super) fn get(&self, keyword: &str) -> Option<&'a str> {
        let found = self.members.iter().find(|(name, _)| name == keyword);
        found.map(|(_, json)| *json)
    }

    fn elements(&self, source: &Source<'a, '_>) -> Result<Option<Elements<'a>>> {
        let place = |name: &str| pointer(&self.at, name);
        let (items, prefix) = (self.get("items"), self.get("prefixItems"));
        let is_tuple = |items: &&str| items.starts_with('[');
        // The tuples of older drafts.
        let (name, prefix, items) = match items.filter(is_tuple) {
            Some(tuple) if prefix.is_none() => ("items", Some(tuple), self.get("additionalItems")),
            Some(_) => return Err(source.not_a_schema(&place("items"))),
            None => ("prefixItems", prefix, items),
        };
        if prefix.is_none() && items.is_none() {
            return Ok(None);
        }
        let rest = if name == "items" {
            "additionalItems"
        } else {
            "items"
        };
        let prefix = match prefix {
            None => Vec::new(),
            Some(list) => source.list(list, &place(name))?,
        };
        let items = items.map(|items| Part::new(items, place(rest)));
        Ok(Some(Elements { prefix, items }))
    }
}

impl<'a> Sum<'a> {
    /// Adds up what schemas say, in their order; of titles and descriptions the last ones count.
    pub(super) fn of(source: &Source<'a, '_>, nodes: &[Node<'a>]) -> Result<Self> {
        let mut sum = Self::default();
        let mut elements = Vec::new();
        for node in nodes {
            for (name, json) in node.members.iter() {
                sum.add(source, node, name, json)?;
            }
            elements.extend(node.elements(source)?);
        }
        sum.add_elements(&elements);
        sum.apply_additional();
        Ok(sum)
    }

    fn add(
        &mut self,
        source: &Source<'a, '_>,
        node: &Node<'a>,
        name: &str,
        json: &'a str,
    ) -> Result<()> {
        let at = pointer(&node.at, name);
        let slot = match name {
            "const" => "enum",
            "oneOf" => "anyOf",
            "items" if json.starts_with('[') => "prefixItems",
            "additionalItems"
                if node
                    .get("items")
                    .is_some_and(|items| items.starts_with('[')) =>
            {
                "items"
            }
            "$defs" | "definitions" => "$defs",
            name => name,
        };
        match name {
            "type" if json.starts_with('[') => self.add_types(source.read(json, &at)?),
            "type" => self.add_types(vec![source.read(json, &at)?]),
            "const" => self.add_values(vec![json]),
            "enum" => {
                let list = source.read::<Vec<&RawValue>>(json, &at)?;
                self.add_values(list.iter().map(|one| one.get()).collect());
            }
            "properties" => {
                for (name, json) in source.members(json, &at)? {
                    let part = Part::below(&at, &name, json);
                    self.add_property(name, part);
                }
            }
            "required" => {
                for name in source.read::<Vec<String>>(json, &at)? {
                    self.required.push(name);
                }
            }
            "additionalProperties" => {
                let own = match node.get("properties") {
                    None => Vec::new(),
                    Some(own) => source.members(own, &pointer(&node.at, "properties"))?,
                };
                self.additional.push(Additional {
                    part: Part::new(json, at),
                    named: Rc::new(own.into_iter().map(|(name, _)| name).collect()),
                    has_patterns: node.get("patternProperties").is_some(),
                });
            }
            "$defs" | "$ref" | "anyOf" | "definitions" | "items" | "oneOf" | "prefixItems" => {}
            "additionalItems" if slot == "items" => {}
            // Without a tuple it says nothing.
            "additionalItems" => return Ok(()),
            // Of a schema within another it is what references are relative to.
            "$id" if !node.at.is_empty() => {
                self.others
                    .push((name.to_owned(), json, Rc::clone(&node.at)));
                return Ok(());
            }
            name if MARKS.contains(&name) => return Ok(()),
            name => self
                .others
                .push((name.to_owned(), json, Rc::clone(&node.at))),
        }
        if self.known_slots.insert(slot.to_owned()) {
            self.slots.push(slot.to_owned());
        }
        Ok(())
    }

    fn add_types(&mut self, types: Vec<String>) {
        self.types = Some(match self.types.take() {
            None => types,
            Some(known) => {
                let mut both = Vec::<String>::new();
                for kind in known.iter().chain(&types) {
                    let is_in = |list: &[String]| list.iter().any(|other| is_a(kind, other));
                    if is_in(&known) && is_in(&types) && !both.contains(kind) {
                        both.push(kind.clone());
                    }
                }
                // An integer is a number anyway.
                if both.iter().any(|kind| kind == "number") {
                    both.retain(|kind| kind != "integer");
                }
                self.is_nothing |= both.is_empty();
                both
            }
        });
    }

    fn add_values(&mut self, values: Vec<&'a str>) {
        self.values = Some(match self.values.take() {
            None => values,
            Some(known) => {
                let mut alike = HashMap::<String, Vec<Value>>::new();
                for value in known.iter().map(|value| parsed(value)) {
                    alike.entry(key(&value)).or_default().push(value);
                }
                let both = values.into_iter().filter(|value| {
                    let value = parsed(value);
                    let alike = alike.get(&key(&value)).into_iter().flatten();
                    alike.into_iter().any(|known| same(known, &value))
                });
                let both = both.collect::<Vec<_>>();
                self.is_nothing |= both.is_empty();
                both
            }
        });
    }

    fn add_property(&mut self, name: String, part: Part<'a>) {
        if let Some(&place) = self.places.get(&name) {
            self.properties[place].1.push(part);
        } else {
            self.places.insert(name.clone(), self.properties.len());
            self.properties.push((name, vec![part]));
        }
    }

    /// Returns true if a property is named.
    pub(super) fn names(&self, property: &str) -> bool {
        self.places.contains_key(property)
    }

    /// Puts to each place of an array what each schema says of it.
    fn add_elements(&mut self, all: &[Elements<'a>]) {
        let longest = all.iter().map(|one| one.prefix.len()).max();
        let at = |index: usize| {
            let said = all.iter().filter_map(move |one| {
                let own = one.prefix.get(index);
                own.or(one.items.as_ref()).cloned()
            });
            said.collect()
        };
        self.prefix = (0..longest.unwrap_or_default()).map(at).collect();
        self.items = all.iter().filter_map(|one| one.items.clone()).collect();
    }

    /// Puts to the properties that one schema names what another one says of those it does not.
    fn apply_additional(&mut self) {
        for one in &self.additional {
            if one.has_patterns || one.part.json == "true" {
                continue;
            }
            let named = one.named.iter().map(String::as_str);
            let named = named.collect::<HashSet<_>>();
            if named.len() == self.properties.len() {
                continue;
            }
            for (name, parts) in &mut self.properties {
                if !named.contains(name.as_str()) {
                    parts.push(one.part.clone());
                }
            }
        }
    }

    /// Returns what is said of a property that is not named.
    pub(super) fn unnamed(&self) -> Vec<Part<'a>> {
        let known = self.additional.iter().filter(|one| !one.has_patterns);
        known.map(|one| one.part.clone()).collect()
    }

    /// Returns true if something is said of objects, other than which properties they must have.
    pub(super) fn is_about_objects(&self) -> bool {
        let may_be = |types: &Vec<String>| types.iter().any(|kind| kind == "object");
        match &self.types {
            Some(types) => may_be(types),
            None => self.has("properties") || self.has("additionalProperties"),
        }
    }

    /// Returns what is said last of each of some keywords.
    pub(super) fn last_of<'b>(
        &'b self,
        keywords: &'b [&'b str],
    ) -> impl Iterator<Item = (&'b str, &'a str)> {
        keywords.iter().filter_map(|keyword| {
            let found = self.others.iter().rfind(|(name, ..)| name == keyword);
            found.map(|(_, json, _)| (*keyword, *json))
        })
    }

    pub(super) fn has(&self, slot: &str) -> bool {
        self.known_slots.contains(slot)
    }
}

/// Returns a value, or its text where it is beyond what can be read.
pub(super) fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.to_owned()))
}

/// Returns true if two values are one to JSON Schema, where 1 is 1.0.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_in = |(name, value)| other.get(name).is_some_and(|known| same(value, known));
            one.len() == other.len() && one.iter().all(is_in)
        }
        (one, other) => one == other,
    }
}

/// Returns what two values have in common that are the same.
pub(super) fn key(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_f64().unwrap_or_default().to_string(),
        Value::Array(list) => format!("[{}]", list.len()),
        Value::Object(members) => format!("{{{}}}", members.len()),
        value => value.to_string(),
    }
}

/// Returns the type of a value; a number that is beyond what can be read is taken for whole.
pub(super) fn kind_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "boolean",
        Some(b'"') => "string",
        Some(b'[') => "array",
        Some(b'{') => "object",
        _ => match json.parse::<f64>() {
            Ok(number) if number.is_finite() && number.fract() != 0.0 => "number",
            _ => "integer",
        },
    }
}

/// Returns true if a value of the one type is one of the other.
pub(super) fn is_a(kind: &str, other: &str) -> bool {
    kind == other || kind == "integer" && other == "number"
}
