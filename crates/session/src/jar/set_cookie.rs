//! A parser for one `Set-Cookie` header.

use inferstream_core::provider::read_cookie_date;

use super::{is_pair, trim};

/// The most bytes of an attribute's value, beyond which it is ignored: RFC 6265bis, section 5.6.
const MAX_ATTRIBUTE: usize = 1024;

/// The longest lifetime of a cookie, in seconds: the 400 days of RFC 6265bis, section 5.5.
const MAX_AGE: u64 = 400 * 24 * 60 * 60;

/// A parsed `Set-Cookie` header: RFC 6265bis, section 5.6.
#[derive(Default)]
pub(super) struct SetCookie<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    pub(super) domain: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    max_age: Option<&'a str>,
    date: Option<&'a str>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
}

impl<'a> SetCookie<'a> {
    /// Parses a header; returns `None` if it is not a cookie, or one that must not be sent.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        // "If the set-cookie-string contains a %x00-08 / %x0A-1F / %x7F character: abort."
        if line
            .bytes()
            .any(|byte| byte != b'\t' && byte.is_ascii_control())
        {
            return None;
        }
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (trim(name), trim(value));
        if !is_pair(name, value) {
            return None;
        }
        let mut set = Self {
            name,
            value,
            ..Self::default()
        };
        for attribute in attributes.split(';') {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let value = trim(value);
            if value.len() <= MAX_ATTRIBUTE {
                match trim(key).to_ascii_lowercase().as_str() {
                    "domain" => set.domain = Some(value),
                    "expires" => set.date = Some(value),
                    "httponly" => set.http_only = true,
                    "max-age" => set.max_age = Some(value),
                    "path" => set.path = Some(value),
                    "secure" => set.secure = true,
                    _ => {}
                }
            }
        }
        Some(set)
    }

    /// Returns the second at which it expires; a time in the past deletes the cookie.
    pub(super) fn expires(&self, now: u64) -> Option<u64> {
        let latest = now.saturating_add(MAX_AGE);
        // "If a cookie has both the Max-Age and the Expires attribute, Max-Age has precedence."
        let age = self.max_age.and_then(max_age);
        let age = age.map(|age| now.saturating_add(age).min(latest));
        // A date before 1970 counts as 1970.
        age.or_else(|| Some(self.date.and_then(read_cookie_date)?.min(latest)))
            .map(|second| if second <= now { 0 } else { second })
    }
}

/// Parses a `Max-Age` in seconds, 0 if it is negative; `None` if it is not a whole number.
fn max_age(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Digits alone can only fail by being too many.
    let age = digits.parse().unwrap_or(u64::MAX);
    Some(if text.starts_with('-') { 0 } else { age })
}
