//! A `cookies.txt` in, its cookies out: a line each, of seven fields between tabs.

use inferstream_core::provider::{GivenCookie, is_pair};

/// What stands before the host of a cookie that scripts cannot read; other lines with `#` are remarks.
const HTTP_ONLY: &str = "#HttpOnly_";

/// Returns true if a text has a line in this form, or says that it is in it.
pub(super) fn is_it(text: &str) -> bool {
    let says_so = |line: &str| line.starts_with('#');
    text.lines()
        .any(|line| says_so(line) || cookie(line).is_some())
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
    let value = fields.next().unwrap_or_default();
    let expires = expires.split('.').next()?.parse::<i64>().ok()?;
    let is_cookie = is_pair(name, value) && path.starts_with('/') && !host.is_empty();
    is_cookie.then(|| GivenCookie {
        name: name.to_owned(),
        value: value.to_owned(),
        host: Some(host.trim_start_matches('.').to_owned()),
        below: below.eq_ignore_ascii_case("true") || host.starts_with('.'),
        path: path.to_owned(),
        // 0 is a cookie of the browser's session.
        expires: u64::try_from(expires).ok().filter(|&end| 0 < end),
        secure: secure.eq_ignore_ascii_case("true"),
    })
}
