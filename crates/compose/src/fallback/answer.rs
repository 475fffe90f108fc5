//! The answer of one provider, held back until it has begun, and what others failed with before.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use inferstream_core::{
    BoxFuture, ChatEvent, ChatResponse, ChatStream, Error, EventStream, Result,
};

use super::chain;

/// The most events without content that are held back: services send a few before they begin.
const MAX_EVENTS: usize = 1000;

/// The most that held-back chunks may hold: as `MAX_EVENTS`, and a chunk is below a KiB.
const MAX_BYTES: usize = 1 << 20;

/// An answer that is to be given.
pub(super) struct Answer {
    stream: ChatStream,
    /// What has been read of the stream and not yet given.
    held: VecDeque<ChatEvent>,
    /// The stream's end has been read, and not yet given.
    has_ended: bool,
    /// What has been given, while more than that has been read.
    given: Option<ChatResponse>,
    /// `None` until the answer is given.
    failures: Option<Failures>,
}

impl Answer {
    /// Takes an answer as it comes.
    pub(super) fn new(stream: ChatStream) -> Self {
        Self {
            stream,
            held: VecDeque::new(),
            has_ended: false,
            given: None,
            failures: None,
        }
    }

    /// Waits until an answer has begun.
    ///
    /// # Errors
    ///
    /// The stream's, before its content.
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
                // An event of a newer core too: after content no other provider is asked.
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

    /// Makes the stream that the user gets, after these failures.
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

/// What those failed with that were asked before.
pub(super) struct Failures {
    /// Who is asked now.
    asked: &'static str,
    pub(super) warnings: Vec<String>,
    /// The last one, with the others below it.
    last: Option<Error>,
}

impl Failures {
    /// Begins with the provider that is asked first.
    pub(super) fn none(asked: &'static str) -> Self {
        Self {
            asked,
            warnings: Vec::new(),
            last: None,
        }
    }

    /// Adds the failure of the one that was asked, and who is asked now.
    pub(super) fn add(&mut self, error: Error, asked: &'static str, told: &str) {
        let id = self.asked;
        self.warnings
            .push(format!("`{id}` did not answer ({error}); {told}"));
        self.last = Some(match self.last.take() {
            None => error.context(id),
            Some(earlier) => chain::after(error.context(id), earlier),
        });
        self.asked = asked;
    }

    /// Tells with an error what failed before it; that of the one that was asked first is its own.
    pub(super) fn explain(&mut self, error: Error) -> Error {
        match self.last.take() {
            None => error,
            Some(earlier) => chain::after(error.context(self.asked), earlier),
        }
    }
}
