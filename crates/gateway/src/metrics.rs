//! The gateway's metrics, in the text format of `OpenMetrics`.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// The content type of the metrics.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The model of requests whose model is neither an alias nor known: names of clients would make
/// the number of series unlimited.
pub(crate) const OTHER: &str = "other";

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Requests {
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) status: u16,
    pub(crate) end: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Tokens {
    pub(crate) provider: String,
    pub(crate) kind: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct Failures {
    pub(crate) provider: String,
    pub(crate) kind: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(crate) struct ByProvider {
    pub(crate) provider: String,
}

/// Everything that is counted. No label has a key or a text of a request.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Family<Requests, Counter>,
    pub(crate) tokens: Family<Tokens, Counter>,
    pub(crate) failures: Family<Failures, Counter>,
    pub(crate) first_event: Family<ByProvider, Histogram>,
    pub(crate) between_frames: Family<ByProvider, Histogram>,
    pub(crate) in_flight: Gauge,
    pub(crate) limited: Counter,
    pub(crate) limit_wait: Histogram,
    pub(crate) duration: Family<ByProvider, Histogram>,
    pub(crate) replays: Counter,
    pub(crate) kept_failures: Counter,
    pub(crate) config_ok: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("inferstream");
        let this = Self {
            requests: Family::default(),
            tokens: Family::default(),
            failures: Family::default(),
            first_event: Family::new_with_constructor(seconds),
            between_frames: Family::new_with_constructor(short),
            in_flight: Gauge::default(),
            limited: Counter::default(),
            limit_wait: seconds(),
            duration: Family::new_with_constructor(seconds),
            replays: Counter::default(),
            kept_failures: Counter::default(),
            config_ok: Gauge::default(),
            registry: Registry::default(),
        };
        this.config_ok.set(1);
        registry.register(
            "requests",
            "Requests by provider, model, status and how the response ended",
            this.requests.clone(),
        );
        registry.register(
            "tokens",
            "Tokens that services reported",
            this.tokens.clone(),
        );
        registry.register(
            "failed_responses",
            "Responses that began and did not become complete, by the kind of error",
            this.failures.clone(),
        );
        registry.register(
            "time_to_first_event_seconds",
            "Time from a request to the first event of its stream",
            this.first_event.clone(),
        );
        registry.register(
            "time_between_frames_seconds",
            "Time between two frames of a stream",
            this.between_frames.clone(),
        );
        registry.register(
            "responses_in_flight",
            "Responses in flight",
            this.in_flight.clone(),
        );
        registry.register(
            "limited_requests",
            "Requests that a limit of their key refused",
            this.limited.clone(),
        );
        registry.register(
            "config_ok",
            "Whether the configuration was valid when it was last read",
            this.config_ok.clone(),
        );
        this.register_times_and_kept(&mut registry);
        Self { registry, ..this }
    }

    fn register_times_and_kept(&self, registry: &mut Registry) {
        registry.register(
            "request_duration_seconds",
            "Time from a request to the end of its response",
            self.duration.clone(),
        );
        registry.register(
            "limit_wait_seconds",
            "Time that requests waited for a limit of their key",
            self.limit_wait.clone(),
        );
        registry.register(
            "replays",
            "Requests that got the response of an earlier request with the same `Idempotency-Key`",
            self.replays.clone(),
        );
        registry.register(
            "kept_responses_file_failures",
            "Failures to write the file of kept responses",
            self.kept_failures.clone(),
        );
    }

    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// A histogram of the time of requests.
fn seconds() -> Histogram {
    Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

/// A histogram of the time between frames.
fn short() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0])
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
