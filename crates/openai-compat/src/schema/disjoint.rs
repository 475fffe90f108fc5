//! Alternatives in, whether no value is valid by two of them out.

use std::collections::{HashMap, HashSet};

use inferstream_core::Result;
use serde_json::Value;

use super::{
    source::Part,
    sum::{Sum, is_a, key, kind_of, parsed, same},
    take::Taker,
};

/// The most alternatives that are compared with one another.
const MOST: usize = 256;

/// How far references are followed.
const HOPS: usize = 16;

/// What is known of a schema's values.
#[derive(Debug, Default)]
struct Shape {
    is_nothing: bool,
    types: Option<Vec<String>>,
    /// The values, each with its type.
    values: Option<Vec<(Value, &'static str)>>,
    required: HashSet<String>,
    /// The properties that an object may have, where all of them are known.
    names: Option<HashSet<String>>,
    /// The values of properties that must be there.
    tags: HashMap<String, Vec<(Value, &'static str)>>,
}

/// Returns true if it is certain that no value is valid by two alternatives, the objects of one of
/// them being `closed` or as they are.
pub(super) fn are<'a>(
    taker: &mut Taker<'a, '_>,
    alternatives: &[Part<'a>],
    closed: bool,
) -> Result<bool> {
    let shapes = alternatives
        .iter()
        .map(|part| shape(taker, vec![part.clone()], closed));
    let shapes = shapes.collect::<Result<Vec<_>>>()?;
    let values = shapes.iter().map(|shape| shape.values.as_deref());
    if let Some(values) = values.collect::<Option<Vec<_>>>() {
        return Ok(all_differ(&values));
    }
    if MOST < shapes.len() {
        return Ok(false);
    }
    let mut pairs = shapes.iter().enumerate().flat_map(|(index, one)| {
        let others = shapes[..index].iter();
        others.map(move |other| (one, other))
    });
    Ok(pairs.all(|(one, other)| excludes(one, other, closed)))
}

fn all_differ(lists: &[&[(Value, &str)]]) -> bool {
    let mut alike = HashMap::<String, Vec<(usize, &Value)>>::new();
    for (index, list) in lists.iter().enumerate() {
        for (value, _) in *list {
            let alike = alike.entry(key(value)).or_default();
            if alike
                .iter()
                .any(|(of, known)| *of != index && same(known, value))
            {
                return false;
            }
            alike.push((index, value));
        }
    }
    true
}

fn shape<'a>(taker: &mut Taker<'a, '_>, parts: Vec<Part<'a>>, closed: bool) -> Result<Shape> {
    let (sum, is_known) = sum(taker, parts)?;
    let Some(sum) = sum else {
        return Ok(Shape {
            is_nothing: true,
            ..Shape::default()
        });
    };
    let has_patterns = sum
        .others
        .iter()
        .any(|(name, ..)| name == "patternProperties");
    let is_closed = closed || sum.additional.iter().any(|one| one.part.json == "false");
    let mut shape = Shape {
        is_nothing: false,
        values: values(&sum),
        required: sum.required.iter().cloned().collect(),
        names: None,
        tags: HashMap::new(),
        types: sum.types,
    };
    if is_known && is_closed && !has_patterns {
        let names = sum.properties.iter().map(|(name, _)| name.clone());
        let names = names.chain(shape.required.iter().filter(|_| closed).cloned());
        shape.names = Some(names.collect());
    }
    for (name, parts) in sum.properties {
        if shape.required.contains(&name) {
            if let (Some(tag), _) = self::sum(taker, parts)? {
                if let Some(values) = values(&tag) {
                    shape.tags.insert(name, values);
                }
            }
        }
    }
    Ok(shape)
}

/// Returns what is said without alternatives, `None` for nothing, and whether that is all.
fn sum<'a>(taker: &mut Taker<'a, '_>, parts: Vec<Part<'a>>) -> Result<(Option<Sum<'a>>, bool)> {
    let mut all = taker.take_all(parts, 0)?;
    let mut hops = 0;
    while let Some(reference) = all.references.pop() {
        hops += 1;
        if HOPS < hops {
            return Ok((Some(Sum::default()), false));
        }
        let part = taker.source.target(reference.json, &reference.at)?;
        taker.take(part, &mut all, 0)?;
    }
    let sum = Sum::of(&taker.source, &all.nodes)?;
    match all.is_nothing || sum.is_nothing {
        false => Ok((Some(sum), all.choices.is_empty())),
        // That a reference leads to nothing may be lost.
        true if 0 < hops => Ok((Some(Sum::default()), false)),
        true => Ok((None, true)),
    }
}

fn values(sum: &Sum<'_>) -> Option<Vec<(Value, &'static str)>> {
    let values = sum.values.as_ref()?.iter();
    Some(values.map(|json| (parsed(json), kind_of(json))).collect())
}

fn excludes(one: &Shape, other: &Shape, closed: bool) -> bool {
    let differ = |one: &[(Value, &str)], other: &[(Value, &str)]| {
        let is_in = |value: &Value| other.iter().any(|(known, _)| same(known, value));
        !one.iter().any(|(value, _)| is_in(value))
    };
    if one.is_nothing || other.is_nothing {
        return true;
    }
    if let (Some(one), Some(other)) = (&one.values, &other.values) {
        if differ(one, other) {
            return true;
        }
    }
    let kinds = |shape: &Shape| match (&shape.values, &shape.types) {
        (Some(values), _) => Some(values.iter().map(|(_, kind)| (*kind).to_owned()).collect()),
        (None, types) => types.clone(),
    };
    let (kinds, other_kinds): (Option<Vec<String>>, Option<Vec<String>>) =
        (kinds(one), kinds(other));
    if let (Some(one), Some(other)) = (&kinds, &other_kinds) {
        let meets = |kind: &String| {
            other
                .iter()
                .any(|known| is_a(kind, known) || is_a(known, kind))
        };
        if !one.iter().any(meets) {
            return true;
        }
    }
    let is_object = |kinds: &Option<Vec<String>>| {
        let only = |kinds: &Vec<String>| kinds.iter().all(|kind| kind == "object");
        kinds.as_ref().is_some_and(only)
    };
    if !is_object(&kinds) && !is_object(&other_kinds) {
        return false;
    }
    let mut tags = one.tags.iter();
    if tags.any(|(name, values)| {
        other
            .tags
            .get(name)
            .is_some_and(|known| differ(values, known))
    }) {
        return true;
    }
    let lacks = |shape: &Shape, required: &HashSet<String>| {
        let names = shape.names.as_ref();
        names.is_some_and(|names| required.iter().any(|name| !names.contains(name)))
    };
    let (lacks, other_lacks) = (lacks(one, &other.required), lacks(other, &one.required));
    // What is closed for the service alone is not closed in the schema.
    if closed {
        lacks && other_lacks
    } else {
        lacks || other_lacks
    }
}
