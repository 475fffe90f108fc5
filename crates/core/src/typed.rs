//! Text that is JSON in, a value of the caller's type out.

use serde::de::DeserializeOwned;

use crate::{
    error::{Error, ErrorKind, Result},
    event::FinishReason,
    message::ToolCall,
    response::{ChatResponse, Choice},
};

impl ChatResponse {
    /// Reads the text as JSON: the answer to a request with a
    /// [`response_format`](crate::ChatRequest::response_format).
    ///
    /// A fence of Markdown around it is passed over, since models that are asked in words write one;
    /// it need not be closed, since `stop` may have cut its end.
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
    /// With the whole answer in [`Error::partial`]: `Truncated` where the limit of tokens has cut the
    /// answer off, `ContentFilter` where the service has, else `Protocol` with the place where the text
    /// is not the JSON that was meant.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let parsed = match self.choice(0) {
            Some(choice) => choice.parse(),
            None => Choice::default().parse(),
        };
        parsed.map_err(|error| error.with_partial(self.clone()))
    }
}

impl Choice {
    /// Reads this answer's text as JSON, as [`ChatResponse::parse`] does that of choice 0.
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
    /// As [`ChatResponse::parse`], with this choice alone in [`Error::partial`].
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
                let message = "the answer is no whole JSON: the limit of tokens has cut it off";
                Error::new(ErrorKind::Truncated, message)
            }
            (Some(FinishReason::ContentFilter), _) => {
                let message = "the answer is no JSON: the service's filter has cut it off";
                Error::new(ErrorKind::ContentFilter, message)
            }
            (_, Some(broken)) => Error::protocol(told("the answer", text, json, broken)),
        };
        Err(error.with_partial(ChatResponse {
            choices: vec![self.clone()],
            ..ChatResponse::default()
        }))
    }
}

impl ToolCall {
    /// Reads the arguments; none are an empty object.
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
    /// `Protocol` with the place where they are not the JSON that was meant.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let text = match self.arguments.as_str() {
            blank if blank.trim().is_empty() => "{}",
            text => text,
        };
        let arguments = text.trim();
        serde_json::from_str(arguments).map_err(|broken| {
            // The name is the model's, and may be anything.
            let name = self.name.escape_debug();
            let what = format!("what the tool `{name}` is to be called with");
            Error::protocol(told(&what, text, arguments, &broken))
        })
    }
}

/// Says where in a text its JSON, which is a part of it, is not what was meant, without what stands
/// there: it may be anybody's secret.
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
        "JSON of another form"
    } else {
        "no JSON"
    };
    format!("{what} is {how}, at line {line}, column {column}")
}

/// Returns true if the text may have been cut off inside of its value: a number's end is nothing but
/// what comes behind it.
fn is_open(text: &str, json: &str) -> bool {
    let begins_a_number = |first: char| first == '-' || first.is_ascii_digit();
    json.starts_with(begins_a_number) && text.ends_with(|last: char| last.is_ascii_digit())
}

/// Returns what stands in a fence, if the text is nothing but that.
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
