//! JSON in, its cookies out: of an extension, of a script, or of a HAR.

use http::Uri;
use inferstream_core::{
    Error, Result,
    provider::{GivenCookie, default_path, is_pair, read_time},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::bare;

type Object = Map<String, Value>;

/// A number above this is of milliseconds: in seconds it would be the year 5138.
const MILLISECONDS: f64 = 1e11;

/// What a browser's developer tools save of a page's requests.
#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: HarRequest,
    response: Option<HarResponse>,
}

#[derive(Deserialize)]
struct HarRequest {
    url: String,
    cookies: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct HarResponse {
    cookies: Option<Vec<Value>>,
}

/// Reads a list, an object of names and values, either of them as the member `cookies`, or a HAR.
pub(super) fn read(text: &str) -> Result<Vec<GivenCookie>> {
    if let Ok(har) = serde_json::from_str::<Har>(text) {
        return Ok(har.log.entries.iter().flat_map(of_entry).collect());
    }
    // What serde_json says of an error quotes the text, and that is secret.
    let value = serde_json::from_str::<Value>(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Error::config(format!(
            "the cookies are no JSON from line {line}, column {column} on"
        ))
    })?;
    let value = match value {
        Value::Object(mut object) => match object.get_mut("cookies") {
            Some(cookies @ (Value::Array(_) | Value::Object(_))) => cookies.take(),
            _ => Value::Object(object),
        },
        value => value,
    };
    Ok(match value {
        Value::Array(list) => {
            let objects = list.iter().filter_map(Value::as_object);
            objects.filter_map(of_export).collect()
        }
        Value::Object(pairs) => {
            let pairs = pairs.iter();
            let pairs = pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
            let pairs = pairs.filter(|(name, value)| is_pair(name, value));
            pairs.map(|(name, value)| bare(name, value)).collect()
        }
        _ => Vec::new(),
    })
}

/// Reads one cookie of a list. What names no host is for the one that is asked.
fn of_export(object: &Object) -> Option<GivenCookie> {
    let (name, value) = (text(object, "name")?, text(object, "value")?);
    let host = text(object, "domain").or_else(|| text(object, "host"));
    let host = host.filter(|host| !host.is_empty());
    let is_parent = || host.is_some_and(|host| host.starts_with('.'));
    let host_only = object.get("hostOnly").and_then(Value::as_bool);
    let path = text(object, "path").filter(|path| path.starts_with('/'));
    let ends = ["expires", "expirationDate", "expiry"];
    let mut expires = ends.iter().filter_map(|name| object.get(*name));
    is_pair(name, value).then(|| GivenCookie {
        host: host.map(|host| host.trim_start_matches('.').to_owned()),
        below: host_only.map_or_else(is_parent, |host_only| !host_only),
        path: path.unwrap_or("/").to_owned(),
        expires: expires.find_map(seconds),
        secure: object.get("secure").and_then(Value::as_bool) == Some(true),
        ..bare(name, value)
    })
}

/// Reads the cookies of a request and of its answer, which are for the request's host, or for a parent
/// that they name.
fn of_entry(entry: &Entry) -> Vec<GivenCookie> {
    let Ok(url) = entry.request.url.parse::<Uri>() else {
        return Vec::new();
    };
    let Some(host) = url.host().map(str::to_ascii_lowercase) else {
        return Vec::new();
    };
    let place = |cookie: &Value, default: &str| {
        let object = cookie.as_object()?;
        let mut cookie = of_export(object)?;
        if let Some(named) = &cookie.host {
            // The page of another host cannot set it.
            let before = host.strip_suffix(&named.to_ascii_lowercase())?;
            if !before.is_empty() && !before.ends_with('.') {
                return None;
            }
        } else {
            cookie.host = Some(host.clone());
        }
        if text(object, "path").is_none() {
            default.clone_into(&mut cookie.path);
        }
        cookie.secure |= url.scheme_str() == Some("https");
        Some(cookie)
    };
    let sent = entry.request.cookies.iter().flatten();
    let sent = sent.filter_map(|cookie| place(cookie, "/"));
    let answer = entry.response.iter().flat_map(|answer| &answer.cookies);
    let path = default_path(url.path());
    let received = answer.flatten().filter_map(|cookie| place(cookie, path));
    sent.chain(received).collect()
}

fn text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

/// Reads when a cookie ends; 0, -1 and what is no time are a browser's session.
fn seconds(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.trim().parse::<f64>() {
            Ok(number) => Some(number),
            Err(_) => return read_time(text).map(|second| second.max(1)),
        },
        _ => None,
    };
    let number = number.filter(|number| number.is_finite() && 0.0 < *number)?;
    let number = if MILLISECONDS < number {
        number / 1000.0
    } else {
        number
    };
    // A cast of what is too large is the largest: that is never.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some((number as u64).max(1))
}
