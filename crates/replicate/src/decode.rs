//! Frames of a stream and documents of its prediction in, events out.

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

/// The protocol's half of an answer.
///
/// The stream tells the text and that it has ended; the prediction tells the rest. A stream that ends
/// with success and was never cut is complete: what the prediction says otherwise is a warning. A
/// stream that is cut is resumed, three times at most, and then the prediction is polled for its
/// output until it has ended; that output decides whether the text is complete.
#[derive(Debug)]
pub(crate) struct PredictionDecode {
    handle: PredictionHandle,
    settings: Settings,
    phase: Phase,
    cursor: ResumeCursor,
    /// How often the stream has been taken up again.
    reconnects: u32,
    /// How long the stream asks to wait before that.
    retry: Option<Duration>,
    /// Why the stream could not be opened, until the prediction was read instead.
    unopened: Option<Error>,
    /// What an `error` event said.
    failure: Option<String>,
    done: Option<Done>,
    /// How often the prediction was asked for since its output last grew.
    asks: u32,
    /// How many questions in a row have failed.
    misses: u32,
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

/// How often a stream that was cut is taken up again.
const RECONNECTS: u32 = 3;

/// How long the first reconnection waits where the stream does not say; the others twice as long
/// each.
const RECONNECT: Duration = Duration::from_millis(250);

/// The least and the most that the service may ask to wait before a reconnection.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// The least and the most between two questions for a prediction that goes on.
const ASK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// How many questions in a row may fail.
const MISSES: u32 = 3;

/// How long apart a prediction is asked for counts while its status is behind its stream.
const BEHIND: Duration = Duration::from_millis(500);

impl PredictionDecode {
    /// Creates the decoder of an answer that begins with its prediction.
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

    /// Returns what can be asked of the prediction.
    pub(crate) fn handle(&self) -> &PredictionHandle {
        &self.handle
    }

    /// Opens the stream that the answer begins with instead.
    pub(crate) async fn open(&mut self, url: Uri) -> Result<Body> {
        let body = self.handle.open(url.clone()).await?;
        self.handle.stream = Some(url);
        self.phase = Phase::Stream;
        Ok(body)
    }

    /// Notes that there is no stream, for a reason that is the answer's error where the prediction
    /// cannot be read either.
    pub(crate) fn set_unopened(&mut self, error: Error) {
        self.unopened = Some(error);
    }

    /// Notes that the answer is read from here on, by a stream that keeps the limit `total` itself.
    pub(crate) fn begin(&mut self) {
        self.handle.call.timeouts.total = None;
    }

    /// Notes that the prediction has ended, so that nothing is left to cancel.
    pub(crate) fn set_over(&mut self) {
        self.over = true;
    }

    /// Takes a piece of the output.
    fn output(&mut self, frame: Frame<'_>, events: &mut Events) -> Flow {
        match self.cursor.take(frame.id, frame.data) {
            Some("") => self.flow(),
            Some(new) => {
                events.push(ChatEvent::text(0, Text::slice_of(frame.buffer, new)));
                self.flow()
            }
            // The fragment cannot be located: the prediction will report its output.
            None => Flow::End,
        }
    }

    fn logs(&mut self, data: &str, events: &mut Events) {
        // What a new connection sends first may have been told.
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

    /// Decides after `done`, or after what could not be located in the text.
    fn ended(&mut self, events: &mut Events) -> Result<Finish> {
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
            // Where a stream was cut only the prediction knows whether its text is this text.
            _ => Ok(self.ask(Duration::ZERO)),
        }
    }

    /// Decides where the input has ended too early.
    fn cut(&mut self, error: Option<&Error>, events: &mut Events) -> Result<Finish> {
        if self.failure.is_some() {
            return Err(self.failed(None));
        }
        match (&self.phase, &self.done) {
            (Phase::Stream, _) => Ok(self.take_up(error)),
            (Phase::Close, Some(Done::Failed)) => Err(self.failed(None)),
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

    /// Takes the stream up again, or asks the prediction where that is of no use.
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

    /// Asks the prediction for its output, which is the answer.
    fn ask(&mut self, wait: Duration) -> Finish {
        self.phase = Phase::Ask;
        Finish::More(wait, self.handle.ask())
    }

    /// Asks the prediction for what only it knows.
    fn close(&mut self, wait: Duration) -> Finish {
        self.phase = Phase::Close;
        Finish::Late(wait, self.handle.ask())
    }

    /// Makes the error of a prediction that could not be asked for.
    fn lost(&self, error: Option<&Error>) -> Error {
        let cause = self.unopened.as_ref().or(error).cloned();
        let cause = cause.unwrap_or_else(|| Error::protocol("replicate sent no prediction"));
        if self.cursor.delivered().is_empty() && self.reconnects == 0 {
            return cause;
        }
        self.truncated("could not be asked for the rest; `resume` may tell it later")
            .with_source(cause)
    }

    /// Makes the error of an answer that is not known to be whole.
    fn truncated(&self, how: &str) -> Error {
        let id = self.handle.call.redact.line(&self.settings.id);
        let message = format!("replicate's answer is not whole: prediction {id} {how}");
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

    /// Takes what the prediction says of itself.
    fn document(&mut self, text: &str, events: &mut Events) -> Result<Finish> {
        let prediction = Prediction::parse(text);
        let Some(prediction) = prediction.filter(|other| other.id == self.settings.id) else {
            let error = Error::protocol("replicate sent something else than the prediction");
            return self.cut(Some(&error), events);
        };
        self.misses = 0;
        // The first document came before the stream was tried.
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
            // It says why, whatever has become of its output.
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

    /// Ends an answer whose stream was complete, with what the prediction adds; a difference between
    /// the two is a warning.
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
                    Some("but the prediction's output goes on; the rest was added".to_owned())
                }
                Compared::Less | Compared::Other if self.are_files(output) => None,
                Compared::Less | Compared::Other => {
                    Some("but the prediction's output is another text".to_owned())
                }
            },
            _ => None,
        };
        let warning = |difference| format!("replicate's stream ended with success, {difference}");
        events.warnings.extend(difference.map(warning));
        self.whole(Some(prediction), events)
    }

    /// Returns true for files, which are data in the stream, and addresses in the prediction.
    fn are_files(&self, output: &str) -> bool {
        self.cursor.delivered().starts_with("data:") || output.starts_with("https://")
    }

    /// Delivers what the prediction's output has beyond the text so far; returns true if there was
    /// any.
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

    /// Refuses an output that is none where the stream has not told all of it.
    fn check_output(&self, prediction: &Prediction) -> Result<()> {
        match prediction.output {
            Output::Text(_) => Ok(()),
            Output::Other => Err(Error::protocol(
                "the output of replicate's model is not text",
            )),
            Output::None if prediction.is_removed => {
                Err(self.truncated("has its output no longer; it is kept for an hour"))
            }
            Output::None => Err(self.truncated("succeeded without an output")),
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
        // Where the prediction is asked for, events are none of it.
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

/// Who drops an answer before its end does not want the rest; the service would make it all the same,
/// and bill it.
impl Drop for PredictionDecode {
    fn drop(&mut self) {
        if !self.over && self.handle.settings.cancel_on_drop {
            self.handle.cancel_unwatched();
        }
    }
}
