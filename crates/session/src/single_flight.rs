//! A single-flight refresh: concurrent callers share one fetch.

use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use inferstream_core::{BoxFuture, Error, Result};

/// Deduplicates concurrent refreshes of a shared value, on any runtime.
///
/// One caller refreshes within its own future, and the others wait for the result. While that future
/// is kept without being polled, all of them wait; see [`run_impatiently`](Self::run_impatiently).
///
/// ```
/// # use std::{future::{Future, ready}, pin::pin, sync::Mutex, task::{Context, Waker}, time::Duration};
/// # use inferstream_core::Error;
/// use inferstream_session::SingleFlight;
///
/// # let answer = async {
/// let key = Mutex::new(None);
/// let current = || *key.lock().unwrap();
/// let refresh = SingleFlight::new(|_| Duration::from_secs(10));
/// for _ in 0..2 {
///     // The second round finds the value, and does not refresh again.
///     let got = refresh.run(current, || Duration::ZERO, || {
///         *key.lock().unwrap() = Some("key");
///         ready(Ok("key"))
///     });
///     assert_eq!(got.await?, "key");
/// }
/// # Ok::<(), Error>(())
/// # };
/// # assert!(pin!(answer).poll(&mut Context::from_waker(Waker::noop())).is_ready());
/// ```
pub struct SingleFlight {
    back_off: fn(&Error) -> Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<Arc<Flight>>,
    failed: Option<(Duration, Error)>,
}

enum Turn<'a, T> {
    Done(T),
    Lead(Lead<'a>),
    Wait(Wait),
}

impl SingleFlight {
    /// Creates a single-flight refresh with its back-off: for that time after a failure, callers get
    /// the same error without a new refresh.
    pub fn new(back_off: fn(&Error) -> Duration) -> Self {
        let state = Mutex::default();
        Self { back_off, state }
    }

    /// Returns the current value, or refreshes it unless another caller already does.
    ///
    /// `refresh` must store its value where `current` finds it. If it fails, all waiters get its error,
    /// and so do callers until the back-off is over by `now`, which is that of a
    /// [`Timer`](inferstream_core::Timer).
    ///
    /// # Errors
    ///
    /// Those of `refresh`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while it refreshes, one of the waiters refreshes with its own
    /// `refresh`. A future that is neither dropped nor polled keeps the others waiting.
    pub async fn run<T, F>(
        &self,
        current: impl Fn() -> Option<T>,
        now: impl Fn() -> Duration,
        refresh: impl FnOnce() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let for_ever = || -> BoxFuture<'static, ()> { Box::pin(std::future::pending()) };
        self.run_impatiently(current, now, for_ever, refresh).await
    }

    /// Returns the current value, or refreshes it, as [`run`](Self::run) does; but a caller that has
    /// waited for `patience` starts a refresh of its own. So a future that is not polled any more cannot
    /// block the others.
    ///
    /// # Errors
    ///
    /// Those of `refresh`.
    ///
    /// # Cancel safety
    ///
    /// As `run`.
    pub async fn run_impatiently<T, F>(
        &self,
        current: impl Fn() -> Option<T>,
        now: impl Fn() -> Duration,
        patience: impl Fn() -> BoxFuture<'static, ()>,
        refresh: impl FnOnce() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let lead = loop {
            match self.turn(&current, now())? {
                Turn::Done(found) => return Ok(found),
                Turn::Lead(lead) => break lead,
                Turn::Wait(mut wait) => {
                    let mut patience = patience();
                    let landed = poll_fn(|cx| match Pin::new(&mut wait).poll(cx) {
                        Poll::Ready(landed) => Poll::Ready(Some(landed)),
                        Poll::Pending => patience.as_mut().poll(cx).map(|()| None),
                    });
                    match landed.await {
                        Some(landed) => landed?,
                        // The refresh takes too long: this caller ends it for all waiters, and one of
                        // them becomes the next to refresh.
                        None => self.end(&wait.flight),
                    }
                }
            }
        };
        let result = refresh().await;
        lead.land(result.as_ref().err(), now());
        result
    }

    fn turn<T>(&self, current: impl Fn() -> Option<T>, now: Duration) -> Result<Turn<'_, T>> {
        let mut state = locked(&self.state);
        // Checked under the lock: a refresh that has just ended is not repeated.
        if let Some(found) = current() {
            return Ok(Turn::Done(found));
        }
        match &state.failed {
            Some((then, error)) if now.saturating_sub(*then) < (self.back_off)(error) => {
                return Err(error.clone());
            }
            _ => {}
        }
        if let Some(flight) = &state.running {
            let flight = Arc::clone(flight);
            return Ok(Turn::Wait(Wait {
                flight,
                number: None,
            }));
        }
        let flight = Arc::<Flight>::default();
        state.running = Some(Arc::clone(&flight));
        let owner = self;
        Ok(Turn::Lead(Lead { owner, flight }))
    }

    /// Ends a refresh, so that its waiters check again.
    fn end(&self, flight: &Arc<Flight>) {
        // Before the waiters wake, because each checks whether a refresh runs.
        let mut state = locked(&self.state);
        if state.is_of(flight) {
            state.running = None;
        }
        drop(state);
        let mut waiters = locked(&flight.0);
        // Without an error there is a value, or another caller has to fetch it: all check again.
        waiters.landed.get_or_insert(Ok(()));
        let wakers = std::mem::take(&mut waiters.wakers);
        drop(waiters);
        wakers.into_values().for_each(Waker::wake);
    }
}

impl State {
    /// Returns true while this refresh has not been replaced by another.
    fn is_of(&self, flight: &Arc<Flight>) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| Arc::ptr_eq(running, flight))
    }
}

impl fmt::Debug for SingleFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

/// One refresh, shared with its waiters.
#[derive(Default)]
struct Flight(Mutex<Waiters>);

#[derive(Default)]
struct Waiters {
    /// Set at the end: an error, or `Ok` to check again.
    landed: Option<Result<()>>,
    /// The number of the last waiter.
    last: u64,
    /// The waiters by number.
    wakers: BTreeMap<u64, Waker>,
}

/// The right to refresh; when it is dropped, it passes to a waiter.
struct Lead<'a> {
    owner: &'a SingleFlight,
    flight: Arc<Flight>,
}

impl Lead<'_> {
    fn land(self, error: Option<&Error>, now: Duration) {
        let mut state = locked(&self.owner.state);
        // A refresh that an impatient caller has replaced must not record its outcome over that of
        // its successor.
        if state.is_of(&self.flight) {
            state.failed = error.map(|error| (now, error.clone()));
        }
        drop(state);
        let mut waiters = locked(&self.flight.0);
        if let (None, Some(error)) = (&waiters.landed, error) {
            waiters.landed = Some(Err(error.clone()));
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.owner.end(&self.flight);
    }
}

/// A future that waits for the end of another caller's refresh.
struct Wait {
    flight: Arc<Flight>,
    /// `None` before the first poll.
    number: Option<u64>,
}

impl Future for Wait {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let waker = cx.waker().clone();
        let mut waiters = locked(&this.flight.0);
        if let Some(result) = &waiters.landed {
            return Poll::Ready(result.clone());
        }
        let number = this.number.unwrap_or(waiters.last + 1);
        this.number = Some(number);
        waiters.last = waiters.last.max(number);
        let before = waiters.wakers.insert(number, waker);
        drop(waiters);
        // Not dropped under the lock: that may drop a task that holds other waiters.
        drop(before);
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waker = locked(&self.flight.0).wakers.remove(&number);
        // Not dropped under the lock either.
        drop(waker);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
