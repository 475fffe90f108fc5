//! The decoder for a prediction's stream and documents.

use std::time::Duration;

use http::Uri;
use inferstream_core::{
    Body, BoxFuture, ChatEvent, End, Error, ErrorKind, FinishReason, Json, Result, Text,
    protocol::{Decode, Ending, Events, Finish, Flow},
    sse::Frame,
};

use crate::{
    error::{aborted, canceled, diverged, failed, is_refused},
    event::{Done, detail, raw, value},
    prediction::PredictionHandle,
    resume::{Compared, ResumeCursor},
    wire::{Output, Prediction, Status},
};

/// Decodes the response of one prediction.
///
/// The stream has the text and its end; the document of the prediction has everything else. A
/// stream that ends with success and was never interrupted is complete, and a contradiction in the
/// document is only a warning. An interrupted stream is resumed at most three times. After that the
/// prediction is polled until it has ended, and its output decides whether the text is complete.
#[derive(Debug)]
pub(crate) struct PredictionDecode {
    handle: PredictionHandle,
    settings: Settings,
    phase: Phase,
    cursor: ResumeCursor,
    /// How often the stream has been resumed.
    reconnects: u32,
    /// The delay before a reconnection that the stream has set.
    retry: Option<Duration>,
    /// Why the stream could not be opened, until the prediction has been read instead.
    unopened: Option<Error>,
    /// The message of an `error` event.
    failure: Option<String>,
    done: Option<Done>,
    /// How many requests for the prediction there were since its output last grew.
    asks: u32,
    /// How many requests for the prediction have failed in a row.
    misses: u32,
    logged: usize,
    /// Whether nothing is left to cancel, because the prediction has ended or was canceled.
    over: bool,
}

/// The settings of one response.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) id: String,
    /// The token limit of the request.
    pub(crate) max_tokens: Option<u64>,
    pub(crate) raw: bool,
}

#[derive(Debug)]
enum Phase {
    /// Events arrive from the stream.
    Stream,
    /// There is no stream, or it was given up: the prediction is polled for its output.
    Ask,
    /// The stream has ended: the prediction is requested for token counts and times.
    Close,
}

/// How often an interrupted stream is resumed.
const RECONNECTS: u32 = 3;

/// The delay before the first reconnection if the stream sets none; it doubles with each further
/// one.
const RECONNECT: Duration = Duration::from_millis(250);

/// The minimum and maximum delay before a reconnection that the service may set.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// The minimum and maximum interval of polling a running prediction.
const ASK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// How many requests in a row may fail.
const MISSES: u32 = 3;

/// The interval of requests for a prediction whose status lags behind its stream.
const BEHIND: Duration = Duration::from_millis(500);

impl PredictionDecode {
    /// Creates a decoder that starts with the prediction's document.
    pub(crate) fn new(handle: PredictionHandle, settings: Settings) -> Self {
        Self {
            handle,
            settings,
            phase: Phase::Ask,
            cursor: ResumeCursor::default(),
            reconnects: 0,
            retry: None,
            unopened: None,
            failure: None,
            done: None,
            asks: 0,
            misses: 0,
            logged: 0,
            over: false,
        }
    }

    /// Returns the handle of the prediction.
    pub(crate) fn handle(&self) -> &PredictionHandle {
        &self.handle
    }

    /// Opens the stream, with which the response then starts.
    pub(crate) async fn open(&mut self, url: Uri) -> Result<Body> {
        let body = self.handle.open(url.clone()).await?;
        self.handle.stream = Some(url);
        self.phase = Phase::Stream;
        Ok(body)
    }

    /// Records why there is no stream. It becomes the error of the response if the prediction
    /// cannot be read either.
    pub(crate) fn set_unopened(&mut self, error: Error) {
        self.unopened = Some(error);
    }

    /// Hands the total timeout over to the returned stream, which enforces it from now on.
    pub(crate) fn begin(&mut self) {
        self.handle.call.timeouts.total = None;
    }

    /// Records that the prediction has ended, so that nothing is left to cancel.
    pub(crate) fn set_over(&mut self) {
        self.over = true;
    }

    /// Handles a fragment of the output.
    fn output(&mut self, frame: Frame<'_>, events: &mut Events) -> Flow {
        match self.cursor.take(frame.id, frame.data) {
            Some("") => self.flow(),
            Some(new) => {
                events.push(ChatEvent::text(0, Text::slice_of(frame.buffer, new)));
                self.flow()
            }
            // It is unclear where the fragment belongs, so the prediction's output decides.
            None => Flow::End,
        }
    }

    fn logs(&mut self, data: &str, events: &mut Events) {
        // A new connection may repeat log lines at its start.
        if !self.cursor.is_at_end() {
            return;
        }
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

    /// Decides how to continue after `done`, or after a fragment whose position is unclear.
    fn ended(&mut self, events: &mut Events) -> Result<Finish> {
        // The end of a resumed stream, or of one without text, does not prove that no text is missing.
        let is_whole = self.reconnects == 0 && !self.cursor.delivered().is_empty();
        match &self.done {
            Some(Done::Canceled) => {
                Err(canceled(self.failure.as_deref(), &self.handle.call.redact))
            }
            _ if self.failure.is_some() => Err(self.failed(None)),
            Some(Done::Succeeded) if is_whole && !self.handle.settings.metrics => {
                Ok(self.whole(None, events))
            }
            Some(Done::Succeeded) if is_whole => Ok(self.close(Duration::ZERO)),
            Some(Done::Failed) => Ok(self.close(Duration::ZERO)),
            // After an interruption, only the prediction's output can confirm the text.
            _ => Ok(self.ask(Duration::ZERO)),
        }
    }

    /// Decides how to continue after the input ended too early.
    fn cut(&mut self, error: Option<&Error>, events: &mut Events) -> Result<Finish> {
        if self.failure.is_some() {
            return Err(self.failed(None));
        }
        match (&self.phase, &self.done) {
            (Phase::Stream, _) => Ok(self.take_up(error)),
            (Phase::Close, Some(Done::Failed)) => Err(self.failed(None)),
            // The stream has already ended with success, so the text is complete without this request.
            (Phase::Close, _) => {
                let warning = "the end of replicate's prediction could not be read: token counts \
                               and times are missing";
                events.warnings.push(warning.to_owned());
                Ok(self.whole(None, events))
            }
            (Phase::Ask, done) => {
                self.misses += 1;
                if self.misses < MISSES && !error.is_some_and(is_refused) {
                    return Ok(self.ask(ASK.0));
                }
                match done {
                    Some(Done::Other(reason)) => Err(self.ended_by(reason)),
                    _ => Err(self.lost(error)),
                }
            }
        }
    }

    /// Resumes the stream, or polls the prediction if resuming is not possible.
    fn take_up(&mut self, error: Option<&Error>) -> Finish {
        match self.handle.stream.clone() {
            Some(url) if self.reconnects < RECONNECTS && !error.is_some_and(is_refused) => {
                let asked = error.and_then(Error::retry_after).or(self.retry);
                let wait = match asked {
                    Some(wait) => wait.clamp(RETRY.0, RETRY.1),
                    None => RECONNECT * (1 << self.reconnects),
                };
                self.reconnects += 1;
                let last_id = self.cursor.reconnect();
                Finish::More(wait, self.handle.reopen(url, last_id))
            }
            _ => self.ask(Duration::ZERO),
        }
    }

    /// Requests the prediction for its output, which becomes the response.
    fn ask(&mut self, wait: Duration) -> Finish {
        self.phase = Phase::Ask;
        Finish::More(wait, self.handle.ask())
    }

    /// Requests the prediction for its token counts and times.
    fn close(&mut self, wait: Duration) -> Finish {
        self.phase = Phase::Close;
        Finish::Late(wait, self.handle.ask())
    }

    /// Returns the error for a prediction that could not be read.
    fn lost(&self, error: Option<&Error>) -> Error {
        let cause = self.unopened.as_ref().or(error).cloned();
        let cause = cause.unwrap_or_else(|| {
            Error::protocol("invalid response from replicate: expected a prediction")
        });
        if self.cursor.delivered().is_empty() && self.reconnects == 0 {
            return cause;
        }
        self.truncated("could not be read for the rest; try `resume` with its id later")
            .with_source(cause)
    }

    /// Returns the error for a response whose completeness could not be confirmed.
    fn truncated(&self, how: &str) -> Error {
        let id = self.handle.call.redact.line(&self.settings.id);
        let message = format!("replicate's response is incomplete: prediction {id} {how}");
        Error::new(ErrorKind::Truncated, message)
    }

    fn failed(&self, words: Option<&str>) -> Error {
        let words = words.or(self.failure.as_deref());
        failed(words, &self.handle.call.redact)
    }

    fn ended_by(&self, reason: &str) -> Error {
        let reason = self.handle.call.redact.line(reason);
        let message = format!("replicate ended the stream with `{reason}`");
        Error::new(ErrorKind::Provider, message)
    }

    /// Handles the document of the prediction.
    fn document(&mut self, text: &str, events: &mut Events) -> Result<Finish> {
        let prediction = Prediction::parse(text);
        let Some(prediction) = prediction.filter(|other| other.id == self.settings.id) else {
            let error = Error::protocol(
                "invalid response from replicate: expected the requested prediction",
            );
            return self.cut(Some(&error), events);
        };
        self.misses = 0;
        // The first document arrived before the stream was tried.
        if self.asks != 0 {
            self.unopened = None;
        }
        if self.settings.raw {
            events.push(ChatEvent::raw(Json::from_text(text.trim())));
        }
        self.over |= prediction.status.is_terminal();
        if let Some(more) = prediction.logs.get(self.logged..) {
            self.logged = prediction.logs.len();
            events.logs.push_str(more);
        }
        if matches!(self.phase, Phase::Close) && self.done == Some(Done::Succeeded) {
            return Ok(self.confirm(&prediction, events));
        }
        let grown = self.reconcile(&prediction, events);
        let words = prediction.error.as_deref();
        let redact = &self.handle.call.redact;
        match prediction.status {
            // A failed prediction reports its reason, so its output does not matter.
            Status::Failed => Err(self.failed(words)),
            Status::Canceled => Err(canceled(words, redact)),
            Status::Aborted => Err(aborted(words, redact)),
            Status::Succeeded if self.done == Some(Done::Failed) => Err(self.failed(words)),
            Status::Succeeded => {
                grown?;
                self.check_output(&prediction)?;
                Ok(self.whole(Some(&prediction), events))
            }
            Status::Going if matches!(self.phase, Phase::Close) => Ok(self.close(BEHIND)),
            Status::Going => {
                if grown? {
                    self.asks = 0;
                }
                let wait = (0..self.asks.min(8)).fold(ASK.0, |wait, _| wait.mul_f64(1.5));
                self.asks += 1;
                Ok(self.ask(wait.min(ASK.1)))
            }
        }
    }

    /// Ends a response whose stream was complete, with the data from the prediction. Differences
    /// between the two are warnings.
    fn confirm(&mut self, prediction: &Prediction, events: &mut Events) -> Finish {
        if !prediction.status.is_terminal() {
            return self.close(BEHIND);
        }
        let difference = match (prediction.status.bad_end(), &prediction.output) {
            (Some(status), _) => {
                let words = prediction.error.as_deref().unwrap_or_default();
                let line = self.handle.call.redact.line(words);
                let colon = if line.is_empty() { "" } else { ": " };
                Some(format!("but the prediction is `{status}`{colon}{line}"))
            }
            (None, Output::Text(output)) => match self.cursor.compare(output) {
                Compared::Same => None,
                Compared::More(more) => {
                    events.push(ChatEvent::text(0, &*more));
                    self.cursor.add(&more);
                    Some("but the prediction's output is longer; the rest was added".to_owned())
                }
                Compared::Less | Compared::Other if self.are_files(output) => None,
                Compared::Less | Compared::Other => {
                    Some("but the prediction's output is a different text".to_owned())
                }
            },
            _ => None,
        };
        let warning = |difference| format!("replicate's stream ended with success, {difference}");
        events.warnings.extend(difference.map(warning));
        self.whole(Some(prediction), events)
    }

    /// Returns true if the output is a file: data in the stream, but a URL in the prediction.
    fn are_files(&self, output: &str) -> bool {
        self.cursor.delivered().starts_with("data:") || output.starts_with("https://")
    }

    /// Delivers the prediction's output beyond the text so far. Returns true if there was any.
    fn reconcile(&mut self, prediction: &Prediction, events: &mut Events) -> Result<bool> {
        let Output::Text(output) = &prediction.output else {
            return Ok(false);
        };
        match self.cursor.compare(output) {
            Compared::Same => Ok(false),
            Compared::More(more) => {
                events.push(ChatEvent::text(0, &*more));
                self.cursor.add(&more);
                Ok(true)
            }
            Compared::Less if !prediction.status.is_terminal() => Ok(false),
            Compared::Less | Compared::Other => Err(diverged()),
        }
    }

    /// Checks that the prediction has a text output, which must confirm an interrupted stream.
    fn check_output(&self, prediction: &Prediction) -> Result<()> {
        match prediction.output {
            Output::Text(_) => Ok(()),
            Output::Other => Err(Error::protocol(
                "invalid output of replicate's model: expected text",
            )),
            Output::None if prediction.is_removed => {
                Err(self.truncated("no longer has its output, which replicate keeps for an hour"))
            }
            Output::None => Err(self.truncated("succeeded without an output")),
        }
    }

    /// Ends the response as a complete one.
    fn whole(&mut self, prediction: Option<&Prediction>, events: &mut Events) -> Finish {
        let usage = prediction.and_then(|prediction| prediction.usage);
        if let Some(usage) = usage {
            events.push(ChatEvent::usage(usage));
        }
        if let Some(timing) = prediction.and_then(|prediction| prediction.timing) {
            events.push(ChatEvent::timing(timing));
        }
        // The service does not report a finish reason, but it can be derived from the token counts.
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
        // Events do not matter while the prediction is polled.
        if !matches!(self.phase, Phase::Stream) {
            return Ok(Flow::Continue);
        }
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
            Ending::Document(text) => self.document(text, events),
            Ending::Input(Some(frame))
                if frame.event == "done"
                    && frame.data.starts_with('{')
                    && value(frame.data).is_some() =>
            {
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
        Box::pin(self.handle.canceling())
    }
}

/// Dropping a response before its end means that the rest is not wanted; the service would
/// otherwise generate and bill it.
impl Drop for PredictionDecode {
    fn drop(&mut self) {
        if !self.over && self.handle.settings.cancel_on_drop {
            self.handle.cancel_unwatched();
        }
    }
}
