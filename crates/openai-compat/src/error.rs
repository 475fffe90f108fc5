//! A service's word for what went wrong in; our error out.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use inferstream_core::{Error, ErrorKind, ProviderInfo, Repeat, provider::Redact};

use crate::wire::{self, ErrorObject};

/// What a service says of an error, whichever shape it says it in.
#[derive(Debug, Default)]
struct Told {
    message: Option<String>,
    kind: Option<String>,
    code: Option<String>,
    status: Option<u64>,
}

impl Told {
    /// Reads `{"error":{…}}`, `{"error":"…"}`, the flat object, `{"errors":[…]}`, `{"detail":…}`,
    /// the same in an array, or plain text.
    fn read(text: &str) -> Self {
        Self::read_nested(text.trim(), 0)
    }

    fn read_nested(text: &str, depth: u32) -> Self {
        const DEEPEST: u32 = 4;
        if depth == DEEPEST {
            return Self::default();
        }
        let inner = |raw: &wire::Raw<'_>| raw.text().map(|text| Self::read_nested(text, depth + 1));
        match text.as_bytes().first() {
            Some(b'{') => {
                let Ok(object) = wire::parse::<ErrorObject<'_>>(text) else {
                    return Self::default();
                };
                let own = |lax: &wire::Lax<'_>| lax.some().map(str::to_owned);
                let nested = [&object.error, &object.errors, &object.detail]
                    .into_iter()
                    .find_map(inner);
                let nested = nested.unwrap_or_default();
                Self {
                    message: nested
                        .message
                        .or(own(&object.message))
                        .or(own(&object.error_message))
                        .or(own(&object.msg)),
                    kind: nested.kind.or(own(&object.kind)),
                    code: nested.code.or(own(&object.code)),
                    status: nested
                        .status
                        .or(object.status_code.count())
                        .or(object.status.count()),
                }
            }
            Some(b'[') => match wire::parse::<Vec<wire::Raw<'_>>>(text) {
                Ok(list) => list.first().and_then(inner).unwrap_or_default(),
                Err(_) => Self::default(),
            },
            Some(b'"') => {
                let message = wire::parse::<wire::Lax<'_>>(text).ok();
                let message = message.and_then(|text| text.some().map(str::to_owned));
                Self {
                    message,
                    ..Self::default()
                }
            }
            None | Some(b'<') => Self::default(),
            Some(_) if matches!(text, "null" | "true" | "false") => Self::default(),
            Some(_) => Self {
                message: Some(text.to_owned()),
                ..Self::default()
            },
        }
    }

    /// Returns true if the code or the type is one of these.
    fn is(&self, words: &[&str]) -> bool {
        [&self.code, &self.kind]
            .into_iter()
            .flatten()
            .any(|word| words.contains(&word.as_str()))
    }

    /// Returns true if the message holds one of these, in lower case.
    fn says(&self, phrases: &[&str]) -> bool {
        let message = self.message.as_deref().unwrap_or_default().to_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }

    /// Returns a kind that the words tell more closely than a status does.
    fn kind(&self) -> Option<ErrorKind> {
        if self.is(&[
            "insufficient_quota",
            "billing_hard_limit_reached",
            "payment_required",
        ]) || self.says(&[
            "exceeded your current quota",
            "insufficient credit",
            "out of credit",
            "credit balance",
        ]) {
            return Some(ErrorKind::Quota);
        }
        if self.is(&["context_length_exceeded", "exceed_context_size_error"])
            || self.says(&[
                "context length",
                "context_length",
                "context size",
                "context window",
            ])
        {
            return Some(ErrorKind::ContextLength);
        }
        if self.is(&["content_filter", "content_policy_violation"]) {
            return Some(ErrorKind::ContentFilter);
        }
        None
    }

    /// Returns the statuses that the service names, some of them as the code.
    fn numbers(&self) -> impl Iterator<Item = u64> {
        let code = self.code.as_deref().and_then(|code| code.parse().ok());
        self.status.into_iter().chain(code)
    }

    /// Returns true if the service says that it failed and may not the next time.
    fn is_transient(&self) -> bool {
        self.is(&[
            "server_error",
            "internal_error",
            "overloaded_error",
            "overloaded",
        ]) || self
            .numbers()
            .any(|number| number == 429 || (500..600).contains(&number))
    }
}

/// Makes an error of an answer whose status is not a success.
pub(crate) fn error_of_status(
    info: &ProviderInfo,
    model: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &Bytes,
    now: SystemTime,
    redact: &Redact,
) -> Error {
    let text = String::from_utf8_lossy(body);
    let told = Told::read(&text);
    let error = Error::of_head(status, headers, now);
    let challenge = is_challenge(headers, &text);
    let transient = status.is_client_error() && told.is_transient();
    let kind = match error.kind() {
        _ if challenge => ErrorKind::Challenge,
        ErrorKind::InvalidRequest | ErrorKind::RateLimited | ErrorKind::Permission => {
            told.kind().unwrap_or(error.kind())
        }
        kind => kind,
    };
    let (kind, repeat) = match kind {
        ErrorKind::Challenge | ErrorKind::Quota | ErrorKind::ContextLength => (kind, Repeat::Never),
        // "Encountered a server error, please try again" comes as a 400.
        ErrorKind::InvalidRequest if transient => (ErrorKind::Server, Repeat::Safe),
        _ => (kind, error.repeat()),
    };
    let reason = status.canonical_reason().map(|reason| format!(" {reason}"));
    let mut message = format!(
        "{} answered {}{}",
        info.id,
        status.as_str(),
        reason.unwrap_or_default()
    );
    match &told.message {
        _ if challenge => message.push_str(" with a page that wants to see a browser"),
        Some(words) => message = format!("{message}: {}", redact.line(words)),
        None if text.trim_start().starts_with('<') => message.push_str(" with a page of HTML"),
        None => {}
    }
    if let Some(hint) = hint(info, model, kind) {
        message = format!("{} ({hint})", message.trim_end_matches('.'));
    }
    let retry_after = error.retry_after();
    let error = Error::new(kind, message)
        .with_head(status, headers.clone())
        .with_retry_after(retry_after)
        .with_repeat(repeat)
        .with_body(body);
    with_words(error, told, redact)
}

/// Makes an error of one that stands inside an answer.
pub(crate) fn error_in_answer(
    provider: &str,
    text: &str,
    status: Option<u64>,
    redact: &Redact,
) -> Error {
    let told = Told::read(text);
    let words = told.message.as_deref().map_or_else(
        || "without saying which".to_owned(),
        |words| redact.line(words),
    );
    let repeat = if told.is_transient() {
        Repeat::Safe
    } else {
        Repeat::Never
    };
    let error = Error::new(
        ErrorKind::Provider,
        format!("{provider} reported an error: {words}"),
    );
    let error = error
        .with_repeat(repeat)
        .with_body(&Bytes::copy_from_slice(text.as_bytes()));
    let status = status
        .or(told.status)
        .and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let error = match status {
        None => error,
        Some(status) => error.with_status(status),
    };
    with_words(error, told, redact)
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

/// Returns what the user can do about an error.
fn hint(info: &ProviderInfo, model: &str, kind: ErrorKind) -> Option<String> {
    match kind {
        ErrorKind::Auth => {
            let variable = info.key_variable?;
            let place = info.login_url.map(|url| format!("; keys are at {url}"));
            Some(format!("check {variable}{}", place.unwrap_or_default()))
        }
        ErrorKind::NotFound | ErrorKind::InvalidRequest => {
            let successor = info.successor(model)?;
            Some(format!("the model `{model}` is retired; use `{successor}`"))
        }
        _ => None,
    }
}

/// Returns true for the page by which Cloudflare asks for a browser.
fn is_challenge(headers: &HeaderMap, text: &str) -> bool {
    let mitigated = headers
        .get("cf-mitigated")
        .is_some_and(|value| value == "challenge");
    let marks = [
        "<title>Just a moment...</title>",
        "id=\"challenge-error-text\"",
        "Attention Required! | Cloudflare",
        "cf-cloudflare-status",
        "cf-please-wait",
        "cf-spinner-please-wait",
    ];
    mitigated || text.trim_start().starts_with('<') && marks.iter().any(|mark| text.contains(mark))
}
