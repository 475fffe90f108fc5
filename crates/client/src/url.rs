//! A base URL as a user writes it in; one that paths can be put behind out.

use http::Uri;

use inferstream_core::{Error, Result};

/// Checks a base URL and returns it without its last slash.
///
/// # Errors
///
/// `Config` that says what is wrong; no part of the URL is shown, since it may hold a password.
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
                "the base URL must begin with `https://` or `http://`",
            ));
        }
    }
    let authority = uri.authority().ok_or_else(not_a_url)?;
    if authority.as_str().contains('@') {
        return Err(Error::config(
            "the base URL holds a user name; keys have a setting of their own",
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
            "the base URL's port is none: it is a number up to 65535",
        ));
    }
    if uri.query().is_some() || url.contains('#') {
        return Err(Error::config(
            "the base URL has a query or a fragment; it must end in a path",
        ));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Adds `/v1` to a URL without a path, as the official clients of several services have it.
pub fn with_version(url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    match url.parse::<Uri>() {
        Ok(uri) if matches!(uri.path(), "" | "/") && uri.query().is_none() => format!("{url}/v1"),
        _ => url.to_owned(),
    }
}

/// Returns true if both URLs lead to one host, whatever the port.
pub fn same_host(one: &str, other: &str) -> bool {
    let host = |url: &str| Some(url.parse::<Uri>().ok()?.host()?.to_ascii_lowercase());
    host(one) == host(other)
}

fn not_a_url() -> Error {
    Error::config("the base URL is not one; it looks like `https://api.example.com/v1`")
}
