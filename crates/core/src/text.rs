//! Text that is a slice of the buffer it arrived in.

use std::{borrow::Borrow, fmt, ops::Deref};

use bytes::Bytes;
use bytestring::ByteString;

/// Immutable text, cheap to clone.
///
/// A token that needs no unescaping is a slice of the network's buffer, without a copy or an
/// allocation. It keeps that buffer (a few KiB) alive; to store tokens for long, store [`String`]s, as
/// [`ChatResponse`](crate::ChatResponse) does.
#[derive(Clone, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Text(ByteString);

impl Text {
    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text's buffer, for further slices of it.
    pub fn buffer(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// Creates a slice of `buffer` if `part` borrows from it, or else a copy of `part`.
    pub fn slice_of(buffer: &Bytes, part: &str) -> Self {
        let range = buffer.as_ptr_range();
        let inside =
            range.contains(&part.as_ptr()) && part.as_bytes().as_ptr_range().end <= range.end;
        if !inside {
            return Self::from(part);
        }
        match ByteString::try_from(buffer.slice_ref(part.as_bytes())) {
            Ok(text) => Self(text),
            Err(_) => Self::from(part),
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}
