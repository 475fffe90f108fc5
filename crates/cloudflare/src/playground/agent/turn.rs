//! The messages of one turn, converted to an event stream of its chunks.
//!
//! The event stream has the format of the previous page, so the same decoder reads both.

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

/// The body of a turn's response. Dropping it closes the connection and cancels the turn.
#[derive(Debug)]
pub(super) struct Turn {
    link: Arc<Link>,
    /// The turn was resumed, and nothing of its response has arrived again yet.
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

    /// Creates the body of a response that is sent again from its start.
    pub(super) fn again(link: Arc<Link>) -> Self {
        let awaits_replay = true;
        Self {
            link,
            awaits_replay,
        }
    }

    /// Converts a message to bytes of the event stream; `None` is the end.
    fn take(&mut self, message: &str) -> Result<Option<Bytes>> {
        match Told::read(message, &self.link.id) {
            Told::Response {
                chunk,
                is_again,
                is_end,
            } => {
                if self.awaits_replay && !is_again {
                    let message = "the playground resumed the response in the middle instead of from the start";
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
                // Text messages are valid UTF-8; binary ones may not be.
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

/// The maximum size of a chunk, in bytes, the same as for an event of an event stream.
const MAX_CHUNK: usize = 4 << 20;

/// Writes an event. The chunk must be an object: the end marker of event streams is not valid here.
fn event(chunk: &str) -> Result<Bytes> {
    if MAX_CHUNK < chunk.len() {
        let message =
            format!("chunk from the playground too large: expected at most {MAX_CHUNK} bytes");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    if !chunk.trim_start().starts_with('{') {
        return Err(Error::protocol(
            "invalid chunk from the playground: expected a JSON object",
        ));
    }
    // JSON may contain line breaks between its tokens.
    let mut event = String::with_capacity(chunk.len() + 8);
    for line in chunk.split(['\n', '\r']) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    Ok(Bytes::from(event))
}

/// Returns a comment, which shows that the connection is alive, and is not part of the response.
fn alive() -> Bytes {
    Bytes::from_static(b":\n\n")
}
