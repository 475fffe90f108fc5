//! The events of an answer that is sent again in, what of them is new out.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
};

use inferstream_core::{
    ChatEvent, Error, ErrorKind, Result, Text, ToolCall, Usage, protocol::Events,
};

/// What has been delivered, and how far it has been sent again.
///
/// Text is compared as text: the service may join neighbouring pieces when it sends them again. A raw
/// chunk that was joined is another one and comes once more, since a chunk too many is better than
/// none.
#[derive(Debug, Default)]
pub(super) struct Replay {
    text: Known,
    reasoning: Known,
    calls: BTreeMap<u32, Call>,
    usages: List<Usage>,
    /// The raw chunks, by their hashes.
    chunks: List<u64>,
    hasher: RandomState,
}

/// A text as far as it was delivered.
#[derive(Debug, Default)]
struct Known {
    delivered: String,
    /// How much of it has come again.
    at: usize,
}

/// A tool call as far as it was delivered.
#[derive(Debug, Default)]
struct Call {
    id_and_name: Option<(String, String)>,
    arguments: Known,
    whole: Option<ToolCall>,
}

/// What was delivered one after the other, and how much of it has come again.
#[derive(Debug)]
struct List<T> {
    delivered: Vec<T>,
    at: usize,
}

impl Replay {
    /// Begins anew.
    pub(super) fn begin(&mut self) {
        let arguments = self.calls.values_mut().map(|call| &mut call.arguments);
        for known in arguments.chain([&mut self.text, &mut self.reasoning]) {
            known.at = 0;
        }
        self.usages.at = 0;
        self.chunks.at = 0;
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

    /// Passes on what is new of an answer's end.
    ///
    /// # Errors
    ///
    /// `Truncated`, and nothing is passed on, if it is another answer, or shorter than what was
    /// delivered of it.
    pub(super) fn take_end(&mut self, all: Events, events: &mut Events) -> Result<()> {
        let mut last = Events::default();
        self.take(all, &mut last)?;
        let arguments = self.calls.values().map(|call| &call.arguments);
        let mut texts = arguments.chain([&self.text, &self.reasoning]);
        if !texts.all(|known| known.at == known.delivered.len()) {
            return Err(diverged());
        }
        while let Some(event) = last.pop() {
            events.push(event);
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
            ChatEvent::ToolCallStart {
                index,
                ref id,
                ref name,
                ..
            } => {
                let call = self.calls.entry(index).or_default();
                let new = (id.clone(), name.clone());
                same_or_new(&mut call.id_and_name, new)?.then_some(event)
            }
            ChatEvent::ToolCallDelta {
                choice,
                index,
                arguments,
                ..
            } => {
                let call = self.calls.entry(index).or_default();
                let new = call.arguments.admit(arguments)?;
                new.map(|arguments| ChatEvent::tool_call_delta(choice, index, arguments))
            }
            ChatEvent::ToolCall {
                index, ref call, ..
            } => {
                let known = self.calls.entry(index).or_default();
                // It may come without the pieces of its arguments.
                known.arguments.at = known.arguments.delivered.len();
                same_or_new(&mut known.whole, call.clone())?.then_some(event)
            }
            ChatEvent::Usage { usage, .. } => self.usages.admit(usage).then_some(event),
            ChatEvent::Raw { ref chunk, .. } => {
                let hash = self.hasher.hash_one(chunk.as_str());
                self.chunks.admit(hash).then_some(event)
            }
            event => Some(event),
        })
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
}

impl<T: PartialEq> List<T> {
    /// Returns true if this was not delivered before.
    fn admit(&mut self, one: T) -> bool {
        let rest = self.delivered.get(self.at..).unwrap_or_default();
        if let Some(place) = rest.iter().position(|known| *known == one) {
            self.at += place + 1;
            return false;
        }
        self.delivered.push(one);
        self.at = self.delivered.len();
        true
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            delivered: Vec::new(),
            at: 0,
        }
    }
}

/// Returns true for what is new, false for the same again.
fn same_or_new<T: PartialEq>(known: &mut Option<T>, new: T) -> Result<bool> {
    match known {
        Some(known) if *known == new => Ok(false),
        Some(_) => Err(diverged()),
        None => {
            *known = Some(new);
            Ok(true)
        }
    }
}

fn diverged() -> Error {
    let message = "the connection was lost before the answer's end, and what the playground sent \
                   again is another answer";
    Error::new(ErrorKind::Truncated, message).with_code("diverged")
}
