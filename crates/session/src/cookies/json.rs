//! A parser for cookies in JSON: from an extension, a script or a HAR.

use inferstream_core::Result;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{Found, bare, invalid};
use crate::jar::{GivenCookie, default_path, is_pair, read_time};

type Object = Map<String, Value>;

/// A number above this is in milliseconds: in seconds it would be the year 5138.
const MILLISECONDS: f64 = 1e11;

/// The requests of a page, as a browser's developer tools save them.
#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

/// The cookies of one request and its response; an invalid entry has none.
struct Entry(Vec<Found>);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // One entry at a time: a complete HAR would need much memory.
        let entry = Value::deserialize(deserializer)?;
        Ok(Self(of_entry(&entry)))
    }
}

/// Reads a list, an object of names and values, either of them as the member `cookies`, or a HAR.
pub(super) fn read(text: &str) -> Result<Vec<Found>> {
    if let Ok(har) = serde_json::from_str::<Har>(text) {
        let entries = har.log.entries.into_iter();
        return Ok(entries.flat_map(|Entry(found)| found).collect());
    }
    // The message of serde_json may quote the text, which is secret.
    let value = serde_json::from_str::<Value>(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        invalid(format!(
            "invalid JSON of cookies at line {line}, column {column}"
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
            objects.filter_map(of_export).map(Found::from).collect()
        }
        Value::Object(pairs) => {
            let pairs = pairs.iter();
            let pairs = pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
            let pairs = pairs.filter(|(name, value)| is_pair(name, value));
            let cookies = pairs.map(|(name, value)| bare(name, value));
            cookies.map(Found::from).collect()
        }
        _ => Vec::new(),
    })
}

/// Reads one cookie of a list. A cookie without a host is for the host of the request.
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

/// Reads the cookies of a request and its response, which are for the request's host, or for a parent
/// that they name.
fn of_entry(entry: &Value) -> Vec<Found> {
    let url = entry["request"]["url"].as_str();
    let Some((is_secure, host, path)) = url.and_then(place) else {
        return Vec::new();
    };
    let list = |message: &str| entry[message]["cookies"].as_array().into_iter().flatten();
    let read = |cookie: &Value, default: &str| {
        let object = cookie.as_object()?;
        let mut cookie = of_export(object)?;
        if let Some(named) = &cookie.host {
            // A request to another host neither sends nor sets it; a parent's is for its subdomains.
            let before = host.strip_suffix(&named.to_ascii_lowercase())?;
            match before.strip_suffix('.') {
                Some(_) => cookie.below = true,
                None if before.is_empty() => {}
                None => return None,
            }
        }
        if text(object, "path").is_none() {
            default.clone_into(&mut cookie.path);
        }
        cookie.secure |= is_secure;
        Some(cookie)
    };
    let sent = list("request").filter_map(|cookie| {
        let cookie = read(cookie, "/")?;
        // It is unknown whether it belongs to this host or to a parent.
        let sent_to = cookie.host.is_none().then(|| host.clone());
        Some(Found { cookie, sent_to })
    });
    let received = list("response").filter_map(|cookie| {
        let mut cookie = read(cookie, default_path(path))?;
        cookie.host.get_or_insert_with(|| host.clone());
        Some(Found::from(cookie))
    });
    sent.chain(received).collect()
}

/// Splits a URL as far as cookies need it: whether it uses TLS, the host in lower case, and the rest
/// from the path on. The query is not validated, because browsers allow more than the standard.
fn place(url: &str) -> Option<(bool, String, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let is_secure = match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => true,
        "http" | "ws" => false,
        _ => return None,
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (_, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
    let host = match authority.find(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then(|| (is_secure, host.to_ascii_lowercase(), path))
}

fn text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

/// Reads when a cookie expires; 0, -1 and invalid times mean a session cookie.
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
    // The cast saturates, which means never.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some((number as u64).max(1))
}
