//! A simulator in the test's process, for programs that are killed.

use std::ops::Deref;

use inferstream_simulator::Simulator;
use tokio::runtime::{Builder, Runtime};

/// A simulator, and the runtime that it runs on.
pub(crate) struct Service {
    simulator: Simulator,
    _runtime: Runtime,
}

impl Service {
    /// Starts a simulator with this many tokens per second; 0 is unlimited.
    pub(crate) fn start(tokens_per_second: f64) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut builder = Simulator::builder();
        if 0.0 < tokens_per_second {
            builder = builder.tokens_per_second(tokens_per_second);
        }
        let simulator = runtime.block_on(builder.start()).unwrap();
        Self {
            simulator,
            _runtime: runtime,
        }
    }
}

impl Deref for Service {
    type Target = Simulator;

    fn deref(&self) -> &Simulator {
        &self.simulator
    }
}
