//! JSON values as text.

use std::fmt::{self, Write};

/// A JSON value as text: a tool's parameters, a schema, a member that this crate does not know.
///
/// The text is sent unchanged, so the order of a schema's members, which models read, is preserved.
/// With the feature `json` it can be made from anything that `serde` serializes. Deserialized by
/// `serde`, members keep their order, and numbers become 64-bit ones.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Json(Box<str>);

impl Json {
    /// Creates a value from text that is known to be one JSON value.
    ///
    /// Other text makes a request body that the service refuses or misunderstands; with the feature
    /// `json`, [`parse`](Self::parse) checks it.
    pub fn from_text(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! from_display {
    ($($from:ty)*) => {
        $(impl From<$from> for Json {
            fn from(value: $from) -> Self {
                Self(value.to_string().into())
            }
        })*
    };
}

from_display!(bool i32 i64 u32 u64 usize);

/// A number, or `null` for values that JSON cannot express.
impl From<f64> for Json {
    fn from(number: f64) -> Self {
        // `{:?}` writes exponents as JSON does.
        Self(
            if number.is_finite() {
                format!("{number:?}")
            } else {
                "null".to_owned()
            }
            .into(),
        )
    }
}

/// A JSON string.
impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// A JSON string.
impl From<&str> for Json {
    fn from(text: &str) -> Self {
        // The exact length, so that a long text is not copied once more.
        let mut json = String::with_capacity(escaped_length(text) + 2);
        json.push('"');
        push_escaped(&mut json, text);
        json.push('"');
        Self(json.into())
    }
}

/// Appends a text to JSON, escaped as within a string; quotation marks are not added.
pub fn push_escaped(json: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(is_escaped) {
        json.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            byte => write!(json, "\\u{byte:04x}").expect("writing to a string cannot fail"),
        }
        rest = &rest[at + 1..];
    }
    json.push_str(rest);
}

/// Returns the number of bytes that [`push_escaped`] appends for a text.
pub fn escaped_length(text: &str) -> usize {
    let more = |byte: &u8| match is_escaped(*byte) {
        true if matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t') => 1,
        true => 5,
        false => 0_u8,
    };
    // Parts whose sum fits a byte, so that many bytes are added at a time.
    let parts = text.as_bytes().chunks(48);
    let sums = parts.map(|part| usize::from(part.iter().map(more).sum::<u8>()));
    text.len() + sums.sum::<usize>()
}

/// Returns true for quotation marks, backslashes and control characters, which must be escaped (RFC
/// 8259, section 7).
fn is_escaped(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'"' | b'\\')
}

#[cfg(feature = "json")]
mod serde_support {
    use std::fmt;

    use serde::{
        Deserialize, Deserializer, Serialize, Serializer,
        de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
        ser::Error as _,
    };
    use serde_json::value::RawValue;

    use super::Json;
    use crate::error::{Error, Result};

    impl Json {
        /// Serializes a value.
        ///
        /// # Errors
        ///
        /// Returns `Config` if the value cannot be represented in JSON, such as a map whose keys
        /// are not strings.
        pub fn new(value: &(impl Serialize + ?Sized)) -> Result<Self> {
            match serde_json::to_string(value) {
                Ok(text) => Ok(Self(text.into())),
                Err(error) => {
                    Err(Error::config("the value cannot be serialized as JSON").with_source(error))
                }
            }
        }

        /// Creates a value from text, after checking that it is exactly one JSON value.
        ///
        /// # Errors
        ///
        /// Returns `Config` if it is not.
        pub fn parse(text: &str) -> Result<Self> {
            match serde_json::from_str::<&RawValue>(text) {
                Ok(raw) => Ok(Self(raw.get().into())),
                Err(error) => {
                    Err(Error::config("invalid JSON: expected exactly one value")
                        .with_source(error))
                }
            }
        }
    }

    impl From<serde_json::Value> for Json {
        fn from(value: serde_json::Value) -> Self {
            Self(value.to_string().into())
        }
    }

    /// The JSON value itself, not a string that contains it.
    impl Serialize for Json {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let raw: &RawValue = serde_json::from_str(self.as_str()).map_err(S::Error::custom)?;
            raw.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Json {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let mut text = String::new();
            Writer(&mut text).deserialize(deserializer)?;
            Ok(Self(text.into()))
        }
    }

    /// Writes the value of a deserializer as JSON, with its members in order.
    ///
    /// `RawValue` does not work inside a tagged enum, and `Value` sorts members.
    struct Writer<'a>(&'a mut String);

    impl Writer<'_> {
        fn put<E: de::Error>(self, value: &(impl Serialize + ?Sized)) -> Result<(), E> {
            self.0
                .push_str(&serde_json::to_string(value).map_err(E::custom)?);
            Ok(())
        }
    }

    impl<'de> DeserializeSeed<'de> for Writer<'_> {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    impl<'de> Visitor<'de> for Writer<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON value")
        }

        fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
            self.put(&value)
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
            self.put(&value)
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
            self.put(&value)
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
            self.put(&value)
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
            self.put(value)
        }

        fn visit_unit<E: de::Error>(self) -> Result<(), E> {
            self.put(&())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            self.0.push('[');
            while seq.next_element_seed(Writer(self.0))?.is_some() {
                self.0.push(',');
            }
            if self.0.ends_with(',') {
                self.0.pop();
            }
            self.0.push(']');
            Ok(())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut open = '{';
            while let Some(key) = map.next_key::<String>()? {
                self.0.push(open);
                open = ',';
                Writer(self.0).put(&key)?;
                self.0.push(':');
                map.next_value_seed(Writer(self.0))?;
            }
            self.0.push_str(if open == '{' { "{}" } else { "}" });
            Ok(())
        }
    }
}
