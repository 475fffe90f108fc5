//! Checks of JSON text: whether it is complete, and whether two texts are the same value.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::IgnoredAny;

/// The nesting depth at the end of a JSON text that arrives in fragments.
///
/// It tells in linear time when an object or a list is complete, without parsing the text again for
/// each fragment.
#[derive(Debug, Default)]
pub(crate) struct Nesting {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
    /// The last bracket closed the outermost object or list.
    has_closed: bool,
}

impl Nesting {
    pub(crate) fn add(&mut self, part: &str) {
        for byte in part.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.has_closed = self.depth == 0;
                }
                _ => {}
            }
        }
    }

    /// Returns true if the text is a complete object or list.
    pub(crate) fn is_complete(&self) -> bool {
        self.has_closed && self.depth == 0 && !self.in_string
    }
}

/// Returns a hash of the value of a JSON text, regardless of white space and the order of members.
pub(crate) fn identify(json: &str) -> Option<u64> {
    let value = serde_json::from_str::<serde_json::Value>(json).ok()?;
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    Some(hasher.finish())
}

/// Returns true if a text is JSON or the beginning of JSON.
pub(crate) fn may_be_json(text: &str) -> bool {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => true,
        Err(error) => error.is_eof(),
    }
}
