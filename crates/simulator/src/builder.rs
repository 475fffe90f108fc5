//! The builder of a simulator.

use std::{fmt, io, sync::Arc, time::Duration};

use crate::{
    answer::Answer,
    fault::Fault,
    playground::{Playground, PlaygroundProtocol},
    replicate::Resume,
    script::{self, Script},
    server::Simulator,
    session::{CerebrasSession, Session},
    shared::{Settings, Shared},
    tls::Identity,
};

/// A builder for a [`Simulator`].
#[derive(Clone, Default)]
#[must_use = "a simulator does nothing unless started"]
pub struct SimulatorBuilder {
    tls: bool,
    port: u16,
    seed: u64,
    tokens_per_second: Option<f64>,
    api_key: Option<String>,
    boot: Duration,
    resume: Resume,
    account_id: Option<String>,
    playground: PlaygroundProtocol,
    challenge: bool,
    sessions: Vec<CerebrasSession>,
    faults: Vec<Fault>,
    every_fault: Option<Fault>,
    answers: Vec<Answer>,
}

impl Simulator {
    /// Returns a builder with default settings.
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder::default()
    }
}

impl SimulatorBuilder {
    /// Sets whether to use TLS, with a temporary certificate for `localhost`, `127.0.0.1` and
    /// `::1`.
    ///
    /// ALPN offers `h2` and `http/1.1`. The default is plain HTTP.
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Sets the port on `127.0.0.1`; 0, the default, selects a free one.
    ///
    /// The streams of predictions use a second port, always a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the seed of generated responses: the same seed and request result in the same bytes.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the number of tokens per second; by default, tokens are sent without delay.
    pub fn tokens_per_second(mut self, tokens_per_second: f64) -> Self {
        self.tokens_per_second = Some(tokens_per_second);
        self
    }

    /// Sets the only accepted key; others get status 401. By default, any key is accepted.
    pub fn api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = Some(api_key.into());
        self
    }

    /// Sets how long each prediction is `starting`, and each response of an agent pending; the
    /// default is zero.
    pub fn boot(mut self, boot: Duration) -> Self {
        self.boot = boot;
        self
    }

    /// Sets how a stream responds to the header `Last-Event-ID`.
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }

    /// Sets the only Cloudflare account that exists; by default, any well-formed id is accepted.
    pub fn account_id(mut self, account_id: impl Into<String>) -> Self {
        self.account_id = Some(account_id.into());
        self
    }

    /// Sets the protocol of the playground's responses.
    pub fn playground(mut self, protocol: PlaygroundProtocol) -> Self {
        self.playground = protocol;
        self
    }

    /// Sets whether the playground's API, including its agents, refuses requests without the
    /// cookies that its page sets.
    ///
    /// The default is false. The page itself always requires the challenge.
    pub fn challenge(mut self, challenge: bool) -> Self {
        self.challenge = challenge;
        self
    }

    /// Adds a response of the Cerebras session endpoint to the queue: each request to it with
    /// cookies takes the next.
    ///
    /// When the queue is empty, the response is [`CerebrasSession::SignedIn`]. The chat accepts the
    /// keys that the endpoint issues in addition to [`api_key`](Self::api_key).
    pub fn cerebras_session(mut self, session: CerebrasSession) -> Self {
        self.sessions.push(session);
        self
    }

    /// Adds a fault to the queue.
    ///
    /// Each chat request, each inference of the playground, each response of its agents, and each
    /// request to create a prediction takes the next one, unless the request is refused. When the
    /// queue is empty, responses have no faults.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Sets the fault of every request after the queue is empty.
    pub fn every_fault(mut self, fault: Fault) -> Self {
        self.every_fault = Some(fault);
        self
    }

    /// Adds an answer to the queue.
    ///
    /// Each successful chat request, inference, response of an agent and prediction takes the next
    /// one.
    ///
    /// A fault that replaces the response, such as a status, leaves the answer in the queue. A
    /// fault within a response is applied to [`Answer::text`], and stays in the queue while the
    /// next answer is a [raw](Answer::raw) one. A raw answer is sent for a connection request to an
    /// agent without a conversation; an agent with a conversation leaves it in the queue.
    pub fn answer(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// Starts the server on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if the port is in use, or `InvalidInput` if a setting is invalid: a rate
    /// that is not positive, or a status or header that cannot be sent.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with I/O and time enabled.
    pub async fn start(self) -> io::Result<Simulator> {
        let settings = Settings {
            seed: self.seed,
            pace: self.tokens_per_second.map(script::pace).transpose()?,
            api_key: self.api_key,
            boot: self.boot,
            account_id: self.account_id,
        };
        let script = Script::new(self.faults, self.every_fault, self.answers)?;
        let identity = self.tls.then(Identity::generate).transpose()?;
        let shared = Arc::new(Shared::new(settings, script));
        let playground = Playground::new(shared.clone(), self.playground, self.challenge, self.tls);
        let session = Session::new(shared.clone(), self.tls, self.sessions);
        Simulator::listen(
            self.port,
            shared,
            playground,
            self.resume,
            session,
            identity,
        )
        .await
    }
}

impl fmt::Debug for SimulatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorBuilder")
            .field("tls", &self.tls)
            .field("port", &self.port)
            .field("seed", &self.seed)
            .field("tokens_per_second", &self.tokens_per_second)
            .field("boot", &self.boot)
            .field("resume", &self.resume)
            .field("account_id", &self.account_id)
            .field("playground", &self.playground)
            .field("challenge", &self.challenge)
            .field("sessions", &self.sessions)
            .field("faults", &self.faults)
            .field("every_fault", &self.every_fault)
            .field("answers", &self.answers.len())
            .finish_non_exhaustive()
    }
}
