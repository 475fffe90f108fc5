//! What identifies a kept response: the client, its key for the request, and the request's body.

use std::fmt;

use http::{HeaderMap, HeaderName};
use xxhash_rust::xxh3::xxh3_128;

use crate::refusal::Refusal;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request that is sent to a provider once.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Id {
    /// The name of the client's key, so that clients with different keys cannot see each other's
    /// responses; `None` if no key is required.
    pub(crate) client: Option<String>,
    /// The value of `Idempotency-Key`.
    pub(crate) key: String,
}

/// Returns the value of `Idempotency-Key`.
///
/// # Errors
///
/// Fails if the value is empty, too long or not printable ASCII: a request whose key were ignored
/// could be sent twice.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    const MAX: usize = 255;
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX).contains(&key.len()) && values.next().is_none() => {
            Ok(Some(key.to_owned()))
        }
        _ => {
            let message = format!(
                "invalid header `Idempotency-Key`: expected 1 to {MAX} printable ASCII characters"
            );
            Err(Refusal::invalid(None, message))
        }
    }
}

/// A hash of a request's body. It is stored in files, so it must not change.
///
/// The hash is XXH3 with 128 bits. It detects mistakes; a client that constructs two bodies with the same
/// hash deceives only itself.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Fingerprint(u128);

impl Fingerprint {
    pub(crate) fn of(body: &[u8]) -> Self {
        Self(xxh3_128(body))
    }

    /// Parses what `Debug` writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_hash = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = u128::from_str_radix(text, 16).ok()?;
        is_hash.then_some(Self(hash))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{Fingerprint, IDEMPOTENCY_KEY, key};

    #[test]
    fn the_hash_never_changes() {
        for (body, expected) in [
            ("", "99aa06d3014798d86001c324468d497f"),
            ("a", "a96faf705af16834e6c632b61e964e1f"),
        ] {
            let fingerprint = Fingerprint::of(body.as_bytes());
            assert_eq!(format!("{fingerprint:?}"), expected);
            assert_eq!(Fingerprint::parse(expected), Some(fingerprint));
        }
        for text in ["", "1", "+d228cb696f1a8caf78912b704e4a896"] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_has_1_to_255_printable_characters() {
        let longest = "k".repeat(255);
        let read = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
            key(&headers)
        };
        assert_eq!(key(&HeaderMap::new()).unwrap(), None);
        for value in ["k", "row-1 of 2", &longest] {
            assert_eq!(read(value.as_bytes()).unwrap().as_deref(), Some(value));
        }
        let too_long = "k".repeat(256);
        for value in [&b""[..], too_long.as_bytes(), "clé".as_bytes(), b"\xff"] {
            assert!(read(value).is_err(), "{value:?}");
        }
        let mut two = HeaderMap::new();
        two.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        two.append(IDEMPOTENCY_KEY, HeaderValue::from_static("b"));
        assert!(key(&two).is_err());
    }
}
