//! Predictions over real sockets, against the simulator, which counts the requests.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

mod cancel;
mod connections;
mod environment;
mod resume;
mod states;

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use inferstream_replicate::{
    Body, BoxFuture, HttpTransport, Replicate, ReplicateBuilder, Result, Timer, Transport,
};
use inferstream_simulator::{Counts, Simulator, SimulatorBuilder};

/// A simulated service and its client.
struct Service {
    simulator: Simulator,
    replicate: Replicate,
}

impl Service {
    async fn start(simulator: SimulatorBuilder) -> Self {
        Self::with(simulator, |builder| builder).await
    }

    async fn with(
        simulator: SimulatorBuilder,
        settings: impl FnOnce(ReplicateBuilder) -> ReplicateBuilder,
    ) -> Self {
        let simulator = simulator.start().await.unwrap();
        let replicate = settings(client(&simulator)).build().unwrap();
        Self {
            simulator,
            replicate,
        }
    }

    /// Returns how many predictions were created, streams opened, predictions read, and predictions
    /// canceled.
    fn counts(&self) -> [usize; 4] {
        let Counts {
            creates,
            streams,
            gets,
            cancels,
            ..
        } = self.simulator.counts();
        [creates, streams, gets, cancels]
    }

    /// Waits until this many predictions were canceled, because background work has no other
    /// signal.
    async fn canceled(&self, cancels: usize) {
        let begin = Instant::now();
        while self.simulator.counts().cancels < cancels {
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "none is canceled"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(self.simulator.counts().cancels, cancels);
    }
}

/// Creates a builder for a client of the simulator.
fn client(simulator: &Simulator) -> ReplicateBuilder {
    // Loading the system's certificates takes longer than most tests.
    static PLAIN: LazyLock<HttpTransport> =
        LazyLock::new(|| HttpTransport::builder().no_proxy().build().unwrap());
    let (scheme, transport) = match simulator.certificate_pem() {
        None => ("http", PLAIN.clone()),
        Some(pem) => {
            let transport = HttpTransport::builder().no_proxy().certificate_pem(pem);
            ("https", transport.build().unwrap())
        }
    };
    Replicate::builder()
        .api_key("r8_test")
        .base_url(simulator.replicate_url())
        .stream_origin(format!("{scheme}://{}", simulator.stream_authority()))
        .transport(Hasty(transport))
}

/// A transport that shortens short waits, such as the delay before a reconnection.
#[derive(Debug)]
struct Hasty(HttpTransport);

impl Transport for Hasty {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'static, Result<http::Response<Body>>> {
        self.0.send(request)
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.0.detach(task);
    }
}

impl Timer for Hasty {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let is_short = duration <= Duration::from_secs(1);
        self.0
            .sleep(if is_short { duration / 100 } else { duration })
    }

    fn system_time(&self) -> SystemTime {
        self.0.system_time()
    }
}
