//! A session's file in, its members out, and back.

use std::{collections::BTreeMap, fmt};

use http::{HeaderName, HeaderValue};
use inferstream_session::{Warning, is_pair};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, value::RawValue};

/// The headers of a session that no browser has filled, as the original sends them.
///
/// But for `accept-encoding`: this client decodes nothing.
pub const DEFAULT_HEADERS: [(&str, &str); 11] = [
    ("accept", "*/*"),
    ("accept-encoding", IDENTITY),
    ("accept-language", "en-US"),
    ("referer", ""),
    (
        "sec-ch-ua",
        r#""Not(A:Brand";v="99", "Google Chrome";v="133", "Chromium";v="133""#,
    ),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", r#""Windows""#),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-origin"),
    (
        "user-agent",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/123.0.0.0 Safari/537.36",
    ),
];

pub(super) const IDENTITY: &str = "identity";

/// What a session's file holds, in the original's form.
///
/// Members that neither client knows are kept as they are. `Debug` shows names alone.
#[derive(Clone, Default)]
pub struct SessionData {
    /// The headers of each request.
    pub headers: BTreeMap<String, String>,
    /// The cookies' names and values.
    pub cookies: BTreeMap<String, String>,
    /// The original's proxy, perhaps with a password. It is kept, and not used.
    pub proxy: Option<String>,
    /// The browser that the original pretends to be. It is kept, and not used.
    pub impersonate: Option<String>,
    other: BTreeMap<String, Box<RawValue>>,
}

impl SessionData {
    /// Creates the session that there is without any: the default headers and no cookies.
    pub fn plain() -> Self {
        let headers = DEFAULT_HEADERS.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            headers: headers.collect(),
            impersonate: Some("chrome".to_owned()),
            ..Self::default()
        }
    }

    /// Reads a file; none if it is damaged.
    ///
    /// Members of another type than the original's are ignored with a warning, null ones without.
    pub fn from_json(bytes: &[u8], warnings: &mut Vec<Warning>) -> Option<Self> {
        // Raw values may be nested without end, `Value` may not.
        serde_json::from_slice::<Map<String, Value>>(bytes).ok()?;
        let mut other: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(bytes).ok()?;
        let mut member = |name: &str| {
            let value = other.remove(name)?;
            serde_json::from_str::<Value>(value.get()).ok()
        };
        let [headers, cookies, proxy, impersonate] =
            ["headers", "cookies", "proxy", "impersonate"].map(&mut member);
        let is_cookie = |name: &str, value: &str| is_pair(name, value);
        Some(Self {
            headers: texts("headers", headers, is_header, warnings),
            cookies: texts("cookies", cookies, is_cookie, warnings),
            proxy: text("proxy", proxy, warnings),
            impersonate: text("impersonate", impersonate, warnings),
            other,
        })
    }

    pub(super) fn with_cookies(mut self, cookies: BTreeMap<String, String>) -> Self {
        self.cookies = cookies;
        self
    }

    /// Takes over the unknown members of a file that it replaces.
    pub(super) fn with_other(mut self, mut replaced: Self) -> Self {
        replaced.other.append(&mut self.other);
        self.other = replaced.other;
        self
    }

    /// Writes the file.
    pub fn to_json(&self) -> Vec<u8> {
        // Maps of strings cannot fail.
        serde_json::to_vec(&Form(self)).unwrap_or_default()
    }
}

impl fmt::Debug for SessionData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionData")
            .field("headers", &self.headers.keys())
            .field("cookies", &self.cookies.keys())
            .finish_non_exhaustive()
    }
}

/// The file's form. Apart from `SessionData`, which must not be written to anything else by chance.
struct Form<'a>(&'a SessionData);

impl Serialize for Form<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("impersonate", &self.0.impersonate)?;
        map.serialize_entry("cookies", &self.0.cookies)?;
        map.serialize_entry("headers", &self.0.headers)?;
        map.serialize_entry("proxy", &self.0.proxy)?;
        for (name, value) in &self.0.other {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn text(name: &str, value: Option<Value>, warnings: &mut Vec<Warning>) -> Option<String> {
    match value {
        Some(Value::String(text)) => return Some(text),
        None | Some(Value::Null) => {}
        Some(_) => warnings.push(ignored(name)),
    }
    None
}

fn texts(
    name: &str,
    value: Option<Value>,
    is_usable: impl Fn(&str, &str) -> bool,
    warnings: &mut Vec<Warning>,
) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let mut is_whole = true;
    match value {
        Some(Value::Object(members)) => {
            for (name, value) in members {
                match value {
                    Value::Null => {}
                    Value::String(value) if is_usable(&name, &value) => {
                        texts.insert(name, value);
                    }
                    _ => is_whole = false,
                }
            }
        }
        None | Some(Value::Null) => {}
        Some(_) => is_whole = false,
    }
    if !is_whole {
        warnings.push(ignored(name));
    }
    texts
}

fn ignored(member: &str) -> Warning {
    Warning::new(format!(
        "of the session file's `{member}` is ignored what is not of its type"
    ))
}

fn is_header(name: &str, value: &str) -> bool {
    HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok()
}
