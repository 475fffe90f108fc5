//! What JSON text is, while it grows and when it is complete.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::IgnoredAny;

/// How deep a JSON text is nested where it ends so far, read as it grows.
#[derive(Debug, Default)]
pub(crate) struct Nesting {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
    /// An object or a list has ended, and with it the text.
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

    /// Returns true if the text is a whole object or list.
    pub(crate) fn is_complete(&self) -> bool {
        self.has_closed && self.depth == 0 && !self.in_string
    }
}

/// Returns a hash of what a JSON text says, white space and the order of members aside.
pub(crate) fn identify(json: &str) -> Option<u64> {
    let value = serde_json::from_str::<serde_json::Value>(json).ok()?;
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    Some(hasher.finish())
}

/// Returns true if a text is JSON or its beginning.
pub(crate) fn may_be_json(text: &str) -> bool {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => true,
        Err(error) => error.is_eof(),
    }
}
