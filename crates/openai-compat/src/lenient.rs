//! Lenient deserialization: members of unexpected types are read as what they mean, or as absent.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Declares a JSON object of the protocol: each member is optional, unknown members are ignored,
/// the last of several members with the same name counts, and `null` is an empty object. A field
/// after `..` collects the unknown members.
macro_rules! object {
    (
        $(#[$doc:meta])*
        $name:ident { $($field:ident: $type:ty $(= $wire:literal)?,)* $(..$others:ident: $rest:ty)? }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        // The names are those of the protocol.
        #[allow(clippy::struct_field_names)]
        pub(crate) struct $name<'a> {
            $(pub(crate) $field: $type,)*
            $(pub(crate) $others: $rest,)?
            _borrowed: std::marker::PhantomData<&'a ()>,
        }

        impl<'de: 'a, 'a> ::serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // The object is created where its members are read, because it is large to move.
                struct Object<'a>(std::marker::PhantomData<&'a ()>);

                impl<'de: 'a, 'a> ::serde::de::Visitor<'de> for Object<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str(concat!("an object (", stringify!($name), ")"))
                    }

                    fn visit_unit<E>(self) -> Result<Self::Value, E> {
                        Ok($name::default())
                    }

                    fn visit_map<A: ::serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut object = $name::default();
                        while let Some($crate::lenient::Key(key)) = map.next_key()? {
                            match &*key {
                                $(object!(@name $field $($wire)?) => object.$field = map.next_value()?,)*
                                _ => object!(@other map key $((object.$others))?),
                            }
                        }
                        Ok(object)
                    }
                }

                deserializer.deserialize_any(Object(std::marker::PhantomData))
            }
        }
    };
    (@other $map:ident $key:ident) => { drop($map.next_value::<::serde::de::IgnoredAny>()?) };
    (@other $map:ident $key:ident ($others:expr)) => {
        $others.note(&$key, $map.next_value::<&::serde_json::value::RawValue>()?.get())
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $wire:literal) => { $wire };
}

pub(crate) use object;

/// An object's key, borrowed where it has no escapes.
pub(crate) struct Key<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(LaxVisitor)
            .map(|lax| Self(lax.0.unwrap_or_default()))
    }
}

/// A JSON value as it is written; `None` for `null`.
#[derive(Debug, Default)]
pub(crate) struct Raw<'a>(pub(crate) Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self((raw.get() != "null").then_some(raw)))
    }
}

impl<'a> Raw<'a> {
    /// Returns the value's text.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.0.map(RawValue::get)
    }
}

/// Text, or a value that stands for it: a number or a boolean as it is written, an array of parts
/// as the text of the parts, and an object as its `text` or `value`.
#[derive(Debug, Default)]
pub(crate) struct Lax<'a>(pub(crate) Option<Cow<'a, str>>);

impl Lax<'_> {
    /// Returns the text, or `None` if it is absent or empty.
    pub(crate) fn some(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

impl<'a> Lax<'a> {
    /// Reads the text of a JSON value, which the parser has checked.
    pub(crate) fn read(text: &'a str) -> serde_json::Result<Self> {
        match text.as_bytes().first() {
            // A string without escapes needs no decoding.
            Some(b'"') if !text.contains('\\') => Ok(Self(inside(text).map(Cow::Borrowed))),
            Some(b'"' | b'[' | b'{') => {
                serde_json::Deserializer::from_str(text).deserialize_any(LaxVisitor)
            }
            Some(b'n') | None => Ok(Self(None)),
            // A number stays as it is written: `1.50` and `1.5` are different texts.
            Some(_) => Ok(Self(Some(Cow::Borrowed(text)))),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Lax<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        Lax::read(text).map_err(D::Error::custom)
    }
}

/// Returns what is between the quotation marks of a JSON string.
pub(crate) fn inside(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

/// The most values of [`Passed`]. Services send one or two that differ.
const MAX_PASSED: usize = 8;

/// The values that the parser skipped because the names of their members are unknown, as they are
/// written.
#[derive(Debug, Default)]
pub(crate) struct Passed<'a> {
    values: [&'a str; MAX_PASSED],
    len: usize,
}

impl<'a> Passed<'a> {
    pub(crate) fn note(&mut self, _: &str, json: &'a str) {
        if let Some(slot) = self.values.get_mut(self.len) {
            *slot = json;
            self.len += 1;
        }
    }

    pub(crate) fn values(&self) -> &[&'a str] {
        &self.values[..self.len]
    }
}

/// A part of a text. It uses the same deserializer as the text, which limits the depth.
struct Part<'a>(Lax<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LaxVisitor).map(Self)
    }
}

struct LaxVisitor;

impl<'de> Visitor<'de> for LaxVisitor {
    type Value = Lax<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Lax<'de>, E> {
        Ok(Lax(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Lax<'de>, E> {
        Ok(Lax(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Lax<'de>, E> {
        Ok(Lax(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Lax<'de>, E> {
        Ok(Lax(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Lax<'de>, E> {
        Ok(Lax(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Lax<'de>, E> {
        Ok(Lax(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Lax<'de>, A::Error> {
        let mut text = None::<String>;
        while let Some(Part(Lax(part))) = seq.next_element()? {
            if let Some(part) = part {
                text.get_or_insert_default().push_str(&part);
            }
        }
        Ok(Lax(text.map(Cow::Owned)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lax<'de>, A::Error> {
        let mut text = Lax(None);
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "text" | "value" => text = map.next_value::<Part<'de>>()?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(text)
    }
}

/// A number, or a string with a number; `None` for anything else.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Number(pub(crate) Option<f64>);

impl Number {
    fn read(json: &str) -> Self {
        // Most are small integers, which take less time to read as such.
        let number = match json.parse::<u32>() {
            Ok(number) => Some(f64::from(number)),
            Err(_) => json.trim_matches('"').trim().parse::<f64>().ok(),
        };
        Self(number.filter(|number| number.is_finite()))
    }

    /// Returns the number as a count, or `None` if it is negative or too large.
    // The range is checked; a fraction is dropped.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn count(self) -> Option<u64> {
        const BEYOND: f64 = 18_446_744_073_709_551_616.0;
        self.0
            .filter(|number| (0.0..BEYOND).contains(number))
            .map(|number| number as u64)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self::read(json))
    }
}

/// A token count, and the JSON value from which it was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count<'a> {
    pub(crate) value: Option<u64>,
    pub(crate) json: &'a str,
}

impl<'de: 'a, 'a> Deserialize<'de> for Count<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let value = Number::read(json).count();
        Ok(Self { value, json })
    }
}

/// An object that is not essential: any invalid value is an empty one, and not an error.
#[derive(Debug, Default)]
pub(crate) struct Lenient<T>(pub(crate) T);

impl<'de, T: Default + Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self(parse(text).unwrap_or_default()))
    }
}

/// A non-essential object that few chunks have. It is parsed when it is used, and an invalid value is
/// absent.
#[derive(Debug, Default)]
pub(crate) struct Lazy<'a, T>(Raw<'a>, PhantomData<T>);

impl<'de: 'a, 'a, T> Deserialize<'de> for Lazy<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Raw::deserialize(deserializer).map(|raw| Self(raw, PhantomData))
    }
}

impl<'a, T: Deserialize<'a>> Lazy<'a, T> {
    /// Returns the object, or `None` if it is absent or invalid.
    pub(crate) fn some(&self) -> Option<T> {
        self.0.text().map(parse)?.ok()
    }
}

/// A member, and whether it was present.
#[derive(Debug, Default)]
pub(crate) struct Present<T> {
    pub(crate) present: bool,
    pub(crate) value: T,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Present<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self {
            present: true,
            value: T::deserialize(deserializer)?,
        })
    }
}

/// A list; `null` is an empty list.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// The most items of a list, far more than a response has choices or calls. The limit bounds the
/// memory.
const MAX_LIST: usize = 1 << 12;

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(Vec<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<List<T>, E> {
                Ok(List(self.0))
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<List<T>, A::Error> {
                while let Some(item) = seq.next_element()? {
                    if self.0.len() == MAX_LIST {
                        return Err(A::Error::custom("expected a list of at most 4096 items"));
                    }
                    // Most lists have one item, and choices are large.
                    if self.0.is_empty() {
                        self.0.reserve_exact(1);
                    }
                    self.0.push(item);
                }
                Ok(List(self.0))
            }
        }

        deserializer.deserialize_any(Items(Vec::new()))
    }
}

/// A list, or a single object that counts as a list of one.
#[derive(Debug)]
pub(crate) struct OneOrMore<T>(pub(crate) Vec<T>);

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let list = match json.as_bytes().first() {
            Some(b'{') => parse(json).map(|item| vec![item]),
            _ => parse::<List<T>>(json).map(|list| list.0),
        };
        list.map(Self).map_err(D::Error::custom)
    }
}

/// Parses JSON text as a value of the protocol.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = T::deserialize(&mut deserializer)?;
    match deserializer.end() {
        Ok(()) => Ok(value),
        Err(_) => Err(serde_json::Error::custom("trailing characters")),
    }
}

/// Parses the first JSON value of a text, and ignores what follows it.
pub(crate) fn first<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<T>();
    values.next()?.ok()
}

/// Returns the text of an array's only item.
pub(crate) fn only(text: &str) -> Option<&str> {
    if !text.starts_with('[') {
        return None;
    }
    match parse::<Vec<Raw<'_>>>(text).ok()?[..] {
        [ref item] => item.text(),
        _ => None,
    }
}
