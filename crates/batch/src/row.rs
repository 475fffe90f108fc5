//! The rows of a batch, and the formats of their lines.

use std::{borrow::Cow, str::FromStr};

use inferstream_chat_json::{Members, read_request};
use inferstream_core::{ChatRequest, Error, OnUnsupported, Provider, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{failure::Failure, hash};

/// The format of the lines of an input.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Format {
    /// A JSON object per line: a request of OpenAI's batch API (`custom_id`, `method`, `url`,
    /// `body`), or an object with `prompt` or `messages`, whose other members are settings.
    #[default]
    Json,
    /// A prompt per line.
    Text,
}

/// A part of an input: every n-th row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    index: u64,
    of: u64,
}

impl Part {
    /// Creates part `index`, from 1, of `of` parts.
    ///
    /// # Errors
    ///
    /// `Config` if the index is not between 1 and the number of parts.
    pub fn new(index: u64, of: u64) -> Result<Self> {
        if index == 0 || of < index {
            let message = format!("invalid part `{index}/{of}`: expected `1/{of}` to `{of}/{of}`");
            return Err(Error::config(message).with_setting("part"));
        }
        Ok(Self { index, of })
    }

    /// Returns true if the row of this number, from 0, belongs to the part.
    pub fn contains(self, row: u64) -> bool {
        row % self.of == self.index - 1
    }
}

/// Parses `3/64`.
impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/');
        let numbers = numbers.and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        let Some((index, of)) = numbers else {
            let message = format!("invalid part `{text}`: expected such as `3/64`");
            return Err(Error::config(message).with_setting("part"));
        };
        Self::new(index, of)
    }
}

/// A request of a batch, with its id.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Row {
    /// The `custom_id`, or `line-17` for a row of line 17 without one.
    pub id: String,
    /// The number of the line, from 1.
    pub line: u64,
    /// The request, or why the row has none.
    pub request: Result<ChatRequest, Failure>,
    /// What an earlier run did with the row.
    pub earlier: Earlier,
    /// The body of the request as JSON text. The text of the line if it is invalid.
    pub(crate) body: String,
    /// False if `body` is an invalid line.
    pub(crate) has_body: bool,
    pub(crate) hash: u128,
}

/// What an earlier run did with a row.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Earlier {
    /// It did not send the row, or the service refused it.
    #[default]
    Nothing,
    /// It sent the row, and stopped before the response was complete.
    UnderWay,
    /// As `UnderWay`, and the service gave the response this id.
    Named(String),
}

/// A reader of lines as rows.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Reader {
    /// The format of the lines.
    pub format: Format,
    /// The model of all rows; it replaces that of a row.
    pub model: Option<String>,
    /// The model of rows that name none.
    pub default_model: Option<String>,
    /// How to handle settings that the provider does not support.
    pub on_unsupported: Option<OnUnsupported>,
}

/// The id and the hash of a row.
pub(crate) struct Key<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) hash: u128,
    pub(crate) body: Result<Cow<'a, str>, Failure>,
}

/// The members of a line that belong to the batch, and those of which one is the request.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    custom_id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
}

impl Reader {
    /// Creates a reader of a format.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            ..Self::default()
        }
    }

    /// Reads a line, without its end, as a row. An invalid line is a row without a request.
    pub fn row(&self, line: &[u8], number: u64) -> Row {
        let key = self.key(line, number);
        let has_body = key.body.is_ok();
        let (request, body) = match key.body {
            Ok(body) => (self.request(&body), body.into_owned()),
            Err(failure) => (Err(failure), String::from_utf8_lossy(line).into_owned()),
        };
        Row {
            id: key.id.into_owned(),
            line: number,
            request,
            earlier: Earlier::Nothing,
            body,
            has_body,
            hash: key.hash,
        }
    }

    /// Reads the id of a line and the text of its body.
    pub(crate) fn key<'a>(&self, line: &'a [u8], number: u64) -> Key<'a> {
        let mut id = Cow::Owned(format!("line-{number}"));
        let body = match std::str::from_utf8(line) {
            Err(_) => Err(Failure::invalid("invalid row: expected UTF-8")),
            Ok(text) => match self.format {
                Format::Text => Ok(Cow::Owned(of_prompt(&json(text), None))),
                Format::Json => of_json(text, &mut id),
            },
        };
        let hash = match &body {
            Ok(body) => hash::of_request(self.model.as_deref(), body),
            Err(_) => hash::of_request(None, &String::from_utf8_lossy(line)),
        };
        Key { id, hash, body }
    }

    /// Parses a body.
    fn request(&self, body: &str) -> Result<ChatRequest, Failure> {
        let incoming = read_request(body.as_bytes())?;
        let own = Some(incoming.model).filter(|model| !model.is_empty());
        let mut request = incoming.request;
        let model = self.model.clone().or(own);
        request.model = model.or_else(|| self.default_model.clone());
        request.on_unsupported = self.on_unsupported;
        Ok(request)
    }
}

impl Row {
    /// Checks whether the provider accepts the request. Sends nothing.
    pub(crate) fn check(&mut self, provider: &dyn Provider) {
        if let Ok(request) = &self.request {
            if let Err(error) = provider.check(request) {
                self.request = Err(Failure::from(&error));
            }
        }
    }

    /// Returns the hash of the id and the request, which identifies the row at a gateway.
    pub(crate) fn idempotency_key(&self) -> String {
        hash::hex(hash::of_row(&self.id, self.hash))
    }
}

/// Reads a JSON line: sets the id, and returns the body.
fn of_json<'a>(text: &'a str, id: &mut Cow<'a, str>) -> Result<Cow<'a, str>, Failure> {
    // A list would be read as the members in order.
    let is_object = text.trim_ascii_start().starts_with('{');
    if !is_object {
        return Err(Failure::invalid("invalid row: expected a JSON object"));
    }
    let line: Line<'a> = serde_json::from_str(text).map_err(|error| {
        let column = error.column();
        Failure::invalid(format!(
            "invalid row: expected a JSON object (column {column})"
        ))
    })?;
    match line.custom_id.map(RawValue::get) {
        None | Some("null" | "\"\"") => {}
        Some(raw) => {
            *id = string(raw)
                .ok_or_else(|| Failure::invalid("invalid `custom_id`: expected a string"))?;
        }
    }
    let method = line.method.map(RawValue::get);
    if !matches!(method, None | Some("\"POST\"" | "null")) {
        return Err(Failure::invalid("invalid `method`: expected `POST`"));
    }
    let url = line.url.map(RawValue::get).filter(|raw| *raw != "null");
    let is_chat = |raw: &str| string(raw).is_some_and(|url| url.ends_with("/chat/completions"));
    if !url.is_none_or(is_chat) {
        return Err(Failure::invalid(
            "unsupported `url`: expected `/v1/chat/completions`",
        ));
    }
    match (line.body, line.prompt, line.messages) {
        (Some(body), None, None) => Ok(Cow::Borrowed(body.get())),
        (None, Some(prompt), None) if prompt.get().starts_with('"') => {
            Ok(Cow::Owned(of_prompt(prompt.get(), Some(text))))
        }
        (None, Some(_), None) => Err(Failure::invalid("invalid `prompt`: expected a string")),
        (None, None, Some(messages)) => Ok(Cow::Owned(of_messages(messages.get(), text))),
        _ => {
            let message = "invalid row: expected one of `body`, `messages` and `prompt`";
            Err(Failure::invalid(message))
        }
    }
}

/// Returns the body of a prompt, a JSON string, with the settings of its line.
fn of_prompt(prompt: &str, line: Option<&str>) -> String {
    let messages = format!("[{{\"role\":\"user\",\"content\":{prompt}}}]");
    match line {
        None => format!("{{\"messages\":{messages}}}"),
        Some(line) => of_messages(&messages, line),
    }
}

/// Returns the body of messages, with the settings of their line.
fn of_messages(messages: &str, line: &str) -> String {
    let mut body = format!("{{\"messages\":{messages}");
    let members: Option<Members<'_>> = serde_json::from_str(line).ok();
    for (name, raw) in members.iter().flat_map(Members::last_of_each) {
        let is_own = matches!(name, "custom_id" | "messages" | "method" | "prompt" | "url");
        if !is_own {
            body.push(',');
            body.push_str(&json(name));
            body.push(':');
            body.push_str(raw.get());
        }
    }
    body.push('}');
    body
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Reads a JSON string, without a copy if it has no escapes.
fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

#[cfg(test)]
mod tests {
    use super::{Format, Part, Reader, Row};

    fn row(line: &str) -> Row {
        Reader::default().row(line.as_bytes(), 17)
    }

    #[test]
    fn all_formats_are_read() {
        let openai = r#"{"custom_id":"r1","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"Hi"}],"max_tokens":5}}"#;
        let prompt = r#"{"custom_id":"r\u0031","prompt":"Hi","max_tokens":5,"model":"m"}"#;
        let messages = r#"{"custom_id":"r1","model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}"#;
        for line in [openai, prompt, messages] {
            let row = row(line);
            let request = row.request.unwrap();
            assert_eq!(row.id, "r1");
            assert_eq!(request.model.as_deref(), Some("m"));
            assert_eq!(request.max_tokens, Some(5));
            assert_eq!(request.messages[0].text(), "Hi");
            assert_eq!(request.extra, []);
        }
        let text = Reader::new(Format::Text).row(br#"{"say": "\"#, 3);
        assert_eq!(text.id, "line-3");
        assert_eq!(text.request.unwrap().messages[0].text(), r#"{"say": "\"#);
    }

    #[test]
    fn a_row_without_an_id_is_named_by_its_line() {
        for line in [r#"{"prompt":"Hi"}"#, r#"{"prompt":"Hi","custom_id":null}"#] {
            let row = row(line);
            assert_eq!(row.id, "line-17");
            assert!(row.request.is_ok());
        }
    }

    #[test]
    fn invalid_rows_say_why() {
        for (line, id, message) in [
            ("", "line-17", "invalid row: expected a JSON object"),
            ("[]", "line-17", "invalid row: expected a JSON object"),
            (
                "{",
                "line-17",
                "invalid row: expected a JSON object (column 1)",
            ),
            (
                r#"{"custom_id":"a"}"#,
                "a",
                "invalid row: expected one of `body`, `messages` and `prompt`",
            ),
            (
                r#"{"custom_id":"a","prompt":"x","messages":[]}"#,
                "a",
                "invalid row: expected one of `body`, `messages` and `prompt`",
            ),
            (
                r#"{"custom_id":7,"prompt":"x"}"#,
                "line-17",
                "invalid `custom_id`: expected a string",
            ),
            (
                r#"{"custom_id":"a","prompt":7}"#,
                "a",
                "invalid `prompt`: expected a string",
            ),
            (
                r#"{"custom_id":"a","method":"GET","body":{}}"#,
                "a",
                "invalid `method`: expected `POST`",
            ),
            (
                r#"{"custom_id":"a","url":"/v1/embeddings","body":{}}"#,
                "a",
                "unsupported `url`: expected `/v1/chat/completions`",
            ),
            (
                r#"{"custom_id":"a","body":{"messages":{}}}"#,
                "a",
                "invalid `messages`: expected a list",
            ),
        ] {
            let row = row(line);
            assert_eq!(row.id, id, "{line}");
            assert_eq!(row.request.unwrap_err().message, message, "{line}");
        }
        let row = Reader::default().row(b"\xff", 1);
        assert_eq!(
            row.request.unwrap_err().message,
            "invalid row: expected UTF-8"
        );
    }

    #[test]
    fn a_set_model_replaces_that_of_a_row() {
        let line = r#"{"body":{"model":"own","messages":[{"role":"user","content":"Hi"}]}}"#;
        let mut reader = Reader {
            default_model: Some("default".to_owned()),
            ..Reader::default()
        };
        let own = reader.row(line.as_bytes(), 1);
        assert_eq!(own.request.unwrap().model.as_deref(), Some("own"));
        let none = reader.row(br#"{"prompt":"Hi"}"#, 1);
        assert_eq!(none.request.unwrap().model.as_deref(), Some("default"));
        reader.model = Some("set".to_owned());
        let set = reader.row(line.as_bytes(), 1);
        assert_eq!(set.request.unwrap().model.as_deref(), Some("set"));
        assert_ne!(set.hash, own.hash);
    }

    #[test]
    fn parts_cover_all_rows_once() {
        for of in 1..5 {
            for row in 0..20 {
                let parts = (1..=of).filter(|index| Part::new(*index, of).unwrap().contains(row));
                assert_eq!(parts.count(), 1);
            }
        }
        for invalid in ["", "1", "0/2", "3/2", "1/0", "a/2", "-1/2"] {
            assert!(invalid.parse::<Part>().is_err(), "{invalid}");
        }
    }
}
