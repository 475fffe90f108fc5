//! The outcome of a response as its caller sees it, and rules for every response.

use std::{error::Error as StdError, time::Duration};

use inferstream_core::{ChatEvent, ChatResponse, ChatStream, Error, ErrorKind, Meta, Result};
use serde_json::json;

use super::{Clock, Wire, block_on};

/// A scripted transport, as far as the reader of its responses needs it.
pub(crate) trait Double {
    fn clock(&self) -> &Clock;

    /// Returns the number of requests.
    fn requests(&self) -> usize;

    /// Runs the background tasks to their end. Returns the number of tasks.
    fn run_detached(&self) -> usize {
        0
    }
}

/// What a caller saw of a response.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<ChatEvent>,
    pub(crate) end: Result<ChatResponse>,
    /// `None` if no stream was returned.
    pub(crate) meta: Option<Meta>,
    /// How long the caller waited.
    pub(crate) elapsed: Duration,
    /// The number of requests.
    pub(crate) attempts: usize,
    /// The number of background tasks.
    pub(crate) tasks: usize,
}

impl Outcome {
    /// Reads a stream to its end and drops it.
    #[track_caller]
    pub(crate) fn read(double: &impl Double, opened: Result<ChatStream>) -> Self {
        let clock = double.clock();
        let mut events = Vec::new();
        let (end, meta) = match opened {
            Err(error) => (Err(error), None),
            Ok(mut stream) => {
                let end = loop {
                    match block_on(clock, stream.next()) {
                        None => break Ok(stream.partial().clone()),
                        Some(Ok(event)) => events.push(event),
                        Some(Err(error)) => break Err(error),
                    }
                };
                for _ in 0..3 {
                    let more = block_on(clock, stream.next());
                    assert!(more.is_none(), "an end is the end: {more:?}");
                }
                (end, Some(stream.meta().clone()))
            }
        };
        Self {
            events,
            end,
            meta,
            elapsed: clock.elapsed(),
            attempts: double.requests(),
            tasks: double.run_detached(),
        }
    }

    /// Returns the text of choice 0.
    pub(crate) fn text(&self) -> String {
        self.text_of(0)
    }

    pub(crate) fn text_of(&self, index: u32) -> String {
        let text = |event: &ChatEvent| match event {
            ChatEvent::Text { choice, text, .. } if *choice == index => Some(text.to_string()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    /// Returns the reasoning of choice 0.
    pub(crate) fn reasoning(&self) -> String {
        let text = |event: &ChatEvent| match event {
            ChatEvent::Reasoning {
                choice: 0, text, ..
            } => Some(text.to_string()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    /// Returns the events as lines of JSON.
    pub(crate) fn lines(&self) -> Vec<String> {
        lines(&self.events)
    }

    /// Returns the events that may arrive before the end is known, as lines of JSON.
    pub(crate) fn content(&self) -> Vec<String> {
        lines(self.events.iter().filter(|event| !self.is_terminal(event)))
    }

    /// Returns true for events that are delivered only when the response is known to be complete; a
    /// call without arguments starts only then.
    pub(crate) fn is_terminal(&self, event: &ChatEvent) -> bool {
        match event {
            ChatEvent::ToolCall { .. } | ChatEvent::Finish { .. } => true,
            ChatEvent::ToolCallStart { choice, index, .. } => {
                let of = (*choice, *index);
                !self.events.iter().any(|event| {
                    matches!(event, ChatEvent::ToolCallDelta { choice, index, .. }
                        if (*choice, *index) == of)
                })
            }
            _ => false,
        }
    }

    #[track_caller]
    pub(crate) fn response(&self) -> &ChatResponse {
        self.end.as_ref().unwrap()
    }

    #[track_caller]
    pub(crate) fn error(&self) -> &Error {
        self.end.as_ref().unwrap_err()
    }

    #[track_caller]
    pub(crate) fn meta(&self) -> &Meta {
        self.meta.as_ref().unwrap()
    }

    /// Returns the kind of the error, or `None` for a success.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        self.end.as_ref().err().map(Error::kind)
    }

    /// Returns true if a response was resumed and differed from before.
    pub(crate) fn is_diverged(&self) -> bool {
        matches!(&self.end, Err(error)
            if error.kind() == ErrorKind::Truncated && error.code() == Some("diverged"))
    }

    /// Returns the finish reason's name.
    #[track_caller]
    pub(crate) fn reason(&self) -> &str {
        self.response().finish_reason().unwrap().as_str()
    }

    /// Returns the token counts: of the prompt, of the response, and of both.
    #[track_caller]
    pub(crate) fn usage(&self) -> [Option<u64>; 3] {
        let usage = self.response().usage.unwrap_or_default();
        [usage.input_tokens, usage.output_tokens, usage.total_tokens]
    }

    /// Returns the events, one per line, and the end.
    pub(crate) fn transcript(&self) -> String {
        let end = match &self.end {
            Ok(response) => json!({
                "end": response.end,
                "id": response.id,
                "model": response.model,
            }),
            // In alphabetical order, which `serde_json` keeps or creates.
            Err(error) => json!({
                "code": error.code(),
                "error": error.kind().as_str(),
                "line": error.to_string(),
                "message": error.provider_message(),
                "retryable": error.is_retryable(),
                "status": error.status().map(|status| status.as_u16()),
            }),
        };
        let mut lines = self.lines();
        lines.push(end.to_string());
        lines.join("\n") + "\n"
    }

    /// Checks that there is exactly one end: terminal events come last and only with a success,
    /// nothing that arrived is lost, and no error shows a secret.
    #[track_caller]
    pub(crate) fn check(&self, secret: &str) {
        let is_finish = |event: &&ChatEvent| matches!(event, ChatEvent::Finish { .. });
        let finishes = self.events.iter().filter(is_finish).count();
        let kept = match &self.end {
            Ok(response) => {
                assert!(response.end.is_some(), "a success says how it ended");
                let mut choices = response.choices.iter();
                assert!(choices.all(|choice| choice.finish_reason.is_some()));
                assert_eq!(finishes, response.choices.len(), "each choice has its end");
                assert!(self.events.last().is_some_and(|event| is_finish(&event)));
                Some(response)
            }
            Err(error) => {
                assert_eq!(finishes, 0, "an end before an error");
                let shown = shown(error);
                assert!(!shown.contains(secret), "{shown}");
                error.partial()
            }
        };
        if let Some(meta) = &self.meta {
            let kept = kept.map(|kept| &kept.meta);
            assert_eq!(kept, Some(meta), "the metadata is kept");
            assert!(meta.time_to_end.is_some(), "every end has its time");
        }
        let text = kept.map_or("", ChatResponse::text);
        assert_eq!(text, self.text(), "nothing is lost");
        let thoughts = kept.map_or("", ChatResponse::reasoning);
        assert_eq!(thoughts, self.reasoning(), "no thought is lost");
        for event in &self.events {
            if let ChatEvent::Text { text, .. } | ChatEvent::Reasoning { text, .. } = event {
                assert!(!text.is_empty(), "text is never empty");
            }
        }
    }

    /// Checks that there is one choice unless two were requested.
    #[track_caller]
    pub(crate) fn check_one_choice(&self) {
        for event in &self.events {
            if let ChatEvent::Text { choice, .. } | ChatEvent::Reasoning { choice, .. } = event {
                assert_eq!(*choice, 0, "nobody asked for two");
            }
        }
        let choices = self
            .end
            .as_ref()
            .map_or(1, |response| response.choices.len());
        assert_eq!(choices, 1, "nobody asked for two");
    }
}

pub(crate) fn lines<'a>(events: impl IntoIterator<Item = &'a ChatEvent>) -> Vec<String> {
    let line = |event| serde_json::to_string(event).unwrap();
    events.into_iter().map(line).collect()
}

/// Returns everything that an error shows: its `Display` and `Debug` output and those of its
/// causes.
pub(crate) fn shown(error: &Error) -> String {
    let mut shown = format!("{error}\n{error:?}\n{error:#?}");
    let mut source = StdError::source(error);
    while let Some(cause) = source {
        shown.extend([cause.to_string(), format!("{cause:?}")]);
        source = cause.source();
    }
    shown
}

/// The result of a rejected request.
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) attempts: usize,
    pub(crate) waited: Duration,
}

impl Refusal {
    #[track_caller]
    pub(crate) fn new(wire: &Wire, error: Error, secret: &str) -> Self {
        assert_eq!(error.attempts() as usize, wire.count());
        check_line(&error, secret);
        Self {
            error,
            attempts: wire.count(),
            waited: wire.clock.elapsed(),
        }
    }
}

/// Checks that an error is one line without a key or an HTML page.
#[track_caller]
pub(crate) fn check_line(error: &Error, secret: &str) {
    let shown = shown(error);
    assert!(!shown.contains(secret), "{shown}");
    let line = error.to_string();
    assert!(!line.contains(['\n', '\r']), "one line: {line}");
    assert!(
        !line.contains("</") && !line.contains("<!"),
        "no page: {line}"
    );
    assert!(line.len() < 1500, "{line}");
}
