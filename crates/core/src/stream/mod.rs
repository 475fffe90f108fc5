//! The stream of a response, and the trait behind it.

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

/// The implementation of a [`ChatStream`], for protocols and combinators.
///
/// A combinator holds a `ChatStream`, which implements `EventStream` itself, and wraps it.
pub trait EventStream: Send {
    /// Polls for the next event. After an error, or `None`, it is not polled again.
    fn poll_event(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<ChatEvent>>>;

    /// Returns the part of the response that has been delivered, and its metadata.
    fn partial(&self) -> &ChatResponse;

    /// Moves the delivered part of the response out of a stream that is not polled again. By default it
    /// is copied.
    fn take_partial(self: Pin<&mut Self>) -> ChatResponse {
        self.partial().clone()
    }

    /// Adds a warning to the response's [`warnings`](Meta::warnings).
    fn warn(self: Pin<&mut Self>, warning: String);

    /// Asks the service to stop, if that takes more than closing the connection.
    fn cancel(self: Pin<&mut Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A response as a stream of events.
///
/// It yields events and then ends with `None`: after the last choice's `Finish`, or after exactly one
/// error. A response without the end that its protocol announces is an error,
/// [`Truncated`](crate::ErrorKind::Truncated), never a success.
///
/// The stream does not read ahead: if you stop polling, backpressure reaches the service. Dropping it
/// closes the connection.
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

    /// Wraps the stream in a combinator, whose events the result yields.
    ///
    /// A stream that has ended stays ended, and [`finish`](Self::finish) of the result returns its
    /// error: a combinator cannot make a failed response complete.
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
    /// The error that ends the stream; [`Error::partial`](crate::Error::partial) is the response so
    /// far.
    pub async fn next(&mut self) -> Option<Result<ChatEvent>> {
        poll_fn(|cx| self.poll_one(cx)).await
    }

    /// Returns a view of the stream that yields only the text of choice 0, and the error.
    ///
    /// The view has no state: it can be created again for each fragment. The events that it skips are
    /// in [`partial`](Self::partial).
    pub fn text(&mut self) -> TextStream<'_> {
        self.text_of(0)
    }

    /// Returns a view of the stream that yields only the text of one choice, and the error. It is
    /// [`text`](Self::text) for a request with [`n`](crate::ChatRequest::n).
    ///
    /// The texts of several choices are interleaved, and a view skips those of other choices. To
    /// see all of them, use the events.
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

    /// Reads to the end and returns the complete response.
    ///
    /// # Errors
    ///
    /// The error that ends the stream, even if it was returned before as an item: a response that is
    /// not complete is never returned as complete.
    pub async fn finish(mut self) -> Result<ChatResponse> {
        while self.next().await.is_some() {}
        match self.failed.take() {
            None => Ok(self.inner.as_mut().take_partial()),
            Some(error) => Err(error),
        }
    }

    /// Returns the response as far as it was delivered. It stays available after an error.
    pub fn partial(&self) -> &ChatResponse {
        self.inner.partial()
    }

    /// Returns the metadata: headers, request id, rate limits and times. It is the same as that of
    /// [`partial`](Self::partial), and finally that of the complete response.
    pub fn meta(&self) -> &Meta {
        &self.partial().meta
    }

    /// Ends the response: closes the connection, cancels the response at services that would
    /// continue, and returns the part that was delivered.
    ///
    /// # Errors
    ///
    /// Fails if canceling at the service failed.
    ///
    /// # Cancel safety
    ///
    /// The response ends in any case. If the future is dropped, canceling at the service continues in
    /// the background, for at most 2 s.
    pub fn cancel(mut self) -> BoxFuture<'static, Result<ChatResponse>> {
        // Called now, not when the future is polled, because a canceled stream has ended
        // immediately.
        let told = self.inner.as_mut().cancel();
        let partial = self.inner.as_mut().take_partial();
        drop(self);
        Box::pin(async move { told.await.map(|()| partial) })
    }

    /// Returns the inner stream, before anything was read from it.
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

/// Used by combinators, which wrap a stream.
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

    fn take_partial(mut self: Pin<&mut Self>) -> ChatResponse {
        self.inner.as_mut().take_partial()
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
    /// Waits for the next fragment of text.
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
