//! Many who need the same thing in, one who gets it for all out.

use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use inferstream_core::{BoxFuture, Error, Result};

/// Lets one of many callers refresh what all need, on no runtime in particular.
///
/// The one who refreshes does it in its own future: while that is kept and not polled, all wait.
///
/// ```
/// # use std::{future::{Future, ready}, pin::pin, sync::Mutex, task::{Context, Waker}, time::{Duration, Instant}};
/// # use inferstream_core::Error;
/// use inferstream_session::SingleFlight;
///
/// # let answer = async {
/// let key = Mutex::new(None);
/// let current = || *key.lock().unwrap();
/// let refresh = SingleFlight::new(|_| Duration::from_secs(10));
/// for _ in 0..2 {
///     // Asked for once: then it is there.
///     let got = refresh.run(current, Instant::now, || {
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
    failed: Option<(Instant, Error)>,
}

enum Turn<'a, T> {
    Done(T),
    Lead(Lead<'a>),
    Wait(Wait),
}

impl SingleFlight {
    /// Creates it with how long a failure answers those who ask again.
    pub fn new(back_off: fn(&Error) -> Duration) -> Self {
        let state = Mutex::default();
        Self { back_off, state }
    }

    /// Returns what is there, or what `refresh` gets if no other does already.
    ///
    /// `refresh` leaves where `current` finds it what it returns. If it fails, all who wait get its
    /// error, and so do those who ask before its back-off is over by `now`.
    ///
    /// # Errors
    ///
    /// Those of `refresh`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while it refreshes, another of those who wait does, in its own way.
    /// One that is neither dropped nor polled keeps the others waiting.
    pub async fn run<T, F>(
        &self,
        current: impl Fn() -> Option<T>,
        now: impl Fn() -> Instant,
        refresh: impl FnOnce() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let for_ever = || -> BoxFuture<'static, ()> { Box::pin(std::future::pending()) };
        self.run_impatiently(current, now, for_ever, refresh).await
    }

    /// As [`run`](Self::run), but who has waited for another's refresh as long as `patience` lasts
    /// takes its place: a future that nobody polls would keep all waiting.
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
        now: impl Fn() -> Instant,
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
                        None => self.end(&wait.flight),
                    }
                }
            }
        };
        let result = refresh().await;
        lead.land(result.as_ref().err(), now());
        result
    }

    fn turn<T>(&self, current: impl Fn() -> Option<T>, now: Instant) -> Result<Turn<'_, T>> {
        let mut state = locked(&self.state);
        if let Some(found) = current() {
            return Ok(Turn::Done(found));
        }
        match &state.failed {
            Some((then, error))
                if now.saturating_duration_since(*then) < (self.back_off)(error) =>
            {
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

    /// Ends a refresh: those who wait for it look again.
    fn end(&self, flight: &Arc<Flight>) {
        // Before they wake: each looks whether a refresh runs.
        let mut state = locked(&self.state);
        if state.is_of(flight) {
            state.running = None;
        }
        drop(state);
        let mut waiters = locked(&flight.0);
        // Without an error there is something now, or somebody else has to get it: all look again.
        waiters.landed.get_or_insert(Ok(()));
        let wakers = std::mem::take(&mut waiters.wakers);
        drop(waiters);
        wakers.into_values().for_each(Waker::wake);
    }
}

impl State {
    /// Returns true while no other has taken the place of a refresh.
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

/// One refresh, as those see it who wait.
#[derive(Default)]
struct Flight(Mutex<Waiters>);

#[derive(Default)]
struct Waiters {
    /// Set at the end: an error, or a reason to look again.
    landed: Option<Result<()>>,
    /// The number of the last who came.
    last: u64,
    /// Who waits, by number.
    wakers: BTreeMap<u64, Waker>,
}

/// The right and duty to refresh. Dropped, it passes to another.
struct Lead<'a> {
    owner: &'a SingleFlight,
    flight: Arc<Flight>,
}

impl Lead<'_> {
    fn land(self, error: Option<&Error>, now: Instant) {
        let mut state = locked(&self.owner.state);
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

/// Waits for the end of another's refresh.
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
        // Not under the lock: that may drop a task in which others wait.
        drop(before);
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waker = locked(&self.flight.0).wakers.remove(&number);
        // Not under the lock either.
        drop(waker);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
