//! The stream that a user holds, and the trait behind it.

mod ending;
mod protocol;
mod read;
mod started;
mod waits;

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::{FusedStream, Stream};

pub use self::{
    protocol::{Decode, Ending, Finish, Flow},
    read::read_stream,
    started::Started,
};
use crate::{
    error::{Error, Result},
    event::ChatEvent,
    meta::Meta,
    response::ChatResponse,
    text::Text,
    transport::BoxFuture,
};

/// What is behind a [`ChatStream`]: for who writes a protocol or a combinator.
///
/// A combinator holds a `ChatStream`, which is an `EventStream` itself, and makes another of it.
pub trait EventStream: Send {
    /// Polls for the next event. After an error, or `None`, it is not polled again.
    fn poll_event(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<ChatEvent>>>;

    /// Returns what of the answer has been delivered, and what came with it.
    fn partial(&self) -> &ChatResponse;

    /// Adds to the [`warnings`](Meta::warnings) of the answer what a combinator has to say.
    fn warn(self: Pin<&mut Self>, warning: String);

    /// Asks the service to stop, where that takes more than to close the connection.
    fn cancel(self: Pin<&mut Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// An answer as it comes.
///
/// It yields events and then ends: after the last choice's `Finish` with `None`, or after exactly
/// one error with `None`. An answer that ends without the end that the protocol announces is an
/// error, [`Truncated`](crate::ErrorKind::Truncated), never a success.
///
/// Nothing is read ahead: who does not poll holds the service back. Dropping it closes the
/// connection.
///
/// # Cancel safety
///
/// No event is lost when the future of [`next`](Self::next) is dropped.
#[must_use = "streams do nothing unless polled"]
pub struct ChatStream {
    inner: Pin<Box<dyn EventStream>>,
    ended: bool,
    failed: Option<Error>,
}

impl ChatStream {
    /// Wraps a stream of events.
    pub fn new(stream: impl EventStream + 'static) -> Self {
        Self {
            inner: Box::pin(stream),
            ended: false,
            failed: None,
        }
    }

    /// Puts a combinator around the stream: it gets the stream, and the result yields its events.
    ///
    /// A stream that has ended stays ended, and [`finish`](Self::finish) of the result returns its
    /// error: a combinator cannot make a failed answer complete.
    pub fn wrap<S: EventStream + 'static>(self, combinator: impl FnOnce(Self) -> S) -> Self {
        let (ended, failed) = (self.ended, self.failed.clone());
        Self {
            inner: Box::pin(combinator(self)),
            ended,
            failed,
        }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    ///
    /// The one that ends the stream, with what came before in
    /// [`Error::partial`](crate::Error::partial).
    pub async fn next(&mut self) -> Option<Result<ChatEvent>> {
        poll_fn(|cx| self.poll_one(cx)).await
    }

    /// Returns a view of the stream that yields the text alone, of choice 0, and the error.
    ///
    /// It holds nothing: it can be made anew for each piece, and events it passes over are in
    /// [`partial`](Self::partial).
    pub fn text(&mut self) -> TextStream<'_> {
        self.text_of(0)
    }

    /// Returns a view of the stream that yields the text of one choice alone, and the error: as
    /// [`text`](Self::text), for a request with [`n`](crate::ChatRequest::n).
    ///
    /// The texts of several choices come interleaved, and a view passes over what is not its own: who
    /// wants to see all as it comes takes the events.
    ///
    /// ```
    /// # use std::{pin::{Pin, pin}, task::{Context, Poll, Waker}};
    /// # use inferstream_core::{*, protocol::EventStream};
    /// # struct List(Vec<ChatEvent>, ChatResponse);
    /// # impl EventStream for List {
    /// #     fn poll_event(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<ChatEvent>>> {
    /// #         let event = self.0.pop();
    /// #         event.iter().for_each(|event| self.1.add(event));
    /// #         Poll::Ready(event.map(Ok))
    /// #     }
    /// #     fn partial(&self) -> &ChatResponse { &self.1 }
    /// #     fn warn(self: Pin<&mut Self>, _: String) {}
    /// # }
    /// # let texts = ["re.", "Blue.", "Azu"].into_iter().zip([1, 0, 1]);
    /// # let events = texts.map(|(text, choice)| ChatEvent::text(choice, text)).collect();
    /// # let mut stream = ChatStream::new(List(events, ChatResponse::default()));
    /// # let answer = async {
    /// let mut said = String::new();
    /// while let Some(text) = stream.text_of(1).next().await {
    ///     said.push_str(&text?);
    /// }
    /// assert_eq!(said, "Azure.");
    /// assert_eq!(stream.partial().text(), "Blue.");
    /// # Ok::<(), Error>(())
    /// # };
    /// # let polled = pin!(answer).poll(&mut Context::from_waker(Waker::noop()));
    /// # assert!(matches!(polled, Poll::Ready(Ok(()))));
    /// ```
    pub fn text_of(&mut self, choice: u32) -> TextStream<'_> {
        TextStream {
            stream: self,
            choice,
        }
    }

    /// Reads to the end and returns the whole answer.
    ///
    /// # Errors
    ///
    /// The one that ends the stream, though it was given before as an item: what is not whole is
    /// never returned as a whole.
    pub async fn finish(mut self) -> Result<ChatResponse> {
        while self.next().await.is_some() {}
        match self.failed.take() {
            None => Ok(self.inner.partial().clone()),
            Some(error) => Err(error),
        }
    }

    /// Returns what of the answer has been delivered so far; it stays valid after an error.
    pub fn partial(&self) -> &ChatResponse {
        self.inner.partial()
    }

    /// Returns what came with the answer: headers, request id, rate limits, times. It is that of
    /// [`partial`](Self::partial), and of the whole answer in the end.
    pub fn meta(&self) -> &Meta {
        &self.partial().meta
    }

    /// Ends the answer here: closes the connection, tells the service where it would go on
    /// without, and returns what was delivered.
    ///
    /// # Errors
    ///
    /// If the service could not be told.
    ///
    /// # Cancel safety
    ///
    /// The answer ends in any case. Where the service is to be told, that runs on by itself if the
    /// future is dropped, for 2 s at most.
    pub fn cancel(mut self) -> BoxFuture<'static, Result<ChatResponse>> {
        let partial = self.inner.partial().clone();
        // Not when the future is polled: a stream that is canceled has ended.
        let told = self.inner.as_mut().cancel();
        drop(self);
        Box::pin(async move { told.await.map(|()| partial) })
    }

    /// Takes the stream out, before anything has been read of it.
    #[cfg(feature = "tracing")]
    pub(crate) fn into_inner(self) -> Pin<Box<dyn EventStream>> {
        self.inner
    }

    fn poll_one(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ChatEvent>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = ready!(self.inner.as_mut().poll_event(cx));
        match &event {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                self.ended = true;
                self.failed = Some(error.clone());
            }
            None => self.ended = true,
        }
        Poll::Ready(event)
    }
}

impl Stream for ChatStream {
    type Item = Result<ChatEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_one(cx)
    }
}

impl FusedStream for ChatStream {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

/// For a combinator, which is to stand between a stream and its user.
impl EventStream for ChatStream {
    fn poll_event(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        self.poll_one(cx)
    }

    fn partial(&self) -> &ChatResponse {
        self.inner.partial()
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        self.inner.as_mut().warn(warning);
    }

    fn cancel(mut self: Pin<&mut Self>) -> BoxFuture<'static, Result<()>> {
        self.ended = true;
        self.inner.as_mut().cancel()
    }
}

impl fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatStream")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// The text of a stream: [`ChatStream::text`], [`ChatStream::text_of`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct TextStream<'a> {
    stream: &'a mut ChatStream,
    choice: u32,
}

impl TextStream<'_> {
    /// Waits for the next piece of text.
    ///
    /// # Errors
    ///
    /// As [`ChatStream::next`].
    ///
    /// # Cancel safety
    ///
    /// No text is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Text>> {
        poll_fn(|cx| self.poll_text(cx)).await
    }

    fn poll_text(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Text>>> {
        loop {
            match ready!(self.stream.poll_one(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(ChatEvent::Text { choice, text })) if choice == self.choice => {
                    return Poll::Ready(Some(Ok(text)));
                }
                Some(Ok(_)) => {}
            }
        }
    }
}

impl Stream for TextStream<'_> {
    type Item = Result<Text>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_text(cx)
    }
}
