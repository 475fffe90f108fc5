//! A fair async semaphore.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// A fair async semaphore: permits are granted in the order of the waiters' first polls.
///
/// A released permit is handed to the first waiter directly, so that a later caller cannot overtake
/// it. A waiter that is dropped with a granted permit passes it on, so no wake-up is lost.
pub struct Semaphore {
    state: Mutex<State>,
}

/// While there are waiters, `free` is 0.
#[derive(Default)]
struct State {
    free: usize,
    /// The number of the next waiter.
    next: u64,
    /// The waiters by number; one that is missing here has been granted a permit.
    waiting: BTreeMap<u64, Waker>,
}

impl Semaphore {
    /// Creates a semaphore with a number of permits; with 0, every wait is endless.
    pub fn new(permits: usize) -> Arc<Self> {
        let state = State {
            free: permits,
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// Waits for a permit; the place in the queue is taken at the first poll.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place in the queue, or the permit that it has been granted.
    pub fn acquire(self: &Arc<Self>) -> Acquire {
        Acquire {
            semaphore: Arc::clone(self),
            number: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a permit to the first waiter, or makes it free.
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

/// A future that waits for a permit of a [`Semaphore`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Acquire {
    semaphore: Arc<Semaphore>,
    /// `None` before the first poll, and once the permit was returned.
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

/// A permit of a [`Semaphore`], which is released when it is dropped.
#[derive(Debug)]
#[must_use = "a permit is released when it is dropped"]
pub struct Permit {
    semaphore: Arc<Semaphore>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.semaphore.give_back();
    }
}
