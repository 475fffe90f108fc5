//! Messages about one turn in, an event stream of its chunks out.
//!
//! The event stream is that of the page before: what reads one reads the other.

use std::{
    borrow::Cow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use inferstream_core::{Error, ErrorKind, Json, Result};

use super::{
    super::encode::object,
    link::{Link, Stage},
    socket::Received,
    wire::Told,
};

/// The body of a turn's answer. Dropping it lets go of the turn.
#[derive(Debug)]
pub(super) struct Turn {
    link: Arc<Link>,
    /// It was taken up again, and nothing of it has been sent again so far.
    awaits_replay: bool,
}

impl Turn {
    pub(super) fn new(link: Arc<Link>) -> Self {
        let awaits_replay = false;
        Self {
            link,
            awaits_replay,
        }
    }

    /// Creates the body of one that is sent again from its beginning.
    pub(super) fn again(link: Arc<Link>) -> Self {
        let awaits_replay = true;
        Self {
            link,
            awaits_replay,
        }
    }

    /// Makes bytes of a message; none are the end.
    fn take(&mut self, message: &str) -> Result<Option<Bytes>> {
        match Told::read(message, &self.link.id) {
            Told::Response {
                chunk,
                is_again,
                is_end,
            } => {
                if self.awaits_replay && !is_again {
                    let message = "the playground took the answer up in its middle";
                    return Err(Error::new(ErrorKind::Truncated, message));
                }
                self.awaits_replay = false;
                if is_end {
                    self.link.end();
                }
                match chunk {
                    Some(chunk) => event(&chunk).map(Some),
                    None if is_end => Ok(None),
                    None => Ok(Some(alive())),
                }
            }
            Told::Failed(words) => {
                self.link.end();
                let error = object(&[
                    ("type", Json::from("error")),
                    ("errorText", Json::from(words)),
                ]);
                event(error.as_str()).map(Some)
            }
            Told::Refused(words) => Err(self.link.refused(&words)),
            _ => Ok(Some(alive())),
        }
    }
}

impl Body for Turn {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        if self.link.stage() == Stage::Ended {
            return Poll::Ready(None);
        }
        let bytes = match ready!(self.link.poll_next(cx)) {
            None => None,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(Received::Life)) => Some(alive()),
            Some(Ok(Received::Message(message))) => {
                let message = String::from_utf8_lossy(&message);
                // Text of the socket's is valid; bytes may not be.
                if matches!(message, Cow::Owned(_)) {
                    self.link.note_replaced();
                }
                match self.take(&message) {
                    Ok(bytes) => bytes,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.link.let_go();
    }
}

/// The most that a chunk may hold: what a frame of an event stream may.
const MAX_CHUNK: usize = 4 << 20;

/// Writes an event. The chunk must be an object: the event stream's own end marker is none here.
fn event(chunk: &str) -> Result<Bytes> {
    if MAX_CHUNK < chunk.len() {
        let message = format!("a chunk is larger than {MAX_CHUNK} bytes");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    if !chunk.trim_start().starts_with('{') {
        return Err(Error::protocol(
            "the playground sent a chunk that is no object",
        ));
    }
    // JSON may have line ends between its tokens.
    let mut event = String::with_capacity(chunk.len() + 8);
    for line in chunk.split(['\n', '\r']) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    Ok(Bytes::from(event))
}

/// Returns a comment: something came that is no part of the answer.
fn alive() -> Bytes {
    Bytes::from_static(b":\n\n")
}
