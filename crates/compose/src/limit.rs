//! A limit on the answers that come at once; who comes later waits in turn.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use inferstream_core::{
    BoxFuture, Capabilities, ChatEvent, ChatRequest, ChatResponse, ChatStream, EventStream, Model,
    Provider, ProviderInfo, Result, Sent, Transport, Unsupported,
    provider::{Total, in_current_span},
};

use crate::semaphore::{Permit, Semaphore};

/// How many answers come at once by default: what one service gives one key at most, as a rule, and
/// what one process can read without its tokens waiting for each other.
const MAX_IN_FLIGHT: usize = 64;

/// A provider that is asked for so many answers at once, and for no more.
///
/// A request that finds no permit waits until one is free; who came first goes first, by the first
/// poll of the future. A request holds its permit until its stream has ended or is dropped, and so a
/// program that keeps streams it does not read keeps others waiting; so does one that keeps a future
/// whose turn has come, and does not poll it. `chat` holds one until it has the answer, and
/// [`cancel`](ChatStream::cancel) until the service has been told. Clones share the permits. `models`
/// takes none.
///
/// # Time
///
/// A provider has no clock, and so the wait for a permit has no limit, and
/// [`Timeouts::total`](inferstream_core::Timeouts::total) begins after it. With a [`transport`](Self::transport)
/// to tell the time, the wait counts in the `total` that a request brings along, and ends with
/// `Timeout` where that runs out; the request is then asked with what is left of it. The limits that
/// the provider itself is set up with are not known here, and begin after the wait in any case.
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
    transport: Option<Arc<dyn Transport>>,
    max_in_flight: usize,
    semaphore: Arc<Semaphore>,
}

impl ConcurrencyLimit {
    /// Limits a provider to 64 answers at once.
    pub fn new(provider: impl Provider) -> Self {
        Self {
            provider: Arc::new(provider),
            transport: None,
            max_in_flight: MAX_IN_FLIGHT,
            semaphore: Semaphore::new(MAX_IN_FLIGHT),
        }
    }

    /// Sets how many answers come at once; 0 means 1. Clones that were made before keep their own
    /// limit.
    #[must_use]
    pub fn max_in_flight(mut self, answers: usize) -> Self {
        self.max_in_flight = answers.max(1);
        self.semaphore = Semaphore::new(self.max_in_flight);
        self
    }

    /// Sets the clock that waits are counted by; nothing is sent through it.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Waits for a permit, and leaves the request the time that is left then.
    async fn enter(&self, request: &mut ChatRequest) -> Result<Permit> {
        let total = Total::begin(self.transport.as_ref(), request);
        let mut permit = self.semaphore.acquire();
        let mut end = None;
        let permit = poll_fn(|cx| {
            if let Poll::Ready(permit) = Pin::new(&mut permit).poll(cx) {
                return Poll::Ready(Ok(permit));
            }
            match end.get_or_insert_with(|| total.end()) {
                None => Poll::Pending,
                Some((sleep, error)) => sleep.as_mut().poll(cx).map(|()| Err(error.clone())),
            }
        });
        // A permit may come when it is too late.
        match (permit.await, total.over()) {
            (Ok(permit), None) => {
                total.apply(request);
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

    /// Waits for a permit, then sends the request and waits for the answer's head.
    ///
    /// # Errors
    ///
    /// The provider's; `Timeout(Total)`, with nothing sent, where the time ran out before there was
    /// a permit.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its turn or its permit.
    fn stream(&self, mut request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let this = self.clone();
        in_current_span(async move {
            let permit = this.enter(&mut request).await?;
            let stream = this.provider.stream(request).await?;
            let permit = Some(permit);
            Ok(ChatStream::new(Limited { stream, permit }))
        })
    }

    /// Waits for a permit, then sends the request and waits for all of the answer.
    ///
    /// # Errors
    ///
    /// As `stream` and as the stream's items.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its turn or its permit.
    fn chat(&self, mut request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let this = self.clone();
        in_current_span(async move {
            // Held until the answer is there.
            let _permit = this.enter(&mut request).await?;
            this.provider.chat(request).await
        })
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        self.provider.models()
    }

    fn known_models(&self) -> Vec<Model> {
        self.provider.known_models()
    }
}

/// A stream that has a permit.
struct Limited {
    // Before the permit: its connection closes before the next one's opens.
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
