//! An answer's bytes and a fault in, the pieces that go over the wire out.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::{
    answer::Piece,
    chat::encode::{Event, Part},
    fault::Fault,
    reply::{self, Reply},
};

/// How many tokens of the text come before a fault.
const TOKENS: usize = 8;

/// The service's last words in a stream that it gives up.
const ERROR: &[u8] = b"data: {\"error\":{\"message\":\"Encountered a server error, please try again.\",\"type\":\"server_error\",\"param\":\"\",\"code\":\"server_error\",\"id\":\"\"},\"status_code\":500}\n\n";

/// Sends the events, each token in its time, and does the fault to them.
pub(crate) fn stream(
    mut events: Vec<Event>,
    fault: Option<&Fault>,
    pace: Option<Duration>,
) -> Vec<Piece> {
    let Some(fault) = fault.filter(|fault| fault.breaks_answer()) else {
        return paced(events, pace);
    };
    let rest = events.split_off(broken(&events));
    let next = rest.first().map(|event| event.bytes.clone());
    let next = next.unwrap_or_default();
    let mut pieces = paced(events, pace);
    match fault {
        Fault::BadJson => {
            pieces.push(Piece::Bytes(without_brace(&next)));
            pieces.extend(paced(rest.into_iter().skip(1).collect(), pace));
        }
        Fault::Cut => pieces.extend([Piece::Bytes(half(&next)), Piece::Abort]),
        Fault::Error => pieces.push(Piece::Bytes(Bytes::from_static(ERROR))),
        Fault::Stall => pieces.push(Piece::Hang),
        // The others do not break answers.
        _ => {}
    }
    pieces
}

/// Sends a body that is not a stream, and does the fault to it.
pub(crate) fn whole(body: Bytes, fault: Option<&Fault>) -> Reply {
    let promised = body.len();
    let incomplete = |last| {
        let pieces = vec![Piece::Bytes(half(&body)), last];
        Reply::new(StatusCode::OK, "application/json", pieces).content_length(promised)
    };
    match fault {
        Some(Fault::BadJson) => Reply::json(StatusCode::OK, body.slice(..promised - 1)),
        Some(Fault::Cut) => incomplete(Piece::Abort),
        Some(Fault::Error) => reply::fault(500, None),
        Some(Fault::Stall) => incomplete(Piece::Hang),
        Some(Fault::Truncate) => Reply::json(StatusCode::OK, half(&body)),
        _ => Reply::json(StatusCode::OK, body),
    }
}

/// Returns the number of events before the fault.
fn broken(events: &[Event]) -> usize {
    let mut tokens = 0;
    for (index, event) in events.iter().enumerate() {
        match event.part {
            Part::Opening | Part::Reasoning => {}
            Part::Text if tokens < TOKENS => tokens += 1,
            Part::Text | Part::Rest => return index,
        }
    }
    events.len()
}

fn paced(events: Vec<Event>, pace: Option<Duration>) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(events.len() * 2);
    for event in events {
        let is_token = matches!(event.part, Part::Reasoning | Part::Text);
        pieces.extend(pace.filter(|_| is_token).map(Piece::Wait));
        pieces.push(Piece::Bytes(event.bytes));
    }
    pieces
}

/// Returns an event whose JSON has lost its last brace.
fn without_brace(event: &Bytes) -> Bytes {
    let json = event.strip_suffix(b"}\n\n").unwrap_or(event);
    [json, b"\n\n"].concat().into()
}

fn half(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}
