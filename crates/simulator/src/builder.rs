//! Settings in, a running server out.

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

/// The settings of a [`Simulator`] that is not started yet.
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
    /// Returns the settings of a server, to be changed and started.
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder::default()
    }
}

impl SimulatorBuilder {
    /// Speaks TLS, with a throw-away certificate for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// ALPN offers `h2` and `http/1.1`. The default is plain HTTP.
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Listens on this port of `127.0.0.1`; 0, the default, is any free one.
    ///
    /// The streams of predictions have another port, which is any free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the seed of all that is made up: same seed and same request, same bytes.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sends so many tokens in a second; the default is as many as the connection takes.
    pub fn tokens_per_second(mut self, tokens_per_second: f64) -> Self {
        self.tokens_per_second = Some(tokens_per_second);
        self
    }

    /// Refuses every other key with 401; the default is to take any.
    pub fn api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = Some(api_key.into());
        self
    }

    /// Lets each prediction be `starting`, and each answer of an agent pending, for so long; the default
    /// is no time at all.
    pub fn boot(mut self, boot: Duration) -> Self {
        self.boot = boot;
        self
    }

    /// Sets what a stream does about the header `Last-Event-ID`.
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }

    /// Knows no other account of Cloudflare; the default is to know all whose id is one.
    pub fn account_id(mut self, account_id: impl Into<String>) -> Self {
        self.account_id = Some(account_id.into());
        self
    }

    /// Sets the protocol of the playground's answers.
    pub fn playground(mut self, protocol: PlaygroundProtocol) -> Self {
        self.playground = protocol;
        self
    }

    /// Refuses requests to the playground's API without the cookies that its page gives.
    ///
    /// Those for a connection to one of its agents are among them.
    /// The default is to look at none. The page itself always has the challenge.
    pub fn challenge(mut self, challenge: bool) -> Self {
        self.challenge = challenge;
        self
    }

    /// Adds an answer of the session of Cerebras' page to the queue: each request for it with cookies
    /// takes the next.
    ///
    /// When the queue is empty, somebody is signed in. The keys that the session gives are accepted
    /// beside [`api_key`](Self::api_key).
    pub fn cerebras_session(mut self, session: CerebrasSession) -> Self {
        self.sessions.push(session);
        self
    }

    /// Adds a fault to the queue: each chat request, each inference of the playground, each answer of
    /// its agents, and each request to create a prediction, takes the next unless it is refused.
    ///
    /// When the queue is empty, requests are answered whole.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Gives every request this fault, once the queue is empty.
    pub fn every_fault(mut self, fault: Fault) -> Self {
        self.every_fault = Some(fault);
        self
    }

    /// Adds an answer to the queue: each chat request and each inference that is answered, each answer
    /// of an agent, and each prediction, takes the next.
    ///
    /// A fault in the place of an answer, such as a status, leaves the answer for the next request;
    /// a fault within an answer is done to [`Answer::text`], and waits while the next answer is a
    /// [raw](Answer::raw) one. An agent without a conversation answers a request for a connection with
    /// a raw one; one that has a conversation leaves it.
    pub fn answer(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// Starts the server on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// The port is taken, or a setting makes no sense (`InvalidInput`): a rate that is not positive,
    /// a status or a header that cannot be sent.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time enabled.
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
