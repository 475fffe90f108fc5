//! The span of a call: its fields at the start, at an error and at the end.

use std::{borrow::Cow, future::Future, time::Duration};

use http::Uri;
use tracing::{Instrument, Level, Span, event, field::Empty, info_span};

use super::{Mode, RecordContent, content, follow::followed};
use crate::{
    error::{Error, ErrorKind, Result},
    json::Json,
    message::ResponseFormat,
    model::ProviderInfo,
    response::ChatResponse,
    settings::ChatRequest,
    stream::ChatStream,
    transport::BoxFuture,
};

/// One call of a provider, in a span that follows the OpenTelemetry conventions for generative AI.
///
/// Numbers are `i64` and lists are JSON text, because bridges to OpenTelemetry show other integers as
/// text and have no lists.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) span: Span,
    mode: Mode,
    content: RecordContent,
    has_outcome: bool,
}

/// A call that has begun; `None` if nothing is recorded about it.
pub(crate) struct Call(Option<Watch>);

/// How a call ended, except by an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The caller canceled the response.
    Canceled,
    /// The caller dropped the call or its stream.
    Dropped,
    /// The response is complete.
    Whole,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Canceled => "canceled",
            Self::Dropped => "dropped",
            Self::Whole => "whole",
        }
    }
}

impl Call {
    /// Begins a call: creates its span as a child of the current one.
    pub(crate) fn new(
        mode: Mode,
        info: &ProviderInfo,
        base_url: &str,
        request: &ChatRequest,
    ) -> Self {
        let span = span(mode, info, base_url, request);
        let content = request.record_content;
        if content == RecordContent::Always {
            content::record(&span, Some(&request.messages), None);
        } else if span.is_disabled() {
            return Self(None);
        }
        Self(Some(Watch {
            span,
            mode,
            content,
            has_outcome: false,
        }))
    }

    /// Opens the response in the call's span, which lasts until the response ends.
    pub(crate) fn follow(
        self,
        opening: impl Future<Output = Result<ChatStream>> + Send + 'static,
    ) -> BoxFuture<'static, Result<ChatStream>> {
        let Some(watch) = self.0 else {
            return Box::pin(opening);
        };
        Box::pin(async move {
            match opening.instrument(watch.span.clone()).await {
                Ok(stream) => Ok(followed(stream, watch)),
                Err(error) => {
                    watch.fail(&error);
                    Err(error)
                }
            }
        })
    }
}

impl Watch {
    /// Records how the call ended, and the response as far as it was received.
    pub(super) fn end(mut self, outcome: Outcome, response: &ChatResponse) {
        self.set_outcome(outcome.as_str());
        self.record_response(response);
    }

    /// Records that the call failed, and the response as far as it was received.
    pub(super) fn fail(mut self, error: &Error) {
        self.set_outcome("error");
        record_error(&self.span, error);
        if let Some(response) = error.partial() {
            self.record_response(response);
        }
    }

    fn set_outcome(&mut self, outcome: &str) {
        self.has_outcome = true;
        self.span.record("inferstream.outcome", outcome);
    }

    fn record_response(&self, response: &ChatResponse) {
        let span = &self.span;
        // The convention has this field for streams only.
        if let (Mode::Stream, Some(time)) = (self.mode, response.meta.time_to_first_event) {
            let seconds = time.as_secs_f64();
            span.record("gen_ai.response.time_to_first_chunk", seconds);
        }
        if let Some(id) = response.id.as_deref().and_then(word) {
            span.record("gen_ai.response.id", id);
        }
        if let Some(model) = response.model.as_deref().and_then(word) {
            span.record("gen_ai.response.model", model);
        }
        let choices = response.choices.iter();
        let reasons = choices.filter_map(|choice| choice.finish_reason.as_ref());
        let reasons = list(reasons.map(|reason| word(reason.as_str()).unwrap_or("unknown")));
        if let Some(reasons) = reasons {
            span.record("gen_ai.response.finish_reasons", reasons.as_str());
        }
        let usage = response.usage.unwrap_or_default();
        for (name, count) in [
            ("gen_ai.usage.input_tokens", usage.input_tokens),
            ("gen_ai.usage.output_tokens", usage.output_tokens),
            ("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens),
            (
                "gen_ai.usage.reasoning.output_tokens",
                usage.reasoning_tokens,
            ),
        ] {
            if let Some(count) = count.and_then(integer) {
                span.record(name, count);
            }
        }
        if self.content == RecordContent::Always && !response.choices.is_empty() {
            content::record(span, None, Some(&response.choices));
        }
    }
}

/// Records the outcome of a call that was dropped before its response was opened.
impl Drop for Watch {
    fn drop(&mut self) {
        if !self.has_outcome {
            self.set_outcome(Outcome::Dropped.as_str());
        }
    }
}

/// Records that a request failed and will be sent again after a wait.
pub(crate) fn retried(error: &Error, wait: Duration) {
    let error_type = error_type(error.kind());
    let status = error.status().map(|status| i64::from(status.as_u16()));
    event!(
        target: "inferstream",
        Level::WARN,
        {
            attempt = i64::from(error.attempts()),
            wait = wait.as_secs_f64(),
            http.response.status_code = status,
            "error.type" = error_type.as_ref(),
        },
        "the request failed and will be retried"
    );
}

/// Records that the rest of a response is requested after a wait; with the error if a connection was
/// lost.
pub(crate) fn resumed(lost: Option<&Error>, wait: Duration) {
    let wait = wait.as_secs_f64();
    let Some(error) = lost else {
        // A prediction without a stream is polled this way until it has ended.
        event!(
            target: "inferstream",
            Level::DEBUG,
            { wait },
            "the response continues in another body"
        );
        return;
    };
    event!(
        target: "inferstream",
        Level::INFO,
        { wait, "error.type" = error_type(error.kind()).as_ref() },
        "the connection was lost and the response is resumed"
    );
}

pub(super) fn record_error(span: &Span, error: &Error) {
    span.record("error.type", error_type(error.kind()).as_ref());
    span.record("otel.status_code", "ERROR");
}

fn span(mode: Mode, info: &ProviderInfo, base_url: &str, request: &ChatRequest) -> Span {
    let model = request.model.as_deref().map(str::trim);
    let model = model
        .or(info.default_model())
        .map(|name| info.resolve(name));
    let model = model.and_then(word);
    let name = || {
        model.map_or(Cow::Borrowed("chat"), |model| {
            format!("chat {model}").into()
        })
    };
    // A closure, because the fields are evaluated only if the span is enabled.
    let server = || server(base_url);
    info_span!(
        target: "inferstream",
        "gen_ai.chat",
        otel.name = name().as_ref(),
        otel.kind = "client",
        otel.status_code = Empty,
        gen_ai.operation.name = "chat",
        gen_ai.provider.name = &*info.id,
        gen_ai.request.model = model,
        gen_ai.request.max_tokens = request.max_tokens.and_then(integer),
        gen_ai.request.temperature = request.temperature,
        gen_ai.request.top_p = request.top_p,
        gen_ai.request.frequency_penalty = request.frequency_penalty,
        gen_ai.request.presence_penalty = request.presence_penalty,
        gen_ai.request.seed = request.seed,
        gen_ai.request.reasoning.level = request.reasoning_effort.as_deref().and_then(word),
        gen_ai.request.stop_sequences = list(request.stop.iter().map(String::as_str)),
        gen_ai.request.choice.count = request.n.map(i64::from),
        gen_ai.request.stream = mode == Mode::Stream,
        "gen_ai.output.type" = output_type(request),
        server.address = server().map(|(address, _)| address),
        server.port = server().map(|(_, port)| port),
        gen_ai.response.id = Empty,
        gen_ai.response.model = Empty,
        gen_ai.response.finish_reasons = Empty,
        gen_ai.response.time_to_first_chunk = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        gen_ai.usage.reasoning.output_tokens = Empty,
        inferstream.outcome = Empty,
        "error.type" = Empty,
    )
}

/// Returns the name of an error: its kind, and for a timeout the phase.
fn error_type(kind: ErrorKind) -> Cow<'static, str> {
    match kind {
        ErrorKind::Timeout(phase) => format!("timeout_{phase}").into(),
        kind => kind.as_str().into(),
    }
}

/// Returns the host and the port of a base URL.
fn server(base_url: &str) -> Option<(String, i64)> {
    let uri = base_url.parse::<Uri>().ok()?;
    let default = match uri.scheme_str()? {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    Some((host, uri.port_u16().unwrap_or(default).into()))
}

/// Returns a list as JSON text, or `None` if it is empty.
fn list<'a>(items: impl Iterator<Item = &'a str>) -> Option<String> {
    let items: Vec<_> = items.map(Json::from).collect();
    let items: Vec<_> = items.iter().map(Json::as_str).collect();
    (!items.is_empty()).then(|| format!("[{}]", items.join(",")))
}

fn integer(count: u64) -> Option<i64> {
    i64::try_from(count).ok()
}

/// Returns an identifier unchanged, or `None` if it might be a sentence: a service may repeat the
/// prompt, and a caller may have passed the prompt as the model.
///
/// Only printable ASCII is accepted, because some scripts write sentences without spaces.
fn word(text: &str) -> Option<&str> {
    const LONGEST: usize = 256;
    let is_word = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    is_word.then_some(text)
}

/// Returns the type of output that a request asks for, if it names one.
fn output_type(request: &ChatRequest) -> Option<&'static str> {
    match request.response_format.as_ref()? {
        ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. } => Some("json"),
        ResponseFormat::Text => Some("text"),
    }
}
