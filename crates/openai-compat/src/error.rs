//! Errors from what a service reports: an HTTP status with a body, or an error inside a response.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use inferstream_client::{Redact, Refusal};
use inferstream_core::{Error, ErrorKind, ProviderInfo, Repeat};

use crate::told::Told;

/// Creates the error of a response whose status is not a success.
pub(crate) fn error_of_status(
    info: &ProviderInfo,
    model: &str,
    refusal: &Refusal<'_>,
    redact: &Redact,
) -> Error {
    let told = Told::read(&String::from_utf8_lossy(refusal.body));
    let words = told.message.as_deref().map(|words| redact.line(words));
    let error = refusal.error(&info.id, words.as_deref());
    let kind = match error.kind() {
        ErrorKind::Challenge => ErrorKind::Challenge,
        kind => told.kind_over(kind),
    };
    let is_forbidden = refusal
        .headers
        .get("x-should-retry")
        .is_some_and(|word| word == "false");
    let repeat = match kind {
        ErrorKind::RateLimited if told.is_over_limit_for_long() => match error.retry_after() {
            // The service names the wait, and the retry policy decides whether it is too long.
            Some(_) if refusal.status != StatusCode::PAYLOAD_TOO_LARGE => error.repeat(),
            _ => Repeat::Never,
        },
        _ if kind == error.kind() => error.repeat(),
        // "Encountered a server error, please try again" comes as a 400.
        ErrorKind::Overloaded | ErrorKind::RateLimited | ErrorKind::Server if !is_forbidden => {
            match refusal.status {
                StatusCode::PAYLOAD_TOO_LARGE => Repeat::Never,
                _ => Repeat::Safe,
            }
        }
        _ => Repeat::Never,
    };
    let retry_after = error.retry_after().or(wait(&told, kind));
    let mut error = error
        .with_kind(kind)
        .with_retry_after(retry_after)
        .with_repeat(repeat);
    if let Some(hint) = hint(info, model, kind) {
        error = error.map_message(|line| format!("{} ({hint})", line.trim_end_matches('.')));
    }
    with_words(error, told, redact)
}

/// Creates the error that a service reported inside a response.
pub(crate) fn error_in_answer(
    provider: &str,
    text: &str,
    status: Option<u64>,
    redact: &Redact,
) -> Error {
    let mut told = Told::read(text);
    told.status = status.or(told.status);
    let words = told
        .message
        .as_deref()
        .map_or_else(|| "no message given".to_owned(), |words| redact.line(words));
    let kind = told.kind_over(ErrorKind::Provider);
    let repeat = match kind {
        ErrorKind::RateLimited if told.is_over_limit_for_long() => Repeat::Never,
        ErrorKind::Overloaded | ErrorKind::RateLimited => Repeat::Safe,
        ErrorKind::Provider if told.is_transient() => Repeat::Safe,
        _ => Repeat::Never,
    };
    let error = Error::new(kind, format!("{provider} reported an error: {words}"))
        .with_repeat(repeat)
        .with_retry_after(wait(&told, kind))
        .with_body(&Bytes::copy_from_slice(text.as_bytes()));
    let status = told.status.and_then(|status| u16::try_from(status).ok());
    let error = match status.and_then(|status| StatusCode::from_u16(status).ok()) {
        None => error,
        Some(status) => error.with_status(status),
    };
    redact.error(with_words(error, told, redact))
}

/// Returns the wait that a body names, for errors that pass with time.
fn wait(told: &Told, kind: ErrorKind) -> Option<Duration> {
    match kind {
        ErrorKind::Overloaded | ErrorKind::RateLimited | ErrorKind::Server => told.wait,
        _ => None,
    }
}

fn with_words(error: Error, told: Told, redact: &Redact) -> Error {
    let error = match told.code.or(told.kind) {
        None => error,
        Some(code) => error.with_code(redact.line(&code)),
    };
    match told.message {
        None => error,
        Some(message) => error.with_provider_message(redact.line(&message)),
    }
}

/// Returns what the user can do about an error, if that is known.
fn hint(info: &ProviderInfo, model: &str, kind: ErrorKind) -> Option<String> {
    match kind {
        ErrorKind::Auth => {
            let variable = info.key_variable.as_deref()?;
            let place = info
                .login_url
                .as_deref()
                .map(|url| format!("; create a key at {url}"));
            Some(format!("check {variable}{}", place.unwrap_or_default()))
        }
        ErrorKind::NotFound | ErrorKind::InvalidRequest => {
            let successor = info.successor(model)?;
            Some(format!("the model `{model}` is retired; use `{successor}`"))
        }
        _ => None,
    }
}
