//! Removal of secrets from what a service sends.

use std::{
    cmp::Reverse,
    error::Error as StdError,
    fmt::{self, Write},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use inferstream_core::{ApiKey, ChatRequest, Error, ErrorKind, Json, Part, provider::OneLine};

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
/// are computed only when an error is searched.
#[derive(Clone, Default)]
pub struct Redact {
    /// The texts of the prompt.
    texts: Vec<Arc<str>>,
    credentials: Vec<Arc<str>>,
}

impl Redact {
    /// Collects a key, and the texts, reasoning and tool arguments of a request's messages.
    pub fn new(key: Option<&ApiKey>, request: &ChatRequest) -> Self {
        let mut redact = Self::default();
        if let Some(key) = key {
            redact = redact.credential(key.expose());
        }
        for message in &request.messages {
            let texts = message.content.iter().filter_map(Part::as_text);
            let reasoning = message.reasoning.as_deref();
            let arguments = message
                .tool_calls
                .iter()
                .map(|call| call.arguments.as_str());
            for text in texts.chain(reasoning).chain(arguments) {
                redact = redact.text(text);
            }
        }
        redact
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
            self.texts.push(text.into());
        }
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
        self.forms(usize::MAX).error(error)
    }

    /// Returns the error of a transport without the secrets, as [`error`](Self::error) does. `host`
    /// is the host that the request was sent to.
    ///
    /// A user's own transport may quote the request, so credentials are removed from the message too,
    /// except those that occur in the host name, which the message may show.
    #[must_use]
    pub fn transport_error(&self, error: Error, host: &str) -> Error {
        let forms = self.forms(usize::MAX);
        let foreign = |secret: &&String| !host.contains(secret.as_str());
        let credentials = forms.credentials.iter().filter(foreign);
        without(forms.error(error), credentials)
    }

    /// Replaces the values of headers that repeat a secret.
    ///
    /// Headers with a function, such as `Retry-After`, rate limits and the request id, are searched for
    /// credentials only: if they contain a part of the prompt, that is a coincidence.
    pub fn headers(&self, headers: &mut HeaderMap) {
        let longest = headers.values().map(HeaderValue::len).max();
        // Texts that are longer than all values cannot be in any of them, and need no forms.
        self.forms(longest.unwrap_or_default()).headers(headers);
    }

    /// Returns the text on one line of at most 300 characters, without the secrets.
    pub fn line(&self, text: &str) -> String {
        self.forms(usize::MAX).line(text)
    }

    /// Returns the forms of the secrets that have at most `longest` bytes.
    fn forms(&self, longest: usize) -> Forms {
        let all = |texts: &[Arc<str>]| {
            let texts = texts.iter().filter(|text| text.len() <= longest);
            let mut forms = texts.flat_map(|text| quotations(text)).collect::<Vec<_>>();
            // The longest first, because a secret may be a part of another.
            forms.sort_by_key(|secret| Reverse(secret.len()));
            forms
        };
        let credentials = all(&self.credentials);
        let mut secrets = all(&self.texts);
        secrets.extend(credentials.iter().cloned());
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        Forms {
            secrets,
            credentials,
        }
    }
}

/// The forms in which a service may repeat the secrets.
struct Forms {
    /// All secrets, the longest first.
    secrets: Vec<String>,
    /// The credentials among them.
    credentials: Vec<String>,
}

impl Forms {
    fn error(&self, error: Error) -> Error {
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
            error = without(error, self.credentials.iter());
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

    fn headers(&self, headers: &mut HeaderMap) {
        for (name, value) in headers.iter_mut() {
            let text = String::from_utf8_lossy(value.as_bytes());
            let secrets = if decides(name.as_str()) {
                &self.credentials
            } else {
                &self.secrets
            };
            if is_among(secrets, &text) {
                *value = HeaderValue::from_static("(a secret was removed)");
            }
        }
    }

    fn line(&self, text: &str) -> String {
        const LONG: usize = 300;
        let text = self.blotted(text);
        let text = text.split(|char: char| char == ' ' || OneLine::escapes(char));
        let mut line = text
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        for secret in &self.secrets {
            line = line.replace(secret.as_str(), "…");
        }
        match line.char_indices().nth(LONG) {
            None => line,
            Some((end, _)) => format!("{}…", &line[..end]),
        }
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

    /// Returns the text without the secrets and their beginnings.
    fn blotted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "…");
        }
        for secret in &self.secrets {
            blot_beginning(&mut text, secret);
        }
        text
    }

    fn shows(&self, text: &str) -> bool {
        is_among(&self.secrets, text)
    }
}

fn is_among(secrets: &[String], text: &str) -> bool {
    secrets.iter().any(|secret| text.contains(secret.as_str()))
}

/// Removes secrets from an error's message.
fn without<'a>(error: Error, secrets: impl Iterator<Item = &'a String>) -> Error {
    let message = error.to_string();
    let mut redacted = message.clone();
    for secret in secrets {
        redacted = redacted.replace(secret.as_str(), "…");
        blot_beginning(&mut redacted, secret);
    }
    if redacted == message {
        return error;
    }
    error.map_message(|_| redacted)
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

/// Returns the forms in which a service may repeat a text: as it is, on one line, and as JSON with
/// and without characters beyond ASCII.
fn quotations(text: &str) -> Vec<String> {
    let json = Json::from(text);
    let json = json.as_str();
    let json = json.get(1..json.len() - 1).unwrap_or_default().to_owned();
    let mut ascii = String::new();
    for char in json.chars() {
        if char.is_ascii() {
            ascii.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` cannot fail.
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut forms = vec![text.to_owned(), line, json, ascii];
    forms.dedup();
    forms
}

/// Decodes the escapes of JSON strings (RFC 8259, section 7); other text stays.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let (units, length) = code_units(&rest[at..]);
        if units.is_empty() {
            let char = rest[at + 1..].chars().next();
            plain.push(match char {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                char => char.unwrap_or('\\'),
            });
            rest = &rest[at + 1 + char.map_or(0, char::len_utf8)..];
        } else {
            plain.push_str(&String::from_utf16_lossy(&units));
            rest = &rest[at + length..];
        }
    }
    plain + rest
}

/// Decodes the consecutive `\uXXXX` at the start of a text, and returns their code units and their
/// length.
fn code_units(text: &str) -> (Vec<u16>, usize) {
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(digits) = rest.strip_prefix("\\u").and_then(|rest| rest.get(..4)) {
        let Ok(unit) = u16::from_str_radix(digits, 16) else {
            break;
        };
        units.push(unit);
        rest = &rest[6..];
    }
    (units, text.len() - rest.len())
}

/// The least bytes of a credential that is removed. Placeholders for engines without a key are
/// shorter, and occur in messages as ordinary words.
const SHORTEST_CREDENTIAL: usize = 8;

/// The least bytes of a prompt that is removed. Shorter prompts are ordinary words.
const SHORTEST_TEXT: usize = 12;

/// Replaces the beginning of a secret, of at least 24 characters, for services that quote a secret in
/// part.
fn blot_beginning(text: &mut String, secret: &str) {
    const SHOWN: usize = 24;
    let Some((end, _)) = secret.char_indices().nth(SHOWN) else {
        return;
    };
    while let Some(at) = text.find(&secret[..end]) {
        let same = text[at..]
            .chars()
            .zip(secret.chars())
            .take_while(|(a, b)| a == b);
        let length = same.map(|(char, _)| char.len_utf8()).sum::<usize>();
        text.replace_range(at..at + length, "…");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let request = ChatRequest::from("a prompt of some length");
        let key = ApiKey::new("csk-secret").unwrap();
        let shown = format!("{:?}", Redact::new(Some(&key), &request));
        assert_eq!(shown, "Redact { .. }");
    }
}
