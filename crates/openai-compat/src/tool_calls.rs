//! Pieces of tool calls in, events of whole calls out, however a service numbers them.

use std::{borrow::Cow, cell::OnceCell, mem};

use inferstream_core::{ChatEvent, Error, ErrorKind, Result, ToolCall, protocol::Events};
use serde::de::IgnoredAny;

use crate::{
    json_text::{self, Nesting},
    lenient::{self, Lax},
    surrogates::Half,
    wire,
};

/// The most calls that one answer may hold: services send a handful, and a hostile number must not
/// become memory.
const MAX_CALLS: usize = 128;

/// The most that one call's arguments may hold: files that a model writes are far smaller.
const MAX_ARGUMENTS: usize = 4 << 20;

/// The most that the ids, names and arguments of one choice's calls may hold, those included of which
/// no event can tell yet: as much as all events of an answer may.
const MAX_HELD: usize = 16 << 20;

/// The tool calls of one choice.
#[derive(Debug, Default)]
pub(crate) struct ToolCalls {
    calls: Vec<Open>,
    /// How many lists of pieces came.
    lists: u64,
    /// How much their texts hold.
    held: usize,
    /// How many messages came that repeat calls.
    copies: u64,
}

/// A call that may still grow.
#[derive(Debug, Default)]
struct Open {
    /// The service's number for it, if it gives any.
    number: Option<u64>,
    call: ToolCall,
    half: Half,
    started: bool,
    /// In which list its last piece stood.
    list: u64,
    /// In which message that repeats calls it was found.
    copy: u64,
    nesting: Nesting,
    /// What identifies its arguments once they are complete.
    json: OnceCell<Option<u64>>,
}

/// What a piece says of the call that it belongs to.
struct Piece<'a> {
    number: Option<u64>,
    id: Option<&'a str>,
    name: Option<&'a str>,
    arguments: Cow<'a, str>,
    /// In which list it stands.
    list: u64,
    /// Its arguments are complete.
    is_whole: bool,
    /// What identifies its arguments, if they are JSON.
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

    /// Returns true if the piece may be of a call by its id.
    ///
    /// The same number with another id is another call: some services number all of them 0.
    fn may_be(&self, open: &Open) -> bool {
        let own = &open.call.id;
        self.id.is_none_or(|id| own.is_empty() || own == id)
    }

    /// Returns true if the piece is the beginning of another call than one that has its number or
    /// comes before it.
    ///
    /// A name comes whole, again with each piece, or in pieces before the arguments; but one list does
    /// not name a call twice.
    fn begins_another(&self, open: &Open) -> bool {
        let Some(name) = self.name else { return false };
        let same_id = self.id.is_some_and(|id| open.call.id == id);
        let is_named_here = open.list == self.list && !open.call.name.is_empty();
        // Gemini numbers parallel calls of one tool 0 and gives them no ids.
        let is_over = open.nesting.is_complete() && !self.arguments.is_empty();
        !same_id && (is_named_here || is_over || (open.started && open.call.name != name))
    }

    /// Returns true if the piece is one of an earlier list over again: some services send a call whole
    /// once more at the end.
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

    /// Returns true if the piece's arguments are the same JSON, white space and the order of members
    /// aside.
    fn has_arguments_of(&self, open: &Open) -> bool {
        open.call.arguments == self.arguments || self.json().is_some() && self.json() == open.json()
    }

    /// Returns the part of the piece's arguments that is new, if they begin with all arguments so far:
    /// vLLM's parsers send a brace and then the whole object (vllm-project/vllm#51697).
    ///
    /// Fragments may begin alike, too: they are fragments if they make JSON together.
    fn new_of(&self, open: &Open) -> Option<&str> {
        let before = &*open.call.arguments;
        let new = self.arguments.strip_prefix(before)?;
        let is_copy = !before.is_empty()
            && (self.is_whole || !json_text::may_be_json(&format!("{before}{}", self.arguments)));
        is_copy.then_some(new)
    }

    /// Returns true if the piece does not name what has a name already, or names a call again of which
    /// the arguments are not complete.
    fn goes_on(&self, open: &Open) -> bool {
        let is_unfinished = open.list != self.list
            && !open.call.arguments.is_empty()
            && !open.nesting.is_complete();
        self.name
            .is_none_or(|name| open.call.name.is_empty() || is_unfinished && open.call.name == name)
    }
}

impl ToolCalls {
    /// Takes a call of a message that repeats what deltas brought before: one that did not come is new.
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
        // Each call is in the message once, so that of two that are alike each finds its own.
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

    /// Takes the piece of a call that stands at a place of its list.
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
            // Arguments alone are those of the call that they would go on with, or of none.
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

    /// Takes note of a call that came again.
    ///
    /// Without an id it may as well be a second call of the same, so that the user is told.
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

    /// Adds a piece to the call that it belongs to.
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
        // One that changes later is that of the same call, and its start has told the first.
        if let (Some(id), true) = (piece.id, open.call.id.is_empty()) {
            id.clone_into(&mut open.call.id);
        }
        // Some services repeat the name in each piece, others send it in pieces.
        if let Some(name) = piece.name {
            if !open.started && open.call.name != name {
                open.call.name.push_str(name);
            }
        }
        let new = piece.new_of(open).unwrap_or(&piece.arguments);
        let arguments = open.half.mend(new, stood_in);
        if MAX_ARGUMENTS < open.call.arguments.len() + arguments.len() {
            let message = format!("a tool call's arguments are over {MAX_ARGUMENTS} bytes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        open.call.arguments.push_str(&arguments);
        open.add_nesting(&arguments);
        self.held += open.size() - before;
        if MAX_HELD < self.held {
            let message = format!("the answer's tool calls are over {MAX_HELD} bytes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
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

    /// Finds the call that a piece belongs to, or begins one.
    fn place(&mut self, piece: &Piece<'_>) -> Result<usize> {
        if let Some(index) = self.find_any(piece) {
            let open = &mut self.calls[index];
            open.number = open.number.or(piece.number);
            return Ok(index);
        }
        if self.calls.len() == MAX_CALLS {
            let message = format!("the answer has more than {MAX_CALLS} tool calls");
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

    /// Finds the call that a piece belongs to: by number, else by id, else the last one, unless the
    /// piece begins another.
    fn find(&self, piece: &Piece<'_>) -> Option<usize> {
        let calls = &self.calls;
        let last = |is_it: &dyn Fn(&Open) -> bool| {
            let open = calls.last()?;
            (is_it(open) && !piece.begins_another(open)).then(|| calls.len() - 1)
        };
        match (piece.number, piece.id) {
            (Some(_), _) => calls
                .iter()
                .rposition(|open| open.number == piece.number && piece.may_be(open))
                .filter(|index| !piece.begins_another(&calls[*index]))
                // The number may come later than the call.
                .or_else(|| {
                    last(&|open| open.number.is_none() && piece.may_be(open) && piece.goes_on(open))
                }),
            (None, Some(id)) => calls
                .iter()
                .position(|open| open.call.id == id)
                .or_else(|| last(&|open| open.call.id.is_empty() && piece.goes_on(open))),
            (None, None) => last(&|open| piece.goes_on(open) || open.call.arguments.is_empty()),
        }
    }

    /// Finds the call that arguments without a name belong to, though their number or their id is
    /// another than the call's: some services make a new one for each piece.
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

    /// Gives the whole calls.
    pub(crate) fn finish(&mut self, choice: u32, events: &mut Events) {
        for (index, open) in mem::take(&mut self.calls).into_iter().enumerate() {
            let mut call = open.call;
            // An id alone calls nothing: services that make one for each piece end with such a piece
            // (BerriAI/litellm#40040).
            if call.name.is_empty() && call.arguments.is_empty() {
                continue;
            }
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

impl Open {
    fn size(&self) -> usize {
        self.call.id.len() + self.call.name.len() + self.call.arguments.len()
    }

    fn add_nesting(&mut self, arguments: &str) {
        // What follows a complete object makes it JSON no more, and is never read again.
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

/// Returns a call's place as it stands in events; there are at most [`MAX_CALLS`].
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Returns the arguments' JSON text: they come as a string that holds it, or as the value itself.
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
