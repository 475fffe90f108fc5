//! A parser for `cookies.txt` (Netscape): one cookie per line, seven fields separated by tabs.

use crate::jar::{GivenCookie, is_pair};

/// The prefix of an HTTP-only cookie's host; other lines with `#` are comments.
const HTTP_ONLY: &str = "#HttpOnly_";

/// Returns true if a line has this form, even separated by blanks, or is a comment of it.
pub(super) fn is_it(text: &str) -> bool {
    let is_flag = |field: Option<&str>| {
        field.is_some_and(|field| ["true", "false"].contains(&&*field.to_ascii_lowercase()))
    };
    text.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1).step_by(2);
        line.starts_with('#') || (is_flag(fields.next()) && is_flag(fields.next()))
    })
}

/// Reads the lines that are cookies.
pub(super) fn read(text: &str) -> Vec<GivenCookie> {
    text.lines().filter_map(cookie).collect()
}

/// Reads `host, below, path, secure, expires, name, value`.
fn cookie(line: &str) -> Option<GivenCookie> {
    let line = line.strip_prefix(HTTP_ONLY).unwrap_or(line);
    if line.starts_with('#') {
        return None;
    }
    let mut fields = line.splitn(7, '\t');
    let (host, below, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (secure, expires, name) = (fields.next()?, fields.next()?, fields.next()?);
    // Some editors drop the last tab of a cookie without a value.
    let value = fields.next().unwrap_or_default().trim_end();
    let expires = seconds(expires)?;
    let is_cookie = is_pair(name, value) && path.starts_with('/') && !host.is_empty();
    is_cookie.then(|| GivenCookie {
        name: name.to_owned(),
        value: value.to_owned(),
        host: Some(host.trim_start_matches('.').to_owned()),
        below: below.eq_ignore_ascii_case("true") || host.starts_with('.'),
        path: path.to_owned(),
        // 0 is a session cookie.
        expires: Some(expires).filter(|&end| 0 < end),
        secure: secure.eq_ignore_ascii_case("true"),
    })
}

/// Parses whole seconds; 0 for a negative number.
fn seconds(text: &str) -> Option<u64> {
    let number = text.split('.').next()?;
    let digits = number.strip_prefix('-').unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Digits alone can only fail by being too many.
    let seconds = digits.parse().unwrap_or(u64::MAX);
    Some(if number.starts_with('-') { 0 } else { seconds })
}
