//! A number of permits in; who waits for one gets it in turn.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// A number of permits, given in the order in which they were first waited for.
///
/// A permit that is given back goes to the first who waits and to nobody else: who comes then cannot
/// overtake, and no wake-up is lost where the one that it was meant for is gone.
pub(crate) struct Semaphore {
    state: Mutex<State>,
}

/// While somebody waits, no permit is free.
#[derive(Default)]
struct State {
    free: usize,
    /// The number of the next who has to wait.
    next: u64,
    /// Who waits, by number; one that is no longer here has been given a permit.
    waiting: BTreeMap<u64, Waker>,
}

impl Semaphore {
    pub(crate) fn new(permits: usize) -> Arc<Self> {
        let state = State {
            free: permits,
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// Waits for a permit, from the first poll on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its turn, or the permit that it has been given.
    pub(crate) fn acquire(self: &Arc<Self>) -> Acquire {
        Acquire {
            semaphore: Arc::clone(self),
            number: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a permit to the first who waits.
    fn give_back(&self) {
        let mut state = self.state();
        let first = state.waiting.pop_first();
        if first.is_none() {
            state.free += 1;
        }
        drop(state);
        // Not under the lock: a waker may run, or drop, a task that holds a permit.
        if let Some((_, waker)) = first {
            waker.wake();
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Semaphore")
            .field("free", &state.free)
            .field("waiting", &state.waiting.len())
            .finish_non_exhaustive()
    }
}

/// The wait for a permit.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Acquire {
    semaphore: Arc<Semaphore>,
    /// `None` before the first poll, and once the permit is the caller's.
    number: Option<u64>,
}

impl Future for Acquire {
    type Output = Permit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        let this = &mut *self;
        // Not dropped under the lock: that may drop a task that holds a permit.
        let mut waker = cx.waker().clone();
        let mut state = this.semaphore.state();
        let has_permit = match this.number {
            None if 0 < state.free => {
                state.free -= 1;
                true
            }
            None => {
                let number = state.next;
                state.next += 1;
                state.waiting.insert(number, waker.clone());
                this.number = Some(number);
                false
            }
            Some(number) => {
                let kept = state.waiting.get_mut(&number);
                kept.map(|kept| mem::swap(kept, &mut waker)).is_none()
            }
        };
        drop(state);
        if !has_permit {
            return Poll::Pending;
        }
        this.number = None;
        Poll::Ready(Permit {
            semaphore: Arc::clone(&this.semaphore),
        })
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let waker = self.semaphore.state().waiting.remove(&number);
        if waker.is_none() {
            self.semaphore.give_back();
        }
    }
}

/// A permit, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    semaphore: Arc<Semaphore>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.semaphore.give_back();
    }
}
