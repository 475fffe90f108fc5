//! Keys and headers of the configuration file, which names where a secret is and never contains it.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use http::{HeaderName, HeaderValue};
use inferstream::{Error, Result, protocol::is_credential};
use serde::{Deserialize, de};

use crate::files;

/// Where a secret is: in an environment variable (`env:NAME`) or a file (`file:PATH`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub(crate) enum Secret {
    Env(String),
    File(PathBuf),
}

impl Secret {
    /// Parses `env:NAME` or `file:PATH`; `None` for other texts.
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            (_, "") => None,
            ("env", name) if is_variable(name) => Some(Self::Env(name.to_owned())),
            ("file", path) => Some(Self::File(path.into())),
            _ => None,
        }
    }

    /// Reads the secret. Relative paths start from a folder, and `~/` is the home folder.
    ///
    /// # Errors
    ///
    /// `Config` if the file cannot be read; `Auth` if the variable or the file is missing or empty.
    pub(crate) fn read(&self, folder: &Path) -> Result<String> {
        let text = match self {
            Self::Env(name) => match env::var(name) {
                Ok(text) => text,
                Err(env::VarError::NotPresent) => String::new(),
                Err(env::VarError::NotUnicode(_)) => {
                    return Err(Error::config(format!(
                        "invalid {name}: expected Unicode text"
                    )));
                }
            },
            Self::File(path) => {
                let text = String::from_utf8(files::read(&locate(path, folder))?);
                text.map_err(|_| Error::config(format!("invalid {self}: expected UTF-8 text")))?
            }
        };
        match text.trim() {
            "" => Err(Error::new(
                inferstream::ErrorKind::Auth,
                format!("missing key: {self} is not set or is empty"),
            )),
            text => Ok(text.to_owned()),
        }
    }
}

/// Returns true for the names that shells accept. A key after `env:` by mistake usually has another
/// form, and must not become part of a message.
fn is_variable(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.starts_with(|first: char| first.is_ascii_digit()) && name.bytes().all(is_word)
}

/// Returns an absolute path.
pub(crate) fn locate(path: &Path, folder: &Path) -> PathBuf {
    match (path.strip_prefix("~"), env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => folder.join(path),
    }
}

impl TryFrom<String> for Secret {
    type Error = &'static str;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        // The text may be the key itself, so the error does not contain it.
        Self::parse(&text).ok_or(
            "invalid key: expected `env:NAME` or `file:PATH`; a key must not be in the \
             configuration file: put it into an environment variable or a file of its own",
        )
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

/// The value of a header: a text, or where a secret is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum HeaderText {
    Plain(HeaderValue),
    Secret(Secret),
}

impl HeaderText {
    /// Returns the value.
    ///
    /// # Errors
    ///
    /// As [`Secret::read`]; `Config` if a secret is not valid in a header.
    pub(crate) fn read(&self, folder: &Path) -> Result<HeaderValue> {
        match self {
            Self::Plain(value) => Ok(value.clone()),
            Self::Secret(secret) => {
                let value = HeaderValue::try_from(secret.read(folder)?);
                let mut value = value.map_err(|_| {
                    Error::config(format!(
                        "invalid header value in {secret}: expected one line of ASCII"
                    ))
                })?;
                value.set_sensitive(true);
                Ok(value)
            }
        }
    }
}

/// Headers by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(pub(crate) Vec<(HeaderName, HeaderText)>);

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: de::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(HeadersVisitor)
    }
}

struct HeadersVisitor;

impl<'de> de::Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of headers")
    }

    fn visit_map<A: de::MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<Headers, A::Error> {
        let mut headers = Headers::default();
        while let Some(name) = map.next_key::<String>()? {
            headers.0.push(map.next_value_seed(Named(&name))?);
        }
        Ok(headers)
    }
}

/// Reads the value of the header with this name.
struct Named<'a>(&'a str);

impl<'de> de::DeserializeSeed<'de> for Named<'_> {
    type Value = (HeaderName, HeaderText);

    fn deserialize<D: de::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<Self::Value, D::Error> {
        let name = HeaderName::try_from(self.0).map_err(|_| {
            de::Error::custom("invalid header name: expected letters, digits and `-`")
        })?;
        let text = String::deserialize(deserializer)?;
        if let Some(secret) = Secret::parse(&text) {
            return Ok((name, HeaderText::Secret(secret)));
        }
        if is_credential(&name) {
            return Err(de::Error::custom(format!(
                "invalid value of the header `{name}`: expected `env:NAME` or `file:PATH`, because \
                 the header usually carries a credential"
            )));
        }
        let value = HeaderValue::try_from(text).map_err(|_| {
            de::Error::custom(format!(
                "invalid value of the header `{name}`: expected one line of visible ASCII"
            ))
        })?;
        Ok((name, HeaderText::Plain(value)))
    }
}
