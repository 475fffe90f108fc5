//! An iterator of frames over a blocking reader.

use std::{
    fmt,
    io::{self, ErrorKind, Read},
};

use bytes::Bytes;

use super::{Decoder, OwnedFrame};

/// The size of the buffer for reads: that of `std::io::BufReader`.
const BUFFER: usize = 8 << 10;

/// The frames of a blocking reader: [`read`].
///
/// It ends where the reader ends, and after the first error. A frame that the input leaves incomplete is
/// not returned: [`Decoder::is_cut`] of [`decoder`](Self::decoder) reports it.
#[must_use = "iterators do nothing unless advanced"]
pub struct Reader<R> {
    /// `None` once the input has ended.
    source: Option<R>,
    buffer: Box<[u8]>,
    decoder: Decoder,
}

/// Returns the frames of a reader, such as a file, with the default [`Limits`](super::Limits).
///
/// The reader needs no buffer of its own: it is read 8 KiB at a time. A frame is returned as soon as it
/// is complete, so a socket or a pipe works too.
///
/// ```
/// use inferstream_core::sse;
///
/// let input = &b"event: greeting\ndata: Hello\n\ndata: incompl"[..];
/// let mut frames = sse::read(input);
/// for frame in &mut frames {
///     let frame = frame?;
///     println!("{}: {}", frame.event, frame.data); // greeting: Hello
/// }
/// assert!(frames.decoder().is_cut());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read<R: Read>(reader: R) -> Reader<R> {
    Reader::new(reader, Decoder::default())
}

impl<R: Read> Reader<R> {
    /// Creates an iterator with a custom decoder, whose limits apply.
    pub fn new(reader: R, decoder: Decoder) -> Self {
        Self {
            source: Some(reader),
            buffer: vec![0; BUFFER].into(),
            decoder,
        }
    }

    fn next_frame(&mut self) -> io::Result<Option<OwnedFrame>> {
        loop {
            let Some(reader) = &mut self.source else {
                return Ok(None);
            };
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return Ok(Some(frame.into())),
                Ok(None) => {}
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
            }
            match reader.read(&mut self.buffer) {
                Ok(0) => self.source = None,
                Ok(length) => {
                    let read = self.buffer.get(..length).unwrap_or(&self.buffer);
                    self.decoder.push(Bytes::copy_from_slice(read));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<R> Reader<R> {
    /// Returns the decoder, for the last event id, the reconnection time, and whether the input ended
    /// inside a frame.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

/// The items are frames. A size limit is an error of the kind `InvalidData`, whose inner error is
/// [`TooLarge`](super::TooLarge).
impl<R: Read> Iterator for Reader<R> {
    type Item = io::Result<OwnedFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.next_frame();
        if frame.is_err() {
            self.source = None;
        }
        frame.transpose()
    }
}

impl<R: Read> std::iter::FusedIterator for Reader<R> {}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("ended", &self.source.is_none())
            .finish_non_exhaustive()
    }
}
