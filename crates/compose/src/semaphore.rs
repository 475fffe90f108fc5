//! A fair asynchronous semaphore.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// A fair asynchronous semaphore: it hands out a fixed number of places, in the order of the first
/// polls.
///
/// A place that is given back goes to the waiter that came first. A later caller cannot overtake it,
/// and a waiter that is dropped after its wake-up passes the place on.
pub struct Semaphore {
    state: Mutex<State>,
}

/// While a task waits, no place is free.
#[derive(Default)]
struct State {
    free: usize,
    /// The number of the next waiter.
    next: u64,
    /// The waiters by number; one that is no longer here has been given a place.
    waiting: BTreeMap<u64, Waker>,
}

impl Semaphore {
    /// Creates a semaphore with a number of places, of which there should be at least one.
    pub fn new(places: usize) -> Arc<Self> {
        let state = State {
            free: places,
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// Waits for a place; the position in the queue is taken by the first poll.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its turn, or the place that it has been given.
    pub fn acquire(self: &Arc<Self>) -> Acquire {
        Acquire {
            semaphore: Arc::clone(self),
            number: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a place to the first waiter.
    fn give_back(&self) {
        let mut state = self.state();
        let first = state.waiting.pop_first();
        if first.is_none() {
            state.free += 1;
        }
        drop(state);
        // Not under the lock: a waker may run, or drop, a task that holds a place.
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

/// The wait for a place of a [`Semaphore`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Acquire {
    semaphore: Arc<Semaphore>,
    /// `None` before the first poll, and once the place is the caller's.
    number: Option<u64>,
}

impl Future for Acquire {
    type Output = Place;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Place> {
        let this = &mut *self;
        // Not dropped under the lock: that may drop a task that holds a place.
        let mut waker = cx.waker().clone();
        let mut state = this.semaphore.state();
        let has_place = match this.number {
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
        if !has_place {
            return Poll::Pending;
        }
        this.number = None;
        Poll::Ready(Place {
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

/// A place of a [`Semaphore`], which is given back when this is dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct Place {
    semaphore: Arc<Semaphore>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.semaphore.give_back();
    }
}
