//! A manual clock, and an executor that uses it.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, SystemTime},
};

use inferstream_core::{BoxFuture, Timer};

/// The time of a new clock, so that no test confuses a timer's time with the time of a request.
const START: Duration = Duration::from_secs(7);

/// A clock that advances only manually, or when everything that runs waits for it.
#[derive(Debug)]
pub(crate) struct Clock {
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
            state: Mutex::default(),
        })
    }

    pub(crate) fn now(&self) -> Duration {
        START + self.elapsed()
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

    /// Advances to the earliest wake-up. Returns false without one.
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

/// Pending until the clock reaches its time.
pub(crate) struct Sleep {
    /// `None` for a time that is out of range.
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

/// A timer that is not a transport.
#[derive(Clone, Debug)]
pub(crate) struct Ticks(pub(crate) Arc<Clock>);

impl Timer for Ticks {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.0.sleep(duration))
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.0.elapsed()
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Runs a future to its end; while it waits, the clock advances to the next wake-up.
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

/// Polls a future once, and returns whether it asked to be polled again immediately.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> (Poll<T>, bool) {
    let mut future = pin!(future);
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
    (poll, flag.0.load(SeqCst))
}
