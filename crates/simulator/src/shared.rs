//! The settings, script and records that the server and its services share.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{counts::Counter, record::Record, script::Script, tasks::Tasks};

/// The data that all services use; each service keeps its own state.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    script: Mutex<Script>,
    pub(crate) counter: Counter,
    pub(crate) record: Record,
    /// The turns of agents and their connections.
    pub(crate) tasks: Tasks,
}

/// The settings that do not change while the server runs.
pub(crate) struct Settings {
    pub(crate) seed: u64,
    /// The time per token; `None` sends without delay.
    pub(crate) pace: Option<Duration>,
    pub(crate) api_key: Option<String>,
    /// The time until a prediction, or an agent's response, starts.
    pub(crate) boot: Duration,
    /// The only Cloudflare account that exists; `None` accepts any well-formed id.
    pub(crate) account_id: Option<String>,
}

impl Shared {
    pub(crate) fn new(settings: Settings, script: Script) -> Self {
        Self {
            settings,
            script: Mutex::new(script),
            counter: Counter::default(),
            record: Record::default(),
            tasks: Tasks::new(),
        }
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("seed", &self.seed)
            .field("pace", &self.pace)
            .field("boot", &self.boot)
            .field("account_id", &self.account_id)
            .finish_non_exhaustive()
    }
}
