//! The members of a JSON object as raw text, in order, and readers of their values.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::error::ApiError;

/// The members of a JSON object in order, with their values as JSON text.
///
/// It deserializes from an object of at most 256 members.
#[derive(Debug)]
pub struct Members<'a>(Vec<(Name<'a>, &'a RawValue)>);

/// The name of a member, a slice of the JSON if it has no escapes.
#[derive(Debug, Deserialize, PartialEq)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// Returns the members; of those with the same name, the last.
    pub fn last_of_each(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        let is_last = |index: usize, name: &str| {
            let mut later = self.0[index + 1..].iter();
            later.all(|(other, _)| other.0 != name)
        };
        let members = self.0.iter().enumerate();
        members
            .filter(move |(index, (name, _))| is_last(*index, &name.0))
            .map(|(_, (name, raw))| (&*name.0, *raw))
    }

    /// Returns the value of a member; of those with the same name, that of the last.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let mut members = self.0.iter().rev();
        members
            .find(|(known, _)| known.0 == name)
            .map(|(_, raw)| *raw)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(Name<'de>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                /// More members than any protocol has; comparing their names takes quadratic time.
                const MOST: usize = 256;
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                    if MOST < members.len() {
                        return Err(serde::de::Error::custom("too many members"));
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder).map(Self)
    }
}

/// Reads a value, or `None` for `null`.
pub(super) fn value<T: DeserializeOwned>(
    name: &str,
    raw: &RawValue,
    expected: &str,
) -> Result<Option<T>, ApiError> {
    serde_json::from_str(raw.get()).map_err(|_| invalid(name, expected))
}

pub(super) fn text(name: &str, raw: &RawValue) -> Result<Option<String>, ApiError> {
    value(name, raw, "a string")
}

pub(super) fn flag(name: &str, raw: &RawValue) -> Result<Option<bool>, ApiError> {
    value(name, raw, "a boolean")
}

pub(super) fn object<'a>(name: &str, raw: &'a RawValue) -> Result<Option<Members<'a>>, ApiError> {
    serde_json::from_str(raw.get()).map_err(|_| invalid(name, "an object"))
}

pub(super) fn list<'a>(
    name: &str,
    raw: &'a RawValue,
) -> Result<Option<Vec<&'a RawValue>>, ApiError> {
    serde_json::from_str(raw.get()).map_err(|_| invalid(name, "a list"))
}

/// Reads a member that must be there.
pub(super) fn required<T>(
    name: &str,
    read: Option<Result<Option<T>, ApiError>>,
) -> Result<T, ApiError> {
    match read.transpose()?.flatten() {
        Some(value) => Ok(value),
        None => Err(ApiError::invalid(Some(name), format!("missing `{name}`"))),
    }
}

pub(super) fn invalid(name: &str, expected: &str) -> ApiError {
    let message = format!("invalid `{name}`: expected {expected}");
    ApiError::invalid(Some(name), message)
}

/// Returns true for values that say nothing: `null`, and empty texts, lists and objects.
pub(super) fn is_empty(raw: &RawValue) -> bool {
    matches!(raw.get(), "null" | "\"\"" | "[]" | "{}" | "false")
}
