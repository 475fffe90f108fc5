//! Doubles: a clock moved by hand, a scripted body, a scripted transport, and what runs them.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use inferstream_core::{Body, BoxFuture, Error, Result, Transport};

/// Shorthand for a number of seconds.
pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A clock that moves only when told, or when all that runs waits for it.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    state: Mutex<ClockState>,
}

#[derive(Debug, Default)]
struct ClockState {
    elapsed: Duration,
    sleepers: Vec<(Duration, Waker)>,
}

impl Clock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            state: Mutex::default(),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        self.origin + self.elapsed()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.state.lock().unwrap().elapsed
    }

    pub(crate) fn advance(&self, time: Duration) {
        let to = self.elapsed() + time;
        self.advance_to(to);
    }

    pub(crate) fn sleep(self: &Arc<Self>, time: Duration) -> Sleep {
        Sleep {
            until: self.elapsed().checked_add(time),
            clock: Arc::clone(self),
        }
    }

    /// Moves to the earliest wake-up; false if nobody sleeps.
    fn advance_to_next(&self) -> bool {
        let state = self.state.lock().unwrap();
        let next = state.sleepers.iter().map(|(until, _)| *until).min();
        drop(state);
        next.is_some_and(|next| {
            self.advance_to(next);
            true
        })
    }

    fn advance_to(&self, to: Duration) {
        let mut state = self.state.lock().unwrap();
        state.elapsed = state.elapsed.max(to);
        let now = state.elapsed;
        let woken: Vec<_> = state
            .sleepers
            .extract_if(.., |(until, _)| *until <= now)
            .collect();
        drop(state);
        for (_, waker) in woken {
            waker.wake();
        }
    }
}

/// Pending until its clock says otherwise.
pub(crate) struct Sleep {
    /// `None` is beyond the end of time.
    until: Option<Duration>,
    clock: Arc<Clock>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until else {
            return Poll::Pending;
        };
        let mut state = self.clock.state.lock().unwrap();
        if until <= state.elapsed {
            return Poll::Ready(());
        }
        state.sleepers.push((until, cx.waker().clone()));
        Poll::Pending
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Runs a future to its end; where it waits, the clock moves to the next wake-up.
#[track_caller]
pub(crate) fn block_on<T>(clock: &Clock, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => {
                while !flag.0.swap(false, SeqCst) {
                    assert!(clock.advance_to_next(), "nothing will ever wake the future");
                }
            }
        }
    }
}

/// Polls a future once, and says whether it asked to be polled again at once.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> (Poll<T>, bool) {
    let mut future = pin!(future);
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
    (poll, flag.0.load(SeqCst))
}

/// What a scripted body does next; after the last piece it ends cleanly.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Bytes that are there.
    Bytes(Bytes),
    /// Nothing comes for this long.
    Wait(Duration),
    /// Time passes, though the body does not wait.
    Pass(Duration),
    /// The connection breaks.
    Error(Error),
    /// Nothing ever comes again.
    Hang,
}

impl From<&str> for Piece {
    fn from(text: &str) -> Self {
        Self::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Duration> for Piece {
    fn from(wait: Duration) -> Self {
        Self::Wait(wait)
    }
}

impl From<Error> for Piece {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What became of a scripted body.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    polls: AtomicUsize,
    bytes: AtomicUsize,
    dropped: AtomicBool,
}

impl Watch {
    pub(crate) fn polls(&self) -> usize {
        self.polls.load(SeqCst)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(SeqCst)
    }

    pub(crate) fn dropped(&self) -> bool {
        self.dropped.load(SeqCst)
    }
}

struct ScriptedBody {
    clock: Arc<Clock>,
    pieces: Box<dyn Iterator<Item = Piece> + Send>,
    sleep: Option<Sleep>,
    hangs: bool,
    watch: Arc<Watch>,
}

/// Makes a body of a script.
pub(crate) fn body<I>(clock: &Arc<Clock>, pieces: I) -> (Body, Arc<Watch>)
where
    I: IntoIterator<Item = Piece>,
    I::IntoIter: Send + 'static,
{
    let watch = Arc::new(Watch::default());
    let body = Body::new(ScriptedBody {
        clock: Arc::clone(clock),
        pieces: Box::new(pieces.into_iter()),
        sleep: None,
        hangs: false,
        watch: Arc::clone(&watch),
    });
    (body, watch)
}

impl http_body::Body for ScriptedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        this.watch.polls.fetch_add(1, SeqCst);
        loop {
            if this.hangs {
                return Poll::Pending;
            }
            if let Some(sleep) = &mut this.sleep {
                std::task::ready!(Pin::new(sleep).poll(cx));
                this.sleep = None;
            }
            match this.pieces.next() {
                None => return Poll::Ready(None),
                Some(Piece::Bytes(bytes)) => {
                    this.watch.bytes.fetch_add(bytes.len(), SeqCst);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Piece::Wait(time)) => this.sleep = Some(this.clock.sleep(time)),
                Some(Piece::Pass(time)) => this.clock.advance(time),
                Some(Piece::Error(error)) => return Poll::Ready(Some(Err(error))),
                Some(Piece::Hang) => this.hangs = true,
            }
        }
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        self.watch.dropped.store(true, SeqCst);
    }
}

/// A transport that answers from a script and records what it was asked to do.
pub(crate) struct Script {
    pub(crate) clock: Arc<Clock>,
    pub(crate) requests: Mutex<Vec<Request<Bytes>>>,
    pub(crate) sleeps: Mutex<Vec<Duration>>,
    /// How much later than asked each sleep ends.
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
            oversleep,
            responses: Mutex::new(responses.into_iter().collect()),
            tasks: Mutex::default(),
        })
    }

    /// Runs what was detached to its end; returns how many tasks there were.
    pub(crate) fn run_tasks(&self) -> usize {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        let count = tasks.len();
        for task in tasks {
            block_on(&self.clock, task);
        }
        count
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

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleeps.lock().unwrap().push(duration);
        Box::pin(self.clock.sleep(duration.saturating_add(self.oversleep)))
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.tasks.lock().unwrap().push(task);
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.clock.elapsed()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}
