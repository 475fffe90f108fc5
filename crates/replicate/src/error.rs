//! Errors of the service: HTTP responses that are not a success, and failed predictions.

use std::time::Duration;

use http::StatusCode;
use inferstream_client::{Call, Judge, Redact, Refusal, is_page};
use inferstream_core::{Error, ErrorKind, Repeat};
use serde_json::Value;

use crate::{
    info::INFO,
    model_ref::ModelRef,
    wire::{error_of, text_of},
};

/// The contents of an `application/problem+json` response; any member may be missing.
#[derive(Debug, Default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    /// The invalid fields, with descriptions.
    fields: Vec<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    fn read(text: &str) -> Self {
        let text = text.trim();
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            let is_text = !text.is_empty() && !is_page(text);
            return Self {
                detail: is_text.then(|| text.to_owned()),
                ..Self::default()
            };
        };
        let detail = ["detail", "error", "message"]
            .iter()
            .find_map(|name| error_of(value.get(*name)?));
        let detail = detail.or_else(|| text_of(&value));
        let fields = value["invalid_fields"].as_array();
        let fields = fields.into_iter().flatten().filter_map(field).collect();
        let retry_after = value["retry_after"].as_f64();
        Self {
            title: text_of(&value["title"]),
            retry_after: retry_after
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .or_else(|| detail.as_deref().and_then(wait_in)),
            detail,
            fields,
        }
    }

    /// Returns the complete message.
    fn words(&self) -> Option<String> {
        let detail = match self.fields.as_slice() {
            [] => self
                .detail
                .as_deref()
                .map(|detail| detail.trim().to_owned()),
            fields => Some(fields.join("; ")),
        };
        match (self.title.as_deref(), detail) {
            (Some(title), Some(detail)) if detail.starts_with(title) => Some(detail),
            (Some(title), Some(detail)) => Some(format!("{title}: {detail}")),
            (Some(title), None) => Some(title.to_owned()),
            (None, detail) => detail,
        }
    }
}

/// Formats an invalid field and its description.
fn field(field: &Value) -> Option<String> {
    let name = text_of(&field["field"]);
    let description = text_of(&field["description"]).or_else(|| text_of(&field["type"]));
    match (name, description) {
        (Some(name), Some(description)) => Some(format!("`{name}`: {description}")),
        (name, description) => name.map(|name| format!("`{name}`")).or(description),
    }
}

/// Parses the delay in "Your rate limit resets in ~30s." and "Expected available in 1 second."
fn wait_in(text: &str) -> Option<Duration> {
    let (_, rest) = ["resets in ", "available in "]
        .iter()
        .find_map(|words| text.split_once(words))?;
    let rest = rest.trim_start_matches('~');
    let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.');
    let (number, unit) = rest.split_at(end.unwrap_or(rest.len()));
    let number = number.trim_end_matches('.').parse::<f64>().ok()?;
    let unit = unit.trim_start();
    let seconds = if unit.starts_with("ms") {
        number / 1000.0
    } else if unit.starts_with('m') {
        number * 60.0
    } else {
        number
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// The purpose of a request, which decides whether it may be retried and what a refusal means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose<'a> {
    /// Creating a prediction, which costs money and must not happen twice.
    Create(&'a ModelRef),
    /// The first connection of a stream, which may come before the stream exists.
    Stream,
    /// Reading or canceling, which may be repeated.
    Other,
}

/// Classifies responses by the purpose of their requests.
pub(crate) struct ResponseJudge<'a> {
    pub(crate) purpose: Purpose<'a>,
    pub(crate) redact: &'a Redact,
}

impl<'a> ResponseJudge<'a> {
    /// Creates the judge for a request of a call.
    pub(crate) fn new(purpose: Purpose<'a>, call: &'a Call) -> Self {
        let redact = &call.redact;
        Self { purpose, redact }
    }
}

impl Judge for ResponseJudge<'_> {
    fn refusal(&self, refusal: Refusal<'_>) -> Error {
        error_of_status(self.purpose, &refusal, self.redact)
    }

    // Requests that only read may be repeated, even if they may have been processed.
    fn lost(&self, error: Error) -> Error {
        match (self.purpose, error.repeat()) {
            (Purpose::Create(_), _) => error,
            (_, Repeat::Ambiguous) => error.with_repeat(Repeat::Safe),
            _ => error,
        }
    }
}

/// Creates the error for a response whose status is not a success.
pub(crate) fn error_of_status(
    purpose: Purpose<'_>,
    refusal: &Refusal<'_>,
    redact: &Redact,
) -> Error {
    let status = refusal.status;
    let problem = Problem::read(&String::from_utf8_lossy(refusal.body));
    let words = problem.words().map(|words| redact.line(&words));
    let error = refusal.error("replicate", words.as_deref());
    let is_challenge = error.kind() == ErrorKind::Challenge;
    let retry_after = error.retry_after().or(problem.retry_after);
    let code = words.as_deref().and_then(code_in);
    // A stream may be requested before it exists: three attempts within three seconds.
    let (repeat, retry_after) = match (purpose, status.as_u16()) {
        _ if is_challenge => (Repeat::Never, None),
        (Purpose::Stream, 404) => (Repeat::Safe, Some(SOON)),
        _ => (repeat(purpose, &error), retry_after),
    };
    let mut error = error.with_retry_after(retry_after).with_repeat(repeat);
    if let Some(hint) = hint(purpose, status) {
        error = error.map_message(|line| format!("{} ({hint})", line.trim_end_matches('.')));
    }
    if code == Some(FILTERED) && !is_challenge {
        error = error.with_kind(ErrorKind::ContentFilter);
    }
    if let Some(code) = code {
        error = error.with_code(code);
    }
    if let Some(words) = words {
        error = error.with_provider_message(words);
    }
    redact.error(error)
}

/// The delay before a stream that does not exist yet is requested again.
pub(crate) const SOON: Duration = Duration::from_secs(1);

fn repeat(purpose: Purpose<'_>, error: &Error) -> Repeat {
    let status = error.status().map(|status| status.as_u16());
    match (purpose, status, error.repeat()) {
        (_, _, Repeat::Never) => Repeat::Never,
        (Purpose::Create(_), Some(429), _) => Repeat::Safe,
        (Purpose::Create(_), Some(503), _) if error.retry_after().is_some() => Repeat::Safe,
        (Purpose::Create(_), _, _) => Repeat::Ambiguous,
        _ => Repeat::Safe,
    }
}

/// Returns the remedy for a refusal.
fn hint(purpose: Purpose<'_>, status: StatusCode) -> Option<String> {
    match (purpose, status.as_u16()) {
        (_, 401) => {
            let login = INFO.login_url();
            Some(format!(
                "check REPLICATE_API_TOKEN; create a key at {login}"
            ))
        }
        (_, 402) => Some("buy credit at https://replicate.com/account/billing".to_owned()),
        (Purpose::Create(ModelRef::Model(name)), 404) => Some(format!(
            "check the spelling of `{name}`; a community model requires a version: `{name}:version`"
        )),
        (Purpose::Create(ModelRef::Version { .. }), 404) => {
            Some("see `Versions` on the model's page".to_owned())
        }
        _ => None,
    }
}

/// Extends the error of a creating request whose outcome is unknown.
pub(crate) fn maybe_made(error: Error) -> Error {
    let maybe = "replicate may have created the prediction nevertheless: check \
                 https://replicate.com/predictions before you send the request again";
    error
        .map_message(|message| format!("{message}; {maybe}"))
        .with_repeat(Repeat::Ambiguous)
}

/// Marks an error that occurred after the prediction was created: repeating the request would
/// create another.
pub(crate) fn after_made(error: Error, attempts: u32) -> Error {
    let repeat = match error.repeat() {
        Repeat::Safe => Repeat::Ambiguous,
        repeat => repeat,
    };
    error.with_repeat(repeat).with_attempts(attempts)
}

/// Returns true for client errors that a retry cannot fix: 4xx except 404, 408 and 429.
pub(crate) fn is_refused(error: &Error) -> bool {
    error.status().is_some_and(|status| {
        status.is_client_error() && !matches!(status.as_u16(), 404 | 408 | 429)
    })
}

/// Creates the error for a prediction that failed.
pub(crate) fn failed(words: Option<&str>, redact: &Redact) -> Error {
    let line = words.map(|words| redact.line(words));
    let line = line.filter(|line| !line.is_empty());
    let message = match &line {
        None => "replicate's prediction failed without a message".to_owned(),
        Some(line) => format!("replicate's prediction failed: {line}"),
    };
    let code = words.and_then(code_in);
    let (kind, repeat) = verdict(code, &words.unwrap_or_default().to_lowercase());
    let error = Error::new(kind, message).with_repeat(repeat);
    let error = match code {
        None => error,
        Some(code) => error.with_code(code),
    };
    match line {
        None => error,
        Some(line) => error.with_provider_message(line),
    }
}

/// The code of the official models for input or output that was flagged as sensitive.
const FILTERED: &str = "E005";

/// The codes of transient failures. The official models use `E003` for high demand and `E004` for
/// an unavailable service; <https://replicate.com/docs/reference/error-codes> has `E1000` for an
/// unknown error that a retry may fix and `E6716` for a start that took too long.
const TRANSIENT: [&str; 4] = ["E003", "E004", "E1000", "E6716"];

/// Classifies a failed prediction by its code, or by its message in lower case, and decides whether
/// a retry may help. It is never `Safe`, because the prediction was created.
fn verdict(code: Option<&str>, words: &str) -> (ErrorKind, Repeat) {
    let says = |part| words.contains(part);
    if code == Some(FILTERED) || says("flagged as sensitive") || says("nsfw content") {
        return (ErrorKind::ContentFilter, Repeat::Never);
    }
    // "Try again with different inputs" is advice to change the request.
    let is_transient = code.is_some_and(|code| TRANSIENT.contains(&code))
        || says("retry")
        || says("try again") && !says("different")
        || says("high demand")
        || says("temporarily unavailable");
    let repeat = if is_transient {
        Repeat::Ambiguous
    } else {
        Repeat::Never
    };
    (ErrorKind::Provider, repeat)
}

/// Finds a code in a message. The service's own codes are `E` and four digits
/// (<https://replicate.com/docs/reference/error-codes>). Those of the official models are `E` and
/// three digits, in parentheses before the id of the failure: `… (E003) (1cah9wlWR9)`.
fn code_in(words: &str) -> Option<&str> {
    let is_code = |word: &&str| {
        let digits = word.strip_prefix('E').unwrap_or_default();
        matches!(digits.len(), 3 | 4) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let ends = words.split('(').skip(1);
    let in_parentheses = ends.filter_map(|rest| Some(rest.split_once(')')?.0));
    let mut plain = words.split(|char: char| !char.is_ascii_alphanumeric());
    in_parentheses
        .into_iter()
        .find(is_code)
        .or_else(|| plain.find(is_code))
}

/// Creates the error for a prediction that was canceled, by a user or by its deadline.
pub(crate) fn canceled(words: Option<&str>, redact: &Redact) -> Error {
    ended("was canceled", "canceled", words, redact)
}

/// Creates the error for a prediction whose deadline passed before it started.
pub(crate) fn aborted(words: Option<&str>, redact: &Redact) -> Error {
    ended("was aborted before it started", "aborted", words, redact)
}

fn ended(how: &str, code: &str, words: Option<&str>, redact: &Redact) -> Error {
    let line = words.map(|words| redact.line(words));
    let why = line.as_deref().map(|line| format!(": {line}"));
    let message = format!("replicate's prediction {how}{}", why.unwrap_or_default());
    let error = Error::new(ErrorKind::Canceled, message).with_code(code);
    match line {
        None => error,
        Some(line) => error.with_provider_message(line),
    }
}

/// Returns the error for text that contradicts the text before it.
pub(crate) fn diverged() -> Error {
    let message = "replicate's response diverged: the text after an interruption does not continue the \
                   text before it";
    Error::new(ErrorKind::Truncated, message).with_code("diverged")
}
