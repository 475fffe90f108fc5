//! Permits and their queue, in any order of events: none is lost or granted twice.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread,
};

use inferstream_compose::ConcurrencyLimit;
use inferstream_core::{BoxFuture, ChatEvent, ChatStream, Provider, Result};
use proptest::{collection::vec, prelude::*};

use super::{Fake, Step, Task, now, says, steps};

fn hangs() -> Fake {
    Fake::new("one", [steps([Step::Hang])])
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Enter,
    /// Polls a caller that waits, or was granted a permit without being polled since.
    Poll(usize),
    /// Drops a caller that waits, or was granted a permit without being polled since.
    Leave(usize),
    /// Releases the permit of a caller.
    Finish(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => Just(Move::Enter),
        2 => any::<usize>().prop_map(Move::Poll),
        2 => any::<usize>().prop_map(Move::Leave),
        3 => any::<usize>().prop_map(Move::Finish),
    ];
    vec(one, 0..40)
}

/// A simple model of the queue.
struct Model {
    free: usize,
    /// The numbers of the waiting callers, in order.
    waiting: VecDeque<usize>,
    /// Callers with a permit that have not been polled since.
    given: Vec<usize>,
}

impl Model {
    fn give_back(&mut self) {
        match self.waiting.pop_front() {
            None => self.free += 1,
            Some(first) => self.given.push(first),
        }
    }

    /// Callers that were dropped, with or without a permit.
    fn leave(&mut self, number: usize) {
        if let Some(place) = self.given.iter().position(|given| *given == number) {
            self.given.remove(place);
            self.give_back();
        } else {
            self.waiting.retain(|waiting| *waiting != number);
        }
    }
}

struct World {
    limit: ConcurrencyLimit,
    fake: Fake,
    model: Model,
    /// The callers that have not received a permit yet.
    tasks: Vec<(usize, Task<Result<ChatStream>>)>,
    streams: Vec<ChatStream>,
    next: usize,
}

impl World {
    fn new(places: usize) -> Self {
        let fake = hangs();
        Self {
            limit: ConcurrencyLimit::new(fake.clone()).max_in_flight(places),
            fake,
            model: Model {
                free: places,
                waiting: VecDeque::new(),
                given: Vec::new(),
            },
            tasks: Vec::new(),
            streams: Vec::new(),
            next: 0,
        }
    }

    fn step(&mut self, step: Move) {
        match step {
            Move::Enter => {
                let number = self.next;
                self.next += 1;
                let mut task = Task::new(self.limit.stream("hi".into()));
                let stream = task.poll();
                assert_eq!(
                    stream.is_some(),
                    0 < self.model.free,
                    "no permit is withheld"
                );
                if let Some(stream) = stream {
                    self.model.free -= 1;
                    self.streams.push(stream.unwrap());
                } else {
                    self.model.waiting.push_back(number);
                    self.tasks.push((number, task));
                }
            }
            Move::Poll(which) if !self.tasks.is_empty() => {
                let which = which % self.tasks.len();
                let (number, task) = &mut self.tasks[which];
                let number = *number;
                let stream = task.poll();
                let given = self.model.given.iter().position(|given| *given == number);
                assert_eq!(stream.is_some(), given.is_some(), "in order");
                if let (Some(stream), Some(given)) = (stream, given) {
                    self.model.given.remove(given);
                    self.streams.push(stream.unwrap());
                    self.tasks.remove(which);
                }
            }
            Move::Leave(which) if !self.tasks.is_empty() => {
                let which = which % self.tasks.len();
                let (number, task) = self.tasks.remove(which);
                drop(task);
                self.model.leave(number);
            }
            Move::Finish(which) if !self.streams.is_empty() => {
                let which = which % self.streams.len();
                drop(self.streams.remove(which));
                self.model.give_back();
            }
            _ => {}
        }
        self.check();
    }

    fn check(&self) {
        for (number, task) in &self.tasks {
            let has_place = self.model.given.contains(number);
            assert_eq!(
                task.is_woken(),
                has_place,
                "only the waiter with a permit is woken"
            );
        }
        assert_eq!(self.fake.running(), self.streams.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn permits_are_granted_as_by_a_simple_queue(places in 1..4_usize, moves in moves()) {
        let mut world = World::new(places);
        for step in moves {
            world.step(step);
        }
        // All callers are dropped in any order, and all permits are free again.
        let World { limit, tasks, streams, .. } = world;
        drop((tasks, streams));
        let all: Vec<_> = (0..places).map(|_| now(limit.stream("hi".into())).unwrap()).collect();
        prop_assert!(Task::new(limit.stream("hi".into())).poll().is_none());
        drop(all);
    }
}

#[test]
fn a_dropped_waiter_does_not_affect_the_order_of_the_others() {
    for goes in 0..5 {
        for is_given in [false, true] {
            let mut world = World::new(1);
            for _ in 0..6 {
                world.step(Move::Enter);
            }
            if is_given {
                world.step(Move::Finish(0));
            }
            world.step(Move::Leave(goes));
            if !is_given {
                world.step(Move::Finish(0));
            }
            for _ in 0..4 {
                world.step(Move::Poll(0));
                world.step(Move::Finish(0));
            }
            assert!(
                world.tasks.is_empty(),
                "all other waiters got their permits"
            );
        }
    }
}

/// A waker that holds a stream, as the waker of a task that waits for another one does.
struct Holds {
    stream: Mutex<Option<ChatStream>>,
}

impl Wake for Holds {
    fn wake(self: Arc<Self>) {
        drop(self.stream.lock().unwrap().take());
    }
}

fn poll_with(future: &mut BoxFuture<'static, Result<ChatStream>>, waker: &Waker) -> bool {
    let poll = future.as_mut().poll(&mut Context::from_waker(waker));
    matches!(poll, Poll::Ready(_))
}

#[test]
fn a_waker_may_hold_a_permit() {
    let limit = ConcurrencyLimit::new(hangs()).max_in_flight(2);
    let enter = || now(limit.stream("hi".into())).unwrap();
    let holds = |stream| {
        Waker::from(Arc::new(Holds {
            stream: Mutex::new(Some(stream)),
        }))
    };
    // Replaced by another waker.
    let streams = [enter(), enter()];
    let [first, second] = streams;
    let mut waits = limit.stream("hi".into());
    assert!(!poll_with(&mut waits, &holds(first)));
    assert!(
        !poll_with(&mut waits, Waker::noop()),
        "its permit was granted at that moment"
    );
    assert!(poll_with(&mut waits, Waker::noop()));
    // Dropped with its future.
    let third = enter();
    let mut waits = limit.stream("hi".into());
    assert!(!poll_with(&mut waits, &holds(third)));
    drop(waits);
    // Woken.
    let third = enter();
    let mut waits = limit.stream("hi".into());
    let mut other = Task::new(limit.stream("hi".into()));
    assert!(!poll_with(&mut waits, &holds(third)));
    assert!(other.poll().is_none());
    drop(second);
    assert!(other.is_woken(), "the permit that the waker held");
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread.
fn block<T>(mut future: BoxFuture<'static, T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn threads_take_turns() {
    let mut act = vec![Step::Later; 3];
    act.push(ChatEvent::text(0, "a").into());
    let fake = Fake::new("one", [steps(act)]);
    let limit = ConcurrencyLimit::new(fake.clone()).max_in_flight(3);
    let threads: Vec<_> = (0..8)
        .map(|nth| {
            let limit = limit.clone();
            thread::spawn(move || {
                for round in 0..300 {
                    let mut leaves = Task::new(limit.stream("hi".into()));
                    if (nth + round) % 3 == 0 {
                        // Some are dropped before they have a permit, or as soon as they have one.
                        drop(leaves.poll());
                        thread::yield_now();
                    }
                    drop(leaves);
                    assert_eq!(block(limit.chat("hi".into())).unwrap().text(), "a");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(fake.log.most.load(std::sync::atomic::Ordering::SeqCst) <= 3);
    assert_eq!(fake.running(), 0);
    let all: Vec<_> = (0..3).map(|_| now(limit.stream("hi".into()))).collect();
    assert_eq!(all.len(), 3);
}

#[test]
fn all_waiters_are_served_in_the_end() {
    let limit = ConcurrencyLimit::new(Fake::new("one", [says("a")])).max_in_flight(1);
    let mut tasks: Vec<_> = (0..100)
        .map(|_| Task::new(limit.chat("hi".into())))
        .collect();
    for task in &mut tasks {
        assert!(task.run().unwrap().is_ok());
    }
}
