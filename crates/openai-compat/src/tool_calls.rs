//! The assembly of tool calls from fragments, whatever ids and numbers a service gives them.

use std::{borrow::Cow, cell::OnceCell, mem};

use inferstream_core::{ChatEvent, Error, ErrorKind, Result, ToolCall, protocol::Events};
use serde::de::IgnoredAny;

use crate::{
    json_text::{self, Nesting},
    lenient::{self, Lax},
    surrogates::Half,
    wire,
};

/// The most calls of one choice. Services send a handful; the limit bounds the memory.
const MAX_CALLS: usize = 128;

/// The most bytes of arguments in one call. Files that models write are far smaller.
const MAX_ARGUMENTS: usize = 4 << 20;

/// The most bytes of ids, names and arguments in the calls of one choice, including calls that no
/// event has reported yet. It is the limit for all events of a response.
const MAX_HELD: usize = 16 << 20;

/// The tool calls of one choice.
///
/// A chunk has a list of fragments. By the protocol, `index` says which call a fragment belongs to,
/// and the first fragment of a call has its id and name. Services differ: they number all calls 0,
/// send no numbers or no ids, make a new id for each fragment, repeat the name in each fragment, or
/// send a complete call again at the end. So for each fragment, in this order:
///
/// 1. If it repeats a complete call of an earlier list, it is dropped ([`Piece::repeats`]).
/// 2. If it belongs to a known call, it is added to that ([`ToolCalls::find`], then
///    [`ToolCalls::find_in_spite`]).
/// 3. Otherwise it begins a new call.
#[derive(Debug, Default)]
pub(crate) struct ToolCalls {
    calls: Vec<Open>,
    /// The number of lists so far.
    lists: u64,
    /// The bytes of ids, names and arguments in all calls.
    held: usize,
    /// The number of complete messages that repeated calls so far.
    copies: u64,
}

/// A call that may still grow.
#[derive(Debug, Default)]
struct Open {
    /// The number that the service gave it (`index`), if any.
    number: Option<u64>,
    call: ToolCall,
    half: Half,
    started: bool,
    /// The number of the list with its last fragment.
    list: u64,
    /// The number of the last complete message that repeated it.
    copy: u64,
    nesting: Nesting,
    /// A hash of the value of its arguments, `None` if they are not JSON. Computed when needed.
    json: OnceCell<Option<u64>>,
}

/// A fragment of a call, as one chunk has it.
struct Piece<'a> {
    number: Option<u64>,
    id: Option<&'a str>,
    name: Option<&'a str>,
    arguments: Cow<'a, str>,
    /// The number of its list.
    list: u64,
    /// Its arguments are complete, because it is from a complete message.
    is_whole: bool,
    /// A hash of the value of its arguments, `None` if they are not JSON. Computed when needed.
    json: OnceCell<Option<u64>>,
}

impl<'a> Piece<'a> {
    fn new(piece: &'a wire::ToolCall<'_>, list: u64) -> Self {
        Self {
            number: piece.index.count(),
            id: piece.id.some(),
            name: piece.function.name.some(),
            arguments: arguments(&piece.function),
            list,
            is_whole: false,
            json: OnceCell::new(),
        }
    }

    fn json(&self) -> Option<u64> {
        *self
            .json
            .get_or_init(|| json_text::identify(&self.arguments))
    }

    fn says_nothing(&self) -> bool {
        self.id.is_none() && self.name.is_none() && self.arguments.is_empty()
    }

    /// Returns true if the ids allow the fragment to belong to a call: one of the two has no id, or
    /// they are equal.
    ///
    /// The same number with a different id is a different call, because some services number all of
    /// them 0.
    fn may_be(&self, open: &Open) -> bool {
        let own = &open.call.id;
        self.id.is_none_or(|id| own.is_empty() || own == id)
    }

    /// Returns true if the fragment begins a new call, although it has the number of this call or
    /// follows it.
    ///
    /// Only a fragment with a name can begin a call. But a name alone proves nothing: services also
    /// repeat the name with each fragment, or send it in parts before the arguments. No service
    /// names the same call twice in one list.
    fn begins_another(&self, open: &Open) -> bool {
        let Some(name) = self.name else { return false };
        let same_id = self.id.is_some_and(|id| open.call.id == id);
        let is_named_here = open.list == self.list && !open.call.name.is_empty();
        // Gemini numbers parallel calls of the same tool 0 and gives them no ids. Arguments that
        // follow a complete object cannot belong to it, so they are those of the next call.
        let is_over = open.nesting.is_complete() && !self.arguments.is_empty();
        // Once the name was reported in an event, a different name cannot be a part of it.
        !same_id && (is_named_here || is_over || (open.started && open.call.name != name))
    }

    /// Returns true if the fragment repeats a complete call of an earlier list: some services send
    /// each call again at the end.
    ///
    /// Two equal calls in one list are two calls. That is why the lists must differ.
    fn repeats(&self, open: &Open) -> bool {
        open.nesting.is_complete()
            && open.list != self.list
            && self.may_be(open)
            && self
                .number
                .is_none_or(|number| open.number.is_none_or(|own| own == number))
            && self.name.is_none_or(|name| open.call.name == name)
            && self.has_arguments_of(open)
    }

    /// Returns true if the arguments are the same JSON value, regardless of white space and the
    /// order of members: services format the copy differently.
    fn has_arguments_of(&self, open: &Open) -> bool {
        open.call.arguments == self.arguments || self.json().is_some() && self.json() == open.json()
    }

    /// Returns the new part of the arguments, if they are the arguments so far and more: vLLM's
    /// parsers send a brace and then the complete object (vllm-project/vllm#51697).
    ///
    /// A fragment that continues the arguments may begin with the same text by chance. So the
    /// fragment counts as a copy only if appending it would not give the beginning of JSON.
    fn new_of(&self, open: &Open) -> Option<&str> {
        let before = &*open.call.arguments;
        let new = self.arguments.strip_prefix(before)?;
        let is_copy = !before.is_empty()
            && (self.is_whole || !json_text::may_be_json(&format!("{before}{}", self.arguments)));
        is_copy.then_some(new)
    }

    /// Returns true if the name allows the fragment to continue a call: it has no name, the call
    /// has none yet, or it repeats the name of a call whose arguments are incomplete.
    fn goes_on(&self, open: &Open) -> bool {
        let is_unfinished = open.list != self.list
            && !open.call.arguments.is_empty()
            && !open.nesting.is_complete();
        self.name
            .is_none_or(|name| open.call.name.is_empty() || is_unfinished && open.call.name == name)
    }
}

impl ToolCalls {
    /// Adds a call from a complete message that follows deltas: only what the deltas did not bring
    /// is new.
    pub(crate) fn add_whole(
        &mut self,
        choice: u32,
        (place, piece): (usize, &wire::ToolCall<'_>),
        stood_in: bool,
        events: &mut Events,
    ) -> Result<()> {
        if place == 0 {
            self.copies += 1;
        }
        let whole = Piece {
            is_whole: true,
            ..Piece::new(piece, self.lists)
        };
        let copies = self.copies;
        let find = |is_it: &dyn Fn(&Open) -> bool| {
            let mut calls = self.calls.iter();
            calls.position(|open| open.copy != copies && is_it(open))
        };
        // Each call is in the message once. A call that was already matched in this message is
        // skipped, so two equal calls in it match two known calls.
        let same_id = |open: &Open| whole.id.is_some_and(|id| open.call.id == id);
        let same_call = |open: &Open| {
            whole.name.is_none_or(|name| open.call.name == name)
                && (whole.arguments.is_empty() || whole.has_arguments_of(open))
        };
        let Some(index) = find(&same_id).or_else(|| find(&same_call)) else {
            return self.add(choice, (place, piece), stood_in, events);
        };
        self.calls[index].copy = copies;
        if self.calls[index].nesting.is_complete() || whole.arguments.is_empty() {
            return Ok(());
        }
        // The deltas did not bring all of its arguments.
        self.add_to(choice, index, &whole, stood_in, events)
    }

    /// Adds a fragment, which is at position `place` of its list.
    pub(crate) fn add(
        &mut self,
        choice: u32,
        (place, piece): (usize, &wire::ToolCall<'_>),
        stood_in: bool,
        events: &mut Events,
    ) -> Result<()> {
        if place == 0 {
            self.lists += 1;
        }
        let piece = Piece::new(piece, self.lists);
        if piece.says_nothing() {
            return Ok(());
        }
        let repeated = match (piece.name, self.find_any(&piece)) {
            // Arguments without a name can only repeat the call that they would be added to.
            (None, found) => found.filter(|index| piece.repeats(&self.calls[*index])),
            (Some(_), _) => self.calls.iter().position(|open| piece.repeats(open)),
        };
        if let Some(index) = repeated {
            self.note_repeated(index, &piece, events);
            return Ok(());
        }
        let index = self.place(&piece)?;
        self.add_to(choice, index, &piece, stood_in, events)
    }

    /// Drops a call that repeats a known one.
    ///
    /// Without an id it may also be a second, intended call with the same arguments, so a warning
    /// reports it.
    fn note_repeated(&mut self, index: usize, piece: &Piece<'_>, events: &mut Events) {
        let open = &mut self.calls[index];
        open.list = piece.list;
        if piece.name.is_some() && piece.id.is_none() {
            events.warnings.push(format!(
                "a tool call came twice without an id: the second call of `{}` was dropped",
                open.call.name
            ));
        }
    }

    /// Adds a fragment to the call at a position.
    fn add_to(
        &mut self,
        choice: u32,
        index: usize,
        piece: &Piece<'_>,
        stood_in: bool,
        events: &mut Events,
    ) -> Result<()> {
        let open = &mut self.calls[index];
        open.list = piece.list;
        let before = open.size();
        // The first id stays: the event that starts the call has reported it.
        if let (Some(id), true) = (piece.id, open.call.id.is_empty()) {
            id.clone_into(&mut open.call.id);
        }
        // Some services repeat the name in each fragment, others split it. Two equal parts of a
        // name count as a repetition. After the start was reported, the name is final.
        if let Some(name) = piece.name {
            if !open.started && open.call.name != name {
                open.call.name.push_str(name);
            }
        }
        let new = piece.new_of(open).unwrap_or(&piece.arguments);
        let arguments = open.half.mend(new, stood_in);
        if MAX_ARGUMENTS < open.call.arguments.len() + arguments.len() {
            let message =
                format!("tool call too large: expected at most {MAX_ARGUMENTS} bytes of arguments");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        open.call.arguments.push_str(&arguments);
        open.add_nesting(&arguments);
        self.held += open.size() - before;
        if MAX_HELD < self.held {
            let message =
                format!("tool calls too large: expected at most {MAX_HELD} bytes in a choice");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        // The start waits for the first arguments, because until then the name may be incomplete.
        if arguments.is_empty() {
            return Ok(());
        }
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

    /// Returns the position of the call that a fragment belongs to, which may be a new one.
    fn place(&mut self, piece: &Piece<'_>) -> Result<usize> {
        if let Some(index) = self.find_any(piece) {
            let open = &mut self.calls[index];
            open.number = open.number.or(piece.number);
            return Ok(index);
        }
        if self.calls.len() == MAX_CALLS {
            let message = format!("too many tool calls: expected at most {MAX_CALLS} in a choice");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        self.calls.push(Open {
            number: piece.number,
            ..Open::default()
        });
        Ok(self.calls.len() - 1)
    }

    fn find_any(&self, piece: &Piece<'_>) -> Option<usize> {
        self.find(piece).or_else(|| self.find_in_spite(piece))
    }

    /// Finds the call that a fragment belongs to: by its number, or else by its id, or else the
    /// last call. Returns `None` if the fragment begins a new call.
    fn find(&self, piece: &Piece<'_>) -> Option<usize> {
        let calls = &self.calls;
        let last = |is_it: &dyn Fn(&Open) -> bool| {
            let open = calls.last()?;
            (is_it(open) && !piece.begins_another(open)).then(|| calls.len() - 1)
        };
        match (piece.number, piece.id) {
            // The last call with this number, because services that number all calls 0 continue the
            // last.
            (Some(_), _) => calls
                .iter()
                .rposition(|open| open.number == piece.number && piece.may_be(open))
                .filter(|index| !piece.begins_another(&calls[*index]))
                // Some services send the number only after the first fragment.
                .or_else(|| {
                    last(&|open| open.number.is_none() && piece.may_be(open) && piece.goes_on(open))
                }),
            // An id that arrives after the first fragment belongs to the last call, if that has
            // none.
            (None, Some(id)) => calls
                .iter()
                .position(|open| open.call.id == id)
                .or_else(|| last(&|open| open.call.id.is_empty() && piece.goes_on(open))),
            // Without number and id, fragments arrive in order.
            (None, None) => last(&|open| piece.goes_on(open) || open.call.arguments.is_empty()),
        }
    }

    /// Finds the call for arguments without a name whose id or number matches no call: some
    /// services make a new id for each fragment. Arguments without a name cannot begin a call, so
    /// they belong to the call with their id, or else to the last call with their number.
    fn find_in_spite(&self, piece: &Piece<'_>) -> Option<usize> {
        let id = piece.id?;
        if piece.name.is_some() || piece.arguments.is_empty() {
            return None;
        }
        let find = |is_it: &dyn Fn(&Open) -> bool| {
            let mut calls = self.calls.iter();
            calls.rposition(|open| is_it(open) && !open.call.name.is_empty())
        };
        let may_be_its = |open: &Open| piece.number.is_none() || open.number == piece.number;
        find(&|open| open.call.id == id).or_else(|| find(&may_be_its))
    }

    /// Emits the complete calls.
    pub(crate) fn finish(&mut self, choice: u32, events: &mut Events) {
        for (index, open) in mem::take(&mut self.calls).into_iter().enumerate() {
            let mut call = open.call;
            // An id alone is not a call. Services that make a new id for each fragment end with a
            // fragment that has nothing else (BerriAI/litellm#40040).
            if call.name.is_empty() && call.arguments.is_empty() {
                continue;
            }
            let index = number(index);
            if !open.started {
                events.push(ChatEvent::tool_call_start(
                    choice, index, &call.id, &call.name,
                ));
            }
            // A tool without parameters is called with empty arguments by some services.
            if call.arguments.trim().is_empty() {
                call.arguments = String::from("{}");
            }
            call.malformed = serde_json::from_str::<IgnoredAny>(&call.arguments).is_err();
            events.push(ChatEvent::tool_call(choice, index, call));
        }
    }
}

impl Open {
    fn size(&self) -> usize {
        self.call.id.len() + self.call.name.len() + self.call.arguments.len()
    }

    fn add_nesting(&mut self, arguments: &str) {
        // Text after a complete object makes the arguments invalid for good, so the hash is `None`
        // from then on. Before that, each fragment makes the cached hash out of date.
        match self.nesting.is_complete() && !arguments.trim().is_empty() {
            true => self.json = OnceCell::from(None),
            false if !self.nesting.is_complete() => self.json = OnceCell::new(),
            false => {}
        }
        self.nesting.add(arguments);
    }

    fn json(&self) -> Option<u64> {
        *self
            .json
            .get_or_init(|| json_text::identify(&self.call.arguments))
    }
}

/// Returns the number of a call in events. The conversion cannot fail below [`MAX_CALLS`].
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Returns the JSON text of the arguments, which services send as a string, as by the protocol, or
/// as a JSON value.
fn arguments<'a>(function: &wire::Function<'a>) -> Cow<'a, str> {
    match function.arguments.text() {
        None => Cow::Borrowed(""),
        Some(text) if text.starts_with('"') => match lenient::parse::<Lax<'a>>(text) {
            Ok(Lax(Some(text))) => text,
            _ => Cow::Borrowed(""),
        },
        Some(text) => Cow::Borrowed(text),
    }
}
