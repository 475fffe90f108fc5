//! A framer of responses that are an event stream or one document.

use std::mem;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use inferstream_core::{
    Text,
    sse::{Decoder, Frame, Framer, TooLarge, decode_lossy},
};

/// Returns a framer that accepts one document in place of the event stream that a decoder reads.
///
/// Services may respond to a request for a stream with one JSON document or an HTML page: because they
/// do not stream a model, or to report an error. Not all of them declare it in the content type.
/// The first byte that is not white space decides: no line of an event stream begins with `{`,
/// `<` or `[`, except for a bare `[DONE]`.
/// If the content type in `headers` is JSON, anything that does not begin like a field or a
/// comment is a document too, such as `null`.
pub fn stream_or_document(decoder: Decoder, headers: &HeaderMap) -> impl Framer + use<> {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    StreamOrDocument {
        kind: Kind::Unknown,
        decoder,
        expects_document: content_type.starts_with(b"application/json"),
        held: Vec::new(),
        document: Text::default(),
        replaced: 0,
    }
}

#[derive(Debug)]
struct StreamOrDocument {
    kind: Kind,
    decoder: Decoder,
    /// The content type is JSON.
    expects_document: bool,
    /// The first bytes, if they do not decide yet.
    held: Vec<u8>,
    /// The complete document, which is lent.
    document: Text,
    /// In how many places of the document invalid UTF-8 was replaced.
    replaced: usize,
}

#[derive(Debug)]
enum Kind {
    /// Nothing but white space so far.
    Unknown,
    Stream,
    /// A document, as far as it was received.
    Document(Vec<u8>),
    TooLarge,
}

impl StreamOrDocument {
    /// Decides by the first byte that is not white space, and returns its position.
    fn decide(&mut self, bytes: &[u8]) -> Option<usize> {
        // A byte-order mark may be split too.
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

impl Framer for StreamOrDocument {
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
        let limit = self.decoder.limits().document;
        match &mut self.kind {
            Kind::Unknown | Kind::Stream => self.decoder.push(bytes),
            Kind::Document(document) if document.len() + bytes.len() <= limit => {
                document.extend_from_slice(&bytes);
            }
            Kind::Document(_) | Kind::TooLarge => self.kind = Kind::TooLarge,
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TooLarge> {
        match self.kind {
            Kind::Unknown | Kind::Stream => self.decoder.next_frame(),
            Kind::Document(_) => Ok(None),
            Kind::TooLarge => {
                let limit = self.decoder.limits().document;
                Err(TooLarge::new("document", limit))
            }
        }
    }

    fn reset(&mut self) {
        self.kind = Kind::Unknown;
        self.held.clear();
        self.decoder.reset();
        self.replaced = 0;
    }

    fn tail(&mut self) -> Option<Frame<'_>> {
        self.decoder.tail()
    }

    fn document(&mut self) -> Option<&Text> {
        let Kind::Document(document) = &self.kind else {
            return None;
        };
        self.replaced = 0;
        self.document = decode_lossy(document, &mut self.replaced).as_ref().into();
        Some(&self.document)
    }

    fn is_cut(&self) -> bool {
        matches!(self.kind, Kind::Unknown | Kind::Stream) && self.decoder.is_cut()
    }

    fn replaced(&self) -> usize {
        self.decoder.replaced() + self.replaced
    }
}
