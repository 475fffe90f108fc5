//! Pieces of tool calls in, events of whole calls out, however a service numbers them.

use std::{borrow::Cow, mem};

use inferstream_core::{ChatEvent, Error, ErrorKind, Events, Result, ToolCall};
use serde::de::IgnoredAny;

use crate::{surrogates::Half, wire};

/// The most calls that one answer may hold: services send a handful, and a hostile number must not
/// become memory.
const MAX_CALLS: usize = 128;

/// The most that one call's arguments may hold: files that a model writes are far smaller.
const MAX_ARGUMENTS: usize = 4 << 20;

/// The tool calls of one choice.
#[derive(Debug, Default)]
pub(crate) struct ToolCalls {
    calls: Vec<Open>,
}

/// A call that may still grow.
#[derive(Debug, Default)]
struct Open {
    /// The service's number for it, if it gives any.
    number: Option<u64>,
    call: ToolCall,
    half: Half,
    started: bool,
}

impl ToolCalls {
    /// Takes a piece of a call.
    pub(crate) fn add(
        &mut self,
        choice: u32,
        piece: &wire::ToolCall<'_>,
        stood_in: bool,
        events: &mut Events,
    ) -> Result<()> {
        let index = self.place(piece)?;
        let open = &mut self.calls[index];
        if let Some(id) = piece.id.some() {
            id.clone_into(&mut open.call.id);
        }
        // Some services repeat the name in each piece, others send it in pieces.
        if let Some(name) = piece.function.name.some() {
            if !open.started && open.call.name != name {
                open.call.name.push_str(name);
            }
        }
        let arguments = arguments(&piece.function);
        let arguments = open.half.mend(&arguments, stood_in);
        if arguments.is_empty() {
            return Ok(());
        }
        if MAX_ARGUMENTS < open.call.arguments.len() + arguments.len() {
            let message = format!("a tool call's arguments are over {MAX_ARGUMENTS} bytes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        open.call.arguments.push_str(&arguments);
        let index = number(index);
        if open.started {
            events.push(ChatEvent::tool_call_delta(choice, index, &*arguments));
        } else if !open.call.name.is_empty() {
            open.started = true;
            let ToolCall {
                id,
                name,
                arguments,
                ..
            } = &open.call;
            events.push(ChatEvent::tool_call_start(choice, index, id, name));
            events.push(ChatEvent::tool_call_delta(
                choice,
                index,
                arguments.as_str(),
            ));
        }
        Ok(())
    }

    /// Finds the call that a piece belongs to: by number, else by id, else the last one, unless the
    /// piece begins another.
    fn place(&mut self, piece: &wire::ToolCall<'_>) -> Result<usize> {
        let id = piece.id.some();
        let number = piece.index.count();
        let last = self.calls.len().checked_sub(1);
        // The same number with another id is another call: some services number all of them 0.
        let may_be = |open: &Open| match id {
            Some(id) => open.call.id.is_empty() || open.call.id == id,
            None => true,
        };
        let goes_on =
            |open: &Open| piece.function.name.some().is_none() || open.call.name.is_empty();
        let found = match (number, id) {
            (Some(_), _) => self
                .calls
                .iter()
                .rposition(|open| open.number == number && may_be(open))
                // The number may come later than the call.
                .or(last.filter(|last| {
                    let open = &self.calls[*last];
                    open.number.is_none() && may_be(open) && goes_on(open)
                })),
            (None, Some(id)) => self
                .calls
                .iter()
                .position(|open| open.call.id == id)
                .or(last.filter(|last| {
                    let open = &self.calls[*last];
                    open.call.id.is_empty() && goes_on(open)
                })),
            (None, None) => last.filter(|last| {
                let open = &self.calls[*last];
                goes_on(open) || open.call.arguments.is_empty()
            }),
        };
        if let Some(index) = found {
            let open = &mut self.calls[index];
            open.number = open.number.or(number);
            return Ok(index);
        }
        if self.calls.len() == MAX_CALLS {
            let message = format!("the answer has more than {MAX_CALLS} tool calls");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        self.calls.push(Open {
            number,
            ..Open::default()
        });
        Ok(self.calls.len() - 1)
    }

    /// Gives the whole calls.
    pub(crate) fn finish(&mut self, choice: u32, events: &mut Events) {
        for (index, open) in mem::take(&mut self.calls).into_iter().enumerate() {
            let mut call = open.call;
            let index = number(index);
            if !open.started {
                events.push(ChatEvent::tool_call_start(
                    choice, index, &call.id, &call.name,
                ));
            }
            if call.arguments.trim().is_empty() {
                call.arguments = String::from("{}");
            }
            call.malformed = serde_json::from_str::<IgnoredAny>(&call.arguments).is_err();
            events.push(ChatEvent::tool_call(choice, index, call));
        }
    }
}

/// Returns a call's place as it stands in events; there are at most [`MAX_CALLS`].
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Returns the arguments' JSON text: they come as a string that holds it, or as the value itself.
fn arguments<'a>(function: &wire::Function<'a>) -> Cow<'a, str> {
    match function.arguments.text() {
        None => Cow::Borrowed(""),
        Some(text) if text.starts_with('"') => match wire::parse::<wire::Lax<'a>>(text) {
            Ok(wire::Lax(Some(text))) => text,
            _ => Cow::Borrowed(""),
        },
        Some(text) => Cow::Borrowed(text),
    }
}
