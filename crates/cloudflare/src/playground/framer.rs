//! A sans-I/O framer that detects which of the playground's protocols a body uses.

use std::{collections::VecDeque, fmt, mem};

use bytes::Bytes;
use inferstream_core::{
    Text,
    sse::{Decoder, Frame, Framer, Limits, TooLarge},
};

/// Splits the body of a playground response into frames.
///
/// The playground has used three protocols at the same address, all with the content type
/// `text/x-unknown`. The first bytes after white space identify the protocol:
///
/// - A code, a colon and the start of a JSON value, such as `0:"`: a data stream. Each line is a
///   frame, with the code as its event and the JSON as its data. A line without a code has an empty
///   event.
/// - `data:`, another field name or a comment: server-sent events, as [`Decoder`] parses them.
/// - Anything else, such as `{` or `<`: a single document.
pub struct PlaygroundFrames {
    limits: Limits,
    kind: Kind,
    /// How many invalid UTF-8 sequences were replaced in lines or a document.
    replaced: usize,
}

enum Kind {
    /// Only white space has arrived, and these first bytes, which fit several protocols. Six bytes
    /// are always enough.
    Unknown(Vec<u8>),
    Lines(Lines),
    Events(Box<Decoder>),
    /// The document so far, and the complete one, which is lent.
    Document(Vec<u8>, Text),
    TooLarge(TooLarge),
}

impl PlaygroundFrames {
    /// Creates a framer with custom limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            kind: Kind::Unknown(Vec::new()),
            replaced: 0,
        }
    }

    /// Buffers bytes until they identify the protocol, and then returns them.
    fn begin(&mut self, bytes: Bytes) -> Option<Bytes> {
        let Kind::Unknown(before) = &mut self.kind else {
            return Some(bytes);
        };
        let bytes = if before.is_empty() {
            // A byte-order mark may be split between reads, so each of its bytes is skipped alone.
            let is_blank = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
            bytes.slice(bytes.iter().position(|byte| !is_blank(byte))?..)
        } else {
            before.extend_from_slice(&bytes);
            Bytes::from(mem::take(before))
        };
        self.kind = match sniff(&bytes) {
            Sniffed::Lines => Kind::Lines(Lines::default()),
            Sniffed::Events => Kind::Events(Box::new(
                Decoder::new(self.limits).marker(super::words::MARKER),
            )),
            Sniffed::Document => Kind::Document(Vec::new(), Text::default()),
            Sniffed::Nothing => {
                self.kind = Kind::Unknown(bytes.to_vec());
                return None;
            }
        };
        Some(bytes)
    }
}

impl Default for PlaygroundFrames {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Framer for PlaygroundFrames {
    fn push(&mut self, bytes: Bytes) {
        let Some(bytes) = self.begin(bytes) else {
            return;
        };
        match &mut self.kind {
            Kind::Lines(lines) => lines.reads.push_back(bytes),
            Kind::Events(decoder) => decoder.push(bytes),
            Kind::Document(document, _) if document.len() + bytes.len() <= self.limits.document => {
                document.extend_from_slice(&bytes);
            }
            Kind::Document(..) => {
                self.kind = Kind::TooLarge(TooLarge::new("document", self.limits.document));
            }
            Kind::Unknown(_) | Kind::TooLarge(_) => {}
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TooLarge> {
        if let Kind::Lines(lines) = &mut self.kind {
            if let Err(error) = lines.advance(self.limits.line, &mut self.replaced) {
                self.kind = Kind::TooLarge(error);
            }
        }
        match &mut self.kind {
            Kind::Lines(lines) => Ok(lines.is_whole.then(|| frame(&lines.line))),
            Kind::Events(decoder) => decoder.next_frame(),
            Kind::Unknown(_) | Kind::Document(..) => Ok(None),
            Kind::TooLarge(error) => Err(*error),
        }
    }

    fn tail(&mut self) -> Option<Frame<'_>> {
        match &mut self.kind {
            Kind::Lines(lines) => {
                // A character that is incomplete at the end of the input is not counted as invalid.
                lines.take_held(&mut 0);
                lines.is_whole.then(|| frame(&lines.line))
            }
            Kind::Events(decoder) => decoder.tail(),
            Kind::Unknown(_) | Kind::Document(..) | Kind::TooLarge(_) => None,
        }
    }

    fn document(&mut self) -> Option<&Text> {
        let Kind::Document(document, complete) = &mut self.kind else {
            return None;
        };
        *complete = text(&Bytes::from(mem::take(document)), &mut self.replaced);
        Some(complete)
    }

    fn is_cut(&self) -> bool {
        match &self.kind {
            Kind::Lines(lines) => !lines.held.trim_ascii().is_empty(),
            Kind::Events(decoder) => decoder.is_cut(),
            Kind::Unknown(bytes) => !bytes.is_empty(),
            Kind::Document(..) | Kind::TooLarge(_) => false,
        }
    }

    fn replaced(&self) -> usize {
        match &self.kind {
            Kind::Events(decoder) => decoder.replaced(),
            _ => self.replaced,
        }
    }

    fn reset(&mut self) {
        self.kind = Kind::Unknown(Vec::new());
        self.replaced = 0;
    }
}

impl fmt::Debug for PlaygroundFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Unknown(_) => "unknown",
            Kind::Lines(_) => "lines",
            Kind::Events(_) => "events",
            Kind::Document(..) => "document",
            Kind::TooLarge(_) => "too large",
        };
        f.debug_struct("PlaygroundFrames")
            .field("limits", &self.limits)
            .field("kind", &kind)
            .finish_non_exhaustive()
    }
}

enum Sniffed {
    /// There are too few bytes to decide.
    Nothing,
    Lines,
    Events,
    Document,
}

/// Detects the protocol by the first bytes. A code may be the first letter of a field name: `d:"`
/// starts a data stream, `data:` does not.
fn sniff(bytes: &[u8]) -> Sniffed {
    const FIELDS: [&[u8]; 5] = [b":", b"data:", b"event:", b"id:", b"retry:"];
    let is_code = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'k');
    let is_json = |byte: &u8| b"\"{[-tfn \t".contains(byte) || byte.is_ascii_digit();
    match bytes {
        [code, b':', json, ..] if is_code(code) && is_json(json) => Sniffed::Lines,
        [code] | [code, b':'] if is_code(code) => Sniffed::Nothing,
        _ if FIELDS.iter().any(|field| bytes.starts_with(field)) => Sniffed::Events,
        _ if FIELDS.iter().any(|field| field.starts_with(bytes)) => Sniffed::Nothing,
        _ => Sniffed::Document,
    }
}

/// The line splitter for a data stream.
#[derive(Default)]
struct Lines {
    reads: VecDeque<Bytes>,
    /// The bytes of the current line from earlier reads.
    held: Vec<u8>,
    /// The last complete line, from which frames are borrowed.
    line: Text,
    is_whole: bool,
}

impl Lines {
    /// Advances to the next line that is not blank, if it has arrived completely.
    fn advance(&mut self, limit: usize, replaced: &mut usize) -> Result<(), TooLarge> {
        self.is_whole = false;
        while let Some(read) = self.reads.front_mut() {
            let Some(end) = read.iter().position(|byte| *byte == b'\n') else {
                self.held.extend_from_slice(read);
                self.reads.pop_front();
                check(&self.held, limit)?;
                continue;
            };
            let mut line = read.split_to(end + 1);
            line.truncate(end);
            if read.is_empty() {
                self.reads.pop_front();
            }
            if !self.held.is_empty() {
                self.held.extend_from_slice(&line);
                line = Bytes::from(mem::take(&mut self.held));
            }
            check(&line, limit)?;
            self.take(&line, replaced);
            if self.is_whole {
                break;
            }
        }
        Ok(())
    }

    /// Takes the unterminated line at the end of the input.
    fn take_held(&mut self, replaced: &mut usize) {
        let held = Bytes::from(mem::take(&mut self.held));
        self.take(&held, replaced);
    }

    fn take(&mut self, line: &Bytes, replaced: &mut usize) {
        self.is_whole = !line.trim_ascii().is_empty();
        if self.is_whole {
            self.line = text(&line.slice(..without_cr(line).len()), replaced);
        }
    }
}

/// Checks the length of a line or of its start; a trailing CR may belong to the line ending.
fn check(line: &[u8], limit: usize) -> Result<(), TooLarge> {
    match without_cr(line).len() {
        length if length <= limit => Ok(()),
        _ => Err(TooLarge::new("line", limit)),
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Converts bytes to text, without a copy if they are valid UTF-8, and counts replaced sequences.
fn text(bytes: &Bytes, replaced: &mut usize) -> Text {
    if let Ok(part) = std::str::from_utf8(bytes) {
        return Text::slice_of(bytes, part);
    }
    let invalid = bytes
        .utf8_chunks()
        .filter(|chunk| !chunk.invalid().is_empty());
    *replaced += invalid.count();
    Text::from(String::from_utf8_lossy(bytes).into_owned())
}

/// Splits a line into its code and its JSON.
fn frame(line: &Text) -> Frame<'_> {
    let code = line.split_once(':');
    let code = code.filter(|(code, _)| matches!(code.as_bytes(), [b'0'..=b'9' | b'a'..=b'z']));
    let (event, data) = code.unwrap_or(("", line));
    let mut frame = Frame::new(data, line.buffer());
    frame.event = event;
    frame
}
