//! A manual clock, and an executor that advances it.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, SystemTime},
};

use inferstream_core::{BoxFuture, Timer};

/// The time of a new clock: not zero, so that a test notices if the time of a timer is mistaken for the
/// time since a request.
const START: Duration = Duration::from_secs(7);

/// A manual clock: time passes only if a test advances it, or in [`block_on`](Self::block_on).
///
/// Clones are the same clock. The calendar time of a new clock is 1970-01-01, 00:00 UTC.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    elapsed: Duration,
    /// By time, and then by the order in which they began.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    begun: u64,
}

impl Clock {
    /// Creates a clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the time that has passed since the clock was created.
    pub fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    /// Advances the clock, and wakes the futures whose wait has ended.
    pub fn advance(&self, time: Duration) {
        self.advance_to(self.elapsed().saturating_add(time));
    }

    /// Runs a future to its end. Whenever it waits, the clock advances to the end of the next wait.
    ///
    /// # Panics
    ///
    /// If the future waits for something other than this clock, such as a
    /// [`Piece::Hang`](crate::Piece::Hang) without a timeout, a socket or a thread.
    #[track_caller]
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&flag));
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return value;
            }
            while !flag.0.swap(false, SeqCst) {
                let is_advanced = self.advance_to_next();
                assert!(is_advanced, "nothing will ever wake the future");
            }
        }
    }

    pub(super) fn sleep_for(&self, time: Duration) -> Sleep {
        let mut state = self.state();
        state.begun += 1;
        Sleep {
            until: state.elapsed.checked_add(time),
            id: state.begun,
            clock: self.clone(),
        }
    }

    /// Advances to the end of the earliest wait. Returns false if nothing waits.
    fn advance_to_next(&self) -> bool {
        let next = self.state().sleepers.keys().next().copied();
        next.is_some_and(|(until, _)| {
            self.advance_to(until);
            true
        })
    }

    fn advance_to(&self, to: Duration) {
        let mut state = self.state();
        state.elapsed = state.elapsed.max(to);
        let later = state.sleepers.split_off(&(to, u64::MAX));
        let woken = std::mem::replace(&mut state.sleepers, later);
        // A waker may use the clock.
        drop(state);
        for waker in woken.into_values() {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timer for Clock {
    fn now(&self) -> Duration {
        START.saturating_add(self.elapsed())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.sleep_for(duration))
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed()
    }
}

/// A wait for a clock.
#[derive(Debug)]
pub(super) struct Sleep {
    /// `None` if the sum exceeds the greatest duration.
    until: Option<Duration>,
    id: u64,
    clock: Clock,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until else {
            return Poll::Pending;
        };
        let mut state = self.clock.state();
        if until <= state.elapsed {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        state.sleepers.insert((until, self.id), waker);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(until) = self.until {
            self.clock.state().sleepers.remove(&(until, self.id));
        }
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}
