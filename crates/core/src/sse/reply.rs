//! The bytes of a reply in, frames out, whether the reply is an event stream or one document.

use std::mem;

use bytes::Bytes;

use super::{Decoder, Frame, Framer, TooLarge, decode_lossy};
use crate::text::Text;

/// The name of the frame that is a whole document. No event of a stream can have it, since it holds
/// a line's end.
pub const DOCUMENT: &str = "\ndocument";

/// The frames of a reply.
///
/// Services answer a request for a stream with one JSON document: some because they do not stream
/// a model, some to report an error, and not all say so in the content type.
/// The first byte that is not white space tells: no line of an event stream begins with `{`, `<` or
/// `[`, but for a bare `[DONE]`.
#[derive(Debug)]
pub struct Reply {
    kind: Kind,
    decoder: Decoder,
    expects_document: bool,
    limit: usize,
    /// The first bytes, if they do not tell yet.
    held: Vec<u8>,
    /// What the tail lends.
    whole: Text,
    /// In how many places of the document invalid UTF-8 was replaced.
    replaced: usize,
}

#[derive(Debug)]
enum Kind {
    /// Nothing came but white space.
    Unknown,
    Stream,
    /// A document, as far as it came; it is the tail.
    Document(Vec<u8>),
    TooLarge,
}

impl Reply {
    /// Creates a framer.
    pub fn new(decoder: Decoder) -> Self {
        Self {
            kind: Kind::Unknown,
            limit: decoder.limits().frame,
            decoder,
            expects_document: false,
            held: Vec::new(),
            whole: Text::default(),
            replaced: 0,
        }
    }

    /// Sets how many bytes a document may hold: as many as a frame.
    #[must_use]
    pub fn document_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Sets whether the reply says of itself that it is JSON: then `null` is a document too.
    #[must_use]
    pub fn expect_document(mut self, expects: bool) -> Self {
        self.expects_document = expects;
        self
    }

    /// Decides by the first byte that is not white space; returns where that is.
    fn decide(&mut self, bytes: &[u8]) -> Option<usize> {
        // A byte-order mark may be cut like all else.
        let is_blank = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
        let first = bytes.iter().position(|byte| !is_blank(byte))?;
        self.kind = match bytes[first] {
            b'{' | b'<' => Kind::Document(Vec::new()),
            b'[' if !self.expects_document => match bytes.get(first + 1) {
                None => Kind::Unknown,
                Some(b'D') => Kind::Stream,
                Some(_) => Kind::Document(Vec::new()),
            },
            // The fields are `data`, `event`, `id` and `retry`, and a comment begins with a colon.
            b'd' | b'e' | b'i' | b'r' | b':' => Kind::Stream,
            _ if self.expects_document => Kind::Document(Vec::new()),
            _ => Kind::Stream,
        };
        Some(first)
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self::new(Decoder::default())
    }
}

impl Framer for Reply {
    fn push(&mut self, mut bytes: Bytes) {
        if matches!(self.kind, Kind::Unknown) {
            if !self.held.is_empty() {
                self.held.extend_from_slice(&bytes);
                bytes = mem::take(&mut self.held).into();
            }
            let first = self.decide(&bytes);
            if first.is_some() && matches!(self.kind, Kind::Unknown) {
                self.held = bytes.to_vec();
                return;
            }
            if matches!(self.kind, Kind::Document(_)) {
                bytes = bytes.slice(first.unwrap_or_default()..);
            }
        }
        match &mut self.kind {
            Kind::Unknown | Kind::Stream => self.decoder.push(bytes),
            Kind::Document(document) if document.len() + bytes.len() <= self.limit => {
                document.extend_from_slice(&bytes);
            }
            Kind::Document(_) | Kind::TooLarge => self.kind = Kind::TooLarge,
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TooLarge> {
        match self.kind {
            Kind::Unknown | Kind::Stream => self.decoder.next_frame(),
            Kind::Document(_) => Ok(None),
            Kind::TooLarge => Err(TooLarge::new("document", self.limit)),
        }
    }

    fn reset(&mut self) {
        self.kind = Kind::Unknown;
        self.held.clear();
        self.decoder.reset();
        self.replaced = 0;
    }

    fn tail(&mut self) -> Option<Frame<'_>> {
        let Kind::Document(document) = &self.kind else {
            return self.decoder.tail();
        };
        self.replaced = 0;
        self.whole = decode_lossy(document, &mut self.replaced).as_ref().into();
        let mut frame = Frame::new(&self.whole, self.whole.buffer());
        frame.event = DOCUMENT;
        Some(frame)
    }

    fn is_cut(&self) -> bool {
        matches!(self.kind, Kind::Unknown | Kind::Stream) && self.decoder.is_cut()
    }

    fn replaced(&self) -> usize {
        self.decoder.replaced() + self.replaced
    }
}
