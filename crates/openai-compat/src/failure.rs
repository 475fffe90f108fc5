//! The errors of a response: those that a service sends inside it, and those of its form.

use std::fmt;

use inferstream_core::{Error, ErrorKind, sse::Frame};

use crate::{
    decode::{ChatDecode, Seen, is_foreign},
    error::error_in_answer,
    lenient::{self, Raw},
    wire::{self, Chunk},
};

impl ChatDecode {
    /// Returns the error that a chunk reports, if any.
    pub(crate) fn error_in(&self, event: &str, chunk: &Chunk<'_>, json: &str) -> Option<Error> {
        let told = |raw: &Raw<'_>| {
            raw.text()
                .is_some_and(|text| !matches!(text, "false" | "\"\"" | "{}" | "[]" | "0"))
        };
        let status = chunk.status_code.count();
        let of_choice = chunk
            .choices
            .value
            .0
            .iter()
            .find(|choice| told(&choice.error));
        if let Some(text) = of_choice.and_then(|choice| choice.error.text()) {
            return Some(error_in_answer(&self.provider, text, status, &self.redact));
        }
        let says_so = chunk
            .message
            .text()
            .is_some_and(|text| text.starts_with('"'));
        let code = chunk.code.some();
        // `code` and `msg` also report a success, as 0 or as 200.
        let failed = chunk.success.text() == Some("false")
            || chunk.msg.some().is_some()
                && code.is_some_and(|code| !matches!(code, "0" | "200"))
                && chunk.success.text() != Some("true");
        let flat = !chunk.choices.present
            && !is_foreign(event)
            && (told(&chunk.errors)
                || told(&chunk.detail)
                || failed
                || says_so && (code.is_some() || is_flat(json)));
        let of_service = chunk.base_resp.some().is_some_and(|resp| resp.is_error())
            || chunk.x_groq.some().is_some_and(|groq| told(&groq.error))
            || match chunk.error_code.text() {
                Some(code) => !matches!(code, "0" | "\"0\"" | "\"\""),
                None => told(&chunk.error_msg),
            };
        let error = event == "error"
            || told(&chunk.error)
            || chunk.error_message.some().is_some()
            || of_service
            || flat;
        error.then(|| error_in_answer(&self.provider, json, status, &self.redact))
    }

    /// Returns the error that a document begins with, ignoring what follows it. Some services write
    /// a line with a JSON error before the event stream.
    pub(crate) fn error_before_rest(&self, json: &str) -> Option<Error> {
        let list = lenient::first::<Vec<lenient::Raw<'_>>>(json).unwrap_or_default();
        let json = list.first().and_then(lenient::Raw::text).unwrap_or(json);
        let chunk = lenient::first::<Chunk<'_>>(json)?;
        self.error_in("message", &chunk, json)
    }

    /// Returns the error in the last frame of the input, if only the blank line after it is
    /// missing.
    pub(crate) fn error_at_end(&self, frame: Frame<'_>) -> Option<Error> {
        let data = frame.data.trim();
        if frame.event == "error" && !data.is_empty() && !data.starts_with(['{', '[']) {
            return Some(error_in_answer(&self.provider, data, None, &self.redact));
        }
        let data = lenient::only(data).unwrap_or(data);
        let chunk = lenient::parse::<Chunk<'_>>(data).ok()?;
        self.error_in(frame.event, &chunk, data)
    }

    pub(crate) fn not_a_chunk(&self, json: &str, error: &serde_json::Error) -> Error {
        let what = match json.trim_start().as_bytes().first() {
            Some(b'<') => "an HTML page",
            Some(b'{' | b'[') if !error.is_data() => "invalid JSON",
            _ => "data of another protocol",
        };
        Error::protocol(format!("{} sent {what} instead of a chunk", self.provider)).with_source(
            JsonError {
                line: error.line(),
                column: error.column(),
            },
        )
    }

    pub(crate) fn truncated(&self, how: &str) -> Error {
        Error::new(
            ErrorKind::Truncated,
            format!("{}'s response is incomplete: {how}", self.provider),
        )
    }

    /// Returns the error of a stream that ended too early.
    pub(crate) fn not_whole(&self) -> Error {
        if self.seen == Seen::Foreign {
            let message = format!("{} sent a stream of another protocol", self.provider);
            return Error::protocol(message);
        }
        if self.seen == Seen::Nothing && self.is_plain_text {
            let provider = &self.provider;
            let message = format!("{provider} sent plain text instead of an event stream");
            return Error::protocol(message);
        }
        self.truncated("the stream ended without a finish reason")
    }
}

/// Returns true if an object with a `message` also has a `type`, which makes it an error object
/// without the usual `error` around it.
fn is_flat(json: &str) -> bool {
    lenient::parse::<wire::ErrorObject<'_>>(json).is_ok_and(|error| error.kind.some().is_some())
}

/// The position of a JSON error, without the text there, which may be secret.
#[derive(Debug)]
struct JsonError {
    line: usize,
    column: usize,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid JSON at line {}, column {}",
            self.line, self.column
        )
    }
}

impl std::error::Error for JsonError {}
