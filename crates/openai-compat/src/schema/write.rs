//! What holds of a value in, the text of a schema that a service takes out, and what was lost.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use inferstream_core::{Error, Json, Result, provider::LeftOut};

use super::{
    SchemaRules, disjoint,
    object::Object,
    source::{Part, Source, brief, pointer},
    sum::{Node, Sum},
    take::{Choice, Conjunction, Taker},
    types,
};

/// The most text that is written more than once, where several schemas are put in one: what services
/// take is far below, and a small schema must not become a huge one.
const MAX_COPIED: usize = 1 << 20;

/// The most alternatives that are made of several choices.
const MAX_ALTERNATIVES: usize = 64;

/// Says something to the model, and nothing about what a value must be.
const ANNOTATIONS: [&str; 2] = ["title", "description"];

/// What is said of values, beside what the rules add.
const SAYS: [&str; 11] = [
    "additionalItems",
    "additionalProperties",
    "anyOf",
    "const",
    "enum",
    "items",
    "oneOf",
    "prefixItems",
    "properties",
    "required",
    "type",
];

/// A schema that is read and written again.
pub(super) struct Writer<'a, 'b> {
    pub(super) rules: &'b SchemaRules,
    /// Whether objects are closed.
    pub(super) closed: bool,
    place: &'b str,
    taker: Taker<'a, 'b>,
    left_out: &'b mut LeftOut,
    /// What has been named as lost.
    lost: HashSet<String>,
    /// What is referred to, in the order it was met, and which of it is written, in that order.
    definitions: Vec<Definition<'a>>,
    written: Vec<usize>,
    /// The definitions by their places.
    places: HashMap<Rc<str>, usize>,
    names: HashSet<String>,
    /// Which definition refers to which.
    references: BTreeMap<usize, BTreeSet<usize>>,
    /// Those that are being written in place of a reference.
    inlined: Vec<usize>,
    /// How much has been written more than once.
    copied: usize,
}

struct Definition<'a> {
    part: Part<'a>,
    /// `None` until something refers to it that stays a reference.
    name: Option<String>,
}

impl<'a, 'b> Writer<'a, 'b> {
    pub(super) fn new(
        rules: &'b SchemaRules,
        closed: bool,
        place: &'b str,
        json: &'a str,
        left_out: &'b mut LeftOut,
    ) -> Self {
        Self {
            rules,
            closed,
            place,
            taker: Taker {
                source: Source::new(json, place),
            },
            left_out,
            lost: HashSet::new(),
            definitions: Vec::new(),
            written: Vec::new(),
            places: HashMap::new(),
            names: HashSet::new(),
            references: BTreeMap::new(),
            inlined: Vec::new(),
            copied: 0,
        }
    }

    /// Writes all of it, with what is known beside it.
    pub(super) fn document(mut self, json: &'a str, beside: &[&'static str]) -> Result<Json> {
        let parts = [json].into_iter().chain(beside.iter().copied());
        let parts = parts.map(|json| Part::new(json, ""));
        let mut root = self.any_schema(parts.collect(), 0)?;
        let mut definitions = Vec::new();
        // To write one may be to meet others.
        while let Some(&index) = self.written.get(definitions.len()) {
            let part = self.definitions[index].part.clone();
            let place = part.json.as_ptr();
            let object = self.any_schema(vec![part], 1)?;
            let name = self.definitions[index].name.clone().unwrap_or_default();
            definitions.push((place, name, object));
        }
        if !self.rules.recursion {
            self.check_recursion()?;
        }
        definitions.sort_by_key(|(place, ..)| *place);
        let mut object = Object::default();
        for (_, name, definition) in definitions {
            object.push(name, definition.json());
        }
        root.set_or_remove("$defs", (!object.is_empty()).then(|| object.json()));
        Ok(Json::from_text(root.json()))
    }

    /// Writes schemas that hold for the same value. One that no value is valid by, which cannot be
    /// said, is left out.
    fn any_schema(&mut self, parts: Vec<Part<'a>>, depth: usize) -> Result<Object> {
        let at = parts.first().map(|part| Rc::clone(&part.at));
        if let Some(object) = self.schema(parts, depth)? {
            return Ok(object);
        }
        self.lose_nothing(&at.unwrap_or_default());
        Ok(Object::default())
    }

    /// Writes schemas that hold for the same value; `None` is that no value is valid.
    pub(super) fn schema(&mut self, parts: Vec<Part<'a>>, depth: usize) -> Result<Option<Object>> {
        let all = self.taker.take_all(parts, depth)?;
        self.conjunction(all, None, depth)
    }

    fn conjunction(
        &mut self,
        mut all: Conjunction<'a>,
        reference: Option<&str>,
        depth: usize,
    ) -> Result<Option<Object>> {
        self.taker.check_depth(depth)?;
        let inlined = self.inlined.len();
        let own = self.resolve(&mut all, depth)?;
        let object = self.resolved(all, own.as_deref().or(reference), depth);
        self.inlined.truncate(inlined);
        object
    }

    fn sum(&self, all: &Conjunction<'a>) -> Result<Sum<'a>> {
        Sum::of(&self.taker.source, &all.nodes)
    }

    /// Puts what is referred to in place of a reference beside which more is said; returns the one that
    /// stays.
    fn resolve(&mut self, all: &mut Conjunction<'a>, depth: usize) -> Result<Option<String>> {
        let is_said = |(name, _): &(String, &str)| {
            SAYS.contains(&name.as_str()) || self.rules.takes(name) && !is_annotation(name)
        };
        let says_more = all
            .nodes
            .iter()
            .any(|node| node.members.iter().any(is_said));
        let is_alone = !says_more && all.choices.is_empty() && all.references.len() <= 1;
        let mut stays = None;
        while let (false, Some(reference)) = (all.is_nothing, all.references.pop()) {
            let index = self.refer(&reference)?;
            if all.inlined.contains(&index) {
                // It has been said.
                continue;
            }
            let part = self.definitions[index].part.clone();
            if part.json == "false" {
                all.is_nothing = true;
                continue;
            }
            let is_circle = self.is_circle(&reference, index);
            if is_circle && !self.rules.recursion {
                return Err(self.circle(index));
            }
            if !is_alone && !is_circle && self.may_copy(part.json.len()) {
                self.inlined.push(index);
                all.inlined.push(index);
                self.taker.take(part, all, depth + 1)?;
                continue;
            }
            // Its objects are closed, and so must not stand beside others.
            let sum = self.sum(all)?;
            all.is_nothing |= sum.is_nothing;
            let collides = !is_alone && self.closed && sum.is_about_objects();
            if stays.is_some() || collides {
                self.lose(&reference.at);
            } else {
                stays = Some(self.stay(&reference, index));
            }
        }
        Ok(stays)
    }

    /// Notes what is referred to, and returns its number.
    fn refer(&mut self, reference: &Part<'a>) -> Result<usize> {
        let part = self.taker.source.target(reference.json, &reference.at)?;
        if let Some(&index) = self.places.get(&part.at) {
            return Ok(index);
        }
        let index = self.definitions.len();
        self.places.insert(Rc::clone(&part.at), index);
        self.definitions.push(Definition { part, name: None });
        Ok(index)
    }

    /// Writes a reference, and sees to it that what it refers to is written.
    fn stay(&mut self, reference: &Part<'a>, index: usize) -> String {
        let Definition { part, name } = &mut self.definitions[index];
        let own = part.at.rsplit('/').next().unwrap_or_default();
        let own = own.replace("~1", "/").replace("~0", "~");
        let name = name.get_or_insert_with(|| {
            self.written.push(index);
            let own = if part.at.is_empty() { "root" } else { &own };
            let mut name = own.to_owned();
            let mut number = 1;
            while !self.names.insert(name.clone()) {
                number += 1;
                name = format!("{own}{number}");
            }
            name
        });
        let is_same = *part.at == pointer("/$defs", name);
        if is_same && reference.json.starts_with("\"#/$defs/") {
            return reference.json.to_owned();
        }
        // A fragment's own escape (RFC 3986, section 2.1).
        let target = format!("#{}", pointer("/$defs", name)).replace('%', "%25");
        Json::from(target).to_string()
    }

    fn resolved(
        &mut self,
        mut all: Conjunction<'a>,
        reference: Option<&str>,
        depth: usize,
    ) -> Result<Option<Object>> {
        let sum = self.sum(&all)?;
        if all.is_nothing || sum.is_nothing {
            return Ok(None);
        }
        let mut choices = std::mem::take(&mut all.choices);
        for choice in choices.iter().filter(|choice| choice.keyword == "oneOf") {
            if !disjoint::are(&mut self.taker, &choice.alternatives, self.closed)? {
                let reason = "`anyOf` stands in its place, of which more than one may hold";
                self.lose_for(&pointer(&choice.at, "oneOf"), reason);
            }
        }
        if let Some(types @ [_, _, ..]) = sum.types.as_deref() {
            let at = all.nodes.first().map(|node| pointer(&node.at, "type"));
            choices.insert(0, self.types(types, &at.unwrap_or_default())?);
        }
        match choices.as_slice() {
            [] => self.object(&sum, None, reference, depth),
            [one] if !self.must_spread(&sum, one, depth)? => {
                self.object(&sum, Some(one), reference, depth)
            }
            _ => self.spread(&sum, all, &choices, reference, depth),
        }
    }

    /// Makes a choice of several types.
    fn types(&self, types: &[String], at: &str) -> Result<Choice<'a>> {
        let schema = |kind: &String| match types::schema(kind) {
            Some(schema) => Ok(Part::new(schema, "")),
            None => Err(self.taker.source.not_a_schema(at)),
        };
        let alternatives = types.iter().map(schema);
        Ok(Choice {
            keyword: "type",
            at: Rc::from(""),
            alternatives: alternatives.collect::<Result<_>>()?,
        })
    }

    /// Returns true if alternatives cannot stand beside the rest: once the objects of both are closed,
    /// each would forbid what the other one has.
    fn must_spread(&self, sum: &Sum<'a>, choice: &Choice<'a>, depth: usize) -> Result<bool> {
        if matches!(choice.keyword, "nullable" | "type") {
            return Ok(true);
        }
        if !self.closed || !sum.is_about_objects() && sum.required.is_empty() {
            return Ok(false);
        }
        for part in &choice.alternatives {
            let all = self.taker.take_all(vec![part.clone()], depth + 1)?;
            let own = self.sum(&all)?;
            let is_unknown = !all.choices.is_empty() || !all.references.is_empty();
            if is_unknown
                || own.is_about_objects()
                || !own.required.iter().all(|name| sum.names(name))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes alternatives, each with all that is said beside them.
    fn spread(
        &mut self,
        sum: &Sum<'a>,
        mut all: Conjunction<'a>,
        choices: &[Choice<'a>],
        reference: Option<&str>,
        depth: usize,
    ) -> Result<Option<Object>> {
        let is_plain = all.nodes.iter().all(Node::is_plain);
        let of_types = matches!(choices, [one] if one.keyword == "type");
        let mut object = Object::default();
        // What is said of all of them is said once.
        if !of_types && !is_plain {
            for (name, json) in sum.last_of(&ANNOTATIONS) {
                object.push(name, json.to_owned());
            }
            all.nodes
                .iter_mut()
                .for_each(|node| node.remove(&ANNOTATIONS));
        }
        let copies = if is_plain { 0 } else { all.length };
        let mut alternatives = Vec::new();
        let mut texts = HashSet::new();
        for parts in self.combined(choices, copies) {
            let mut one = all.clone();
            if of_types && parts.iter().any(|part| part.json == types::NULL) {
                one.nodes
                    .iter_mut()
                    .for_each(|node| node.remove(&ANNOTATIONS));
            }
            for part in parts {
                self.taker.take(part, &mut one, depth + 1)?;
            }
            let Some(one) = self.conjunction(one, reference, depth + 1)? else {
                continue;
            };
            // Alternatives of an alternative are alternatives.
            for one in one.into_alternatives() {
                if texts.insert(one.json()) {
                    alternatives.push(one);
                }
            }
        }
        Ok(object.with_alternatives(alternatives))
    }

    /// Makes one choice of several: each alternative of the one with each of the other. What would be
    /// too much is left out.
    fn combined(&mut self, choices: &[Choice<'a>], length: usize) -> Vec<Vec<Part<'a>>> {
        let mut combined = vec![Vec::new()];
        for Choice {
            keyword,
            at,
            alternatives,
        } in choices
        {
            let count = combined.len() * alternatives.len();
            let fits = combined.len() == 1 || count <= MAX_ALTERNATIVES;
            let more = count - combined.len();
            // There are seven types at most, and no other way to say that it may be one of them.
            let must = *keyword == "type";
            let may = must || fits && self.may_copy(more.saturating_mul(length));
            if !may {
                self.lose(&pointer(at, keyword));
                continue;
            }
            let pairs = combined.iter().flat_map(|parts: &Vec<Part<'a>>| {
                alternatives.iter().map(|one| {
                    let mut parts = parts.clone();
                    parts.push(one.clone());
                    parts
                })
            });
            combined = pairs.collect();
        }
        combined
    }

    fn may_copy(&mut self, length: usize) -> bool {
        let copied = self.copied.saturating_add(length);
        let may = copied <= MAX_COPIED;
        if may {
            self.copied = copied;
        }
        may
    }

    /// Notes a keyword that is left out.
    pub(super) fn lose(&mut self, at: &str) {
        self.lose_for(at, "not among what the service takes of JSON Schema");
    }

    /// Notes a schema that is left out, by which no value is valid.
    pub(super) fn lose_nothing(&mut self, at: &str) {
        self.lose_for(at, "that no value is valid cannot be said there");
    }

    fn lose_for(&mut self, at: &str, reason: &str) {
        if self.lost.insert(at.to_owned()) {
            self.left_out.detail(format!("{}#{at}", self.place), reason);
        }
    }

    /// Notes which definitions a reference stands in, and returns true if what it refers to, which is
    /// being written, leads to one of them.
    fn is_circle(&mut self, reference: &Part<'a>, to: usize) -> bool {
        let mut at = &*reference.at;
        let mut is_circle = false;
        while let Some((outer, _)) = at.rsplit_once('/') {
            if let Some(&from) = self.places.get(outer) {
                self.references.entry(from).or_default().insert(to);
                let is_open = self.inlined.contains(&to);
                is_circle |= from == to || is_open && self.leads(to, from);
            }
            at = outer;
        }
        is_circle
    }

    /// Returns true if one definition leads to another.
    fn leads(&self, from: usize, to: usize) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![from];
        while let Some(index) = open.pop() {
            let after = self.references.get(&index).into_iter().flatten();
            open.extend(after.filter(|next| seen.insert(**next)));
        }
        seen.contains(&to)
    }

    /// Refuses definitions that lead to themselves.
    fn check_recursion(&self) -> Result<()> {
        let after = |index: usize| self.references.get(&index).into_iter().flatten();
        // Those behind which all has been seen; those on the way to where one is, each with those that it
        // refers to and that have not been followed.
        let mut done = HashSet::new();
        let mut is_on_way = HashSet::new();
        for &start in self.references.keys() {
            let mut way = vec![(start, after(start))];
            while let Some((index, next)) = way.last_mut() {
                let index = *index;
                match next.next() {
                    Some(to) if is_on_way.contains(to) => return Err(self.circle(*to)),
                    Some(to) if done.contains(to) => {}
                    Some(&to) => {
                        is_on_way.insert(index);
                        way.push((to, after(to)));
                    }
                    None => {
                        is_on_way.remove(&index);
                        done.insert(index);
                        way.pop();
                    }
                }
            }
        }
        Ok(())
    }

    fn circle(&self, index: usize) -> Error {
        let what = match &*self.definitions[index].part.at {
            "" => "refers to itself".to_owned(),
            at => format!("refers to itself, by `#{}`", brief(at)),
        };
        self.taker.source.unsupported(&what)
    }
}

pub(super) fn is_annotation(name: &str) -> bool {
    ANNOTATIONS.contains(&name)
}
