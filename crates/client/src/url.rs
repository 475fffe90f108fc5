//! Validation and normalization of base URLs.

use http::Uri;

use inferstream_core::{Error, Result};

/// Checks a base URL, and returns it without white space around it and slashes at its end.
///
/// # Errors
///
/// `Config` if it is invalid: it needs the scheme `http` or `https` and a host, and must not have a
/// user name, a query or a fragment. The message does not show the URL, which may contain a password.
pub fn base_url(url: &str) -> Result<String> {
    check(url).map_err(|error| error.with_setting("base_url"))
}

fn check(url: &str) -> Result<String> {
    let url = url.trim();
    let uri = url.parse::<Uri>().map_err(|_| not_a_url())?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => {
            return Err(Error::config(
                "invalid base URL: expected `https://` or `http://` at its beginning",
            ));
        }
    }
    let authority = uri.authority().ok_or_else(not_a_url)?;
    if authority.as_str().contains('@') {
        return Err(Error::config(
            "invalid base URL: expected no user name or password: set the key as its own setting",
        ));
    }
    if authority.host().is_empty() {
        return Err(not_a_url());
    }
    let port = uri.port();
    let is_number =
        |port: &http::uri::Port<&str>| port.as_str().bytes().all(|byte| byte.is_ascii_digit());
    if authority.as_str() != authority.host() && !port.as_ref().is_some_and(is_number) {
        return Err(Error::config(
            "invalid port in the base URL: expected 0 to 65535",
        ));
    }
    if uri.query().is_some() || url.contains('#') {
        return Err(Error::config(
            "invalid base URL: expected no query and no fragment",
        ));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Adds `/v1` to a URL without a path, as the official clients of several services do.
pub fn with_version(url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    match url.parse::<Uri>() {
        Ok(uri) if matches!(uri.path(), "" | "/") && uri.query().is_none() => format!("{url}/v1"),
        _ => url.to_owned(),
    }
}

/// Returns true if two URLs have the same host, regardless of scheme and port.
pub fn same_host(one: &str, other: &str) -> bool {
    let host = |url: &str| Some(url.parse::<Uri>().ok()?.host()?.to_ascii_lowercase());
    host(one) == host(other)
}

fn not_a_url() -> Error {
    Error::config("invalid base URL: expected something like `https://api.example.com/v1`")
}
