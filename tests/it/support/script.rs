//! A transport that sends responses from a list.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use inferstream_core::{Body, BoxFuture, Error, Result, Timer, Transport};

use super::{Clock, Double, block_on};

/// A transport that responds from a script and records its calls.
pub(crate) struct Script {
    pub(crate) clock: Clock,
    pub(crate) requests: Mutex<Vec<Request<Bytes>>>,
    pub(crate) sleeps: Mutex<Vec<Duration>>,
    /// How often the time was asked for.
    pub(crate) readings: AtomicUsize,
    /// How often a sleep was polled.
    pub(crate) sleep_polls: Arc<AtomicUsize>,
    /// The reported retries: the error's message and the delay.
    pub(crate) retries: Mutex<Vec<(String, Duration)>>,
    /// How much later than requested each sleep ends.
    oversleep: Duration,
    responses: Mutex<VecDeque<Result<Response<Body>>>>,
    tasks: Mutex<Vec<BoxFuture<'static, ()>>>,
}

impl Script {
    pub(crate) fn new(responses: impl IntoIterator<Item = Result<Response<Body>>>) -> Arc<Self> {
        Self::oversleeping(Duration::ZERO, responses)
    }

    pub(crate) fn oversleeping(
        oversleep: Duration,
        responses: impl IntoIterator<Item = Result<Response<Body>>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock: Clock::new(),
            requests: Mutex::default(),
            sleeps: Mutex::default(),
            readings: AtomicUsize::default(),
            sleep_polls: Arc::default(),
            retries: Mutex::default(),
            oversleep,
            responses: Mutex::new(responses.into_iter().collect()),
            tasks: Mutex::default(),
        })
    }

    /// Runs the background tasks to their end. Returns the number of tasks.
    pub(crate) fn run_tasks(&self) -> usize {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        let count = tasks.len();
        for task in tasks {
            block_on(&self.clock, task);
        }
        count
    }
}

impl Double for Script {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn run_detached(&self) -> usize {
        self.run_tasks()
    }
}

impl Transport for Script {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        self.requests.lock().unwrap().push(request);
        let response = self.responses.lock().unwrap().pop_front();
        Box::pin(std::future::ready(
            response.expect("the script has an answer"),
        ))
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.tasks.lock().unwrap().push(task);
    }

    fn on_retry(&self, error: &Error, wait: Duration) {
        let retry = (error.to_string(), wait);
        self.retries.lock().unwrap().push(retry);
    }
}

impl Timer for Script {
    fn now(&self) -> Duration {
        self.readings.fetch_add(1, SeqCst);
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleeps.lock().unwrap().push(duration);
        let mut sleep = self.clock.sleep(duration.saturating_add(self.oversleep));
        let polls = Arc::clone(&self.sleep_polls);
        Box::pin(std::future::poll_fn(move |cx| {
            polls.fetch_add(1, SeqCst);
            sleep.as_mut().poll(cx)
        }))
    }

    fn system_time(&self) -> SystemTime {
        self.clock.system_time()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}
