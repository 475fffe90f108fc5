//! A schema's text in, its parts out, each with the place where it stands.

use std::{collections::HashMap, fmt, rc::Rc};

use inferstream_core::{Error, ErrorKind, Result};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A schema within a schema: its JSON text, and the JSON pointer (RFC 6901) to it.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    pub(super) json: &'a str,
    pub(super) at: Rc<str>,
    /// Its own `nullable` has been seen to.
    pub(super) has_null: bool,
}

/// The members of an object in their order, each name once.
pub(super) type Members<'a> = Vec<(String, &'a str)>;

impl<'a> Part<'a> {
    pub(super) fn new(json: &'a str, at: impl Into<Rc<str>>) -> Self {
        Self {
            json: json.trim(),
            at: at.into(),
            has_null: false,
        }
    }

    /// Returns what a member of this one has below it.
    pub(super) fn below(at: &str, name: &str, json: &'a str) -> Self {
        Self::new(json, pointer(at, name))
    }
}

/// Returns the pointer to a member.
pub(super) fn pointer(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The whole text, of which parts refer to others.
pub(super) struct Source<'a, 'b> {
    /// What the schema is of, for people.
    place: &'b str,
    root: &'a str,
    /// What has been looked into on the way to what is referred to, by its pointer.
    opened: HashMap<String, HashMap<String, &'a str>>,
}

impl<'a, 'b> Source<'a, 'b> {
    pub(super) fn new(root: &'a str, place: &'b str) -> Self {
        Self {
            place,
            root: root.trim(),
            opened: HashMap::new(),
        }
    }

    /// Reads an object; of members of one name the last one counts.
    pub(super) fn members(&self, json: &'a str, at: &str) -> Result<Members<'a>> {
        let list = self.read::<InOrder<'a>>(json, at)?.0;
        let mut places = HashMap::with_capacity(list.len());
        let mut members = Members::with_capacity(list.len());
        for (name, value) in list {
            if let Some(&place) = places.get(&name) {
                let (_, known): &mut (String, &str) = &mut members[place];
                *known = value.get();
            } else {
                places.insert(name.clone(), members.len());
                members.push((name, value.get()));
            }
        }
        Ok(members)
    }

    /// Reads a list of schemas.
    pub(super) fn list(&self, json: &'a str, at: &str) -> Result<Vec<Part<'a>>> {
        let list = self.read::<Vec<&RawValue>>(json, at)?;
        let parts = list.iter().enumerate();
        let parts = parts.map(|(index, one)| Part::new(one.get(), format!("{at}/{index}")));
        Ok(parts.collect())
    }

    /// Reads anything.
    pub(super) fn read<T: Deserialize<'a>>(&self, json: &'a str, at: &str) -> Result<T> {
        serde_json::from_str(json).map_err(|_| self.not_a_schema(at))
    }

    pub(super) fn not_a_schema(&self, at: &str) -> Error {
        let what = format!("the schema of `{}` is not a JSON schema", self.place);
        Error::config(match at {
            "" => what,
            at => format!("{what}: see `#{}`", brief(at)),
        })
    }

    pub(super) fn too_deep(&self) -> Error {
        Error::config(format!("the schema of `{}` is nested too deep", self.place))
    }

    pub(super) fn unsupported(&self, what: &str) -> Error {
        let place = self.place;
        let message = format!("the schema of `{place}` {what}, which is not taken");
        Error::new(ErrorKind::Unsupported, message)
    }

    /// Returns what a `$ref` leads to.
    pub(super) fn target(&mut self, json: &'a str, at: &str) -> Result<Part<'a>> {
        let target = self.read::<String>(json, at)?;
        let fragment = target.strip_prefix('#').and_then(percent_decoded);
        let path = match fragment.as_deref() {
            Some("") => Vec::new(),
            Some(path) if path.starts_with('/') => path[1..].split('/').collect(),
            _ => return Err(self.unsupported("refers to what is not in it")),
        };
        let (mut place, mut json) = (String::new(), self.root);
        for segment in path {
            let name = segment.replace("~1", "/").replace("~0", "~");
            let Some(below) = self.open(&place, json)?.get(&name).copied() else {
                let what = format!("refers to `{}`, which is not there", brief(&target));
                let message = format!("the schema of `{}` {what}", self.place);
                return Err(Error::config(message));
            };
            place = pointer(&place, &name);
            json = below;
        }
        Ok(Part::new(json, place))
    }

    /// Returns what lies right below a place, by its name or number.
    fn open(&mut self, at: &str, json: &'a str) -> Result<&HashMap<String, &'a str>> {
        if !self.opened.contains_key(at) {
            let below = match json.as_bytes().first() {
                Some(b'{') => self.members(json, at)?.into_iter().collect(),
                Some(b'[') => {
                    let list = self.read::<Vec<&RawValue>>(json, at)?.into_iter();
                    let list = list.enumerate();
                    list.map(|(index, one)| (index.to_string(), one.get()))
                        .collect()
                }
                _ => HashMap::new(),
            };
            self.opened.insert(at.to_owned(), below);
        }
        Ok(&self.opened[at])
    }
}

/// Cuts what is long: a schema may come from anywhere.
pub(super) fn brief(text: &str) -> String {
    const LONGEST: usize = 120;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Decodes a fragment (RFC 3986, section 2.1), or returns `None` if it is none.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// The members of an object in their order, as they stand.
struct InOrder<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for InOrder<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Reader).map(Self)
    }
}
