//! Pieces of tool calls in, events of whole calls out, however a service numbers them.

use std::{borrow::Cow, mem};

use inferstream_core::{ChatEvent, Error, ErrorKind, Events, Result, ToolCall};
use serde::de::IgnoredAny;

use crate::{
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
    nesting: Nesting,
}

/// What a piece says of the call that it belongs to.
struct Piece<'a> {
    number: Option<u64>,
    id: Option<&'a str>,
    name: Option<&'a str>,
    arguments: Cow<'a, str>,
    /// In which list it stands.
    list: u64,
}

impl<'a> Piece<'a> {
    fn new(piece: &'a wire::ToolCall<'_>, list: u64) -> Self {
        Self {
            number: piece.index.count(),
            id: piece.id.some(),
            name: piece.function.name.some(),
            arguments: arguments(&piece.function),
            list,
        }
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
            && is_same_json(&open.call.arguments, &self.arguments)
    }

    /// Returns true if the piece does not name what has a name already.
    fn goes_on(&self, open: &Open) -> bool {
        self.name.is_none() || open.call.name.is_empty()
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
        let whole = Piece::new(piece, self.lists);
        let is_known = self.calls.iter().any(|open| {
            let same_id = whole.id.is_some_and(|id| open.call.id == id);
            let same_name = whole.name.is_none_or(|name| open.call.name == name);
            let same_call = is_same_json(&open.call.arguments, &whole.arguments);
            let has_more = open.call.arguments.is_empty() && !whole.arguments.is_empty();
            !has_more && (same_id || same_name && (same_call || whole.arguments.is_empty()))
        });
        if is_known {
            return Ok(());
        }
        self.add(choice, (place, piece), stood_in, events)
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
        if piece.says_nothing() || self.calls.iter().any(|open| piece.repeats(open)) {
            return Ok(());
        }
        let index = self.place(&piece)?;
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
        let arguments = open.half.mend(&piece.arguments, stood_in);
        if MAX_ARGUMENTS < open.call.arguments.len() + arguments.len() {
            let message = format!("a tool call's arguments are over {MAX_ARGUMENTS} bytes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        open.call.arguments.push_str(&arguments);
        open.nesting.add(&arguments);
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
        if let Some(index) = self.find(piece).or_else(|| self.find_in_spite(piece)) {
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
}

/// How deep a JSON text is nested where it ends so far, read as it grows.
#[derive(Debug, Default)]
struct Nesting {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
    /// An object or a list has ended, and with it the text.
    has_closed: bool,
}

impl Nesting {
    fn add(&mut self, part: &str) {
        for byte in part.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.has_closed = self.depth == 0;
                }
                _ => {}
            }
        }
    }

    /// Returns true if the text is a whole object or list.
    fn is_complete(&self) -> bool {
        self.has_closed && self.depth == 0 && !self.in_string
    }
}

/// Returns true if two texts are the same JSON, white space and the order of members aside.
fn is_same_json(first: &str, second: &str) -> bool {
    if first == second {
        return true;
    }
    // Texts of very different length are not compared, so that many short ones do not make a long one
    // be read again and again.
    let (least, most) = (first.len().min(second.len()), first.len().max(second.len()));
    if least < most / 4 {
        return false;
    }
    let read = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    read(first).is_some_and(|first| read(second) == Some(first))
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
