//! The span of a request, by the OpenTelemetry conventions for HTTP servers.

use std::future::Future;

use tracing::{Instrument as _, field::Empty, info_span};

use super::Parent;
use crate::{record::Record, refusal::Refusal};

/// The span of a request, from its headers to the end of its response.
#[derive(Clone)]
pub(crate) struct Span(tracing::Span);

impl Span {
    pub(crate) fn begin(request_id: &str, parent: Option<&Parent>) -> Self {
        Self(info_span!(
            target: "inferstream",
            "gateway.request",
            otel.name = "POST /v1/chat/completions",
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = "POST",
            http.route = "/v1/chat/completions",
            http.response.status_code = Empty,
            trace_id = parent.map(|parent| parent.trace_id.as_str()),
            parent_span_id = parent.map(|parent| parent.span_id.as_str()),
            gen_ai.provider.name = Empty,
            gen_ai.request.model = Empty,
            inferstream.request_id = request_id,
            inferstream.outcome = Empty,
            inferstream.replayed = Empty,
            "error.type" = Empty,
        ))
    }

    /// Runs a future inside the span, so that the calls of providers are its children.
    pub(crate) fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        future.instrument(self.0.clone())
    }

    /// Records the end of the request, and closes the span.
    pub(crate) fn end(&mut self, record: &Record, refusal: Option<&Refusal>) {
        let span = std::mem::replace(&mut self.0, tracing::Span::none());
        span.record("http.response.status_code", i64::from(record.status));
        // A model that is not known may be anything that the client sent.
        if let Some(model) = &record.model {
            span.record("gen_ai.request.model", model.as_str());
        }
        if let Some(provider) = &record.provider {
            span.record("gen_ai.provider.name", provider.as_str());
        }
        if let Some(end) = record.end {
            span.record("inferstream.outcome", end.as_str());
        }
        span.record("inferstream.replayed", record.replayed);
        if let Some(refusal) = refusal {
            span.record("error.type", refusal.code_label());
            if refusal.error.status.is_server_error() {
                span.record("otel.status_code", "ERROR");
            }
        }
    }
}
