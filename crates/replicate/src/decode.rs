//! Frames of a stream and documents of its prediction in, events out.

use std::{borrow::Cow, time::Duration};

use http::Uri;
use inferstream_core::{
    Body, BoxFuture, ChatEvent, Decode, End, Ending, Error, ErrorKind, Events, Finish,
    FinishReason, Flow, Json, Result, Text,
    sse::{DOCUMENT, Frame},
};
use serde_json::Value;

use crate::{
    error::{aborted, canceled, diverged, failed},
    link::Link,
    place::Place,
    wire::{Output, Prediction, Status, error_of},
};

/// The protocol's half of an answer.
///
/// The stream tells the text and that it has ended; the prediction tells the rest. Where a stream is
/// cut it is taken up again, three times at most, and then the prediction is asked for its output
/// until it has ended.
#[derive(Debug)]
pub(crate) struct PredictionDecode {
    link: Link,
    settings: Settings,
    phase: Phase,
    place: Place,
    /// How often the stream has been taken up again.
    reconnects: u32,
    /// How long the stream asks to wait before that.
    retry: Option<Duration>,
    /// What an `error` event said.
    failure: Option<String>,
    done: Option<Done>,
    /// How often the prediction was asked for since its output last grew.
    asks: u32,
    logged: usize,
    /// Nothing is left to cancel: the prediction has ended, or was told to.
    over: bool,
}

/// What holds for one answer.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) id: String,
    /// The limit of tokens that the request stated.
    pub(crate) max_tokens: Option<u64>,
    pub(crate) raw: bool,
}

#[derive(Debug)]
enum Phase {
    /// Events come from the stream.
    Stream,
    /// There is no stream, or it is given up: the prediction is asked for its output.
    Ask,
    /// The stream has ended: the prediction is asked for what only it knows.
    Close,
}

/// What a `done` event said.
#[derive(Clone, Debug, PartialEq)]
enum Done {
    Succeeded,
    Canceled,
    Failed,
    /// A reason of later, which the prediction will explain.
    Other(String),
}

/// How often a stream that was cut is taken up again.
const RECONNECTS: u32 = 3;

/// How long the first reconnection waits where the stream does not say; the others twice as long
/// each.
const RECONNECT: Duration = Duration::from_millis(250);

/// The least and the most that a stream may ask to wait before a reconnection.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// The least and the most between two questions for a prediction that goes on.
const ASK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// How often, and how long apart, a prediction is asked for what only it knows: its status may be
/// behind its stream.
const CLOSE: (u32, Duration) = (3, Duration::from_millis(500));

/// How long the answer's end is held back for counts, each time the prediction is asked for them.
const COUNTS: Duration = Duration::from_secs(2);

/// How long it is, each time, for the output that the text is to be compared with.
const JUDGE: Duration = Duration::from_secs(10);

impl PredictionDecode {
    /// Creates the decoder of an answer that begins with its prediction.
    pub(crate) fn new(link: Link, settings: Settings) -> Self {
        Self {
            link,
            settings,
            phase: Phase::Ask,
            place: Place::default(),
            reconnects: 0,
            retry: None,
            failure: None,
            done: None,
            asks: 0,
            logged: 0,
            over: false,
        }
    }

    /// Returns what can be asked of the prediction.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Opens the stream that the answer begins with instead.
    pub(crate) async fn open(&mut self, url: Uri) -> Result<Body> {
        let body = self.link.open(url.clone()).await?;
        self.link.stream = Some(url);
        self.phase = Phase::Stream;
        Ok(body)
    }

    /// Notes that the prediction has ended, so that nothing is left to cancel.
    pub(crate) fn set_over(&mut self) {
        self.over = true;
    }

    /// Takes a piece of the output.
    fn output(&mut self, frame: Frame<'_>, events: &mut Events) -> Flow {
        match self.place.take(frame.id, frame.data) {
            Some("") => self.flow(),
            Some(new) => {
                events.push(ChatEvent::text(0, Text::slice_of(frame.buffer, new)));
                self.flow()
            }
            // Nobody can tell where this belongs: the prediction will say what its output is.
            None => Flow::End,
        }
    }

    fn logs(&mut self, data: &str, events: &mut Events) {
        self.logged += data.len();
        events.logs.push_str(data);
        if !data.ends_with('\n') {
            self.logged += 1;
            events.logs.push('\n');
        }
    }

    fn flow(&self) -> Flow {
        match self.failure {
            None => Flow::Continue,
            Some(_) => Flow::Settle,
        }
    }

    /// Decides after `done`, or after what nobody could place.
    fn ended(&mut self, events: &mut Events) -> Result<Finish> {
        match &self.done {
            None => Ok(self.ask(Duration::ZERO)),
            Some(Done::Canceled) => Err(canceled(self.failure.as_deref(), &self.link.call.redact)),
            Some(Done::Failed) if self.failure.is_some() => Err(self.failed(None)),
            Some(Done::Succeeded)
                if !self.link.api.metrics
                    && !self.place.is_unproven()
                    && !self.place.delivered().is_empty() =>
            {
                Ok(self.whole(None, events))
            }
            // What came after the cut may be another text: the prediction is the judge.
            Some(Done::Succeeded) if self.place.is_unproven() => Ok(self.ask(Duration::ZERO)),
            _ => {
                self.phase = Phase::Close;
                self.asks = 1;
                Ok(Finish::More(self.link.ask_within(COUNTS, Duration::ZERO)))
            }
        }
    }

    /// Decides where the input has ended too early.
    fn cut(&mut self, error: Option<&Error>, events: &mut Events) -> Result<Finish> {
        if self.failure.is_some() {
            return Err(self.failed(None));
        }
        match self.phase {
            Phase::Stream => Ok(self.take_up(error)),
            Phase::Ask => Err(self.lost(error)),
            Phase::Close => self.close(events, CLOSE.0),
        }
    }

    /// Takes the stream up again, or asks the prediction where that is of no use.
    fn take_up(&mut self, error: Option<&Error>) -> Finish {
        // What refuses once will refuse again, but for a stream that is not there at the moment.
        let status = error.and_then(Error::status);
        let refused = status.is_some_and(|status| {
            status.is_client_error() && !matches!(status.as_u16(), 404 | 408 | 429)
        });
        match self.link.stream.clone() {
            Some(url) if self.reconnects < RECONNECTS && !refused => {
                let wait = match self.retry {
                    Some(retry) => retry.clamp(RETRY.0, RETRY.1),
                    None => RECONNECT * (1 << self.reconnects),
                };
                self.reconnects += 1;
                let last_id = self.place.reconnect();
                Finish::More(self.link.reopen(url, last_id, wait))
            }
            _ => self.ask(Duration::ZERO),
        }
    }

    fn ask(&mut self, wait: Duration) -> Finish {
        self.phase = Phase::Ask;
        Finish::More(match self.done {
            None => self.link.ask(wait),
            Some(_) => self.link.ask_within(wait + JUDGE, wait),
        })
    }

    /// Makes the error of a prediction that could not be asked for.
    fn lost(&self, error: Option<&Error>) -> Error {
        let cause = error.cloned();
        let cause = cause.unwrap_or_else(|| Error::protocol("replicate sent no prediction"));
        if self.place.delivered().is_empty() && self.reconnects == 0 {
            return cause;
        }
        truncated(&self.settings.id, "could not be asked what is missing").with_source(cause)
    }

    fn failed(&self, words: Option<&str>) -> Error {
        let words = words.or(self.failure.as_deref());
        failed(words, &self.link.call.redact)
    }

    /// Takes what the prediction says of itself.
    fn document(&mut self, text: &str, events: &mut Events) -> Result<Finish> {
        let prediction = Prediction::parse(text);
        let Some(prediction) = prediction.filter(|other| other.id == self.settings.id) else {
            let error = Error::protocol("replicate sent something else than a prediction");
            return self.cut(Some(&error), events);
        };
        if self.settings.raw {
            events.push(ChatEvent::raw(Json::from_text(text.trim())));
        }
        self.over |= prediction.status.is_terminal();
        if let Some(more) = prediction.logs.get(self.logged..) {
            self.logged = prediction.logs.len();
            events.logs.push_str(more);
        }
        let grown = self.reconcile(&prediction, events)?;
        match prediction.status {
            Status::Succeeded if self.is_unknown(&prediction)? => {
                Err(truncated(&self.settings.id, "has its output no longer"))
            }
            Status::Succeeded => Ok(self.whole(Some(&prediction), events)),
            Status::Failed => Err(self.failed(prediction.error.as_deref())),
            Status::Canceled => {
                let redact = &self.link.call.redact;
                Err(canceled(prediction.error.as_deref(), redact))
            }
            Status::Aborted => {
                let redact = &self.link.call.redact;
                Err(aborted(prediction.error.as_deref(), redact))
            }
            Status::Going if matches!(self.phase, Phase::Close) => self.close(events, self.asks),
            Status::Going => {
                if grown {
                    self.asks = 0;
                }
                let wait = (0..self.asks.min(8)).fold(ASK.0, |wait, _| wait.mul_f64(1.5));
                self.asks += 1;
                Ok(self.ask(wait.min(ASK.1)))
            }
        }
    }

    /// Gives what the prediction's output has beyond what was delivered; returns true if there was
    /// any.
    fn reconcile(&mut self, prediction: &Prediction, events: &mut Events) -> Result<bool> {
        let Output::Text(output) = &prediction.output else {
            return Ok(false);
        };
        let delivered = self.place.delivered();
        // An event stream knows one kind of line end.
        let unified = if output.starts_with(delivered) {
            Cow::Borrowed(output.as_str())
        } else {
            Cow::Owned(output.replace("\r\n", "\n").replace('\r', "\n"))
        };
        if let Some(more) = unified.strip_prefix(delivered) {
            if more.is_empty() {
                return Ok(false);
            }
            events.push(ChatEvent::text(0, more));
            self.place.add(more);
            return Ok(true);
        }
        if !prediction.status.is_terminal() && delivered.starts_with(&*unified) {
            return Ok(false);
        }
        // Files are data in the stream, and addresses in the prediction: the text of one connection
        // need not be the same, unless its beginning is missing.
        let is_of_one = matches!(self.phase, Phase::Close) && self.reconnects == 0;
        if is_of_one && !unified.ends_with(delivered) {
            let warning = "the stream's text is not that of the prediction's output";
            events.warnings.push(warning.to_owned());
            return Ok(false);
        }
        Err(diverged())
    }

    /// Returns true if a prediction that succeeded tells nothing of its output, and the stream has not
    /// told all of it either.
    fn is_unknown(&self, prediction: &Prediction) -> Result<bool> {
        match prediction.output {
            Output::Text(_) => Ok(false),
            _ if matches!(self.phase, Phase::Close) && self.reconnects == 0 => Ok(false),
            Output::Other => Err(Error::protocol(
                "the output of replicate's model is not text",
            )),
            Output::None => Ok(prediction.is_removed || !self.place.delivered().is_empty()),
        }
    }

    /// Ends an answer whose prediction is behind or does not speak, or asks it once more.
    fn close(&mut self, events: &mut Events, asks: u32) -> Result<Finish> {
        if asks < CLOSE.0 {
            self.asks = asks + 1;
            return Ok(Finish::More(self.link.ask_within(COUNTS, CLOSE.1)));
        }
        match &self.done {
            Some(Done::Other(reason)) => {
                let reason = self.link.call.redact.line(reason);
                let message = format!("replicate ended the stream with the reason `{reason}`");
                Err(Error::new(ErrorKind::Provider, message))
            }
            Some(Done::Failed) => Err(self.failed(None)),
            _ => Ok(self.whole(None, events)),
        }
    }

    /// Ends the answer as a whole one.
    fn whole(&mut self, prediction: Option<&Prediction>, events: &mut Events) -> Finish {
        let usage = prediction.and_then(|prediction| prediction.usage);
        if let Some(usage) = usage {
            events.push(ChatEvent::usage(usage));
        }
        if let Some(timing) = prediction.and_then(|prediction| prediction.timing) {
            events.push(ChatEvent::timing(timing));
        }
        // The service does not say why a model stopped; the counts may.
        let tokens = usage.and_then(|usage| usage.output_tokens);
        let reason = match (tokens, self.settings.max_tokens) {
            (Some(tokens), Some(limit)) if limit <= tokens => FinishReason::Length,
            (Some(_), Some(_)) => FinishReason::Stop,
            _ => FinishReason::Unknown,
        };
        events.push(ChatEvent::finish(0, reason));
        Finish::Whole(match self.done {
            Some(_) => End::Marker,
            None => End::FinishReason,
        })
    }
}

impl Decode for PredictionDecode {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        self.retry = frame.retry.or(self.retry);
        if self.settings.raw {
            events.push(ChatEvent::raw(raw(frame)));
        }
        Ok(match frame.event {
            "output" => self.output(frame, events),
            "logs" => {
                self.logs(frame.data, events);
                self.flow()
            }
            "error" => {
                self.failure = Some(detail(frame.data));
                Flow::Settle
            }
            "done" => {
                self.done = Some(Done::read(frame.data));
                self.over = true;
                Flow::End
            }
            _ => self.flow(),
        })
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        match ending {
            Ending::Input(Some(frame)) if frame.event == DOCUMENT => {
                self.document(frame.data, events)
            }
            Ending::Input(Some(frame)) if frame.event == "done" && is_object(frame.data) => {
                self.done = Some(Done::read(frame.data));
                self.over = true;
                self.ended(events)
            }
            Ending::Announced => self.ended(events),
            Ending::Lost(error) => self.cut(Some(error), events),
            _ => self.cut(None, events),
        }
    }

    fn cancel(&mut self) -> BoxFuture<'static, Result<()>> {
        if std::mem::replace(&mut self.over, true) {
            return Box::pin(std::future::ready(Ok(())));
        }
        let link = self.link.clone();
        Box::pin(async move { link.cancel().await })
    }
}

/// Who drops an answer before its end does not want the rest; the service would make it all the same,
/// and bill it.
impl Drop for PredictionDecode {
    fn drop(&mut self) {
        if !self.over && self.link.api.cancel_on_drop {
            self.link.cancel_unwatched();
        }
    }
}

impl Done {
    /// Reads `{}`, `{"reason":"…"}`, or nothing.
    fn read(data: &str) -> Self {
        let value = serde_json::from_str::<Value>(data).unwrap_or_default();
        match value["reason"].as_str() {
            None | Some("") => Self::Succeeded,
            Some("canceled") => Self::Canceled,
            Some("error") => Self::Failed,
            Some(other) => Self::Other(other.to_owned()),
        }
    }
}

/// Reads `{"detail":"…"}`, or plain text.
fn detail(data: &str) -> String {
    let value = serde_json::from_str::<Value>(data).ok();
    let value = value.filter(|value| value.is_object() || value.is_string());
    value
        .and_then(|value| error_of(&value))
        .unwrap_or_else(|| data.trim().to_owned())
}

fn is_object(data: &str) -> bool {
    serde_json::from_str::<Value>(data).is_ok_and(|value| value.is_object())
}

/// Returns a frame as JSON.
fn raw(frame: Frame<'_>) -> Json {
    Json::from_text(format!(
        r#"{{"event":{},"id":{},"data":{}}}"#,
        Json::from(frame.event),
        Json::from(frame.id),
        Json::from(frame.data)
    ))
}

/// Makes the error of an answer that is not known to be whole.
fn truncated(id: &str, how: &str) -> Error {
    let message = format!("replicate's answer is not whole: prediction {id} {how}");
    Error::new(ErrorKind::Truncated, message)
}
