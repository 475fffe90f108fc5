//! A call in, its span out: what is known when it begins, when it goes wrong, and when it ends.

use std::{borrow::Cow, future::Future, time::Duration};

use http::Uri;
use tracing::{Instrument, Level, Span, event, field::Empty, info_span};

use super::{Mode, content, follow::followed};
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

/// One call of a provider's, in a span by the OpenTelemetry conventions for generative AI.
///
/// Numbers are `i64` and lists are JSON text: bridges to OpenTelemetry show other integers as text
/// and have no lists.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) span: Span,
    mode: Mode,
    told: bool,
}

/// A call that has begun: `None` where nobody watches it.
pub(crate) struct Call(Option<Watch>);

/// How a call ended, where that was no error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The caller told the service to stop.
    Canceled,
    /// The caller let go of it.
    Dropped,
    /// The answer is whole.
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
    /// Begins a call's span, below the one that is current.
    pub(crate) fn new(
        mode: Mode,
        info: &ProviderInfo,
        base_url: &str,
        request: &ChatRequest,
    ) -> Self {
        let span = span(mode, info, base_url, request);
        let is_named = content::is_named();
        if span.is_disabled() && !is_named {
            return Self(None);
        }
        if is_named {
            let messages = content::input(&request.messages);
            // Inside, and not with the span as its parent, which another subscriber may have numbered.
            span.in_scope(|| {
                event!(
                    name: "gen_ai.client.inference.operation.details",
                    target: "inferstream::content",
                    Level::TRACE,
                    gen_ai.operation.name = "chat",
                    gen_ai.input.messages = messages.as_str(),
                );
            });
        }
        Self(Some(Watch {
            span,
            mode,
            told: false,
        }))
    }

    /// Opens the answer in the call's span, which goes on until the answer ends.
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
    /// Notes how the call ended, and what came of it by then.
    pub(super) fn end(mut self, outcome: Outcome, answer: &ChatResponse) {
        self.told = true;
        self.span.record("inferstream.outcome", outcome.as_str());
        self.note_answer(answer);
    }

    /// Notes that the call failed, and what came of it by then.
    pub(super) fn fail(mut self, error: &Error) {
        self.told = true;
        self.span.record("inferstream.outcome", "error");
        note_error(&self.span, error);
        if let Some(answer) = error.partial() {
            self.note_answer(answer);
        }
    }

    fn note_answer(&self, answer: &ChatResponse) {
        let span = &self.span;
        // By the convention, of streams alone.
        if let (Mode::Stream, Some(time)) = (self.mode, answer.meta.time_to_first_event) {
            let seconds = time.as_secs_f64();
            span.record("gen_ai.response.time_to_first_chunk", seconds);
        }
        if let Some(id) = answer.id.as_deref().and_then(word) {
            span.record("gen_ai.response.id", id);
        }
        if let Some(model) = answer.model.as_deref().and_then(word) {
            span.record("gen_ai.response.model", model);
        }
        let choices = answer.choices.iter();
        let reasons = choices.filter_map(|choice| choice.finish_reason.as_ref());
        let reasons = list(reasons.map(|reason| word(reason.as_str()).unwrap_or("unknown")));
        if let Some(reasons) = reasons {
            span.record("gen_ai.response.finish_reasons", reasons.as_str());
        }
        let usage = answer.usage.unwrap_or_default();
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
        // The filter, and the subscriber too, may be another one by now.
        if !answer.choices.is_empty() && content::is_named() {
            let messages = content::output(&answer.choices);
            span.in_scope(|| {
                event!(
                    name: "gen_ai.client.inference.operation.details",
                    target: "inferstream::content",
                    Level::TRACE,
                    gen_ai.operation.name = "chat",
                    gen_ai.output.messages = messages.as_str(),
                );
            });
        }
    }
}

/// Whoever drops a call before its end has an end, too.
impl Drop for Watch {
    fn drop(&mut self) {
        if !self.told {
            let outcome = Outcome::Dropped.as_str();
            self.span.record("inferstream.outcome", outcome);
        }
    }
}

/// Boxes a future so that the calls which it makes are children of the span that is current now,
/// in whichever span it is polled.
///
/// Combinators that return a future of their own use it. Without the feature `tracing` it only boxes.
///
/// # Cancel safety
///
/// That of the future.
pub fn in_current_span<F: Future + Send + 'static>(future: F) -> BoxFuture<'static, F::Output> {
    let span = Span::current();
    if span.is_none() {
        return Box::pin(future);
    }
    Box::pin(future.instrument(span))
}

/// Tells that a request failed and will be sent again after a wait.
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
        "the request failed and is sent again"
    );
}

/// Tells that the rest of an answer is asked for after a wait; with the error, where a connection
/// was lost.
pub(crate) fn resumed(lost: Option<&Error>, wait: Duration) {
    let wait = wait.as_secs_f64();
    let Some(error) = lost else {
        // A prediction without a stream is read so, answer by answer.
        event!(
            target: "inferstream",
            Level::DEBUG,
            { wait },
            "the answer goes on in another body"
        );
        return;
    };
    event!(
        target: "inferstream",
        Level::INFO,
        { wait, "error.type" = error_type(error.kind()).as_ref() },
        "the answer was cut and is taken up again"
    );
}

pub(super) fn note_error(span: &Span, error: &Error) {
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
    let server = || Server::of(base_url);
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
        server.address = server().map(|server| server.address),
        server.port = server().map(|server| server.port),
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

/// Returns the error's name: its kind, for a limit on time with the phase behind it.
fn error_type(kind: ErrorKind) -> Cow<'static, str> {
    match kind {
        ErrorKind::Timeout(phase) => format!("timeout_{phase}").into(),
        kind => kind.as_str().into(),
    }
}

/// Where a service is.
struct Server {
    address: String,
    port: i64,
}

impl Server {
    fn of(base_url: &str) -> Option<Self> {
        let uri = base_url.parse::<Uri>().ok()?;
        let default = match uri.scheme_str()? {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        Some(Self {
            address: uri.host()?.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(default).into(),
        })
    }
}

/// Returns a list as JSON text, `None` if it is empty.
fn list<'a>(items: impl Iterator<Item = &'a str>) -> Option<String> {
    let items: Vec<_> = items.map(Json::from).collect();
    let items: Vec<_> = items.iter().map(Json::as_str).collect();
    (!items.is_empty()).then(|| format!("[{}]", items.join(",")))
}

fn integer(count: u64) -> Option<i64> {
    i64::try_from(count).ok()
}

/// Returns a word as it is, unless it is none: a service may repeat what was said, and a caller may
/// have put the prompt in the model's place.
///
/// Only what is visible in ASCII: there are scripts that write a sentence without a space.
fn word(text: &str) -> Option<&str> {
    const LONGEST: usize = 256;
    let is_word = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    is_word.then_some(text)
}

/// Returns what form of answer was asked for, where one was.
fn output_type(request: &ChatRequest) -> Option<&'static str> {
    match request.response_format.as_ref()? {
        ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. } => Some("json"),
        ResponseFormat::Text => Some("text"),
    }
}
