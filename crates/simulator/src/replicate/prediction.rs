//! A prediction, whose state is a function of time.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use fastrand::Rng;
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    answer::{Piece, Tokens},
    dice::{OFFSET, hash, sorted},
    fault::Fault,
    prose,
    replicate::request::Request,
    shared::Settings,
    tokens,
};

/// The creation time of the first prediction with seed 0.
const EPOCH: u64 = 1_690_212_292;
/// The range of creation times in seconds.
const AGE: u64 = 10_000_000;
/// The time between two predictions in seconds, and so the number of connections to one with
/// distinct event ids.
const APART: u64 = 1000;

/// The number of tokens before a fault.
pub(super) const TOKENS: usize = 8;

/// The time per token in the metrics if no rate is set.
const NOMINAL_PACE: Duration = Duration::from_micros(600);

/// The characters of ids.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// One prediction, shared by its connections.
#[derive(Debug)]
pub(super) struct Prediction {
    pub(super) id: String,
    /// The last segment of its stream's path.
    pub(super) token: String,
    /// The creation time it reports, in seconds of the Unix epoch.
    pub(super) seconds: u64,
    pub(super) request: Request,
    pub(super) fault: Option<Fault>,
    pub(super) logs: String,
    /// The output, if it is not stopped early.
    pub(super) tokens: Vec<String>,
    /// As many different tokens, for [`Resume::Differ`](crate::Resume::Differ).
    pub(super) others: Vec<String>,
    /// The scripted body of the first connection to the stream.
    pub(super) events: Option<Vec<Piece>>,
    /// The time until it starts; `None` if it never does.
    boot: Option<Duration>,
    pace: Duration,
    created: Instant,
    /// The time of its cancellation.
    canceled: watch::Sender<Option<Duration>>,
    /// The number of requests for the stream.
    streams: AtomicUsize,
}

/// The status of a prediction.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Starting,
    Processing,
    Succeeded,
    Failed,
    Canceled,
    Aborted,
}

/// The progress of a prediction; times are since its creation.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) status: Status,
    /// The number of tokens produced.
    pub(super) tokens: usize,
    pub(super) started: Option<Duration>,
    pub(super) ended: Option<Duration>,
}

impl Prediction {
    /// Creates the prediction with this number.
    pub(super) fn new(
        settings: &Settings,
        number: u64,
        request: Request,
        script: Option<Tokens>,
        fault: Option<Fault>,
    ) -> Self {
        let seed = hash(&settings.seed.to_le_bytes(), OFFSET);
        let mut ids = Rng::with_seed(hash(&number.to_le_bytes(), seed));
        let seed = hash(request.model.as_bytes(), seed);
        let mut rng = Rng::with_seed(hash(sorted(&request.input).as_bytes(), seed));
        let script = script.unwrap_or_else(|| {
            let mut text = tokens::split(&prose::answer(&mut rng, &request.prompt));
            text.truncate(request.limit);
            Tokens {
                text,
                ..Tokens::default()
            }
        });
        let mut tokens = script.text;
        if breaks(fault.as_ref()) {
            tokens.truncate(TOKENS);
        }
        Self {
            id: word(&mut ids, 26),
            token: word(&mut ids, 52),
            seconds: EPOCH + settings.seed % AGE + number * APART,
            logs: script.logs,
            others: others(&mut rng, &request.prompt, tokens.len()),
            tokens,
            events: script.events,
            boot: match fault {
                Some(Fault::ColdBoot) => None,
                _ => Some(settings.boot),
            },
            pace: match fault {
                // The bytes of a complete response are changed.
                Some(Fault::Wire(_)) => Duration::ZERO,
                _ => settings.pace.unwrap_or_default(),
            },
            created: Instant::now(),
            canceled: watch::Sender::new(None),
            streams: AtomicUsize::new(0),
            request,
            fault,
        }
    }

    /// Cancels the prediction unless it has ended.
    pub(super) fn cancel(&self) {
        let now = self.created.elapsed();
        self.canceled.send_if_modified(|canceled| {
            let cancels = self.state_at(now, *canceled).ended.is_none();
            if cancels {
                *canceled = Some(now);
            }
            cancels
        });
    }

    /// Returns the number of a new request for the stream, counted from 0.
    pub(super) fn next_stream(&self) -> usize {
        self.streams.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn state(&self) -> State {
        self.state_at(self.created.elapsed(), *self.canceled.borrow())
    }

    /// Returns the state in the response that creates it.
    pub(super) fn first_state(&self) -> State {
        self.born().unwrap_or(State {
            status: Status::Starting,
            tokens: 0,
            started: None,
            ended: None,
        })
    }

    /// Waits until `is_it` is true and returns that state.
    pub(super) async fn until(&self, is_it: impl Fn(&State) -> bool) -> State {
        let mut cancels = self.canceled.subscribe();
        loop {
            let now = self.created.elapsed();
            let state = self.state_at(now, *cancels.borrow_and_update());
            if is_it(&state) {
                return state;
            }
            let next = self.next_change(now, &state);
            match next.and_then(|next| self.created.checked_add(next)) {
                // The state changed in either case.
                Some(next) => drop(timeout_at(next, cancels.changed()).await),
                None => drop(cancels.changed().await),
            }
        }
    }

    /// Returns the error of a failed prediction.
    pub(super) fn error(&self, state: &State) -> Option<&'static str> {
        match self.fault {
            _ if state.status != Status::Failed => None,
            Some(Fault::DoneFail) => Some("CUDA out of memory"),
            Some(Fault::Failed) => Some("Model setup failed"),
            _ => Some("Prediction interrupted; please retry (code: PA)"),
        }
    }

    /// Returns the run time for the metrics.
    pub(super) fn run_time(&self, state: &State) -> Option<Duration> {
        let run = state.ended?.saturating_sub(state.started?);
        let nominal = self.first_token_time();
        Some(run.max(nominal.saturating_mul(count(state.tokens))))
    }

    /// Returns the time to the first token for the metrics.
    pub(super) fn first_token_time(&self) -> Duration {
        match self.pace {
            Duration::ZERO => NOMINAL_PACE,
            pace => pace,
        }
    }

    fn state_at(&self, now: Duration, canceled: Option<Duration>) -> State {
        if let Some(born) = self.born() {
            return born;
        }
        let end = self
            .boot
            .map(|boot| self.token_time(boot, self.tokens.len()));
        let deadline = self.request.deadline;
        let stop = canceled.into_iter().chain(deadline).min();
        let stop = stop.filter(|stop| end.is_none_or(|end| *stop < end));
        let now = stop.map_or(now, |stop| now.min(stop));
        let started = self.boot.filter(|boot| *boot <= now);
        let ended = stop.or(end).filter(|ended| *ended <= now);
        State {
            status: match (started, ended, stop) {
                (None, None, _) => Status::Starting,
                (Some(_), None, _) => Status::Processing,
                (_, Some(_), None) if breaks(self.fault.as_ref()) => Status::Failed,
                (_, Some(_), None) => Status::Succeeded,
                (None, Some(_), Some(stop)) if canceled != Some(stop) => Status::Aborted,
                (_, Some(_), Some(_)) => Status::Canceled,
            },
            tokens: started.map_or(0, |boot| self.tokens_in(now.saturating_sub(boot))),
            started,
            ended,
        }
    }

    /// Returns the state of a prediction that is created in a final state.
    fn born(&self) -> Option<State> {
        let status = match self.fault {
            Some(Fault::Aborted) => Status::Aborted,
            Some(Fault::Canceled) => Status::Canceled,
            Some(Fault::Failed) => Status::Failed,
            _ => return None,
        };
        Some(State {
            status,
            tokens: 0,
            started: None,
            ended: Some(Duration::ZERO),
        })
    }

    /// Returns the time of the next change if it is not canceled.
    fn next_change(&self, now: Duration, state: &State) -> Option<Duration> {
        let token = self.boot.map(|boot| match state.started {
            Some(_) => self.token_time(boot, state.tokens + 1),
            None => boot,
        });
        let times = token.into_iter().chain(self.request.deadline);
        times.filter(|time| now < *time).min()
    }

    /// Returns the time at which this many tokens exist.
    fn token_time(&self, boot: Duration, tokens: usize) -> Duration {
        boot.saturating_add(self.pace.saturating_mul(count(tokens)))
    }

    /// Counts the tokens after this run time.
    fn tokens_in(&self, time: Duration) -> usize {
        let tokens = time.as_nanos().checked_div(self.pace.as_nanos());
        tokens
            .and_then(|tokens| usize::try_from(tokens).ok())
            .map_or(self.tokens.len(), |tokens| tokens.min(self.tokens.len()))
    }
}

/// Returns true if a prediction with this fault fails after a few tokens.
fn breaks(fault: Option<&Fault>) -> bool {
    matches!(fault, Some(Fault::DoneFail | Fault::Error))
}

/// Generates this many tokens; the first is never one of another response.
fn others(rng: &mut Rng, prompt: &str, len: usize) -> Vec<String> {
    let text = tokens::split(&prose::answer(rng, prompt));
    let first = ["Otherwise".to_owned(), ":".to_owned(), " ".to_owned()];
    let rest = text.iter().cycle().cloned();
    first.into_iter().chain(rest).take(len).collect()
}

fn word(rng: &mut Rng, len: usize) -> String {
    let letter = |_| char::from(ALPHABET[rng.usize(..ALPHABET.len())]);
    (0..len).map(letter).collect()
}

fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}
