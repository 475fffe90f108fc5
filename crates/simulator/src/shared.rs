//! What services and the server share.

use std::{
    fmt,
    sync::{Mutex, atomic::AtomicU64},
    time::Duration,
};

use crate::{
    counts::Counter,
    playground::{Agents, PlaygroundProtocol, Sessions},
    record::Record,
    replicate::{Replicate, Resume},
    script::Script,
    session::Session,
    tasks::Tasks,
};

/// What all connections know.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) script: Mutex<Script>,
    pub(crate) replicate: Replicate,
    pub(crate) session: Session,
    pub(crate) sessions: Sessions,
    pub(crate) agents: Agents,
    pub(crate) counter: Counter,
    pub(crate) record: Record,
    /// The turns of agents, and the connections to them.
    pub(crate) tasks: Tasks,
    pub(crate) connections: AtomicU64,
}

/// What does not change while the server runs.
pub(crate) struct Settings {
    pub(crate) seed: u64,
    /// The time that one token takes.
    pub(crate) pace: Option<Duration>,
    pub(crate) api_key: Option<String>,
    /// The time that a prediction, or an agent's answer, takes to start.
    pub(crate) boot: Duration,
    pub(crate) resume: Resume,
    /// The only account of Cloudflare that there is.
    pub(crate) account_id: Option<String>,
    pub(crate) playground: PlaygroundProtocol,
    /// Whether the playground's API asks for cookies.
    pub(crate) challenge: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("seed", &self.seed)
            .field("pace", &self.pace)
            .field("boot", &self.boot)
            .field("resume", &self.resume)
            .field("account_id", &self.account_id)
            .field("playground", &self.playground)
            .field("challenge", &self.challenge)
            .finish_non_exhaustive()
    }
}
