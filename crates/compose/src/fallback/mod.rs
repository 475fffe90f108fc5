//! Several providers as one: where one fails before it has said anything, the next is asked.

mod answer;
mod candidate;
mod chain;

use std::{fmt, sync::Arc};

use self::{
    answer::{Answer, Failures},
    candidate::{Candidate, Naming},
};
use inferstream_core::{
    BoxFuture, Capabilities, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind, Model, Phase,
    Provider, ProviderInfo, Result, Transport, Unsupported,
    provider::{Total, in_current_span},
};

/// Providers that are asked one after the other, until one begins to answer.
///
/// The next is asked only where the error came before the first event of the answer's content: once
/// there was text, reasoning, a tool call, likelihoods or a finish, an error is the caller's.
/// `Raw`, `Usage` and `Timing` are no content.
/// So `stream` waits for the first event of content and not only for the answer's head, and gives
/// the events before it then; the last provider, which none comes after, is waited for as it is by
/// itself.
/// An answer that begins with a thousand events, or a megabyte of `Raw`, without content counts as
/// begun.
///
/// # What moves on
///
/// An error moves on that another service need not have. [`when`](Self::when) sets another rule,
/// which cannot move on after content.
///
/// | kind | moves on | why |
/// | --- | --- | --- |
/// | `Connect`, `Disconnected`, `Dns`, `Proxy`, `Redirect`, `Tls`, `UntrustedHost` | yes | the way to this service is broken |
/// | `Timeout` of any phase but `total` | yes | this service is too slow |
/// | `Timeout(Total)` | no | the caller's time is up, be it the request's or the provider's setting |
/// | `Overloaded`, `Server` | yes | this service fails |
/// | `RateLimited`, `Quota` | yes | this account has had its share |
/// | `Auth`, `Permission`, `Challenge` | yes | this key or this door does not open; the warning tells |
/// | `NotFound`, `ModelNotSupported`, `Unsupported` | yes | this service lacks the model, or what the request needs |
/// | `Protocol`, `Provider`, `TooLarge`, `Truncated` | yes | this service's answer is broken, and had not begun |
/// | `InvalidRequest`, `Config` | no | the request or the program is wrong, and would be elsewhere |
/// | `ContextLength` | no | the request is too long; who has a provider with more room says so by `when` |
/// | `ContentFilter` | no | a refusal is an answer; another service is not to be tried for a milder one |
/// | `Canceled` | no | somebody wanted it to end |
///
/// A provider that failed after the request was out, such as by a timeout, may have worked on it, and
/// bill it, though its answer is not seen.
///
/// Each provider repeats requests by its own policy before its error comes here. Where the next is
/// to be asked at once, the request says so: [`RetryPolicy::never`](inferstream_core::RetryPolicy::never).
///
/// # Models
///
/// A model's name rarely means the same at two services. A request's model is in the names of the
/// first provider, and goes to it as it is; so do [`info`](Provider::info),
/// [`models`](Provider::models) and [`known_models`](Provider::known_models), which are the first's.
/// A provider of [`or`](Self::or) is asked for the request's model if it is the same service
/// (`info().id`), if the model is among those that it knows (aliases included), or if it has no
/// default model; else for its default model.
/// A provider of [`or_with_model`](Self::or_with_model) is asked for that model, whatever the
/// request names. [`ChatResponse::model`] tells who answered, and the warning what was asked for.
///
/// `capabilities` are those that all of the providers have, each with the model it would be asked
/// for, so that what they promise is true of whoever answers.
///
/// # What is told
///
/// Each provider that failed is a warning in [`Meta::warnings`](inferstream_core::Meta::warnings) of the answer
/// in the end.
/// Where all fail, the error is the last one, with its provider's `id` before the message; `source`
/// leads to the earlier ones, from the last but one to the first, each an [`Error`]. What is below
/// an error that is not the first is one line of text there.
///
/// # Headers
///
/// [`ChatRequest::headers`] may hold what only one service may see, and so they go to the first
/// provider alone. The rest of the request goes to all: `extra` too.
///
/// # Time
///
/// A provider has no clock, and so each one has the request's [`Timeouts`](inferstream_core::Timeouts) anew,
/// [`total`](inferstream_core::Timeouts::total) included. With a [`transport`](Self::transport) to tell the
/// time, a `total` that the request brings along holds for all of them together.
///
/// A [`ConcurrencyLimit`](crate::ConcurrencyLimit) among them that has no place waits for one: that
/// is no failure, and asks nobody else.
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
    transport: Option<Arc<dyn Transport>>,
}

impl Fallback {
    /// Begins with the provider that is asked first. By itself it is as if it stood alone.
    pub fn new(first: impl Provider) -> Self {
        Self::of(Candidate::new(Arc::new(first), Naming::AsAsked))
    }

    /// Begins with the provider that is asked first, and the model that it is asked for, whatever
    /// the request names.
    pub fn new_with_model(first: impl Provider, model: impl Into<String>) -> Self {
        Self::of(Candidate::new(
            Arc::new(first),
            Naming::Always(model.into()),
        ))
    }

    /// Asks one provider after the other, as by [`new`](Self::new) and [`or`](Self::or).
    ///
    /// # Errors
    ///
    /// `Config` if there is none.
    pub fn from_providers<P: Provider>(providers: impl IntoIterator<Item = P>) -> Result<Self> {
        let mut providers = providers.into_iter();
        match providers.next() {
            None => Err(Error::config("a fallback has no provider to begin with")),
            Some(first) => Ok(providers.fold(Self::new(first), Self::or)),
        }
    }

    /// Adds a provider that is asked where those before it failed, for the request's model if it
    /// knows that, else for its default model: see [Models](Self#models).
    #[must_use]
    pub fn or(self, provider: impl Provider) -> Self {
        self.and_then(Candidate::new(Arc::new(provider), Naming::IfKnown))
    }

    /// Adds a provider that is asked where those before it failed, for this model whatever the
    /// request names.
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
    /// // The next one has more room.
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

    /// Sets the clock that a request's whole time is counted by; nothing is sent through it.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        Arc::make_mut(&mut self.shared).transport = Some(Arc::new(transport));
        self
    }

    /// Returns true for an error that another service need not have, which moves on by default.
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
            // `Canceled`, `Config`, `ContentFilter`, `ContextLength`, `InvalidRequest`, and a kind of
            // a newer core: another request may cost money, so it needs a reason.
            _ => false,
        }
    }

    fn of(first: Candidate) -> Self {
        let shared = Shared {
            first,
            others: Vec::new(),
            moves_on: Arc::new(Self::moves_on),
            transport: None,
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

/// Whether somebody is there to be asked where one fails.
#[derive(Clone, Copy)]
enum Rank {
    Last,
    NotLast,
}

impl Shared {
    /// Asks one after the other, and returns the first answer with what failed before it.
    async fn ask<T>(
        &self,
        mut request: ChatRequest,
        ask: impl Fn(&dyn Provider, ChatRequest, Rank) -> BoxFuture<'static, Result<T>> + Send,
    ) -> Result<(T, Failures)> {
        let total = Total::begin(self.transport.as_ref(), &request);
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
            total.apply(&mut own);
            let error = match ask(&*candidate.provider, own, rank).await {
                Ok(answer) => return Ok((answer, failures)),
                Err(error) => error,
            };
            let Some(next) = next.filter(|_| self.leaves(&error) && total.over().is_none()) else {
                return Err(failures.explain(error));
            };
            failures.add(error, next.id(), &next.told(&self.first, &request));
            // They were meant for the first one, and may hold what only that may see.
            request.headers.clear();
            candidate = next;
        }
    }

    /// Returns true if an error is one to move on after.
    fn leaves(&self, error: &Error) -> bool {
        // `chat` may have seen content that nobody else has.
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

    /// Checks the request with one provider after the other, until one takes it.
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

    /// Asks one provider after the other and waits for the first content of an answer, or for the
    /// head of the last one's.
    ///
    /// # Errors
    ///
    /// The first one that does not move on, or the last one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the request that is under way.
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

    /// Asks one provider after the other for a whole answer.
    ///
    /// # Errors
    ///
    /// The first one that does not move on, or the last one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the request that is under way.
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
