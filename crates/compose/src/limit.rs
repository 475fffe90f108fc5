//! A provider with a limit on responses in flight; further requests wait in order.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use inferstream_client::{Deadline, Permit, Semaphore};
use inferstream_core::{
    BoxFuture, Capabilities, ChatEvent, ChatRequest, ChatResponse, ChatStream, Model, Provider,
    ProviderInfo, Result, Sent, Timer, Unsupported, protocol::EventStream,
    provider::in_current_span,
};

/// The default limit. Services rarely allow more for one key, and one process can read this many
/// streams without delaying their tokens.
const MAX_IN_FLIGHT: usize = 64;

/// A provider with a limit on the responses in flight.
///
/// A request waits for a permit; permits are granted in the order of the futures' first polls. A
/// request holds its permit until its stream has ended or is dropped. A program that keeps streams
/// without reading them therefore keeps other requests waiting, and so does one that keeps a future
/// with a granted permit without polling it. `chat` holds its permit until it returns the response,
/// and [`cancel`](ChatStream::cancel) until the service has been notified. Clones share the permits.
/// `models` needs none.
///
/// # Time
///
/// A provider has no clock. Without a [`timer`](Self::timer) the wait for a permit has no
/// timeout, and [`Timeouts::total`](inferstream_core::Timeouts::total) begins after it. With a
/// timer, the wait counts towards the `total` of the request: it fails with `Timeout` when that
/// runs out, and otherwise the request is sent with the time that is left. Timeouts that are set on
/// the provider itself always begin after the wait.
///
/// # Examples
///
/// ```
/// # use std::{future::ready, pin::pin, sync::Arc, task::{Context, Waker}};
/// # use inferstream_core::{*, provider::*};
/// # #[derive(Debug)]
/// # struct Echo(ProviderInfo);
/// # impl Provider for Echo {
/// #     fn info(&self) -> &ProviderInfo { &self.0 }
/// #     fn capabilities(&self, _: &str) -> Capabilities { Capabilities::default() }
/// #     fn stream(&self, _: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> { unreachable!() }
/// #     fn chat(&self, _: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
/// #         let mut answer = ChatResponse::default();
/// #         answer.add(&ChatEvent::text(0, "Rayleigh scattering."));
/// #         Box::pin(ready(Ok(answer)))
/// #     }
/// #     fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> { unreachable!() }
/// #     fn known_models(&self) -> Vec<Model> { Vec::new() }
/// # }
/// # let provider = Echo(ProviderInfo::new("echo", "Echo", ""));
/// use inferstream_compose::ConcurrencyLimit;
/// use inferstream_core::Provider;
///
/// # let answer = async {
/// let provider = ConcurrencyLimit::new(provider).max_in_flight(8);
/// let response = provider.chat("Why is the sky blue?".into()).await?;
/// assert_eq!(response.text(), "Rayleigh scattering.");
/// # Ok::<(), Error>(())
/// # };
/// # assert!(pin!(answer).poll(&mut Context::from_waker(Waker::noop())).is_ready());
/// ```
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    provider: Arc<dyn Provider>,
    timer: Option<Arc<dyn Timer>>,
    max_in_flight: usize,
    semaphore: Arc<Semaphore>,
}

impl ConcurrencyLimit {
    /// Limits a provider to 64 responses in flight.
    pub fn new(provider: impl Provider) -> Self {
        Self {
            provider: Arc::new(provider),
            timer: None,
            max_in_flight: MAX_IN_FLIGHT,
            semaphore: Semaphore::new(MAX_IN_FLIGHT),
        }
    }

    /// Sets how many responses may be in flight; 64 by default, and 0 means 1. Clones that were made
    /// before keep their limit.
    #[must_use]
    pub fn max_in_flight(mut self, answers: usize) -> Self {
        self.max_in_flight = answers.max(1);
        self.semaphore = Semaphore::new(self.max_in_flight);
        self
    }

    /// Sets the clock for the wait; a [`Transport`](inferstream_core::Transport) is one.
    #[must_use]
    pub fn timer(mut self, timer: impl Timer) -> Self {
        self.timer = Some(Arc::new(timer));
        self
    }

    /// Waits for a permit, and reduces the request's total timeout by the time that took.
    async fn enter(&self, request: &mut ChatRequest) -> Result<Permit> {
        let deadline = Deadline::begin(self.timer.as_ref(), request);
        let mut permit = self.semaphore.acquire();
        let mut end = None;
        let permit = poll_fn(|cx| {
            if let Poll::Ready(permit) = Pin::new(&mut permit).poll(cx) {
                return Poll::Ready(Ok(permit));
            }
            match end.get_or_insert_with(|| deadline.end()) {
                None => Poll::Pending,
                Some((sleep, error)) => sleep.as_mut().poll(cx).map(|()| Err(error.clone())),
            }
        });
        // A permit that is granted after the time is up is released again.
        match (permit.await, deadline.over()) {
            (Ok(permit), None) => {
                deadline.apply(request);
                Ok(permit)
            }
            (Err(error), _) | (_, Some(error)) => {
                let what = format!("waiting for one of {} permits", self.max_in_flight);
                Err(error.with_sent(Sent::No).context(what))
            }
        }
    }
}

impl Provider for ConcurrencyLimit {
    fn info(&self) -> &ProviderInfo {
        self.provider.info()
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.provider.capabilities(model)
    }

    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        self.provider.check(request)
    }

    /// Waits for a permit, then sends the request and waits for the headers of the response.
    ///
    /// # Errors
    ///
    /// Those of the provider, and `Timeout(Total)` with nothing sent if the time ran out before a
    /// permit was granted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place in the queue or its permit.
    fn stream(&self, mut request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let this = self.clone();
        in_current_span(async move {
            let permit = this.enter(&mut request).await?;
            let stream = this.provider.stream(request).await?;
            let permit = Some(permit);
            Ok(ChatStream::new(Limited { stream, permit }))
        })
    }

    /// Waits for a permit, then sends the request and waits for the complete response.
    ///
    /// # Errors
    ///
    /// The errors of `stream`, and those of the stream's items.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place in the queue or its permit.
    fn chat(&self, mut request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let this = self.clone();
        in_current_span(async move {
            // Held until the response is complete.
            let _permit = this.enter(&mut request).await?;
            this.provider.chat(request).await
        })
    }

    /// Waits for a permit, then reads the response. The wait has no timeout.
    fn resume(&self, id: &str) -> Option<BoxFuture<'static, Result<ChatStream>>> {
        let (this, resumed) = (self.clone(), self.provider.resume(id)?);
        Some(in_current_span(async move {
            let permit = Some(this.semaphore.acquire().await);
            let stream = resumed.await?;
            Ok(ChatStream::new(Limited { stream, permit }))
        }))
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        self.provider.models()
    }

    fn known_models(&self) -> Vec<Model> {
        self.provider.known_models()
    }
}

/// A stream that holds a permit.
struct Limited {
    // Dropped before the permit, so that its connection closes before the next one opens.
    stream: ChatStream,
    /// `None` once the stream has ended.
    permit: Option<Permit>,
}

impl EventStream for Limited {
    fn poll_event(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        let event = ready!(Pin::new(&mut self.stream).poll_event(cx));
        if !matches!(event, Some(Ok(_))) {
            self.permit = None;
        }
        Poll::Ready(event)
    }

    fn partial(&self) -> &ChatResponse {
        self.stream.partial()
    }

    fn take_partial(mut self: Pin<&mut Self>) -> ChatResponse {
        Pin::new(&mut self.stream).take_partial()
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        Pin::new(&mut self.stream).warn(warning);
    }

    fn cancel(mut self: Pin<&mut Self>) -> BoxFuture<'static, Result<()>> {
        let told = EventStream::cancel(Pin::new(&mut self.stream));
        let permit = self.permit.take();
        Box::pin(async move {
            let outcome = told.await;
            drop(permit);
            outcome
        })
    }
}
