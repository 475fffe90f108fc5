//! Assembly of tool calls from their fragments.

use std::borrow::Cow;

use inferstream_core::{ChatEvent, Error, ErrorKind, Result, ToolCall, protocol::Events};

use super::wire::{self, Half, Object, Value};

/// The maximum number of calls per response. Models make few calls, and a hostile response must not
/// exhaust memory.
const MAX_CALLS: usize = 128;

/// The maximum size of all calls of a response, in bytes. Even files that models write are far
/// smaller.
const MAX_SIZE: usize = 4 << 20;

/// The tool calls of a response, found by their ids.
#[derive(Debug, Default)]
pub(crate) struct ToolCalls {
    calls: Vec<Open>,
    size: usize,
}

/// A call that may still grow.
#[derive(Debug, Default)]
struct Open {
    call: ToolCall,
    half: Half,
    is_started: bool,
    is_whole: bool,
}

impl ToolCalls {
    /// Handles the start of a call, or a fragment of its arguments.
    pub(crate) fn add(
        &mut self,
        member: &Object<'_>,
        piece: Option<Value<'_>>,
        events: &mut Events,
    ) -> Result<()> {
        let Some(index) = self.place(member)? else {
            return Ok(());
        };
        let open = &mut self.calls[index];
        let piece = piece.and_then(|piece| piece.piece(&mut open.half));
        let piece = piece.as_deref().unwrap_or_default();
        open.call.arguments.push_str(piece);
        if open.is_started && !piece.is_empty() {
            events.push(ChatEvent::tool_call_delta(0, number(index), piece));
        } else if !open.call.name.is_empty() {
            open.start(index, events);
        }
        self.grow(piece.len())
    }

    /// Handles a complete call. Its arguments take precedence over the fragments.
    pub(crate) fn whole(
        &mut self,
        member: &Object<'_>,
        arguments: Option<Value<'_>>,
        events: &mut Events,
    ) -> Result<()> {
        let Some(index) = self.place(member)? else {
            return Ok(());
        };
        let arguments = arguments.map(Value::arguments);
        self.grow(arguments.as_ref().map_or(0, String::len))?;
        self.calls[index].end(index, arguments, events);
        Ok(())
    }

    /// Completes the calls whose end the service did not report.
    pub(crate) fn finish(&mut self, events: &mut Events) {
        for (index, open) in self.calls.iter_mut().enumerate() {
            if !open.is_whole {
                open.end(index, None, events);
            }
        }
    }

    /// Returns the index of the call that a fragment belongs to: by its id, or the last open one
    /// without an id. Returns `None` if that call is already complete.
    fn place(&mut self, member: &Object<'_>) -> Result<Option<usize>> {
        let id = member.text("toolCallId").map(Cow::into_owned);
        let name = member.text("toolName").map(Cow::into_owned);
        let found = match &id {
            Some(id) => self.calls.iter().position(|open| open.call.id == *id),
            None => self.calls.iter().rposition(|open| !open.is_whole),
        };
        let index = match found {
            Some(index) if self.calls[index].is_whole => return Ok(None),
            Some(index) => index,
            None if self.calls.len() == MAX_CALLS => {
                let message =
                    format!("too many tool calls: expected at most {MAX_CALLS} in a response");
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            None => {
                self.calls.push(Open::default());
                self.calls.len() - 1
            }
        };
        self.grow(id.as_ref().map_or(0, String::len) + name.as_ref().map_or(0, String::len))?;
        let call = &mut self.calls[index].call;
        if call.id.is_empty() {
            call.id = id.unwrap_or_default();
        }
        if call.name.is_empty() {
            call.name = name.unwrap_or_default();
        }
        Ok(Some(index))
    }

    fn grow(&mut self, more: usize) -> Result<()> {
        self.size += more;
        if self.size <= MAX_SIZE {
            return Ok(());
        }
        let message =
            format!("tool calls too large: expected at most {MAX_SIZE} bytes in a response");
        Err(Error::new(ErrorKind::TooLarge, message))
    }
}

impl Open {
    fn start(&mut self, index: usize, events: &mut Events) {
        if self.is_started {
            return;
        }
        self.is_started = true;
        let (index, call) = (number(index), &self.call);
        events.push(ChatEvent::tool_call_start(0, index, &call.id, &call.name));
        if !call.arguments.is_empty() {
            let arguments = call.arguments.as_str();
            events.push(ChatEvent::tool_call_delta(0, index, arguments));
        }
    }

    fn end(&mut self, index: usize, arguments: Option<String>, events: &mut Events) {
        if let Some(rest) = self.half.finish() {
            self.call.arguments.push_str(rest);
        }
        let arguments = arguments.filter(|arguments| !arguments.trim().is_empty());
        let came_in_pieces = !self.call.arguments.is_empty();
        if let Some(arguments) = arguments {
            if came_in_pieces {
                self.start(index, events);
            }
            self.call.arguments = arguments;
        }
        self.start(index, events);
        if self.call.arguments.trim().is_empty() {
            self.call.arguments = String::from("{}");
        }
        self.call.malformed = !wire::is_json(&self.call.arguments);
        self.is_whole = true;
        events.push(ChatEvent::tool_call(0, number(index), self.call.clone()));
    }
}

/// Returns the index of a call as events report it; there are at most [`MAX_CALLS`].
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
