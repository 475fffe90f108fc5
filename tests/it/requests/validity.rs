//! Generated JSON schemas, a validator, and the check of a schema that was rewritten for a service.
//!
//! The fuzz target `schemas` uses this file too.

use std::collections::BTreeSet;

use inferstream_core::{Error, ErrorKind, Unsupported};
use serde_json::{Map, Value, json};

/// Rewrites a schema, strict or not, for a service that supports these keywords in addition to the
/// smallest set. Returns the schema that is sent, and what was dropped.
pub(super) type Put =
    fn(&Value, bool, &'static [&'static str]) -> Result<(Value, Vec<Unsupported>), Error>;

/// A source of decisions from bytes; at the end of the bytes, the first alternative is always
/// taken.
pub(super) struct Dice<'a>(pub(super) std::slice::Iter<'a, u8>);

impl Dice<'_> {
    pub(super) fn roll(&mut self, sides: u8) -> u8 {
        self.0.next().map_or(0, |byte| byte % sides)
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[usize::from(self.roll(u8::try_from(list.len()).unwrap()))].clone()
    }

    fn list<T>(&mut self, least: u8, most: u8, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = least + self.roll(most - least + 1);
        (0..count).map(|_| make(self)).collect()
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

const TYPES: [&str; 7] = [
    "string", "object", "array", "null", "integer", "number", "boolean",
];

/// Generates a schema. Definitions refer only to later ones, from `first` on.
fn schema(dice: &mut Dice<'_>, depth: u8, first: u8) -> Value {
    let mut schema = Map::new();
    for _ in 0..dice.roll(4) {
        let (keyword, value) = keyword(dice, depth, first);
        schema.insert(keyword.to_owned(), value);
    }
    if schema.is_empty() && dice.roll(4) == 1 {
        return json!(true);
    }
    Value::Object(schema)
}

fn keyword(dice: &mut Dice<'_>, depth: u8, first: u8) -> (&'static str, Value) {
    let deeper = |dice: &mut Dice<'_>| schema(dice, depth - 1, first);
    match dice.roll(if depth == 0 { 9 } else { 20 }) {
        0 => ("type", json!(dice.pick(&TYPES))),
        1 => {
            let types = dice.list(1, 3, |dice| dice.pick(&TYPES));
            (
                "type",
                types
                    .into_iter()
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect(),
            )
        }
        2 => ("enum", dice.list(1, 3, value).into()),
        3 => ("const", value(dice)),
        4 => ("nullable", json!(dice.roll(2) == 0)),
        5 => ("minLength", json!(1)),
        6 => ("minimum", json!(1)),
        7 => ("title", json!("t")),
        8 if first < 3 => {
            let name = first + dice.roll(3 - first);
            ("$ref", json!(format!("#/$defs/D{name}")))
        }
        8 => ("description", json!("d")),
        9 | 10 => {
            let properties = dice.list(0, 2, |dice| {
                let name = dice.pick(&NAMES);
                (name.to_owned(), deeper(dice))
            });
            (
                "properties",
                Value::Object(properties.into_iter().collect()),
            )
        }
        11 => ("required", dice.list(0, 2, |dice| dice.pick(&NAMES)).into()),
        12 => (
            "additionalProperties",
            dice.pick(&[json!(false), json!(true)]),
        ),
        13 => ("additionalProperties", deeper(dice)),
        14 => ("items", deeper(dice)),
        15 => ("prefixItems", dice.list(1, 2, deeper).into()),
        16 | 17 => ("anyOf", dice.list(1, 3, deeper).into()),
        18 => ("oneOf", dice.list(1, 3, deeper).into()),
        _ => ("allOf", dice.list(1, 2, deeper).into()),
    }
}

pub(super) fn document(dice: &mut Dice<'_>) -> Value {
    let mut root = match schema(dice, 3, 0) {
        Value::Object(root) => root,
        other => return other,
    };
    let definitions = (0..3).map(|number| (format!("D{number}"), schema(dice, 1, number + 1)));
    let definitions = Value::Object(definitions.collect());
    root.insert("$defs".to_owned(), definitions);
    let root = Value::Object(root);
    if dice.roll(2) == 0 {
        return root;
    }
    serde_json::from_str(&root.to_string().replace("$defs", "definitions")).unwrap()
}

pub(super) fn value(dice: &mut Dice<'_>) -> Value {
    match dice.roll(11) {
        0 => json!("a"),
        1 => json!(null),
        2 => json!(""),
        3 => json!(0),
        4 => json!(1.0),
        5 => json!(1.5),
        6 => json!(true),
        7 => dice.list(0, 2, value).into(),
        _ => {
            let members = dice.list(0, 3, |dice| (dice.pick(&NAMES).to_owned(), value(dice)));
            Value::Object(members.into_iter().collect())
        }
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|it| same(it, value)))
        }
        _ => one == other,
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("{other}"),
    }
}

/// Returns the schema of an array's element.
fn of_element(schema: &Value, index: usize) -> Option<&Value> {
    let items = schema.get("items");
    match schema.get("prefixItems") {
        Some(Value::Array(tuple)) => tuple.get(index).or(items),
        _ => items,
    }
}

/// Returns true if a value is valid by the keywords that apply to it alone.
fn is_plain_valid(schema: &Value, value: &Value) -> bool {
    let is_type = |kind: &Value| is_of(value, kind.as_str().unwrap());
    let types = match schema.get("type") {
        Some(Value::Array(types)) => types.iter().any(is_type),
        Some(kind) => is_type(kind),
        None => true,
    };
    let list = schema.get("enum").and_then(Value::as_array);
    let constant = schema.get("const");
    let number = |name: &str| schema.get(name).and_then(Value::as_f64);
    let required = schema.get("required").and_then(Value::as_array);
    types
        && list.is_none_or(|list| list.iter().any(|known| same(known, value)))
        && constant.is_none_or(|known| same(known, value))
        && !(value.as_str().is_some_and(str::is_empty) && schema.get("minLength").is_some())
        && value
            .as_f64()
            .is_none_or(|value| number("minimum").is_none_or(|least| least <= value))
        && required.is_none_or(|required| {
            required.iter().all(|name| {
                value
                    .as_object()
                    .is_none_or(|it| it.contains_key(name.as_str().unwrap()))
            })
        })
}

/// Returns true if a value is valid: by the standard, except for `nullable`, which adds `null` to
/// the keywords next to it.
fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let valid = |schema: &Value| is_valid(root, schema, value);
    let list = |name: &str| schema.get(name).and_then(Value::as_array);
    match schema {
        Value::Bool(all) => return *all,
        _ if schema.get("nullable") == Some(&json!(true)) && value.is_null() => return true,
        _ => {}
    }
    if let Some(target) = schema.get("$ref") {
        let target = target.as_str().unwrap().strip_prefix('#').unwrap();
        if !valid(root.pointer(target).unwrap()) {
            return false;
        }
    }
    let in_object = || {
        let properties = schema.get("properties").and_then(Value::as_object);
        let additional = schema.get("additionalProperties");
        value
            .as_object()
            .into_iter()
            .flatten()
            .all(|(name, value)| {
                let own = properties.and_then(|properties| properties.get(name));
                own.or(additional)
                    .is_none_or(|schema| is_valid(root, schema, value))
            })
    };
    let in_array = || {
        let elements = value.as_array().into_iter().flatten().enumerate();
        elements.into_iter().all(|(index, value)| {
            of_element(schema, index).is_none_or(|schema| is_valid(root, schema, value))
        })
    };
    is_plain_valid(schema, value)
        && in_object()
        && in_array()
        && list("allOf").is_none_or(|all| all.iter().all(valid))
        && list("anyOf").is_none_or(|any| any.iter().any(valid))
        && list("oneOf").is_none_or(|one| one.iter().filter(|one| valid(one)).count() == 1)
}

/// Returns true if a value is valid by schemas from which one alternative each was chosen, and its
/// objects have no other properties.
fn is_closed_valid(root: &Value, mut open: Vec<(Value, bool)>, value: &Value) -> bool {
    let mut nodes = Vec::new();
    while let Some((schema, is_nullable)) = open.pop() {
        let mut schema = match schema {
            Value::Bool(true) => continue,
            Value::Bool(false) => return false,
            schema => schema,
        };
        let with = |open: &[(Value, bool)], nodes: &[Value], more: Value, flag| {
            let nodes = nodes.iter().map(|node| (node.clone(), true));
            let all = open.iter().cloned().chain(nodes).chain([(more, flag)]);
            is_closed_valid(root, all.collect(), value)
        };
        if !is_nullable && schema.get("nullable") == Some(&json!(true)) {
            return with(&open, &nodes, schema, true)
                || with(&open, &nodes, json!({ "type": "null" }), false);
        }
        let members = schema.as_object_mut().unwrap();
        for name in ["anyOf", "oneOf"] {
            if let Some(list) = members.remove(name) {
                open.push((Value::Object(members.clone()), true));
                let mut list = list.as_array().unwrap().iter();
                return list.any(|one| with(&open, &nodes, one.clone(), false));
            }
        }
        if let Some(list) = members.remove("allOf") {
            open.extend(
                list.as_array()
                    .unwrap()
                    .iter()
                    .map(|one| (one.clone(), false)),
            );
        }
        if let Some(target) = members.remove("$ref") {
            let target = target.as_str().unwrap().strip_prefix('#').unwrap();
            open.push((root.pointer(target).unwrap().clone(), false));
        }
        nodes.push(schema);
    }
    if !nodes.iter().all(|node| is_plain_valid(node, value)) {
        return false;
    }
    let speaks = |node: &Value| {
        let is_object = |kinds: &Value| {
            *kinds == "object"
                || kinds
                    .as_array()
                    .is_some_and(|kinds| kinds.contains(&json!("object")))
        };
        node.get("properties").is_some()
            || node.get("additionalProperties").is_some()
            || node.get("type").is_some_and(is_object)
    };
    let is_closed = nodes.iter().any(speaks);
    let members = value.as_object().into_iter().flatten();
    let in_object = members.into_iter().all(|(name, value)| {
        let of_node = |node: &Value| node.get("properties")?.get(name).cloned();
        let needs = |node: &Value| {
            let required = node.get("required").and_then(Value::as_array);
            required.is_some_and(|required| required.contains(&json!(name)))
        };
        let is_named = nodes
            .iter()
            .any(|node| of_node(node).is_some() || needs(node));
        let parts = nodes
            .iter()
            .filter_map(|node| of_node(node).or_else(|| node.get("additionalProperties").cloned()));
        let parts = parts.map(|part| (part, false)).collect();
        (is_named || !is_closed) && is_closed_valid(root, parts, value)
    });
    let elements = value.as_array().into_iter().flatten().enumerate();
    in_object
        && elements.into_iter().all(|(index, value)| {
            let parts = nodes.iter().filter_map(|node| of_element(node, index));
            let parts = parts.map(|part| (part.clone(), false)).collect();
            is_closed_valid(root, parts, value)
        })
}

/// Removes the dropped keywords from a schema.
fn without(mut schema: Value, lost: &[Unsupported]) -> Value {
    let mut lost = lost.iter().collect::<Vec<_>>();
    // Nested ones first.
    lost.sort_by_key(|one| std::cmp::Reverse(one.field.len()));
    for Unsupported { field, .. } in lost {
        let place = field.strip_prefix("response_format#").unwrap();
        let (parent, name) = place.rsplit_once('/').unwrap();
        let parent = schema.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        let value = parent.remove(name).unwrap();
        if name == "oneOf" {
            let all = parent.entry("allOf").or_insert_with(|| json!([]));
            all.as_array_mut().unwrap().push(json!({ "anyOf": value }));
        }
    }
    schema
}

/// Checks that a refusal names a keyword of the schema and its location.
#[track_caller]
fn check_refusal(schema: &Value, error: &Error) {
    let line = error.to_string();
    let told = || format!("{schema}\n{line}");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", told());
    let at = line.split("`#").nth(1).unwrap().split('`').next().unwrap();
    let found = schema.pointer(at).unwrap_or_else(|| panic!("{}", told()));
    let keyword = line.split("in `response_format`: `").nth(1).unwrap();
    let keyword = keyword.split('`').next().unwrap();
    let names: &[&str] = match keyword {
        "enum" => &["enum", "const"],
        "anyOf" => &["anyOf", "oneOf"],
        // Only keywords that can apply to the same value twice are refused, and a `required`
        // property that is not declared.
        "type"
        | "items"
        | "properties"
        | "prefixItems"
        | "nullable"
        | "additionalProperties"
        | "required"
        | "minLength"
        | "minimum" => &[keyword],
        other => panic!("{other}: {}", told()),
    };
    let is_there = |it: &Value| names.iter().any(|name| it.to_string().contains(name));
    assert!(is_there(found) || is_there(schema), "{}", told());
}

/// Returns how often the schema was rewritten, and not refused.
#[track_caller]
pub(super) fn check(put: Put, schema: &Value, values: &[Value]) -> usize {
    let mut count = 0;
    for (strict, keywords) in [
        (true, &[][..]),
        (false, &[]),
        (true, &["minLength", "minimum"]),
    ] {
        let (sent, lost) = match put(schema, strict, keywords) {
            Ok(sent) => sent,
            Err(error) => {
                check_refusal(schema, &error);
                continue;
            }
        };
        count += 1;
        let (again, more) = put(&sent, strict, keywords).unwrap();
        assert_eq!(more, [], "{schema} {strict}");
        assert_eq!(again, sent, "{schema} {strict}");
        let less = without(schema.clone(), &lost);
        for value in values {
            let accepted = is_valid(&sent, &sent, value);
            let told = || format!("{schema}\n{sent}\n{value}\n{lost:?} {strict}");
            assert!(
                !accepted || is_valid(&less, &less, value),
                "wider: {}",
                told()
            );
            let demanded = is_valid(schema, schema, value)
                && (!strict || is_closed_valid(schema, vec![(schema.clone(), false)], value));
            assert!(accepted || !demanded, "narrower: {}", told());
        }
    }
    count
}

/// Generates a schema of keywords that depend on the ones next to them.
pub(super) fn dependent(dice: &mut Dice<'_>) -> Value {
    let properties = dice.list(0, 2, |dice| (dice.pick(&NAMES).to_owned(), json!({})));
    let properties = Value::Object(properties.into_iter().collect());
    let mut schema = json!({ "properties": properties });
    let others = [
        ("additionalProperties", json!(false)),
        ("additionalProperties", json!({ "type": "null" })),
        ("required", json!([dice.pick(&NAMES)])),
        ("prefixItems", json!([{ "type": "string" }])),
        ("items", json!({ "type": "null" })),
    ];
    for (name, value) in dice.list(0, 2, |dice| dice.pick(&others)) {
        schema[name] = value;
    }
    schema
}
