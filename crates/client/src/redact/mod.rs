//! Removal of secrets from what a service sends.

mod forms;
mod json;

use std::{error::Error as StdError, fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use inferstream_core::{Error, ErrorKind, Message, Part, provider::OneLine};

use self::{
    forms::{Searched, blotted, is_among},
    json::{strings, unescaped},
};

/// The secrets of a call, credentials and the prompt, which a service may repeat and an error must
/// not show.
///
/// Only what the service sent is searched: its message, code, body and headers, and the sources of a
/// transport's error. The client's own part of an error's message, with host names, provider names and
/// hints, stays unchanged.
///
/// Credentials of less than 8 bytes and prompts of less than 12 bytes are not removed, because
/// placeholders such as `ollama` or `EMPTY` are ordinary words. Secrets are recognized in full, by
/// their first 24 characters, on one line, and as JSON.
///
/// Cloning is cheap, because clones share the texts. The forms in which a service may repeat a secret
/// are computed only when an error is searched, and only for secrets that may be in it.
#[derive(Clone, Default)]
pub struct Redact {
    /// The texts of the prompt.
    texts: Arc<Vec<Box<str>>>,
    credentials: Vec<Arc<str>>,
}

impl Redact {
    /// Moves the texts, reasoning and tool arguments out of a request's messages, without a copy.
    pub fn new(messages: Vec<Message>) -> Self {
        let mut list = Vec::with_capacity(messages.len());
        for message in messages {
            let parts = message.content.into_iter().filter_map(|part| match part {
                Part::Text { text } => Some(text),
                _ => None,
            });
            let calls = message.tool_calls.into_iter();
            let texts = parts.chain(message.reasoning);
            let texts = texts.chain(calls.map(|call| call.arguments));
            let texts = texts.filter(|text| SHORTEST_TEXT <= text.len());
            list.extend(texts.map(String::into_boxed_str));
        }
        Self {
            texts: Arc::new(list),
            credentials: Vec::new(),
        }
    }

    /// Adds a key, a cookie's value or another credential, unless it is shorter than 8 bytes.
    #[must_use]
    pub fn credential(mut self, text: &str) -> Self {
        if SHORTEST_CREDENTIAL <= text.len() {
            self.credentials.push(text.into());
        }
        self
    }

    /// Adds a text of the prompt, unless it is shorter than 12 bytes.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        if SHORTEST_TEXT <= text.len() {
            Arc::make_mut(&mut self.texts).push(text.into());
        }
        self
    }

    /// Adds the strings in a JSON text as texts of the prompt, except the names of members.
    #[must_use]
    pub fn json(self, json: &str) -> Self {
        strings(json).fold(self, |redact, text| redact.text(&text))
    }

    /// Adds the secrets of another.
    #[must_use]
    pub fn and(mut self, mut other: Self) -> Self {
        if self.texts.is_empty() {
            self.texts = other.texts;
        } else if !other.texts.is_empty() {
            let texts = std::mem::take(Arc::make_mut(&mut other.texts));
            Arc::make_mut(&mut self.texts).extend(texts);
        }
        self.credentials.extend(other.credentials);
        self
    }

    /// Returns an error with the secrets removed from the parts that a service sent: its message,
    /// also where the error's own message quotes it, its code, body and headers, and the error's
    /// sources.
    ///
    /// The rest of the error's message is the client's own and stays, except for `UntrustedHost`: it
    /// names a host that the service chose, so credentials are removed from it.
    #[must_use]
    pub fn error(&self, error: Error) -> Error {
        let mut error = self.words(error);
        if let Some(code) = error.code().filter(|code| self.shows(code)) {
            let code = self.line(code);
            error = error.with_code(code);
        }
        if let Some(body) = error.body().and_then(|body| self.redacted_body(body)) {
            error = error.with_body(&body);
        }
        if let (Some(status), Some(headers)) = (error.status(), error.headers()) {
            let mut headers = headers.clone();
            self.headers(&mut headers);
            error = error.with_head(status, headers);
        }
        if error.kind() == ErrorKind::UntrustedHost {
            error = self.without_credentials(error, |_| true);
        }
        match StdError::source(&error) {
            Some(cause) if self.shows(&format!("{cause:?}")) || self.shows(&causes(cause)) => {
                let line = self.line(&causes(cause));
                let kind = error.kind();
                error.with_source(Error::new(kind, line))
            }
            _ => error,
        }
    }

    /// Returns the error of a transport without the secrets, as [`error`](Self::error) does. `host`
    /// is the host that the request was sent to.
    ///
    /// A user's own transport may quote the request, so credentials are removed from the message too,
    /// except those that occur in the host name, which the message may show.
    #[must_use]
    pub fn transport_error(&self, error: Error, host: &str) -> Error {
        self.without_credentials(self.error(error), |secret| !host.contains(secret))
    }

    /// Replaces the values of headers that repeat a secret.
    ///
    /// Headers with a function, such as `Retry-After`, rate limits and the request id, are searched for
    /// credentials only: if they contain a part of the prompt, that is a coincidence.
    pub fn headers(&self, headers: &mut HeaderMap) {
        // This is done for every response, so the secrets are compared once and not for each value.
        let values = headers.values().map(HeaderValue::as_bytes);
        let searched = Searched::new(values.map(String::from_utf8_lossy));
        let credentials = self.credentials_in(&searched);
        let secrets = self.secrets_in(&searched);
        if credentials.is_empty() && secrets.is_empty() {
            return;
        }
        for (name, value) in headers.iter_mut() {
            let text = String::from_utf8_lossy(value.as_bytes());
            let secrets = if decides(name.as_str()) {
                &credentials
            } else {
                &secrets
            };
            if is_among(secrets, &text) {
                *value = HeaderValue::from_static("(a secret was removed)");
            }
        }
    }

    /// Returns the text on one line of at most 300 characters, without the secrets.
    pub fn line(&self, text: &str) -> String {
        const LONG: usize = 300;
        let text = self.blotted(text);
        let text = text.split(|char: char| char == ' ' || OneLine::escapes(char));
        let line = text
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let line = self.blotted(&line);
        match line.char_indices().nth(LONG) {
            None => line,
            Some((end, _)) => format!("{}…", &line[..end]),
        }
    }

    /// Redacts the service's message, and where the error's own message quotes it.
    fn words(&self, error: Error) -> Error {
        let Some(words) = error.provider_message().filter(|words| self.shows(words)) else {
            return error;
        };
        let line = self.line(words);
        // The error's message may quote it without the full stop at the end.
        let quoted = words.strip_suffix('.').unwrap_or(words).to_owned();
        let redacted = self.line(&quoted);
        error
            .map_message(|message| message.replace(&quoted, &redacted))
            .with_provider_message(line)
    }

    /// Returns the body without the secrets, or `None` if it shows none.
    fn redacted_body(&self, body: &Bytes) -> Option<Bytes> {
        let text = String::from_utf8_lossy(body);
        let blotted = self.blotted(&text);
        // Any character may be escaped in JSON, and a string may contain JSON again, so the text is
        // searched after one, two and three levels of unescaping. There the positions of the original
        // text are lost, so the complete body is removed.
        let mut plain = blotted.clone();
        for _ in 0..3 {
            plain = unescaped(&plain);
            if self.shows(&plain) {
                return Some(Bytes::from_static("…".as_bytes()));
            }
        }
        (blotted != text).then(|| Bytes::from(blotted))
    }

    /// Removes the credentials from an error's message whose form is `foreign` to it.
    fn without_credentials(&self, error: Error, foreign: impl Fn(&str) -> bool) -> Error {
        let message = error.to_string();
        let mut credentials = self.credentials_in(&Searched::new([&message]));
        credentials.retain(|credential| foreign(credential));
        let redacted = blotted(&message, &credentials);
        if redacted == message {
            return error;
        }
        error.map_message(|_| redacted)
    }

    /// Returns the text without the secrets and their beginnings.
    fn blotted(&self, text: &str) -> String {
        blotted(text, &self.secrets_in(&Searched::new([text])))
    }

    /// Returns true if the text has a secret in full.
    fn shows(&self, text: &str) -> bool {
        is_among(&self.secrets_in(&Searched::new([text])), text)
    }

    /// Returns the forms of all secrets that may be in texts.
    fn secrets_in(&self, texts: &Searched) -> Vec<String> {
        let secrets = self.texts.iter().map(|secret| &**secret);
        let mut secrets = texts.forms(secrets, SHORTEST_TEXT);
        secrets.extend(self.credentials_in(texts));
        secrets
    }

    /// Returns the forms of the credentials that may be in texts.
    fn credentials_in(&self, texts: &Searched) -> Vec<String> {
        let credentials = self.credentials.iter().map(|secret| &**secret);
        texts.forms(credentials, SHORTEST_CREDENTIAL)
    }
}

/// Returns true for headers that control how a response is handled, or that identify a request.
fn decides(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "cf-mitigated",
        "cf-ray",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "inference-id",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "x-request-id",
        "x-should-retry",
    ];
    NAMES.contains(&name) || name.contains("ratelimit")
}

impl fmt::Debug for Redact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redact").finish_non_exhaustive()
    }
}

/// Returns the messages of an error and its sources on one line.
fn causes(cause: &(dyn StdError + 'static)) -> String {
    let mut said = cause.to_string();
    let mut below = cause.source();
    // The limit ends a chain that contains itself.
    for _ in 0..16 {
        let Some(cause) = below else { break };
        said = format!("{said}: {cause}");
        below = cause.source();
    }
    said
}

/// The least bytes of a credential that is removed. Placeholders for engines without a key are
/// shorter, and occur in messages as ordinary words.
const SHORTEST_CREDENTIAL: usize = 8;

/// The least bytes of a prompt that is removed. Shorter prompts are ordinary words.
const SHORTEST_TEXT: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let messages = vec![Message::user("a prompt of some length")];
        let redact = Redact::new(messages).credential("csk-secret");
        let shown = format!("{redact:?}");
        assert_eq!(shown, "Redact { .. }");
    }
}
