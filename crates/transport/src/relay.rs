//! A waker between a task and futures of that task that wake each other.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

/// How often futures that wake each other are polled before the task yields.
///
/// Data needs two rounds: one in which the body asks for it, and one in which the connection reads
/// it. A wake-up in each round means that a future wants to yield, for example because tokio's
/// cooperative budget is used up.
const ROUNDS: usize = 4;

/// A waker for futures that are polled together, such as a connection and its response body.
///
/// With the waker of the task, each of them would schedule the task that is polling it already. This
/// one only notes a wake-up that comes during the poll, and the poll is repeated. A wake-up that
/// comes between two polls wakes the task.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    waker: Waker,
}

impl Relay {
    pub(crate) fn new() -> Self {
        let shared = Arc::new(Shared(Mutex::new(State::Polled)));
        Self {
            waker: Waker::from(Arc::clone(&shared)),
            shared,
        }
    }

    /// Polls until the futures are ready, or until all of them wait for something else.
    pub(crate) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        for _ in 0..ROUNDS {
            *self.shared.state() = State::Polled;
            if let Poll::Ready(value) = poll(&mut Context::from_waker(&self.waker)) {
                return Poll::Ready(value);
            }
            if self.shared.wait(cx.waker()) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

struct Shared(Mutex<State>);

enum State {
    /// A poll is running, or has returned its value.
    Polled,
    /// A wake-up came since the last poll began.
    Woken,
    /// The poll is over, and a wake-up goes to the task.
    Waiting(Waker),
}

impl Shared {
    /// Ends a poll. Returns false if it was woken meanwhile and must be repeated.
    fn wait(&self, task: &Waker) -> bool {
        // Cloned before the lock is taken: a waker's code is foreign.
        let waiting = State::Waiting(task.clone());
        let mut state = self.state();
        if matches!(*state, State::Woken) {
            return false;
        }
        *state = waiting;
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let earlier = std::mem::replace(&mut *self.state(), State::Woken);
        if let State::Waiting(task) = earlier {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// A task that counts its wake-ups.
    #[derive(Default)]
    struct Task(Arc<Count>);

    impl Task {
        fn poll<T>(&self, relay: &Relay, poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
            let waker = Waker::from(Arc::clone(&self.0));
            relay.poll(&mut Context::from_waker(&waker), poll)
        }

        fn wakes(&self) -> usize {
            self.0.0.load(SeqCst)
        }
    }

    /// Returns a poll that keeps its waker.
    fn kept(waker: &RefCell<Option<Waker>>) -> impl FnMut(&mut Context<'_>) -> Poll<()> {
        |cx| {
            *waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        }
    }

    #[test]
    fn a_wake_during_the_poll_repeats_it() {
        let (relay, task) = (Relay::new(), Task::default());
        let polls = Cell::new(0);
        let polled = task.poll(&relay, |cx| {
            polls.set(polls.get() + 1);
            if polls.get() == 3 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!((polled, polls.get()), (Poll::Ready(()), 3));
        assert_eq!(task.wakes(), 0);
    }

    #[test]
    fn a_wake_between_polls_wakes_the_task_once() {
        let (relay, task, waker) = (Relay::new(), Task::default(), RefCell::default());
        for wakes in 1..4 {
            assert!(task.poll(&relay, kept(&waker)).is_pending());
            assert_eq!(task.wakes(), wakes - 1);
            let waker = waker.take().unwrap();
            waker.wake_by_ref();
            waker.wake();
            assert_eq!(task.wakes(), wakes);
        }
    }

    #[test]
    fn a_wake_goes_to_the_task_that_polled_last() {
        let (relay, waker) = (Relay::new(), RefCell::default());
        let (first, second) = (Task::default(), Task::default());
        assert!(first.poll(&relay, kept(&waker)).is_pending());
        // The future does not register again.
        assert!(second.poll(&relay, |_| Poll::<()>::Pending).is_pending());
        waker.take().unwrap().wake();
        assert_eq!((first.wakes(), second.wakes()), (0, 1));
    }

    #[test]
    fn futures_that_always_wake_make_the_task_yield() {
        let (relay, task) = (Relay::new(), Task::default());
        let polls = Cell::new(0);
        let polled = task.poll(&relay, |cx| {
            polls.set(polls.get() + 1);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((polls.get(), task.wakes()), (ROUNDS, 1));
    }

    #[test]
    fn a_relay_keeps_no_task_that_got_its_value() {
        let (relay, task) = (Relay::new(), Task::default());
        assert!(task.poll(&relay, |_| Poll::<()>::Pending).is_pending());
        assert_eq!(Arc::strong_count(&task.0), 2);
        assert!(task.poll(&relay, |_| Poll::Ready(())).is_ready());
        assert_eq!(Arc::strong_count(&task.0), 1);
    }

    #[test]
    fn no_wake_of_another_thread_is_lost() {
        let (relay, task) = (Relay::new(), Task::default());
        let (told, wakers) = std::sync::mpsc::channel::<Waker>();
        let waking = std::thread::spawn(move || wakers.into_iter().for_each(Waker::wake));
        for _ in 0..10_000 {
            let before = task.wakes();
            let sent = Cell::new(false);
            let polled = task.poll(&relay, |cx| {
                if sent.replace(true) {
                    // The wake-up came during the poll.
                    return Poll::Ready(());
                }
                told.send(cx.waker().clone()).unwrap();
                Poll::Pending
            });
            while polled.is_pending() && task.wakes() == before {
                std::thread::yield_now();
            }
        }
        drop(told);
        waking.join().unwrap();
    }
}
