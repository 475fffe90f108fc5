//! A reader of streams, which checks what is true of every stream.

use inferstream_core::{ChatEvent, ChatResponse, ChatStream, Error, Result};
use inferstream_test::Clock;

/// What a stream returned.
#[derive(Debug)]
pub struct Outcome {
    pub events: Vec<ChatEvent>,
    pub end: Result<(), Error>,
    pub partial: ChatResponse,
}

impl Outcome {
    /// Reads a stream to its end.
    ///
    /// # Panics
    ///
    /// If the stream has more than one end, if its events are not those of the response so far, or if
    /// it is a success without an end of each choice.
    pub fn read(clock: &Clock, opened: Result<ChatStream>) -> Self {
        let mut events = Vec::new();
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => {
                let partial = error.partial().cloned().unwrap_or_default();
                let end = Err(error);
                return Self {
                    events,
                    end,
                    partial,
                };
            }
        };
        let end = loop {
            match clock.block_on(stream.next()) {
                Some(Ok(event)) => events.push(event),
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        };
        let after = clock.block_on(stream.next());
        assert!(after.is_none(), "after the end {end:?}: {after:?}");
        let partial = stream.partial().clone();
        let outcome = Self {
            events,
            end,
            partial,
        };
        outcome.check();
        outcome
    }

    fn check(&self) {
        let mut sum = ChatResponse::default();
        for event in &self.events {
            let choice = match event {
                ChatEvent::Text { choice, text, .. }
                | ChatEvent::Reasoning { choice, text, .. } => {
                    assert!(!text.is_empty(), "an empty fragment: {self:?}");
                    *choice
                }
                ChatEvent::ToolCallStart { choice, .. }
                | ChatEvent::ToolCallDelta { choice, .. }
                | ChatEvent::ToolCall { choice, .. }
                | ChatEvent::Finish { choice, .. } => *choice,
                _ => {
                    sum.add(event);
                    continue;
                }
            };
            let has_ended = sum
                .choice(choice)
                .is_some_and(|choice| choice.finish_reason.is_some());
            assert!(!has_ended, "content after the end of its choice: {self:?}");
            sum.add(event);
        }
        let partial = &self.partial;
        assert_eq!(
            (&sum.choices, &sum.usage, &sum.timing),
            (&partial.choices, &partial.usage, &partial.timing),
            "the events are not those of the response: {self:?}"
        );
        match &self.end {
            Ok(()) => {
                assert!(partial.end.is_some(), "a success without an end: {self:?}");
                let mut choices = partial.choices.iter();
                let has_ended = choices.all(|choice| choice.finish_reason.is_some());
                assert!(has_ended, "a success with an open choice: {self:?}");
            }
            Err(error) => {
                let kept = error.partial().map(|kept| &kept.choices);
                assert_eq!(
                    kept,
                    Some(&partial.choices),
                    "the error lost text: {self:?}"
                );
            }
        }
    }

    pub fn text(&self) -> &str {
        self.partial.text()
    }

    /// Returns the events with adjacent fragments joined, and the end: what must not depend on where
    /// the stream is split.
    pub fn told(&self) -> Vec<String> {
        let mut told: Vec<(String, String)> = Vec::new();
        for event in &self.events {
            let (kind, text) = match event {
                ChatEvent::Text { choice, text, .. } => (format!("text {choice}"), text),
                ChatEvent::Reasoning { choice, text, .. } => (format!("reasoning {choice}"), text),
                ChatEvent::ToolCallDelta {
                    choice,
                    index,
                    arguments,
                    ..
                } => (format!("arguments {choice} {index}"), arguments),
                other => {
                    told.push((format!("{other:?}"), String::new()));
                    continue;
                }
            };
            match told.last_mut() {
                Some((last, so_far)) if *last == kind => so_far.push_str(text),
                _ => told.push((kind, text.to_string())),
            }
        }
        let mut told: Vec<_> = told
            .into_iter()
            .map(|(kind, text)| format!("{kind} {text}"))
            .collect();
        told.push(match &self.end {
            Ok(()) => format!("{:?}", self.partial.end),
            Err(error) => format!("{:?} {error}", error.kind()),
        });
        told
    }
}
