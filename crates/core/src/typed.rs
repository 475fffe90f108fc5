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
    /// A fence of Markdown around it is passed over, since models that are asked in words write one.
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
        let broken = match serde_json::from_str(unfenced(&self.text)) {
            Ok(value) => return Ok(value),
            Err(broken) => broken,
        };
        let error = match self.finish_reason {
            Some(FinishReason::Length) => {
                let message = "the answer is no whole JSON: the limit of tokens has cut it off";
                Error::new(ErrorKind::Truncated, message)
            }
            Some(FinishReason::ContentFilter) => {
                let message = "the answer is no JSON: the service's filter has cut it off";
                Error::new(ErrorKind::ContentFilter, message)
            }
            _ => Error::protocol(told("the answer", &broken)),
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
    /// # Errors
    ///
    /// `Protocol` with the place where they are not the JSON that was meant.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let arguments = match self.arguments.trim() {
            "" => "{}",
            arguments => arguments,
        };
        serde_json::from_str(arguments).map_err(|broken| {
            let what = format!("what the tool `{}` is to be called with", self.name);
            Error::protocol(told(&what, &broken))
        })
    }
}

/// Says where JSON is not what was meant, without what stands there: it may be anybody's secret.
fn told(what: &str, broken: &serde_json::Error) -> String {
    let (line, column) = (broken.line(), broken.column());
    let how = if broken.is_data() {
        "JSON of another form"
    } else {
        "no JSON"
    };
    format!("{what} is {how}, at line {line}, column {column}")
}

/// Returns what stands between fences, if the text is nothing but that.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inside = text
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"));
    match inside.and_then(|inside| inside.split_once('\n')) {
        Some((language, json)) if language.trim().chars().all(char::is_alphanumeric) => json,
        _ => text,
    }
}
