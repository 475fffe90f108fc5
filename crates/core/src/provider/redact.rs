//! What a service says in; what of it may be shown out.

use std::{
    cmp::Reverse,
    error::Error as StdError,
    fmt::{self, Write},
};

use http::{HeaderMap, HeaderValue};

use crate::{
    error::Error, json::Json, line::is_bidi, message::Part, request::ChatRequest, secret::ApiKey,
};

/// What must not stand in an error though the service may repeat it: the key, and the prompt.
///
/// A prompt counts from 12 bytes on: a shorter one is a common word, and to blot that out would only
/// hide the error. It is known whole, by its beginning, on one line, and as JSON.
#[derive(Clone, Default)]
pub struct Redact {
    secrets: Vec<String>,
}

impl Redact {
    /// Creates it for a key and a request's messages.
    pub fn new(key: Option<&ApiKey>, request: &ChatRequest) -> Self {
        let mut redact = Self {
            secrets: key.map(|key| key.expose().to_owned()).into_iter().collect(),
        };
        for message in &request.messages {
            let texts = message.content.iter().filter_map(Part::as_text);
            let thoughts = message.reasoning.as_deref();
            let arguments = message
                .tool_calls
                .iter()
                .map(|call| call.arguments.as_str());
            for text in texts.chain(thoughts).chain(arguments) {
                redact = redact.text(text);
            }
        }
        redact
    }

    /// Adds a text that counts as a part of the prompt.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        if SHORT <= text.len() {
            self.secrets.extend(quotations(text));
            // A secret may be a part of another.
            self.secrets.sort_by_key(|secret| Reverse(secret.len()));
        }
        self
    }

    /// Takes the secrets out of an error that knows nothing of them, and out of its causes.
    pub fn error(&self, error: Error) -> Error {
        let shows = |text: &str| {
            let is_in = |secret: &String| text.contains(secret.as_str());
            self.secrets.iter().any(is_in)
        };
        let error = match error.provider_message() {
            Some(words) if shows(words) => {
                let line = self.line(words);
                error.with_provider_message(line)
            }
            _ => error,
        };
        let error = match StdError::source(&error) {
            Some(cause) if shows(&format!("{cause:?}")) || shows(&causes(cause)) => {
                let line = self.line(&causes(cause));
                let kind = error.kind();
                error.with_source(Error::new(kind, line))
            }
            _ => error,
        };
        if shows(&error.to_string()) {
            return error.map_message(|message| self.line(message));
        }
        error
    }

    /// Takes headers out that repeat a secret.
    pub fn headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            let text = String::from_utf8_lossy(value.as_bytes());
            if self
                .secrets
                .iter()
                .any(|secret| text.contains(secret.as_str()))
            {
                *value = HeaderValue::from_static("(a secret was here)");
            }
        }
    }

    /// Returns the text on one line of at most 300 characters, without the secrets.
    pub fn line(&self, text: &str) -> String {
        const LONG: usize = 300;
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "…");
        }
        for secret in &self.secrets {
            blot_beginning(&mut text, secret);
        }
        let text = text.split(|char: char| char.is_control() || char == ' ' || is_bidi(char));
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
}

impl fmt::Debug for Redact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redact").finish_non_exhaustive()
    }
}

/// Returns what a cause says and those below it, on one line.
fn causes(cause: &(dyn StdError + 'static)) -> String {
    let mut said = cause.to_string();
    let mut below = cause.source();
    // One that leads to itself would never end.
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
                // A String takes whatever is written.
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut forms = vec![text.to_owned(), line, json, ascii];
    forms.dedup();
    forms
}

/// The shortest text that counts as a prompt.
const SHORT: usize = 12;

/// Blots out the beginning of a secret that a service shows in part.
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
