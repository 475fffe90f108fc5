//! What holds at once in, the members of one object out.

use std::collections::HashSet;

use inferstream_core::{Json, Result};

use super::{
    source::{Part, pointer},
    sum::{Sum, is_a, kind_of},
    take::Choice,
    types,
    write::{Writer, is_annotation},
};

/// Says nothing of what a value must be.
const ANYTHING: &str = "{}";

/// The members of an object, each with its JSON text.
#[derive(Debug, Default)]
pub(super) struct Object {
    members: Vec<(String, String)>,
    /// What there is beside an `anyOf`, if that is all there is.
    alternatives: Option<Vec<Object>>,
}

impl Object {
    pub(super) fn push(&mut self, name: impl Into<String>, json: String) {
        self.members.push((name.into(), json));
    }

    fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(known, _)| known == name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.alternatives.is_none()
    }

    /// Sets a member, in its place if there is one, or removes it.
    pub(super) fn set_or_remove(&mut self, name: &str, json: Option<String>) {
        let known = self.members.iter().position(|(known, _)| known == name);
        match (known, json) {
            (Some(known), Some(json)) => self.members[known].1 = json,
            (Some(known), None) => drop(self.members.remove(known)),
            (None, Some(json)) => {
                self.settle();
                self.push(name, json);
            }
            (None, None) => {}
        }
    }

    /// Adds alternatives; `None` is that there are none, and so no value is valid.
    pub(super) fn with_alternatives(mut self, mut list: Vec<Self>) -> Option<Self> {
        match list.len() {
            0 => None,
            1 => {
                let mut one = list.remove(0);
                one.settle();
                // What it says of itself is nearer.
                self.members.retain(|(name, _)| !one.has(name));
                self.members.extend(one.members);
                Some(self)
            }
            _ => {
                self.alternatives = Some(list);
                Some(self)
            }
        }
    }

    /// Returns the alternatives that it consists of: itself, if it says more.
    pub(super) fn into_alternatives(mut self) -> Vec<Self> {
        match self.alternatives.take() {
            Some(list) if self.members.is_empty() => list,
            alternatives => {
                self.alternatives = alternatives;
                vec![self]
            }
        }
    }

    /// Makes a member of the alternatives.
    fn settle(&mut self) {
        if let Some(list) = self.alternatives.take() {
            let list = list.iter().map(Self::json).collect::<Vec<_>>();
            self.push("anyOf", format!("[{}]", list.join(",")));
        }
    }

    pub(super) fn json(&self) -> String {
        let mut text = String::from("{");
        let mut add = |name: &str, json: &str| {
            if 1 < text.len() {
                text.push(',');
            }
            text.push_str(Json::from(name).as_str());
            text.push(':');
            text.push_str(json);
        };
        for (name, json) in &self.members {
            add(name, json);
        }
        if let Some(list) = &self.alternatives {
            let list = list.iter().map(Self::json).collect::<Vec<_>>();
            add("anyOf", &format!("[{}]", list.join(",")));
        }
        text.push('}');
        text
    }
}

impl<'a> Writer<'a, '_> {
    /// Writes what is said at once; `None` is that no value is valid.
    pub(super) fn object(
        &mut self,
        sum: &Sum<'a>,
        choice: Option<&Choice<'a>>,
        reference: Option<&str>,
        depth: usize,
    ) -> Result<Option<Object>> {
        let kind = sum.types.as_deref().and_then(<[String]>::first);
        let is_about = |slot: &&String| kind.is_none_or(|kind| types::is_about(slot, kind));
        let is_closed = self.closed && sum.is_about_objects();
        let mut object = Object::default();
        for slot in sum.slots.iter().filter(is_about) {
            let json = match slot.as_str() {
                "type" => kind.map(|kind| Json::from(kind.as_str()).to_string()),
                "enum" => match values(sum, kind.map(String::as_str)) {
                    None => return Ok(None),
                    values => values,
                },
                "required" => Some(strings(&sum.required)),
                "additionalProperties" if is_closed => None,
                "additionalProperties" => self.additional(sum, depth)?,
                "anyOf" => match choice {
                    None => None,
                    Some(choice) => match self.alternatives(choice, depth)? {
                        None => return Ok(None),
                        list => list,
                    },
                },
                "$ref" => reference.map(str::to_owned),
                // Written when all of it is known.
                "items" | "prefixItems" | "properties" => Some(String::new()),
                "$defs" => (depth == 0).then(String::new),
                name => self.other(sum, name, is_closed),
            };
            object.members.extend(json.map(|json| (slot.clone(), json)));
        }
        if object.has("items") || object.has("prefixItems") {
            self.elements(&mut object, sum, depth)?;
        }
        if is_closed || object.has("properties") {
            let properties = self.properties(sum, is_closed, depth)?;
            object.set_or_remove("properties", Some(properties.json()));
        }
        if is_closed {
            let open = sum.additional.iter().filter(|one| one.part.json != "false");
            open.for_each(|one| self.lose(&one.part.at));
            object.push("additionalProperties", "false".to_owned());
        }
        let of_resources = sum.others.iter().filter(|(name, ..)| name == "$id");
        of_resources.for_each(|(name, _, at)| self.lose(&pointer(at, name)));
        Ok(Some(object))
    }

    fn alternatives(&mut self, choice: &Choice<'a>, depth: usize) -> Result<Option<String>> {
        let mut list = Vec::new();
        for part in &choice.alternatives {
            let one = self.schema(vec![part.clone()], depth + 1)?;
            // Alternatives of an alternative are alternatives.
            let all = one.into_iter().flat_map(Object::into_alternatives);
            list.extend(all.map(|one| one.json()));
        }
        Ok((!list.is_empty()).then(|| format!("[{}]", list.join(","))))
    }

    fn properties(&mut self, sum: &Sum<'a>, is_closed: bool, depth: usize) -> Result<Object> {
        let mut properties = Object::default();
        for (name, parts) in &sum.properties {
            match self.schema(parts.clone(), depth + 1)? {
                Some(schema) => properties.push(name, schema.json()),
                // A closed object has none that is not named.
                None if is_closed || sum.unnamed().iter().any(|part| part.json == "false") => {}
                None => parts.iter().for_each(|part| self.lose_nothing(&part.at)),
            }
        }
        if !is_closed {
            return Ok(properties);
        }
        // What must be there must be named.
        let mut added = HashSet::new();
        for name in &sum.required {
            if sum.names(name) || !added.insert(name) {
                continue;
            }
            let mut parts = sum.unnamed();
            if parts.is_empty() {
                parts.push(Part::new(ANYTHING, ""));
            }
            if let Some(schema) = self.schema(parts, depth + 1)? {
                properties.push(name, schema.json());
            }
        }
        Ok(properties)
    }

    /// Writes what an open object says of properties that are not named.
    fn additional(&mut self, sum: &Sum<'a>, depth: usize) -> Result<Option<String>> {
        let beside_patterns = sum.additional.iter().filter(|one| one.has_patterns);
        beside_patterns.for_each(|one| self.lose(&one.part.at));
        let parts = sum.unnamed();
        if parts.iter().all(|part| part.json == "true") {
            return Ok((!parts.is_empty()).then(|| "true".to_owned()));
        }
        let schema = self.schema(parts, depth + 1)?;
        Ok(Some(
            schema.map_or("false".to_owned(), |schema| schema.json()),
        ))
    }

    /// Writes the elements of an array.
    fn elements(&mut self, object: &mut Object, sum: &Sum<'a>, depth: usize) -> Result<()> {
        let mut prefix = Vec::new();
        let mut items = None;
        for parts in &sum.prefix {
            let Some(schema) = self.schema(parts.clone(), depth + 1)? else {
                // Where no element is valid there is none.
                items = Some("false".to_owned());
                break;
            };
            prefix.push(schema.json());
        }
        let says = |part: &Part<'_>| part.json != "true";
        if items.is_none() && sum.items.iter().any(says) {
            let schema = self.schema(sum.items.clone(), depth + 1)?;
            items = Some(schema.map_or("false".to_owned(), |schema| schema.json()));
        }
        let prefix = (!prefix.is_empty()).then(|| format!("[{}]", prefix.join(",")));
        object.set_or_remove("prefixItems", prefix);
        object.set_or_remove("items", items);
        Ok(())
    }

    /// Writes a keyword that goes out as it came, or leaves it out.
    fn other(&mut self, sum: &Sum<'a>, name: &str, is_closed: bool) -> Option<String> {
        let found = || sum.others.iter().filter(|(known, ..)| known == name);
        if is_annotation(name) {
            return found().next_back().map(|(_, json, _)| (*json).to_owned());
        }
        let mut kept = None;
        for (_, json, at) in found() {
            match kept {
                None if self.rules.takes(name) => kept = Some((*json).to_owned()),
                Some(ref known) if known == json => {}
                // That it is closed says as much.
                None if is_closed && name == "unevaluatedProperties" && *json == "false" => {}
                _ => self.lose(&pointer(at, name)),
            }
        }
        kept
    }
}

/// Writes the values that there may be, or returns `None` if there is none.
fn values(sum: &Sum<'_>, kind: Option<&str>) -> Option<String> {
    let all = sum.values.iter().flatten();
    let of_kind = all.filter(|json| kind.is_none_or(|kind| is_a(kind_of(json), kind)));
    let values = of_kind.copied().collect::<Vec<_>>();
    (!values.is_empty()).then(|| format!("[{}]", values.join(",")))
}

fn strings(list: &[String]) -> String {
    let mut known = HashSet::new();
    let list = list.iter().filter(|text| known.insert(text.as_str()));
    let list = list.map(|text| Json::from(text.as_str()).to_string());
    format!("[{}]", list.collect::<Vec<_>>().join(","))
}
