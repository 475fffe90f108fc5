//! The bytes of a stream in each protocol, with the position of each event.

use fastrand::Rng;

use crate::{
    escape,
    plan::{Piece, Plan, Protocol},
    text::choice,
};

/// A body and its events.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) bytes: Vec<u8>,
    pub(crate) marks: Vec<Mark>,
}

/// The position of one event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    /// Where the content of a piece starts, or where the content of another event ends.
    pub(crate) content: usize,
    pub(crate) end: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// The finish reason, after which a clean end is an end.
    Finish,
    Other,
    Piece,
    /// The end of the response.
    Terminal,
}

/// Writes the events of one stream.
pub(crate) struct Writer<'a> {
    plan: &'a Plan,
    rng: Rng,
    wire: Wire,
}

/// The member before and after the text of a chunk.
type Around = (&'static str, &'static str);

impl<'a> Writer<'a> {
    /// Creates a writer. `salt` makes the style of another connection to the same stream differ.
    pub(crate) fn new(plan: &'a Plan, salt: u64) -> Self {
        let mut rng = plan.rng.clone();
        for _ in 0..salt {
            rng = rng.fork();
        }
        let mut wire = Wire::default();
        if plan.style.bom {
            wire.bytes.extend("\u{feff}".as_bytes());
        }
        Self { plan, rng, wire }
    }

    /// Writes the complete response of a protocol that is one stream.
    pub(crate) fn write(mut self) -> Wire {
        match self.plan.protocol {
            Protocol::Cerebras => self.chat("reasoning"),
            Protocol::Compatible => self.chat("reasoning_content"),
            Protocol::Lines => self.lines(),
            Protocol::Messages => self.messages(),
            Protocol::Oldest => self.oldest(),
            Protocol::Replicate => {
                let pieces = &self.plan.pieces;
                return self.replicate(pieces, 0, "1690212292");
            }
            Protocol::WorkersAi => self.workers_ai(),
        }
        self.wire
    }

    fn split(&self) -> (&'a [Piece], &'a [Piece]) {
        let plan = self.plan;
        plan.pieces.split_at(plan.pieces.len() - plan.late)
    }

    fn chat(&mut self, reasoning: &'static str) {
        let head = "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\
                    \"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{";
        let tail = "\"},\"finish_reason\":null}]}";
        let text = (format!("{head}\"content\":\""), tail.to_owned());
        let thought = (format!("{head}\"{reasoning}\":\""), tail.to_owned());
        let (before, after) = self.split();
        let pieces = |writer: &mut Self, pieces: &[Piece]| {
            for piece in pieces {
                let around = if piece.is_reasoning { &thought } else { &text };
                writer.piece(&around.0, &piece.text, &around.1);
            }
        };
        self.json(Kind::Other, &format!("{head}\"role\":\"assistant\"}}}}]}}"));
        pieces(self, before);
        let finish = format!("{head}}},\"finish_reason\":\"stop\"}}]}}");
        self.json(Kind::Finish, &finish);
        pieces(self, after);
        if self.plan.style.usage {
            let usage = "{\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\
                         \"completion_tokens\":7,\"total_tokens\":12}}";
            // After this, Cerebras sends nothing but the end marker, for which the client does not wait.
            let kind = match self.plan.protocol {
                Protocol::Cerebras => Kind::Terminal,
                _ => Kind::Other,
            };
            self.json(kind, usage);
        }
        self.json(Kind::Terminal, "[DONE]");
    }

    fn workers_ai(&mut self) {
        const TEXT: Around = ("{\"response\":\"", "\",\"p\":\"abcdef\"}");
        const ALONE: Around = ("{\"reasoning\":\"", "\"}");
        const REASONING: Around = ("{\"response\":\"\",\"reasoning_content\":\"", "\"}");
        // The text may be missing beside the reasoning.
        let alone = self.plan.style.usage;
        for piece in &self.plan.pieces {
            let is_number = piece
                .text
                .parse::<u32>()
                .is_ok_and(|number| number.to_string() == piece.text);
            if is_number && !piece.is_reasoning && self.rng.bool() {
                // The service sends such tokens as numbers.
                self.number(&piece.text);
                continue;
            }
            let around = match (piece.is_reasoning, alone) {
                (true, true) => ALONE,
                (true, false) => REASONING,
                (false, _) => TEXT,
            };
            self.piece(around.0, &piece.text, around.1);
        }
        if self.plan.style.finish {
            self.json(Kind::Finish, "{\"finish_reason\":\"stop\"}");
        }
        let usage = "{\"response\":\"\",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7,\
                     \"total_tokens\":12}}";
        self.json(Kind::Other, usage);
        self.json(Kind::Terminal, "[DONE]");
    }

    fn messages(&mut self) {
        let (before, after) = self.split();
        self.json(Kind::Other, "{\"type\":\"start\",\"messageId\":\"m1\"}");
        self.message_step(before);
        self.json(
            Kind::Finish,
            "{\"type\":\"finish\",\"finishReason\":\"stop\"}",
        );
        if !after.is_empty() {
            self.message_step(after);
            self.json(Kind::Finish, "{\"type\":\"finish\"}");
        }
        self.json(Kind::Terminal, "[DONE]");
    }

    fn message_step(&mut self, pieces: &[Piece]) {
        const TEXT: Around = ("{\"type\":\"text-delta\",\"id\":\"1\",\"delta\":\"", "\"}");
        const REASONING: Around = (
            "{\"type\":\"reasoning-delta\",\"id\":\"0\",\"delta\":\"",
            "\"}",
        );
        self.json(Kind::Other, "{\"type\":\"start-step\"}");
        for piece in pieces {
            let around = if piece.is_reasoning { REASONING } else { TEXT };
            self.piece(around.0, &piece.text, around.1);
        }
        self.json(Kind::Other, "{\"type\":\"text-end\",\"id\":\"1\"}");
        self.json(Kind::Other, "{\"type\":\"finish-step\"}");
    }

    fn oldest(&mut self) {
        for piece in &self.plan.pieces {
            self.piece("{\"response\":\"", &piece.text, "\",\"p\":\"abcdef\"}");
        }
        if self.plan.style.finish {
            self.json(Kind::Other, "{\"response\":\"\"}");
        }
        self.json(Kind::Terminal, "[DONE]");
    }

    fn lines(&mut self) {
        let (before, after) = self.split();
        self.line_step(before);
        if !after.is_empty() {
            self.line_step(after);
        }
        let usage = "\"usage\":{\"promptTokens\":5,\"completionTokens\":7}";
        self.line(
            Kind::Terminal,
            &format!("d:{{\"finishReason\":\"stop\",{usage}}}"),
        );
    }

    fn line_step(&mut self, pieces: &[Piece]) {
        self.line(Kind::Other, "f:{\"messageId\":\"m1\"}");
        for piece in pieces {
            let start = self.wire.bytes.len();
            let code = if piece.is_reasoning { "g:\"" } else { "0:\"" };
            self.push(code);
            let content = self.wire.bytes.len();
            escape::json(
                &mut self.wire.bytes,
                &piece.text,
                self.plan.style.escape,
                &mut self.rng,
            );
            self.push("\"");
            self.end_line();
            self.mark(Kind::Piece, start, content);
            self.blank_line();
        }
        let usage = "\"usage\":{\"promptTokens\":5,\"completionTokens\":7}";
        let end = format!("e:{{\"finishReason\":\"stop\",{usage},\"isContinued\":false}}");
        self.line(Kind::Finish, &end);
    }

    /// Writes a line of the data stream.
    fn line(&mut self, kind: Kind, line: &str) {
        let start = self.wire.bytes.len();
        self.push(line);
        let content = self.wire.bytes.len();
        self.end_line();
        self.mark(kind, start, content);
        if kind != Kind::Terminal {
            self.blank_line();
        }
    }

    fn end_line(&mut self) {
        let end = self.line_end();
        self.push(end);
    }

    /// Writes a blank line, which is not a part of an event, now and then.
    fn blank_line(&mut self) {
        if self.plan.style.comments && self.rng.u8(..10) == 0 {
            self.end_line();
        }
    }

    /// Writes the events of a prediction from one of its pieces on.
    pub(crate) fn replicate(mut self, pieces: &[Piece], from: usize, prefix: &str) -> Wire {
        for (at, piece) in pieces.iter().enumerate().skip(from) {
            let id = self.plan.style.ids.then(|| format!("{prefix}:{at}"));
            let start = self.wire.bytes.len();
            let end = self.open(Some("output"), id.as_deref());
            let mut content = None;
            for line in piece.text.split('\n') {
                self.push("data: ");
                content.get_or_insert(self.wire.bytes.len());
                escape::text(&mut self.wire.bytes, line, &mut self.rng);
                self.push(end);
            }
            self.push(end);
            self.mark(Kind::Piece, start, content.unwrap_or(start));
        }
        let start = self.wire.bytes.len();
        let end = self.open(Some("done"), None);
        self.push("data: {}");
        let content = self.wire.bytes.len();
        self.push(end);
        self.push(end);
        self.mark(Kind::Terminal, start, content);
        self.wire
    }

    /// Writes a chunk with a piece of text.
    fn piece(&mut self, before: &str, text: &str, after: &str) {
        let start = self.wire.bytes.len();
        let end = self.open(None, None);
        self.data();
        self.push(before);
        let content = self.wire.bytes.len();
        escape::json(
            &mut self.wire.bytes,
            text,
            self.plan.style.escape,
            &mut self.rng,
        );
        self.push(after);
        self.push(end);
        self.push(end);
        self.mark(Kind::Piece, start, content);
    }

    /// Writes a piece that is a number.
    fn number(&mut self, number: &str) {
        self.json(
            Kind::Piece,
            &format!("{{\"response\":{number},\"p\":\"abcdef\"}}"),
        );
    }

    /// Writes an event with this data.
    fn json(&mut self, kind: Kind, data: &str) {
        let start = self.wire.bytes.len();
        let end = self.open(None, None);
        self.data();
        self.push(data);
        let content = self.wire.bytes.len();
        self.push(end);
        self.push(end);
        self.mark(kind, start, content);
    }

    /// Writes what precedes the data of an event, and returns its line ending.
    fn open(&mut self, event: Option<&str>, id: Option<&str>) -> &'static str {
        let end = self.line_end();
        if self.plan.style.comments {
            match self.rng.u8(..12) {
                0 => self.push_all(&[": keep-alive", end, end]),
                1 => self.push_all(&[":", end]),
                // At the start, the playground's client could not tell the protocol by it.
                2 if !self.wire.marks.is_empty() => self.push_all(&["unknown: field", end]),
                _ => {}
            }
        }
        if let Some(event) = event {
            self.push_all(&["event: ", event, end]);
        }
        if let Some(id) = id {
            self.push_all(&["id: ", id, end]);
        }
        end
    }

    fn data(&mut self) {
        self.push(if self.plan.style.space {
            "data: "
        } else {
            "data:"
        });
    }

    fn line_end(&mut self) -> &'static str {
        let random = || *choice(&mut self.rng, &["\n", "\r\n", "\r"]);
        self.plan.style.line_end.unwrap_or_else(random)
    }

    fn push(&mut self, text: &str) {
        self.wire.bytes.extend(text.as_bytes());
    }

    fn push_all(&mut self, texts: &[&str]) {
        for text in texts {
            self.push(text);
        }
    }

    fn mark(&mut self, kind: Kind, start: usize, content: usize) {
        let end = self.wire.bytes.len();
        self.wire.marks.push(Mark {
            kind,
            start,
            content,
            end,
        });
    }
}
