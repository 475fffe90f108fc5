//! What is known of each request: one record for the log, and the metrics.

use std::{
    fmt,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use inferstream::{ChatEvent, ChatResponse, Error, Usage};
use prometheus_client::metrics::histogram::Histogram;
use serde::Serialize;

use crate::{
    metrics::{ByProvider, Failures, Metrics, OTHER, Requests, Tokens},
    refusal::Refusal,
    trace::{Parent, Span},
};

/// One request and how it ended. It contains no prompt, no response and no key.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// The end of the request, in seconds since 1970.
    pub time: f64,
    /// The id of the request, which the header `x-request-id` of the response has, too.
    pub request_id: String,
    /// The id of the client's trace, from a valid header `traceparent`.
    pub trace_id: Option<String>,
    /// The id of the client's span, from the same header.
    pub parent_span_id: Option<String>,
    /// The name of the client's key.
    pub key: Option<String>,
    /// The requested name, if it is an alias or a model of a provider.
    pub model: Option<String>,
    /// The provider, or `fallback` for an alias of several.
    pub provider: Option<String>,
    /// The model that responded, in the provider's words.
    pub answered_by: Option<String>,
    /// Whether the response is a stream.
    pub stream: bool,
    /// Whether the response is that of an earlier request with the same `Idempotency-Key`. It has no
    /// tokens then, because nothing was sent to a provider.
    pub replayed: bool,
    /// The HTTP status; 0 if the client left before the headers.
    pub status: u16,
    /// How the response ended.
    pub end: Option<Ending>,
    /// The code of the error that ended it.
    pub code: Option<String>,
    /// Tokens of the prompt, as the service reported them.
    pub input_tokens: Option<u64>,
    /// Tokens of the response, as the service reported them.
    pub output_tokens: Option<u64>,
    /// Seconds from the request to the first event.
    pub first_event_seconds: Option<f64>,
    /// Seconds from the request to the end.
    pub seconds: f64,
    /// The provider's id of the request.
    pub upstream_request_id: Option<String>,
}

/// How a response ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// The client left before the end.
    Canceled,
    /// The response is complete.
    Complete,
    /// The stream began and ended with an error: it was truncated, for example.
    Failed,
    /// An error was returned in place of a response.
    Refused,
}

impl Ending {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Canceled => "canceled",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// A function that receives the record of each request.
pub(crate) type OnRecord = Arc<dyn Fn(&Record) + Send + Sync>;

/// The metrics and the log.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) on_record: Option<OnRecord>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

/// A request in progress. Dropping it before its end means that the client has left.
pub(crate) struct Track {
    observer: Observer,
    begin: Instant,
    last_frame: Option<Instant>,
    record: Record,
    /// The model for metrics.
    label: String,
    usage: Option<Usage>,
    between_frames: Option<Histogram>,
    span: Span,
}

impl Track {
    pub(crate) fn begin(observer: &Observer, request_id: String, parent: Option<Parent>) -> Self {
        observer.metrics.in_flight.inc();
        let span = Span::begin(&request_id, parent.as_ref());
        let (trace_id, parent_span_id) = parent
            .map(|parent| (parent.trace_id, parent.span_id))
            .unzip();
        Self {
            observer: observer.clone(),
            begin: Instant::now(),
            last_frame: None,
            span,
            record: Record {
                request_id,
                trace_id,
                parent_span_id,
                ..Record::default()
            },
            label: OTHER.to_owned(),
            usage: None,
            between_frames: None,
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.record.request_id
    }

    /// Returns the span of the request.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn key(&mut self, name: &str) {
        self.record.key = Some(name.to_owned());
    }

    /// Sets the provider, and the requested model if it is a known name.
    pub(crate) fn route(&mut self, provider: &str, model: Option<&str>, stream: bool) {
        self.record.provider = Some(provider.to_owned());
        self.record.model = model.map(str::to_owned);
        self.record.stream = stream;
        model.unwrap_or(OTHER).clone_into(&mut self.label);
    }

    pub(crate) fn event(&mut self, event: &ChatEvent) {
        if let ChatEvent::Usage { usage, .. } = event {
            self.usage = Some(*usage);
        }
        if self.record.first_event_seconds.is_none() {
            let seconds = self.begin.elapsed().as_secs_f64();
            self.record.first_event_seconds = Some(seconds);
            let first = &self.observer.metrics.first_event;
            first.get_or_create(&self.by_provider()).observe(seconds);
        }
    }

    pub(crate) fn frame(&mut self) {
        let now = Instant::now();
        if let Some(last) = self.last_frame.replace(now) {
            if self.between_frames.is_none() {
                let family = &self.observer.metrics.between_frames;
                let histogram = family.get_or_create(&self.by_provider()).clone();
                self.between_frames = Some(histogram);
            }
            let seconds = now.duration_since(last).as_secs_f64();
            if let Some(histogram) = &self.between_frames {
                histogram.observe(seconds);
            }
        }
    }

    /// Returns the tokens of the request, if the service reported them.
    pub(crate) fn tokens(&self) -> Option<u64> {
        let usage = self.usage?;
        let sum = || Some(usage.input_tokens?.saturating_add(usage.output_tokens?));
        usage.total_tokens.or_else(sum)
    }

    pub(crate) fn upstream_error(&mut self, error: &Error) {
        let id = error.request_id().map(str::to_owned);
        self.record.upstream_request_id = id.or(self.record.upstream_request_id.take());
    }

    pub(crate) fn complete(&mut self, response: Option<&ChatResponse>) {
        self.end(Ending::Complete, 200, None, response);
    }

    /// The response is that of an earlier request.
    pub(crate) fn replayed(&mut self, model: Option<&str>) {
        self.observer.metrics.replays.inc();
        self.record.replayed = true;
        self.record.answered_by = model.map(str::to_owned);
        self.end(Ending::Complete, 200, None, None);
    }

    pub(crate) fn canceled(&mut self, response: Option<&ChatResponse>) {
        self.end(Ending::Canceled, 200, None, response);
    }

    /// A stream whose headers were sent ends with an error.
    pub(crate) fn failed(&mut self, refusal: &Refusal, response: Option<&ChatResponse>) {
        let failures = Failures {
            provider: self.by_provider().provider,
            kind: refusal.code_label().to_owned(),
        };
        let family = &self.observer.metrics.failures;
        family.get_or_create(&failures).inc();
        self.end(Ending::Failed, 200, Some(refusal), response);
    }

    /// An error is returned in place of a response.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        let status = refusal.error.status.as_u16();
        self.end(Ending::Refused, status, Some(refusal), None);
    }

    fn end(
        &mut self,
        ending: Ending,
        status: u16,
        refusal: Option<&Refusal>,
        response: Option<&ChatResponse>,
    ) {
        if self.record.end.is_some() {
            return;
        }
        self.record.end = Some(ending);
        self.record.status = status;
        self.record.code = refusal.map(|refusal| refusal.error.code.clone().into_owned());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.record.time = now.map_or(0.0, |now| now.as_secs_f64());
        self.record.seconds = self.begin.elapsed().as_secs_f64();
        if let Some(response) = response {
            self.usage = response.usage.or(self.usage);
            self.record.answered_by.clone_from(&response.model);
            let id = response.meta.request_id().map(str::to_owned);
            self.record.upstream_request_id = id.or(self.record.upstream_request_id.take());
        }
        self.record.input_tokens = self.usage.and_then(|usage| usage.input_tokens);
        self.record.output_tokens = self.usage.and_then(|usage| usage.output_tokens);
        self.count(ending, status);
        self.span.end(&self.record, refusal);
        if let Some(on_record) = &self.observer.on_record {
            on_record(&self.record);
        }
    }

    fn count(&self, ending: Ending, status: u16) {
        let metrics = &self.observer.metrics;
        let by_provider = self.by_provider();
        let seconds = self.record.seconds;
        metrics
            .duration
            .get_or_create(&by_provider)
            .observe(seconds);
        let provider = by_provider.provider;
        let kinds = [
            ("input", self.record.input_tokens),
            ("output", self.record.output_tokens),
        ];
        for (kind, tokens) in kinds {
            if let Some(tokens) = tokens {
                let provider = provider.clone();
                let labels = Tokens { provider, kind };
                metrics.tokens.get_or_create(&labels).inc_by(tokens);
            }
        }
        let labels = Requests {
            provider,
            model: self.label.clone(),
            status,
            end: ending.as_str(),
        };
        metrics.requests.get_or_create(&labels).inc();
        metrics.in_flight.dec();
    }

    fn by_provider(&self) -> ByProvider {
        let provider = self.record.provider.clone().unwrap_or_default();
        ByProvider { provider }
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        self.end(Ending::Canceled, 0, None, None);
    }
}
