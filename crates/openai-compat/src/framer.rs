//! The bytes of a reply in, frames out, whether the reply is an event stream or one document.

use bytes::Bytes;
use inferstream_core::{
    Decode, Ending, Events, Result, Text,
    sse::{Decoder, Frame, Framer, Limits, TooLarge},
};

/// The name of the frame that is a whole document; no event of a stream comes with it, since a
/// document is only ever the tail.
pub(crate) const DOCUMENT: &str = "document";

/// The frames of a reply.
///
/// Services answer a request for a stream with one JSON document: some because they do not stream
/// a model, some to report an error, and not all say so in the content type.
/// The first byte that is not white space tells: no line of an event stream begins with `{` or `<`.
#[derive(Debug)]
pub struct Reply {
    decoder: Decoder,
    /// `None` where the reply is an event stream.
    document: Option<Vec<u8>>,
    decided: bool,
    expects_document: bool,
    limit: usize,
    overflow: bool,
    whole: Text,
}

impl Reply {
    /// Creates a framer with the limits; that of a frame holds for a document too.
    pub fn new(limits: Limits) -> Self {
        Self {
            // "data: [DONE]" is the marker; some services forget the field's name.
            decoder: Decoder::new(limits).marker("[DONE]"),
            document: None,
            decided: false,
            expects_document: false,
            limit: limits.frame,
            overflow: false,
            whole: Text::default(),
        }
    }

    /// Sets whether the reply says of itself that it is JSON: then `null` is a document too.
    #[must_use]
    pub fn expect_document(mut self, expects: bool) -> Self {
        self.expects_document = expects;
        self
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Framer for Reply {
    fn push(&mut self, mut bytes: Bytes) {
        if !self.decided {
            // A byte-order mark may be cut like all else.
            let is_blank = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
            if let Some(first) = bytes.iter().position(|byte| !is_blank(byte)) {
                self.decided = true;
                // No field's name begins in another way: `data`, `event`, `id`, `retry`, or a comment.
                let is_field = matches!(bytes[first], b'd' | b'e' | b'i' | b'r' | b':');
                if matches!(bytes[first], b'{' | b'<') || self.expects_document && !is_field {
                    bytes = bytes.slice(first..);
                    self.document = Some(Vec::new());
                }
            }
        }
        match &mut self.document {
            None => self.decoder.push(bytes),
            Some(document) if document.len() + bytes.len() <= self.limit => {
                document.extend_from_slice(&bytes);
            }
            Some(document) => {
                document.clear();
                self.overflow = true;
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TooLarge> {
        match self.document {
            Some(_) if self.overflow => Err(TooLarge::new("document", self.limit)),
            Some(_) => Ok(None),
            None => self.decoder.next_frame(),
        }
    }

    fn tail(&mut self) -> Option<Frame<'_>> {
        let Some(document) = self.document.take() else {
            return self.decoder.tail();
        };
        self.whole = String::from_utf8_lossy(&document)
            .trim_start_matches('\u{feff}')
            .into();
        let mut frame = Frame::new(&self.whole, self.whole.buffer());
        frame.event = DOCUMENT;
        Some(frame)
    }
}

/// Gives a document to a protocol: the counterpart of a stream of frames.
///
/// # Errors
///
/// As [`Decode::finish`].
pub fn decode_document(
    document: &Bytes,
    decode: &mut impl Decode,
    events: &mut Events,
) -> Result<()> {
    let mut reply = Reply {
        document: Some(document.to_vec()),
        ..Reply::default()
    };
    decode.finish(Ending::Input(reply.tail()), events).map(drop)
}
