//! The contents of a session file.

use std::{collections::BTreeMap, fmt};

use http::{HeaderName, HeaderValue};
use inferstream_session::{Warning, is_pair};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, value::RawValue};

/// The headers of a session that does not come from a browser, the same as gpt4free sends.
///
/// `accept-encoding` differs, because this client does not decompress responses.
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

/// The contents of a session file, in gpt4free's format.
///
/// Unknown members are preserved. `Debug` shows only the names of headers and cookies.
#[derive(Clone, Default)]
pub struct SessionData {
    /// The headers that are sent with each request.
    pub headers: BTreeMap<String, String>,
    /// The names and values of the cookies.
    pub cookies: BTreeMap<String, String>,
    /// The proxy of gpt4free's file, which may contain a password. It is preserved and not used.
    pub proxy: Option<String>,
    /// The browser that gpt4free imitates. It is preserved and not used.
    pub impersonate: Option<String>,
    other: BTreeMap<String, Box<RawValue>>,
}

impl SessionData {
    /// Creates a session with the default headers and without cookies.
    pub fn plain() -> Self {
        let headers = DEFAULT_HEADERS.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            headers: headers.collect(),
            impersonate: Some("chrome".to_owned()),
            ..Self::default()
        }
    }

    /// Parses a session file. Returns `None` if it is damaged.
    ///
    /// Members of an unexpected type are ignored with a warning, and `null` ones without.
    pub fn from_json(bytes: &[u8], warnings: &mut Vec<Warning>) -> Option<Self> {
        // Parsing as `Value` first limits the nesting, which `RawValue` does not.
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

    /// Keeps the unknown members of the file that this session replaces.
    pub(super) fn with_other(mut self, mut replaced: Self) -> Self {
        replaced.other.append(&mut self.other);
        self.other = replaced.other;
        self
    }

    /// Serializes the session for its file.
    pub fn to_json(&self) -> Vec<u8> {
        // Maps of strings cannot fail to serialize.
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

/// The serialized form. `SessionData` does not implement `Serialize` itself, so that it is not
/// written elsewhere by accident.
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
        "values of an unexpected type in `{member}` of the session file were ignored"
    ))
}

fn is_header(name: &str, value: &str) -> bool {
    HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok()
}
