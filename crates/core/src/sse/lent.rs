//! The parts of a lent frame, in whatever buffers they are.

use std::mem;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::{
    block, decode_lossy,
    lines::{Lines, as_text},
};

/// The data buffer.
#[derive(Clone, Copy, Default)]
pub(super) enum Data {
    /// No `data` field yet.
    #[default]
    None,
    /// One, which is the part of the current read between these positions.
    InRead(usize, usize),
    /// One that spans several reads, or several, joined by line feeds.
    Joined,
}

/// The name of a frame's event. Most streams repeat it, so it is kept from frame to frame.
#[derive(Default)]
pub(super) struct Name {
    pub(super) text: String,
    /// It is the name of the frame that is being read.
    pub(super) is_set: bool,
    /// It is the name of the frame that is lent.
    pub(super) is_lent: bool,
}

/// The data that the last frame lends.
#[derive(Default)]
pub(super) struct Lent {
    pub(super) data: Data,
    /// The bytes of [`Data::Joined`].
    pub(super) joined: Bytes,
    /// The data with invalid UTF-8 replaced.
    lossy: ByteString,
}

impl Name {
    /// Returns the name of the frame that is lent, or "message" if it has none.
    #[inline]
    pub(super) fn lent(&self) -> &str {
        match &*self.text {
            name if self.is_lent && !name.is_empty() => name,
            _ => "message",
        }
    }
}

impl Lent {
    /// Takes back what was lent. Returns a buffer that can be used again, if there is one.
    #[inline]
    pub(super) fn take_back(&mut self) -> Option<BytesMut> {
        self.data = Data::None;
        if !self.lossy.is_empty() {
            self.lossy = ByteString::new();
        }
        (!self.joined.is_empty()).then(|| block::reuse(mem::take(&mut self.joined)))
    }

    /// Lends the data and the buffer that it is a part of.
    #[inline]
    pub(super) fn lend<'a>(
        &'a mut self,
        lines: &'a mut Lines,
        replaced: &mut usize,
    ) -> (&'a str, &'a Bytes) {
        static NOTHING: Bytes = Bytes::new();
        let (data, buffer) = match self.data {
            Data::None => return ("", &NOTHING),
            Data::InRead(start, end) => {
                lines.check_read(end - start);
                (lines.text(start, end), lines.read())
            }
            Data::Joined => (as_text(&self.joined), &self.joined),
        };
        match data {
            Ok(text) => (text, buffer),
            Err(bytes) => {
                self.lossy = decode_lossy(bytes, replaced).into_owned().into();
                (&self.lossy, self.lossy.as_bytes())
            }
        }
    }
}
