//! The events of an answer that is sent again in, what of them is new out.

use std::collections::BTreeMap;

use inferstream_core::{ChatEvent, Error, ErrorKind, Events, Result, Text, Usage};

/// What has been delivered, and how far it has been sent again.
///
/// Text is compared as text: the service may join neighbouring pieces when it sends them again.
#[derive(Debug, Default)]
pub(super) struct Replay {
    text: Known,
    reasoning: Known,
    calls: BTreeMap<u32, Known>,
    usage: Option<Usage>,
    /// How many raw chunks were delivered, and how many of them came again.
    raw: (usize, usize),
}

/// A text as far as it was delivered.
#[derive(Debug, Default)]
struct Known {
    delivered: String,
    /// How much of it has come again.
    at: usize,
}

impl Replay {
    /// Begins anew.
    pub(super) fn begin(&mut self) {
        let calls = self.calls.values_mut();
        for known in calls.chain([&mut self.text, &mut self.reasoning]) {
            known.at = 0;
        }
        self.raw.1 = 0;
    }

    /// Passes on what is new.
    ///
    /// # Errors
    ///
    /// `Truncated` if it is another answer.
    pub(super) fn take(&mut self, mut all: Events, events: &mut Events) -> Result<()> {
        events.id = all.id.take().or(events.id.take());
        events.model = all.model.take().or(events.model.take());
        events.logs.push_str(&all.logs);
        events.warnings.append(&mut all.warnings);
        while let Some(event) = all.pop() {
            if let Some(event) = self.admit(event)? {
                events.push(event);
            }
        }
        Ok(())
    }

    fn admit(&mut self, event: ChatEvent) -> Result<Option<ChatEvent>> {
        Ok(match event {
            ChatEvent::Text { choice, text, .. } => {
                let new = self.text.admit(text)?;
                new.map(|text| ChatEvent::text(choice, text))
            }
            ChatEvent::Reasoning { choice, text, .. } => {
                let new = self.reasoning.admit(text)?;
                new.map(|text| ChatEvent::reasoning(choice, text))
            }
            ChatEvent::ToolCallStart { index, .. } if self.calls.contains_key(&index) => None,
            ChatEvent::ToolCallStart { index, .. } => {
                self.calls.insert(index, Known::default());
                Some(event)
            }
            ChatEvent::ToolCallDelta {
                choice,
                index,
                arguments,
                ..
            } => {
                let known = self.calls.entry(index).or_default();
                let new = known.admit(arguments)?;
                new.map(|arguments| ChatEvent::tool_call_delta(choice, index, arguments))
            }
            ChatEvent::Usage { usage, .. } if self.usage == Some(usage) => None,
            ChatEvent::Usage { usage, .. } => {
                self.usage = Some(usage);
                Some(event)
            }
            ChatEvent::Raw { .. } => {
                let (delivered, again) = &mut self.raw;
                let is_new = again == delivered;
                *again += 1;
                *delivered = (*delivered).max(*again);
                is_new.then_some(event)
            }
            event => Some(event),
        })
    }

    /// Checks that all that was delivered has come again.
    ///
    /// # Errors
    ///
    /// `Truncated` if the answer is shorter than what was delivered of it.
    pub(super) fn check_end(&self) -> Result<()> {
        let mut all = self.calls.values().chain([&self.text, &self.reasoning]);
        if all.all(Known::is_at_end) {
            Ok(())
        } else {
            Err(diverged())
        }
    }
}

impl Known {
    /// Returns what is new of the next piece, if anything.
    fn admit(&mut self, piece: Text) -> Result<Option<Text>> {
        let known = self.delivered.get(self.at..).unwrap_or_default();
        if known.is_empty() {
            self.delivered.push_str(&piece);
            self.at = self.delivered.len();
            return Ok(Some(piece));
        }
        if known.starts_with(&*piece) {
            self.at += piece.len();
            return Ok(None);
        }
        let Some(new) = piece.strip_prefix(known) else {
            return Err(diverged());
        };
        let new = Text::from(new);
        self.delivered.push_str(&new);
        self.at = self.delivered.len();
        Ok(Some(new))
    }

    fn is_at_end(&self) -> bool {
        self.at == self.delivered.len()
    }
}

fn diverged() -> Error {
    let message = "the connection was lost before the answer's end, and what the playground sent \
                   again is another answer";
    Error::new(ErrorKind::Truncated, message).with_code("diverged")
}
