//! A `cookies.txt` in, its cookies out: a line each, of seven fields between tabs.

use crate::jar::{GivenCookie, is_pair};

/// What stands before the host of a cookie that scripts cannot read; other lines with `#` are remarks.
const HTTP_ONLY: &str = "#HttpOnly_";

/// Returns true if a text has a line in this form, if only between blanks, or says that it is in it.
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
    // Without a value, some editors drop the last tab.
    let value = fields.next().unwrap_or_default().trim_end();
    let expires = seconds(expires)?;
    let is_cookie = is_pair(name, value) && path.starts_with('/') && !host.is_empty();
    is_cookie.then(|| GivenCookie {
        name: name.to_owned(),
        value: value.to_owned(),
        host: Some(host.trim_start_matches('.').to_owned()),
        below: below.eq_ignore_ascii_case("true") || host.starts_with('.'),
        path: path.to_owned(),
        // 0 is a cookie of the browser's session.
        expires: Some(expires).filter(|&end| 0 < end),
        secure: secure.eq_ignore_ascii_case("true"),
    })
}

/// Reads whole seconds; 0 for a negative number.
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
