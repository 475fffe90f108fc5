//! A provider that tries several providers in order, until the response of one begins.

mod answer;
mod candidate;
mod chain;

use std::{fmt, sync::Arc};

use self::{
    answer::{Answer, Failures},
    candidate::{Candidate, Naming},
};
use inferstream_client::Deadline;
use inferstream_core::{
    BoxFuture, Capabilities, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind, Model, Phase,
    Provider, ProviderInfo, Result, Timer, Unsupported, provider::in_current_span,
};

/// A provider that tries several providers in order, until the response of one begins.
///
/// The next provider is tried only if the error came before the first content of the response. Text,
/// reasoning, a tool call, log probabilities and a finish are content: after them, an error is
/// returned to the caller. `Raw`, `Usage` and `Timing` are not content.
/// `stream` therefore waits for the first content, not only for the headers, and then delivers the
/// events before it. The last provider has no successor, so only its headers are waited for.
/// A response with 1,000 events or 1 MiB of `Raw` before its content counts as begun.
///
/// # What moves on
///
/// Errors that another service may not have move on to the next provider. [`when`](Self::when) sets
/// another rule, which also cannot move on after content.
///
/// | kind | moves on | why |
/// | --- | --- | --- |
/// | `Connect`, `Disconnected`, `Dns`, `Proxy`, `Redirect`, `Tls`, `UntrustedHost` | yes | this service cannot be reached |
/// | `Timeout` of any phase but `total` | yes | this service is too slow |
/// | `Timeout(Total)` | no | the caller's time is up |
/// | `Overloaded`, `Server` | yes | this service fails |
/// | `RateLimited`, `Quota` | yes | the limit of this account is reached |
/// | `Auth`, `Permission`, `Challenge` | yes | this key or endpoint is refused; the warning says why |
/// | `NotFound`, `ModelNotSupported`, `Unsupported` | yes | this service lacks the model, or a feature that the request needs |
/// | `Protocol`, `Provider`, `TooLarge`, `Truncated` | yes | the response of this service is broken before its content |
/// | `InvalidRequest`, `Config` | no | the request or the configuration is invalid for any service |
/// | `ContextLength` | no | the request is too long; if a provider has a larger context, say so with `when` |
/// | `ContentFilter` | no | a refusal is a response; a fallback must not evade it |
/// | `Canceled` | no | the caller canceled |
///
/// A provider that failed after the request was sent, for example by a timeout, may still have worked
/// on it and bill it.
///
/// Each provider first retries by its own policy. To try the next provider immediately, set
/// [`RetryPolicy::never`](inferstream_core::RetryPolicy::never) on the request.
///
/// # Models
///
/// Two services rarely use the same name for a model. The model of a request is a name of the first
/// provider, which gets it unchanged; [`info`](Provider::info), [`models`](Provider::models) and
/// [`known_models`](Provider::known_models) are those of the first provider too.
/// A provider of [`or`](Self::or) is asked for the request's model if it is the same service
/// (`info().id`), if it knows the model (aliases included), or if it has no default model; otherwise
/// it is asked for its default model.
/// A provider of [`or_with_model`](Self::or_with_model) is always asked for that model.
/// [`ChatResponse::model`] is the model that responded, and the warning names the one that was asked
/// for.
///
/// `capabilities` returns what all of the providers can do, each with the model that it would be asked
/// for, so that it holds for any of them.
///
/// # Warnings and errors
///
/// For each provider that failed, [`Meta::warnings`](inferstream_core::Meta::warnings) of the response
/// has a warning.
/// If all fail, the error is that of the last provider, with its `id` before the message. `source`
/// leads to the earlier errors, from the last to the first, each an [`Error`]; the sources of all but
/// the first are replaced by one line of text each.
///
/// # Headers
///
/// [`ChatRequest::headers`] may contain what only one service may see, so they are sent to the first
/// provider alone. The rest of the request, `extra` included, is sent to all.
///
/// # Time
///
/// A provider has no clock. Without a [`timer`](Self::timer), each provider gets the request's
/// [`Timeouts`](inferstream_core::Timeouts) in full, [`total`](inferstream_core::Timeouts::total)
/// included. With a timer, the `total` of the request holds for all of them together.
///
/// A [`ConcurrencyLimit`](crate::ConcurrencyLimit) in the chain waits when it is at capacity; waiting
/// is not a failure and does not fall back.
///
/// # Examples
///
/// ```
/// # use std::{future::ready, pin::pin, task::{Context, Waker}};
/// # use inferstream_core::*;
/// # #[derive(Debug)]
/// # struct Scripted(ProviderInfo, Result<&'static str>);
/// # impl Provider for Scripted {
/// #     fn info(&self) -> &ProviderInfo { &self.0 }
/// #     fn capabilities(&self, _: &str) -> Capabilities { Capabilities::default() }
/// #     fn stream(&self, _: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> { unreachable!() }
/// #     fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
/// #         let answer = self.1.clone().map(|text| {
/// #             let mut answer = ChatResponse::default();
/// #             answer.model = request.model;
/// #             answer.add(&ChatEvent::text(0, text));
/// #             answer
/// #         });
/// #         Box::pin(ready(answer))
/// #     }
/// #     fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> { unreachable!() }
/// #     fn known_models(&self) -> Vec<Model> { Vec::new() }
/// # }
/// # let busy = Error::new(ErrorKind::Overloaded, "the service has no room");
/// # let cerebras = Scripted(ProviderInfo::new("cerebras", "Cerebras", ""), Err(busy));
/// # let text = "Rayleigh scattering.";
/// # let replicate = Scripted(ProviderInfo::new("replicate", "Replicate", ""), Ok(text));
/// use inferstream_compose::Fallback;
/// use inferstream_core::{ChatRequest, Provider, RetryPolicy};
///
/// # let answer = async {
/// let provider = Fallback::new(cerebras).or_with_model(replicate, "openai/gpt-oss-120b");
/// let request = ChatRequest::new("gpt-oss-120b")
///     .user("Why is the sky blue?")
///     .retry(RetryPolicy::never());
/// let response = provider.chat(request).await?;
/// assert_eq!(response.model.as_deref(), Some("openai/gpt-oss-120b"));
/// assert_eq!(response.text(), "Rayleigh scattering.");
/// # Ok::<(), Error>(())
/// # };
/// # assert!(pin!(answer).poll(&mut Context::from_waker(Waker::noop())).is_ready());
/// ```
#[derive(Clone, Debug)]
pub struct Fallback {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    first: Candidate,
    others: Vec<Candidate>,
    moves_on: Arc<dyn Fn(&Error) -> bool + Send + Sync>,
    timer: Option<Arc<dyn Timer>>,
}

impl Fallback {
    /// Creates a fallback with the provider that is tried first. Add others with [`or`](Self::or).
    pub fn new(first: impl Provider) -> Self {
        Self::of(Candidate::new(Arc::new(first), Naming::AsAsked))
    }

    /// Creates a fallback with the provider that is tried first, always for this model.
    pub fn new_with_model(first: impl Provider, model: impl Into<String>) -> Self {
        Self::of(Candidate::new(
            Arc::new(first),
            Naming::Always(model.into()),
        ))
    }

    /// Creates a fallback from providers in order, as by [`new`](Self::new) and [`or`](Self::or).
    ///
    /// # Errors
    ///
    /// `Config` if there is no provider.
    pub fn from_providers<P: Provider>(providers: impl IntoIterator<Item = P>) -> Result<Self> {
        let mut providers = providers.into_iter();
        match providers.next() {
            None => Err(Error::config(
                "missing provider: expected at least one in a fallback",
            )),
            Some(first) => Ok(providers.fold(Self::new(first), Self::or)),
        }
    }

    /// Adds a provider that is tried if those before it failed, for the request's model if it knows
    /// that, or else for its default model: see [Models](Self#models).
    #[must_use]
    pub fn or(self, provider: impl Provider) -> Self {
        self.and_then(Candidate::new(Arc::new(provider), Naming::IfKnown))
    }

    /// Adds a provider that is tried if those before it failed, always for this model.
    #[must_use]
    pub fn or_with_model(self, provider: impl Provider, model: impl Into<String>) -> Self {
        let naming = Naming::Always(model.into());
        self.and_then(Candidate::new(Arc::new(provider), naming))
    }

    /// Sets which errors move on to the next provider: see [What moves on](Self#what-moves-on).
    ///
    /// ```
    /// # use inferstream_compose::Fallback;
    /// # use inferstream_core::ErrorKind;
    /// # fn more(fallback: Fallback) -> Fallback {
    /// // The next one has a larger context.
    /// fallback.when(|error| {
    ///     error.kind() == ErrorKind::ContextLength || Fallback::moves_on(error)
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn when(mut self, moves_on: impl Fn(&Error) -> bool + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.shared).moves_on = Arc::new(moves_on);
        self
    }

    /// Sets the clock for a request's `total` timeout; a [`Transport`](inferstream_core::Transport) is
    /// one.
    #[must_use]
    pub fn timer(mut self, timer: impl Timer) -> Self {
        Arc::make_mut(&mut self.shared).timer = Some(Arc::new(timer));
        self
    }

    /// Returns true for errors that another service may not have, which move on by default.
    pub fn moves_on(error: &Error) -> bool {
        match error.kind() {
            ErrorKind::Auth
            | ErrorKind::Challenge
            | ErrorKind::Connect
            | ErrorKind::Disconnected
            | ErrorKind::Dns
            | ErrorKind::ModelNotSupported
            | ErrorKind::NotFound
            | ErrorKind::Overloaded
            | ErrorKind::Permission
            | ErrorKind::Protocol
            | ErrorKind::Provider
            | ErrorKind::Proxy
            | ErrorKind::Quota
            | ErrorKind::RateLimited
            | ErrorKind::Redirect
            | ErrorKind::Server
            | ErrorKind::Tls
            | ErrorKind::TooLarge
            | ErrorKind::Truncated
            | ErrorKind::Unsupported
            | ErrorKind::UntrustedHost => true,
            ErrorKind::Timeout(phase) => phase != Phase::Total,
            // `Canceled`, `Config`, `ContentFilter`, `ContextLength`, `InvalidRequest`, and unknown
            // kinds: another request may cost money, so it needs a reason.
            _ => false,
        }
    }

    fn of(first: Candidate) -> Self {
        let shared = Shared {
            first,
            others: Vec::new(),
            moves_on: Arc::new(Self::moves_on),
            timer: None,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    fn and_then(mut self, candidate: Candidate) -> Self {
        Arc::make_mut(&mut self.shared).others.push(candidate);
        self
    }
}

/// Whether there is another provider to try.
#[derive(Clone, Copy)]
enum Rank {
    Last,
    NotLast,
}

impl Shared {
    /// Tries one provider after another, and returns the first response with the failures before it.
    async fn ask<T>(
        &self,
        mut request: ChatRequest,
        ask: impl Fn(&dyn Provider, ChatRequest, Rank) -> BoxFuture<'static, Result<T>> + Send,
    ) -> Result<(T, Failures)> {
        let deadline = Deadline::begin(self.timer.as_ref(), &request);
        let mut candidate = &self.first;
        let mut failures = Failures::none(candidate.id());
        let mut others = self.others.iter();
        loop {
            let next = others.next();
            let (own, rank) = match next {
                None => (std::mem::take(&mut request), Rank::Last),
                Some(_) => (request.clone(), Rank::NotLast),
            };
            let mut own = candidate.request(&self.first, own);
            deadline.apply(&mut own);
            let error = match ask(&*candidate.provider, own, rank).await {
                Ok(answer) => return Ok((answer, failures)),
                Err(error) => error,
            };
            let Some(next) = next.filter(|_| self.leaves(&error) && deadline.over().is_none())
            else {
                return Err(failures.explain(error));
            };
            failures.add(error, next.id(), &next.told(&self.first, &request));
            // Meant for the first provider; they may contain what only that may see.
            request.headers.clear();
            candidate = next;
        }
    }

    /// Returns true if the next provider may be tried after this error.
    fn leaves(&self, error: &Error) -> bool {
        // `chat` may fail after content, which is in `partial`.
        let has_content = |partial: &ChatResponse| !partial.choices.is_empty();
        !error.partial().is_some_and(has_content) && (self.moves_on)(error)
    }
}

impl Provider for Fallback {
    fn info(&self) -> &ProviderInfo {
        self.shared.first.provider.info()
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        let Shared { first, others, .. } = &*self.shared;
        let own = |candidate: &Candidate| candidate.capabilities(first, model);
        others.iter().map(own).fold(own(first), candidate::both)
    }

    /// Checks the request with one provider after another, until one accepts it.
    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        let Shared { first, others, .. } = &*self.shared;
        let mut checked = first.provider.check(&first.request(first, request.clone()));
        let mut failures = Failures::none(first.id());
        for next in others {
            match checked {
                Err(error) if self.shared.leaves(&error) => {
                    failures.add(error, next.id(), "");
                    let mut own = next.request(first, request.clone());
                    own.headers.clear();
                    checked = next.provider.check(&own);
                }
                _ => break,
            }
        }
        checked.map_err(|error| failures.explain(error))
    }

    /// Tries one provider after another, and waits for the first content of a response, or for the
    /// headers from the last provider.
    ///
    /// # Errors
    ///
    /// The first error that does not move on, or the last one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the request in flight.
    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let shared = Arc::clone(&self.shared);
        in_current_span(async move {
            let ask = |provider: &dyn Provider, request, rank| {
                let stream = provider.stream(request);
                let answer: BoxFuture<'static, _> = match rank {
                    Rank::Last => Box::pin(async { stream.await.map(Answer::new) }),
                    Rank::NotLast => Box::pin(async { Answer::begun(stream.await?).await }),
                };
                answer
            };
            let (answer, failures) = shared.ask(request, ask).await?;
            Ok(answer.after(failures))
        })
    }

    /// Tries one provider after another for a complete response.
    ///
    /// # Errors
    ///
    /// The first error that does not move on, or the last one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the request in flight.
    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let shared = Arc::clone(&self.shared);
        in_current_span(async move {
            let ask = |provider: &dyn Provider, request, _| provider.chat(request);
            let (mut answer, failures) = shared.ask(request, ask).await?;
            answer.meta.warnings.extend(failures.warnings);
            Ok(answer)
        })
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        self.shared.first.provider.models()
    }

    fn known_models(&self) -> Vec<Model> {
        self.shared.first.provider.known_models()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, others, .. } = self;
        let candidates = std::iter::once(first).chain(others);
        f.debug_list().entries(candidates).finish()
    }
}
