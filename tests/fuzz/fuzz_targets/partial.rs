//! The value of JSON whose end has not arrived is JSON, and grows with the text.
#![no_main]

use std::fmt;

use inferstream_core::Json;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// A JSON value with its members in order, also those of the same name.
#[derive(Debug, PartialEq)]
enum Tree {
    /// A number, `true`, `false` or `null`.
    Word(String),
    Text(String),
    List(Vec<Tree>),
    Members(Vec<(String, Tree)>),
}

impl Tree {
    /// Returns true if a later value may be what this one has become: complete members are the same,
    /// and the last one may have grown.
    fn becomes(&self, later: &Self) -> bool {
        match (self, later) {
            (Self::Text(one), Self::Text(other)) => other.starts_with(&**one),
            (Self::List(one), Self::List(other)) => {
                let Some((last, before)) = one.split_last() else {
                    return true;
                };
                let rest = other.strip_prefix(before).and_then(<[_]>::first);
                rest.is_some_and(|grown| last.becomes(grown))
            }
            (Self::Members(one), Self::Members(other)) => {
                let Some(((name, last), before)) = one.split_last() else {
                    return true;
                };
                let rest = other.strip_prefix(before).and_then(<[_]>::first);
                rest.is_some_and(|(known, grown)| known == name && last.becomes(grown))
            }
            (one, other) => one == other,
        }
    }
}

struct Reader;

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Word(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Word(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Word(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Word(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Word(String::new()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Tree::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Members(members))
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let whole = Json::from_partial(&text);
    if is_json(&text) {
        let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
        // A number may be longer.
        let is_number = trimmed.ends_with(|char: char| char.is_ascii_alphanumeric());
        let seen = whole.as_ref().map(Json::as_str);
        assert!(is_number || seen == Some(trimmed), "{seen:?} of {text}");
    }
    let mut last = None::<Json>;
    let mut tree = None::<Tree>;
    let ends = text.char_indices().map(|(at, char)| at + char.len_utf8());
    for end in ends {
        let begin = &text[..end];
        let Some(json) = Json::from_partial(begin) else {
            // What is not JSON does not become JSON.
            assert!(last.is_none() || whole.is_none(), "{begin} of {text}");
            continue;
        };
        if last.as_ref() == Some(&json) {
            continue;
        }
        assert!(is_json(json.as_str()), "{json} of {begin}");
        // Half a surrogate pair and a number out of range are JSON, but have no value.
        if let Ok(next) = serde_json::from_str::<Tree>(json.as_str()) {
            if let Some(tree) = &tree {
                assert!(tree.becomes(&next), "{tree:?} and then {next:?} of {begin}");
            }
            tree = Some(next);
        } else {
            tree = None;
        }
        last = Some(json);
    }
});
