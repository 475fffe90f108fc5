//! The response of one provider, held back until its content begins, and the earlier failures.

use std::{
    borrow::Cow,
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use inferstream_core::{
    BoxFuture, ChatEvent, ChatResponse, ChatStream, Error, Result, protocol::EventStream,
};

use super::chain;

/// The most events without content that are held back: services send only a few.
const MAX_EVENTS: usize = 1000;

/// The most bytes in held-back chunks: `MAX_EVENTS` chunks of about 1 KiB.
const MAX_BYTES: usize = 1 << 20;

/// A response that is being delivered.
pub(super) struct Answer {
    stream: ChatStream,
    /// Events that were read from the stream and not yet delivered.
    held: VecDeque<ChatEvent>,
    /// True if the end of the stream was read and not yet delivered.
    has_ended: bool,
    /// What was delivered, while more than that has been read: `partial` of the stream is ahead then.
    given: Option<ChatResponse>,
    /// `None` until the stream is returned to the caller.
    failures: Option<Failures>,
}

impl Answer {
    /// Takes a stream without waiting for content.
    pub(super) fn new(stream: ChatStream) -> Self {
        Self {
            stream,
            held: VecDeque::new(),
            has_ended: false,
            given: None,
            failures: None,
        }
    }

    /// Waits for the first content of a stream.
    ///
    /// # Errors
    ///
    /// The error of the stream if it fails before its content.
    pub(super) async fn begun(stream: ChatStream) -> Result<Self> {
        let mut this = Self::new(stream);
        let mut bytes = 0;
        while this.held.len() < MAX_EVENTS && bytes <= MAX_BYTES {
            let Some(event) = this.stream.next().await else {
                this.has_ended = true;
                break;
            };
            let event = event?;
            let is_content = match &event {
                ChatEvent::Raw { chunk, .. } => {
                    bytes += chunk.as_str().len();
                    false
                }
                ChatEvent::Timing { .. } | ChatEvent::Usage { .. } => false,
                // Unknown events count as content: after content no other provider may be asked.
                _ => true,
            };
            this.held.push_back(event);
            if is_content {
                break;
            }
        }
        let read = this.stream.partial();
        let mut given = ChatResponse::default();
        given.id.clone_from(&read.id);
        given.model.clone_from(&read.model);
        given.meta.clone_from(&read.meta);
        given.meta.time_to_end = None;
        this.given = Some(given);
        Ok(this)
    }

    /// Returns the stream for the caller, with warnings of these failures.
    pub(super) fn after(mut self, mut failures: Failures) -> ChatStream {
        if self.given.is_none() && failures.last.is_none() {
            return self.stream;
        }
        for warning in failures.warnings.drain(..) {
            Pin::new(&mut self).warn(warning);
        }
        self.failures = Some(failures);
        ChatStream::new(self)
    }

    fn give_held(&mut self) -> Option<ChatEvent> {
        let event = self.held.pop_front()?;
        if let Some(given) = &mut self.given {
            given.add(&event);
        }
        // The caller has everything that was read, so `partial` of the stream is right again.
        if self.held.is_empty() && !self.has_ended {
            self.given = None;
        }
        Some(event)
    }
}

impl EventStream for Answer {
    fn poll_event(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        if let Some(event) = self.give_held() {
            return Poll::Ready(Some(Ok(event)));
        }
        self.given = None;
        let event = ready!(Pin::new(&mut self.stream).poll_event(cx));
        let explain = |error| match &mut self.failures {
            None => error,
            Some(failures) => failures.explain(error),
        };
        Poll::Ready(event.map(|event| event.map_err(explain)))
    }

    fn partial(&self) -> &ChatResponse {
        self.given.as_ref().unwrap_or_else(|| self.stream.partial())
    }

    fn take_partial(mut self: Pin<&mut Self>) -> ChatResponse {
        match self.given.take() {
            Some(given) => given,
            None => Pin::new(&mut self.stream).take_partial(),
        }
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        if let Some(given) = &mut self.given {
            given.meta.warnings.push(warning.clone());
        }
        Pin::new(&mut self.stream).warn(warning);
    }

    fn cancel(mut self: Pin<&mut Self>) -> BoxFuture<'static, Result<()>> {
        EventStream::cancel(Pin::new(&mut self.stream))
    }
}

/// The failures of the providers that were tried before.
pub(super) struct Failures {
    /// The id of the provider that is tried now.
    asked: Cow<'static, str>,
    pub(super) warnings: Vec<String>,
    /// The last failure, with the earlier ones in its chain of sources.
    last: Option<Error>,
}

impl Failures {
    /// Creates an empty list, with the id of the provider that is tried first.
    pub(super) fn none(asked: Cow<'static, str>) -> Self {
        Self {
            asked,
            warnings: Vec::new(),
            last: None,
        }
    }

    /// Adds the failure of the current provider, and sets the one that is tried next.
    pub(super) fn add(&mut self, error: Error, asked: Cow<'static, str>, told: &str) {
        let id = std::mem::replace(&mut self.asked, asked);
        self.warnings
            .push(format!("`{id}` failed ({error}); {told}"));
        self.last = Some(match self.last.take() {
            None => error.context(id),
            Some(earlier) => chain::after(error.context(id), earlier),
        });
    }

    /// Adds the earlier failures to an error; without any, the error stays as it is.
    pub(super) fn explain(&mut self, error: Error) -> Error {
        match self.last.take() {
            None => error,
            Some(earlier) => chain::after(error.context(self.asked.clone()), earlier),
        }
    }
}
