//! The trait of a protocol's decoder, and what it returns.

use std::{fmt, time::Duration};

use crate::{
    error::{Error, Result},
    event::Events,
    response::End,
    sse::Frame,
    text::Text,
    transport::{Body, BoxFuture},
};

/// A protocol's decoder, which converts frames to events and decides how a response ends.
///
/// A decoder never waits. Work that needs I/O, such as resuming a stream, canceling the response or
/// saving a session, is returned as a future, and the reader polls it within the timeouts of the
/// stream. Background work, such as canceling a response that is dropped, is passed to
/// [`Transport::detach`](crate::Transport::detach).
pub trait Decode: Send + 'static {
    /// Decodes a frame.
    ///
    /// If the input ended inside an event, and [`finish`](Self::finish) returned [`Finish::Whole`]
    /// nevertheless, the start of that event, completed as JSON, is passed as one more frame. If
    /// decoding it returns an error or text, the response is `Truncated`; nothing of it is
    /// delivered.
    ///
    /// # Errors
    ///
    /// Returns the error that ends the stream, after the events pushed before it.
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow>;

    /// Decides whether the response is complete, and pushes the events that waited for its end, or
    /// returns where the response continues.
    ///
    /// # Errors
    ///
    /// Returns `Truncated` if the response is not complete.
    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish>;

    /// Pushes the text that is held back, because an error ends the response: that of the decoder, a
    /// timeout or a size limit. Does nothing by default.
    fn release(&mut self, events: &mut Events) {
        let _ = events;
    }

    /// Returns a future that asks the service to stop, if that takes more than closing the connection:
    /// see [`EventStream::cancel`](crate::protocol::EventStream::cancel).
    fn cancel(&mut self) -> BoxFuture<'static, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A decoder that is chosen at run time.
impl Decode for Box<dyn Decode> {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        (**self).decode(frame, events)
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        (**self).finish(ending, events)
    }

    fn release(&mut self, events: &mut Events) {
        (**self).release(events);
    }

    fn cancel(&mut self) -> BoxFuture<'static, Result<()>> {
        (**self).cancel()
    }
}

/// How a stream continues after a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flow {
    /// The response continues.
    Continue,
    /// The response has its finish reason. The reader waits at most 2 s for late usage and the end
    /// marker; text extends the wait.
    Settle,
    /// The response is complete.
    End,
}

/// Why the input of a decoder has ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ending<'a> {
    /// The decoder returned [`Flow::End`].
    Announced,
    /// The input ended, cleanly as far as the transport knows. Contains the incomplete frame, if
    /// there is one.
    Input(Option<Frame<'a>>),
    /// The input was one document instead of a stream. The protocol decides whether it is complete.
    Document(&'a Text),
    /// Nothing arrived for 2 s after [`Flow::Settle`].
    Settled,
    /// The connection was lost, or the future of [`Finish::More`] failed. Contains the error that
    /// the stream returns unless the protocol has a better one.
    Lost(&'a Error),
}

/// The decision of a decoder at the end of its input.
#[non_exhaustive]
pub enum Finish {
    /// The response is complete, unless it ended with a [finish reason](End::FinishReason) and the
    /// input ended inside an event that contains more of it.
    Whole(End),
    /// Like `Whole`, but the end waits for a last piece of work, such as writing a session file,
    /// for at most 2 s; then the work is dropped. The last events are held back until then, so that
    /// callers that stop at the finish reason do not stop the work. The future returns warnings.
    WholeAfter(End, BoxFuture<'static, Vec<String>>),
    /// The response continues in another body after a delay: in a resumed stream, or in a document
    /// with the rest. The timeouts keep running, except `idle` during the delay, and the framer is
    /// reset.
    More(Duration, BoxFuture<'static, Result<Body>>),
    /// Like `More`, for parts that may be missing, such as usage. The response has ended, and is
    /// held back for at most 2 s; after that, the ending is [`Ending::Settled`].
    Late(Duration, BoxFuture<'static, Result<Body>>),
}

impl fmt::Debug for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(end) => f.debug_tuple("Whole").field(end).finish(),
            Self::WholeAfter(end, _) => f
                .debug_tuple("WholeAfter")
                .field(end)
                .finish_non_exhaustive(),
            Self::More(after, _) => f.debug_tuple("More").field(after).finish_non_exhaustive(),
            Self::Late(after, _) => f.debug_tuple("Late").field(after).finish_non_exhaustive(),
        }
    }
}
