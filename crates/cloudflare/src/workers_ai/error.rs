//! The service's codes in, what they mean out.

use inferstream_core::{Error, ErrorKind, Repeat};
use serde_json::Value;

/// What a code means, whichever status it comes with.
///
/// From the service's table of errors of July 2026; 4006, 5035, 2001 to 2021 from captures, 10000,
/// 7000 and 7003 from the API that it is a part of.
fn meaning(code: u64) -> Option<(ErrorKind, Repeat)> {
    let never = |kind| Some((kind, Repeat::Never));
    match code {
        2009 | 10000 => never(ErrorKind::Auth),
        3018 | 3023 | 3041 | 5016 | 5018 | 5035 => never(ErrorKind::Permission),
        // The day's free allocation, until midnight UTC; a gateway's credit.
        2021 | 3036 | 4006 => never(ErrorKind::Quota),
        // Out of capacity, under the same 429.
        3040 => Some((ErrorKind::RateLimited, Repeat::Safe)),
        3007 | 3008 | 3046 | 7009 => Some((ErrorKind::Server, Repeat::Safe)),
        3010 | 5021 => never(ErrorKind::ContextLength),
        2008 | 3042 | 5007 | 7000 | 7003 => never(ErrorKind::NotFound),
        8007 => never(ErrorKind::ContentFilter),
        _ => None,
    }
}

/// Says of a refusal what its code says.
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

/// Says of an error inside an answer what its code is, and what that means.
pub(super) fn refine_inside(error: Error, json: &str) -> Error {
    // What the service did not report itself has no body.
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
        // Inside a response, a server error is `Provider`, as for every service.
        Some((ErrorKind::Server, repeat)) => error.with_repeat(repeat),
        Some((kind, repeat)) => error.with_kind(kind).with_repeat(repeat),
    }
}

/// Makes an error of a document that says that it is none.
pub(crate) fn of_document(value: &Value) -> Option<Error> {
    if value["success"] != false {
        return None;
    }
    let code = code_in(value);
    let (kind, repeat) = code
        .and_then(meaning)
        .unwrap_or((ErrorKind::Provider, Repeat::Never));
    let words = value["errors"][0]["message"].as_str();
    let words = words.unwrap_or("without saying why");
    // It is the service's own line, not an answer; what is long or odd is cut.
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

/// Takes out of the words what the service puts before each, and the JSON around them.
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

/// Finds the words in a message that is JSON itself, perhaps with more behind it.
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

/// Finds the code in any of the four shapes: `errors[]`, `internalCode`, the gateway's `error[]`, and
/// `error{}`.
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
