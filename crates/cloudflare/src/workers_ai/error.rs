//! Classification of the service's error codes.

use inferstream_core::{Error, ErrorKind, Repeat};
use serde_json::Value;

/// Returns the kind of error that a code stands for, regardless of the HTTP status.
///
/// Most codes are from the service's table of errors of July 2026. 4006, 5035 and 2001 to 2021 are
/// from captures; 10000, 7000 and 7003 are from the Cloudflare API in general.
fn meaning(code: u64) -> Option<(ErrorKind, Repeat)> {
    let never = |kind| Some((kind, Repeat::Never));
    match code {
        2009 | 10000 => never(ErrorKind::Auth),
        3018 | 3023 | 3041 | 5016 | 5018 | 5035 => never(ErrorKind::Permission),
        // The free allocation of the day, until midnight UTC, or the credit of a gateway.
        2021 | 3036 | 4006 => never(ErrorKind::Quota),
        // Out of capacity; the service sends it with the status 429, too.
        3040 => Some((ErrorKind::RateLimited, Repeat::Safe)),
        3007 | 3008 | 3046 | 7009 => Some((ErrorKind::Server, Repeat::Safe)),
        3010 | 5021 => never(ErrorKind::ContextLength),
        2008 | 3042 | 5007 | 7000 | 7003 => never(ErrorKind::NotFound),
        8007 => never(ErrorKind::ContentFilter),
        _ => None,
    }
}

/// Refines the error of a response whose status is not a success by the code in its body.
pub(super) fn refine(error: Error) -> Error {
    let text = error.body().map(|body| String::from_utf8_lossy(body));
    let value = text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let error = plain(error);
    let Some(code) = value.as_ref().and_then(code_in) else {
        return error;
    };
    let error = error.with_code(code.to_string());
    match meaning(code) {
        None => error,
        Some((kind, repeat)) => error.with_kind(kind).with_repeat(repeat),
    }
}

/// Refines an error inside a response by its code.
pub(super) fn refine_inside(error: Error, json: &str) -> Error {
    // Only errors that the service reported have a body.
    if error.body().is_none() {
        return error;
    }
    let value = serde_json::from_str::<Value>(json).ok();
    let code = value.as_ref().and_then(code_in);
    let error = plain(error);
    let Some(code) = code else {
        return error;
    };
    let error = error.with_code(code.to_string());
    match meaning(code) {
        None => error,
        // Inside a response, a server error keeps the kind `Provider`, as for every service.
        Some((ErrorKind::Server, repeat)) => error.with_repeat(repeat),
        Some((kind, repeat)) => error.with_kind(kind).with_repeat(repeat),
    }
}

/// Returns the error in a document that reports a failure.
pub(crate) fn of_document(value: &Value) -> Option<Error> {
    if value["success"] != false {
        return None;
    }
    let code = code_in(value);
    let (kind, repeat) = code
        .and_then(meaning)
        .unwrap_or((ErrorKind::Provider, Repeat::Never));
    let words = value["errors"][0]["message"].as_str();
    let words = words.unwrap_or("no message");
    // The message comes from the service, so it is limited to one line and 300 characters.
    let words = words.replace("AiError: ", "");
    let words = words.split(|char: char| char.is_control() || char == ' ');
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let line = line.join(" ").chars().take(300).collect::<String>();
    let error = Error::new(kind, format!("cloudflare reported an error: {line}"));
    let error = error.with_repeat(repeat).with_provider_message(line);
    Some(match code {
        None => error,
        Some(code) => error.with_code(code.to_string()),
    })
}

/// Removes the service's prefix, and JSON around the message, from an error's message.
fn plain(error: Error) -> Error {
    let Some(words) = error.provider_message().map(str::to_owned) else {
        return error;
    };
    let bare = words.replace("AiError: ", "");
    let start = bare
        .find('{')
        .filter(|start| bare[..*start].trim().is_empty());
    let inner = start.and_then(|start| inner_message(&bare[start..]));
    let bare = inner.unwrap_or(bare);
    if bare == words {
        return error;
    }
    error
        .map_message(|message| message.replace(&words, &bare))
        .with_provider_message(bare)
}

/// Returns the message inside a text that starts with JSON; text after the JSON is ignored.
fn inner_message(text: &str) -> Option<String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let message = [
        &value["error"]["message"],
        &value["message"],
        &value["error"],
    ];
    let message = message.into_iter().find_map(Value::as_str)?;
    Some(message.to_owned())
}

/// Returns the code from any of the four formats: `errors[]`, `internalCode`, the gateway's
/// `error[]`, and `error{}`.
fn code_in(value: &Value) -> Option<u64> {
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    [
        &value["internalCode"],
        &value["errors"][0]["code"],
        &value["error"][0]["code"],
        &value["error"]["code"],
        &value["code"],
    ]
    .into_iter()
    .find_map(number)
}
