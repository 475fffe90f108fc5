//! The bytes that the server sends for a plan, and where its fault stops them.

use crate::{
    plan::{Fault, Framing, Plan, Protocol},
    text::choice,
    wire::{Kind, Mark, Wire, Writer},
};

/// The body of a stream with its fault.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) wire: Wire,
    /// How many bytes of the body are sent.
    pub(crate) sent: usize,
    pub(crate) ending: Ending,
    /// The event before which an error was inserted.
    pub(crate) error: Option<usize>,
    /// The number of pieces after which the client drops the stream.
    pub(crate) drop_after: usize,
}

/// How the response ends after the bytes of the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    BadChunk,
    /// The HTTP body ends as its framing says. Bytes after it may follow.
    Clean {
        extra: bool,
    },
    Fin,
    /// Comments, until the client closes the connection.
    HeartBeat,
    Reset,
    /// Nothing, until the client closes the connection.
    Wait,
}

impl Script {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut wire = Writer::new(plan, 0).write();
        let mut rng = plan.rng.clone();
        let mut error = None;
        match plan.fault {
            Some(Fault::BadJson) => error = Some(bad_json(plan)),
            Some(Fault::ErrorObject) => error = Some(error_object(plan.protocol).to_owned()),
            _ => {}
        }
        let error = error.map(|bytes| {
            // Before the first end: nothing is read after it.
            let is_end = |mark: &Mark| mark.kind == Kind::Terminal;
            let end = wire.marks.iter().position(is_end).unwrap_or_default();
            let at = rng.usize(..=end);
            insert(&mut wire, at, bytes.as_bytes());
            at
        });
        let length = wire.bytes.len();
        let mut script = Self {
            sent: length,
            ending: Ending::Clean { extra: false },
            error,
            drop_after: 0,
            wire,
        };
        let at = rng.usize(..=length);
        let cut = |script: &mut Self, ending| {
            script.sent = at;
            script.ending = ending;
        };
        match plan.fault {
            Some(Fault::BadChunk) => cut(&mut script, Ending::BadChunk),
            Some(Fault::Fin) => cut(&mut script, Ending::Fin),
            Some(Fault::HeartBeat) => {
                // A comment inside an event would become a part of it.
                cut(&mut script, Ending::HeartBeat);
                script.sent = script.boundary(at);
            }
            Some(Fault::Reset) => cut(&mut script, Ending::Reset),
            Some(Fault::Stall) => cut(&mut script, Ending::Wait),
            Some(Fault::CutInside) => script.sent = at,
            Some(Fault::CleanEnd) => script.sent = script.boundary(at),
            Some(Fault::CommentBurst) => {
                let burst = burst(plan, rng.usize(1..5_000));
                let at = rng.usize(..=script.wire.marks.len());
                insert(&mut script.wire, at, burst.as_bytes());
                script.sent = script.wire.bytes.len();
            }
            Some(Fault::Dropped) => {
                script.drop_after = rng.usize(1..=plan.pieces.len());
                let more = rng.usize(..3);
                let pieces = script
                    .wire
                    .marks
                    .iter()
                    .filter(|mark| mark.kind == Kind::Piece);
                let first = plan.pieces.len().min(script.drop_after + more);
                let end = pieces.take(first).last().map_or(0, |mark| mark.end);
                cut(&mut script, Ending::Wait);
                script.sent = end;
            }
            Some(Fault::ExtraBytes) => {
                if rng.bool() {
                    script.ending = Ending::Clean { extra: true };
                } else {
                    let more = *choice(
                        &mut rng,
                        &["data: {\"a\":1}\n\n", "0:\"x\"\n", "\0\u{fffd}", "x"],
                    );
                    script.wire.bytes.extend(more.as_bytes());
                    script.sent = script.wire.bytes.len();
                }
            }
            Some(Fault::BadJson | Fault::BadUtf8 | Fault::ErrorObject) | None => {}
        }
        // A body without a length whose connection closes is complete for HTTP.
        let is_open_ended = plan.framing == Framing::Close && !plan.tls;
        if is_open_ended && script.ending == Ending::Fin {
            script.ending = Ending::Clean { extra: false };
        }
        script
    }

    /// Returns the end of the last event before a position.
    fn boundary(&self, at: usize) -> usize {
        let ends = self.wire.marks.iter().map(|mark| mark.end);
        ends.take_while(|end| *end <= at).last().unwrap_or(0)
    }
}

/// Inserts bytes before an event.
fn insert(wire: &mut Wire, event: usize, bytes: &[u8]) {
    let length = wire.bytes.len();
    let at = wire.marks.get(event).map_or(length, |mark| mark.start);
    wire.bytes.splice(at..at, bytes.iter().copied());
    for mark in &mut wire.marks[event..] {
        mark.start += bytes.len();
        mark.content += bytes.len();
        mark.end += bytes.len();
    }
}

fn bad_json(plan: &Plan) -> String {
    let mut rng = plan.rng.clone();
    if plan.protocol == Protocol::Lines {
        let lines = ["0:\"x\n", "0:x\"\n", "e:{\n", "no code\n"];
        return (*choice(&mut rng, &lines)).to_owned();
    }
    let json = [
        "{\"choices\":[{\"delta\":{\"content\":\"x\"}}]",
        "{\"response\":\"x",
        "{\"type\":\"text-delta\",\"delta\":}",
        "{]}",
    ];
    format!("data: {}\n\n", choice(&mut rng, &json))
}

fn error_object(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Cerebras | Protocol::Compatible => {
            "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\",\"code\":500}}\n\n"
        }
        Protocol::Lines => "3:\"An error occurred.\"\n",
        Protocol::Messages => "data: {\"type\":\"error\",\"errorText\":\"An error occurred.\"}\n\n",
        Protocol::Oldest => "data: {\"error\":\"An error occurred.\"}\n\n",
        Protocol::Replicate => {
            "event: error\ndata: {\"detail\":\"CUDA out of memory\"}\n\n\
             event: done\ndata: {\"reason\":\"error\"}\n\n"
        }
        Protocol::WorkersAi => {
            "data: {\"errors\":[{\"message\":\"AiError: Capacity temporarily exceeded\",\
             \"code\":3040}],\"success\":false,\"result\":{},\"messages\":[]}\n\n"
        }
    }
}

fn burst(plan: &Plan, count: usize) -> String {
    match plan.protocol {
        Protocol::Lines => "\n".repeat(count),
        _ => ": keep-alive\n\n".repeat(count),
    }
}
