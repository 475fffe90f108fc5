//! The trait of a protocol's decoder, and what a decoder returns.

use std::{fmt, time::Duration};

use crate::{
    error::{Error, Result},
    event::Events,
    response::End,
    sse::Frame,
    text::Text,
    transport::{Body, BoxFuture},
};

/// A protocol's decoder: it makes events of frames, and decides how a response ends.
///
/// A decoder never waits. Work that takes I/O, such as to resume a stream, to cancel the response or to
/// save a session, is returned as a future, and the reader polls it within the limits of the stream.
/// What no caller waits for, such as to cancel a response that is dropped, is passed to
/// [`Transport::detach`](crate::Transport::detach).
pub trait Decode: Send + 'static {
    /// Takes a frame.
    ///
    /// If the input ended inside an event and [`finish`](Self::finish) returned [`Finish::Whole`] all
    /// the same, the event's beginning, completed as JSON, comes as one more frame.
    /// Whether it is an error or gives text then decides that the response is `Truncated`; nothing of
    /// it is delivered.
    ///
    /// # Errors
    ///
    /// The one that ends the stream, after the events pushed before it.
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow>;

    /// Decides whether the answer was whole, and pushes what was waiting for its end; or says where
    /// more of it is.
    ///
    /// # Errors
    ///
    /// `Truncated` if it was not.
    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish>;

    /// Returns a future that asks the service to stop, where that takes more than to close the
    /// connection: see [`EventStream::cancel`](crate::protocol::EventStream::cancel).
    fn cancel(&mut self) -> BoxFuture<'static, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// One that is chosen while the program runs.
impl Decode for Box<dyn Decode> {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        (**self).decode(frame, events)
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        (**self).finish(ending, events)
    }

    fn cancel(&mut self) -> BoxFuture<'static, Result<()>> {
        (**self).cancel()
    }
}

/// How a stream goes on after a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flow {
    /// More must come.
    Continue,
    /// The answer has its finish reason: late counts and the end marker may come, for 2 s at most, or
    /// text, which is waited for as long again.
    Settle,
    /// That was all.
    End,
}

/// Why a stream is over.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ending<'a> {
    /// The protocol said so: [`Flow::End`].
    Announced,
    /// The input ended, cleanly as far as the transport knows; with what was cut off, if anything.
    Input(Option<Frame<'a>>),
    /// The input was one document in place of a stream. The protocol decides whether it is complete.
    Document(&'a Text),
    /// Nothing came for 2 s after [`Flow::Settle`].
    Settled,
    /// The connection was lost, or what [`Finish::More`] asked for failed: with the error that the
    /// stream ends with where the protocol has no better one.
    Lost(&'a Error),
}

/// What a protocol makes of the end of its input.
#[non_exhaustive]
pub enum Finish {
    /// The answer is whole, unless it ended by a [finish reason](End::FinishReason) and the input ended
    /// inside an event that holds more of it.
    Whole(End),
    /// The answer is whole as by `Whole`, and its end waits for a last piece of work, such as to write
    /// a session file: for 2 s at most, then the work is dropped. The events of the end are held back
    /// until then, so that callers that stop at the finish reason do not stop the work. It returns
    /// warnings.
    WholeAfter(End, BoxFuture<'static, Vec<String>>),
    /// After a wait, the answer goes on in another body: of a stream that is taken up again, or of a
    /// document that tells the rest. The limits go on meanwhile, but for `idle` during the wait, and
    /// the framer begins anew.
    More(Duration, BoxFuture<'static, Result<Body>>),
    /// As `More`, for what may be missing, such as counts: the answer has ended, and is held back for
    /// 2 s at most. Then it is [`Ending::Settled`].
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
