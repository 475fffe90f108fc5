//! The application of faults to the events of a response.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::{answer::Piece, fault::Fault, reply::Reply};

/// The number of text tokens, or tool call fragments, before a fault.
const TOKENS: usize = 8;

/// One event of a stream.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) part: Part,
    pub(crate) bytes: Bytes,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// The start of the response.
    Opening,
    /// One reasoning token.
    Reasoning,
    /// One text token.
    Text,
    /// One fragment of a tool call that is sent in fragments.
    Call,
    /// Complete tool calls, the end, the usage.
    Rest,
}

/// Returns the pieces of a stream at the given pace, with the fault applied.
///
/// `last_words` is the error event of a failed stream.
pub(crate) fn stream(
    mut events: Vec<Event>,
    fault: Option<&Fault>,
    pace: Option<Duration>,
    last_words: impl Into<Bytes>,
) -> Vec<Piece> {
    let Some(fault) = fault.filter(|fault| fault.breaks_answer()) else {
        return paced(events, pace);
    };
    let rest = events.split_off(place(&events));
    let next = rest.first().map(|event| event.bytes.clone());
    let next = next.unwrap_or_default();
    let mut pieces = paced(events, pace);
    match fault {
        Fault::BadJson => {
            pieces.push(Piece::Bytes(without_end(&next)));
            pieces.extend(paced(rest.into_iter().skip(1).collect(), pace));
        }
        Fault::Cut => pieces.extend([Piece::Bytes(half(&next)), Piece::Abort]),
        Fault::Error => pieces.push(Piece::Bytes(last_words.into())),
        Fault::Stall => pieces.push(Piece::Hang),
        // Other faults do not break a response.
        _ => {}
    }
    pieces
}

/// Returns a response that is not streamed, with the fault applied.
pub(crate) fn whole(body: Bytes, fault: Option<&Fault>, refusal: impl FnOnce() -> Reply) -> Reply {
    let promised = body.len();
    let incomplete = |last| {
        let pieces = vec![Piece::Bytes(half(&body)), last];
        Reply::new(StatusCode::OK, "application/json", pieces).content_length(promised)
    };
    match fault {
        Some(Fault::BadJson) => Reply::json(StatusCode::OK, body.slice(..promised - 1)),
        Some(Fault::Cut) => incomplete(Piece::Abort),
        Some(Fault::Error) => refusal(),
        Some(Fault::Stall) => incomplete(Piece::Hang),
        Some(Fault::Truncate) => Reply::json(StatusCode::OK, half(&body)),
        _ => Reply::json(StatusCode::OK, body),
    }
}

/// Returns the number of events before the fault.
pub(crate) fn place(events: &[Event]) -> usize {
    let mut tokens = 0;
    for (index, event) in events.iter().enumerate() {
        match event.part {
            Part::Opening | Part::Reasoning => {}
            Part::Text | Part::Call if tokens < TOKENS => tokens += 1,
            Part::Text | Part::Call | Part::Rest => return index,
        }
    }
    events.len()
}

fn paced(events: Vec<Event>, pace: Option<Duration>) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(events.len() * 2);
    for event in events {
        let is_token = matches!(event.part, Part::Reasoning | Part::Text | Part::Call);
        pieces.extend(pace.filter(|_| is_token).map(Piece::Wait));
        pieces.push(Piece::Bytes(event.bytes));
    }
    pieces
}

/// Returns an event whose JSON has lost its last character, a brace or a quotation mark.
fn without_end(event: &Bytes) -> Bytes {
    let json = event.trim_ascii_end();
    let end = &event[json.len()..];
    [json.split_last().map_or(json, |(_, json)| json), end]
        .concat()
        .into()
}

fn half(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}
