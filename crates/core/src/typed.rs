//! Parsing of JSON text into the caller's types.

use serde::de::DeserializeOwned;

use crate::{
    error::{Error, ErrorKind, Result},
    event::FinishReason,
    message::ToolCall,
    response::{ChatResponse, Choice},
};

impl ChatResponse {
    /// Parses the text as JSON: the response to a request with a
    /// [`response_format`](crate::ChatRequest::response_format).
    ///
    /// A Markdown code fence around the JSON is ignored, because models that are asked for JSON in
    /// words often write one. It need not be closed, because a `stop` text may have removed its
    /// end.
    ///
    /// ```
    /// # use inferstream_core::{ChatEvent, ChatResponse};
    /// # let mut response = ChatResponse::default();
    /// # response.add(&ChatEvent::text(0, "{\"city\":\"Bern\",\"people\":134000}"));
    /// #[derive(serde::Deserialize)]
    /// struct Place {
    ///     city: String,
    ///     people: u32,
    /// }
    ///
    /// let place: Place = response.parse()?;
    /// assert_eq!((place.city.as_str(), place.people), ("Bern", 134_000));
    /// # Ok::<(), inferstream_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The complete response is in [`Error::partial`]. The kind is `Truncated` if the token limit
    /// cut the response off, `ContentFilter` if the service's filter did, and otherwise `Protocol`,
    /// with the position at which the text is not the expected JSON.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let parsed = match self.choice(0) {
            Some(choice) => choice.parse(),
            None => Choice::default().parse(),
        };
        parsed.map_err(|error| error.with_partial(self.clone()))
    }
}

impl Choice {
    /// Parses this choice's text as JSON, as [`ChatResponse::parse`] does for choice 0.
    ///
    /// ```
    /// # use inferstream_core::{ChatEvent, ChatResponse};
    /// # let mut response = ChatResponse::default();
    /// # response.add(&ChatEvent::text(0, "[1, 2"));
    /// # response.add(&ChatEvent::text(1, "[1, 2, 3]"));
    /// let read = |index| response.choice(index)?.parse::<Vec<u32>>().ok();
    /// assert_eq!(read(0), None);
    /// assert_eq!(read(1), Some(vec![1, 2, 3]));
    /// ```
    ///
    /// # Errors
    ///
    /// The same as [`ChatResponse::parse`], with only this choice in [`Error::partial`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let text = self.text.as_str();
        let json = unfenced(text);
        let is_cut = self.finish_reason == Some(FinishReason::Length);
        let broken = match serde_json::from_str(json) {
            Ok(value) if !(is_cut && is_open(text, json)) => return Ok(value),
            Ok(_) => None,
            Err(broken) => Some(broken),
        };
        let error = match (&self.finish_reason, &broken) {
            (Some(FinishReason::Length), _) | (_, None) => {
                let message = "the response is incomplete JSON: it was cut off by the token limit";
                Error::new(ErrorKind::Truncated, message)
            }
            (Some(FinishReason::ContentFilter), _) => {
                let message =
                    "the response is not JSON: it was cut off by the service's content filter";
                Error::new(ErrorKind::ContentFilter, message)
            }
            (_, Some(broken)) => Error::protocol(told("the response", text, json, broken)),
        };
        Err(error.with_partial(ChatResponse {
            choices: vec![self.clone()],
            ..ChatResponse::default()
        }))
    }
}

impl ToolCall {
    /// Parses the arguments; empty arguments count as an empty object.
    ///
    /// ```
    /// use inferstream_core::ToolCall;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Weather {
    ///     city: String,
    /// }
    ///
    /// let call = ToolCall::new("call_1", "weather", r#"{"city":"Bern"}"#);
    /// assert_eq!(call.parse::<Weather>()?.city, "Bern");
    /// # Ok::<(), inferstream_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns `Protocol`, with the position at which the arguments are not the expected JSON.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let text = match self.arguments.as_str() {
            blank if blank.trim().is_empty() => "{}",
            text => text,
        };
        let arguments = text.trim();
        serde_json::from_str(arguments).map_err(|broken| {
            // The name comes from the model, and may be arbitrary text.
            let name = self.name.escape_debug();
            let what = format!("the argument object of tool `{name}`");
            Error::protocol(told(&what, text, arguments, &broken))
        })
    }
}

/// Describes the position of an error in JSON that is part of a text. It does not quote the text,
/// which may contain secrets.
fn told(what: &str, text: &str, json: &str, broken: &serde_json::Error) -> String {
    let start = json.as_ptr().addr().checked_sub(text.as_ptr().addr());
    let before = start.and_then(|start| text.get(..start));
    let before = before.unwrap_or_default();
    let (mut line, mut column) = (broken.line(), broken.column());
    if line == 1 {
        column += before.rsplit('\n').next().map_or(0, str::len);
    }
    line += before.matches('\n').count();
    let how = if broken.is_data() {
        "does not match the expected type"
    } else {
        "is not JSON"
    };
    format!("{what} {how} (line {line}, column {column})")
}

/// Returns true if the text may have been cut off inside its value: a number is complete only if
/// something follows it.
fn is_open(text: &str, json: &str) -> bool {
    let begins_a_number = |first: char| first == '-' || first.is_ascii_digit();
    json.starts_with(begins_a_number) && text.ends_with(|last: char| last.is_ascii_digit())
}

/// Returns the content of a code fence, if the text consists of one.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let mark = if text.starts_with('~') { '~' } else { '`' };
    let inside = text.trim_start_matches(mark);
    let (fence, _) = text.split_at(text.len() - inside.len());
    if fence.len() < 3 {
        return text;
    }
    let inside = inside.strip_suffix(fence).unwrap_or(inside);
    let is_of_name = |char: char| char.is_alphanumeric() || "+-._".contains(char);
    match inside.split_once('\n') {
        Some((language, json)) if language.trim().chars().all(is_of_name) => json.trim(),
        _ => inside.trim(),
    }
}
