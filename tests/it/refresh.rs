//! Single-flight refresh: concurrent callers share one refresh, also if its caller is dropped,
//! fails or panics.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use inferstream_client::DetachOnDrop;
use inferstream_core::{BoxFuture, Error, ErrorKind, Result, Timer, Transport};
use inferstream_session::SingleFlight;
use proptest::{collection::vec, prelude::*};

use crate::support::{Clock, Script, poll_once, seconds};

/// How long a failure is returned to further callers.
const BACK_OFF: Duration = seconds(10);

/// The shared value, and a refresh whose outcome the test sets.
struct World {
    clock: Clock,
    refresh: SingleFlight,
    found: Mutex<Option<u32>>,
    /// The outcome of the running refresh, once it is set.
    outcome: Mutex<Option<Result<u32>>>,
    waker: Mutex<Option<Waker>>,
    running: AtomicUsize,
    begun: AtomicUsize,
    panics: AtomicBool,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: Clock::new(),
            refresh: SingleFlight::new(|_| BACK_OFF),
            found: Mutex::default(),
            outcome: Mutex::default(),
            waker: Mutex::default(),
            running: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            panics: AtomicBool::new(false),
        })
    }

    fn ask(self: &Arc<Self>) -> Caller {
        let world = Arc::clone(self);
        let future = Box::pin(async move {
            let current = || *world.found.lock().unwrap();
            let now = || world.clock.now();
            world.refresh.run(current, now, || world.get()).await
        });
        Caller {
            future,
            alarm: Arc::default(),
        }
    }

    async fn get(&self) -> Result<u32> {
        struct Running<'a>(&'a World);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.running.fetch_sub(1, SeqCst);
            }
        }
        assert_eq!(self.running.fetch_add(1, SeqCst), 0, "one at a time");
        self.begun.fetch_add(1, SeqCst);
        let _running = Running(self);
        let outcome = std::future::poll_fn(|cx| {
            assert!(!self.panics.swap(false, SeqCst), "an intended panic");
            if let Some(outcome) = self.outcome.lock().unwrap().take() {
                return Poll::Ready(outcome);
            }
            *self.waker.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await?;
        *self.found.lock().unwrap() = Some(outcome);
        Ok(outcome)
    }

    /// Sets the outcome of the running refresh.
    fn land(&self, outcome: Result<u32>) {
        *self.outcome.lock().unwrap() = Some(outcome);
        if let Some(waker) = self.waker.lock().unwrap().take() {
            waker.wake();
        }
    }
}

#[derive(Default)]
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

struct Caller {
    future: BoxFuture<'static, Result<u32>>,
    alarm: Arc<Alarm>,
}

impl Caller {
    fn poll(&mut self) -> Option<Result<u32>> {
        self.alarm.0.store(false, SeqCst);
        self.poll_with(&Waker::from(Arc::clone(&self.alarm)))
    }

    fn poll_with(&mut self, waker: &Waker) -> Option<Result<u32>> {
        match self.future.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    fn is_woken(&self) -> bool {
        self.alarm.0.load(SeqCst)
    }
}

fn failed() -> Error {
    Error::new(ErrorKind::Auth, "no key")
}

fn waiting<const COUNT: usize>(world: &Arc<World>) -> [Caller; COUNT] {
    std::array::from_fn(|_| {
        let mut caller = world.ask();
        assert!(caller.poll().is_none());
        caller
    })
}

#[test]
fn one_refresh_serves_all_callers() {
    let world = World::new();
    let mut callers = waiting::<5>(&world);
    assert_eq!(world.begun.load(SeqCst), 1);
    world.land(Ok(7));
    assert_eq!(callers[0].poll().unwrap().unwrap(), 7);
    for caller in &mut callers[1..] {
        assert!(caller.is_woken());
        assert_eq!(caller.poll().unwrap().unwrap(), 7);
    }
    assert_eq!(world.ask().poll().unwrap().unwrap(), 7);
    assert_eq!(world.begun.load(SeqCst), 1);
}

#[test]
fn a_failure_is_shared_during_the_back_off() {
    let world = World::new();
    let mut callers = waiting::<3>(&world);
    world.land(Err(failed()));
    for caller in &mut callers {
        assert_eq!(caller.poll().unwrap().unwrap_err().kind(), ErrorKind::Auth);
    }
    world.clock.advance(seconds(9));
    assert!(world.ask().poll().unwrap().is_err());
    assert_eq!(world.begun.load(SeqCst), 1);
    world.clock.advance(seconds(1));
    drop(waiting::<2>(&world));
    assert_eq!(world.begun.load(SeqCst), 2);
}

#[test]
fn another_caller_refreshes_if_one_is_dropped_or_panics() {
    for panics in [false, true] {
        let world = World::new();
        let [mut first, mut second, mut third] = waiting(&world);
        if panics {
            world.panics.store(true, SeqCst);
            let outcome = catch_unwind(AssertUnwindSafe(|| first.poll()));
            assert!(outcome.is_err());
        } else {
            drop(first);
        }
        assert_eq!(world.running.load(SeqCst), 0);
        assert!(second.is_woken() && third.is_woken());
        // The last caller polls first.
        assert!(third.poll().is_none());
        assert!(second.poll().is_none());
        assert_eq!(world.begun.load(SeqCst), 2);
        world.land(Ok(7));
        assert!(third.is_woken() && !second.is_woken());
        assert_eq!(third.poll().unwrap().unwrap(), 7);
        assert_eq!(second.poll().unwrap().unwrap(), 7);
    }
}

/// A waker that holds a waiting caller, as the waker of a task that has otherwise ended does.
struct Holds(Mutex<Option<Caller>>);

impl Wake for Holds {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn a_waker_may_own_a_waiting_future() {
    let holds = |caller| Waker::from(Arc::new(Holds(Mutex::new(Some(caller)))));
    let world = World::new();
    let [lead, mut one, two, three, four] = waiting(&world);
    // Replaced by another waker, dropped with its future, woken.
    assert!(one.poll_with(&holds(two)).is_none());
    assert!(one.poll().is_none());
    assert!(one.poll_with(&holds(three)).is_none());
    drop(one);
    let [mut five] = waiting(&world);
    assert!(five.poll_with(&holds(four)).is_none());
    drop(lead);
    assert!(five.poll().is_none());
    world.land(Ok(7));
    assert_eq!(five.poll().unwrap().unwrap(), 7);
}

#[test]
fn the_last_polled_waker_is_woken() {
    let world = World::new();
    let [mut lead, mut waits] = waiting(&world);
    let before = std::mem::take(&mut waits.alarm);
    assert!(waits.poll().is_none());
    world.land(Ok(7));
    assert_eq!(lead.poll().unwrap().unwrap(), 7);
    assert!(waits.is_woken());
    assert!(!before.0.load(SeqCst));
    assert_eq!(Arc::strong_count(&before), 1, "it is not kept");
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Ask,
    Poll(usize),
    Leave(usize),
    Land(bool),
    Forget,
    Pass,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => Just(Move::Ask),
        4 => any::<usize>().prop_map(Move::Poll),
        2 => any::<usize>().prop_map(Move::Leave),
        2 => any::<bool>().prop_map(Move::Land),
        1 => Just(Move::Forget),
        1 => Just(Move::Pass),
    ];
    vec(one, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn every_waiter_finishes_whichever_caller_is_dropped(moves in moves()) {
        let world = World::new();
        let mut callers: Vec<Caller> = Vec::new();
        for step in moves {
            let which = |which: usize, callers: &[Caller]| {
                (!callers.is_empty()).then(|| which % callers.len())
            };
            match step {
                Move::Ask => {
                    let mut caller = world.ask();
                    if caller.poll().is_none() {
                        callers.push(caller);
                    }
                }
                Move::Poll(nth) => {
                    if let Some(nth) = which(nth, &callers)
                        && callers[nth].poll().is_some()
                    {
                        drop(callers.remove(nth));
                    }
                }
                Move::Leave(nth) => {
                    if let Some(nth) = which(nth, &callers) {
                        drop(callers.remove(nth));
                    }
                }
                Move::Land(_) if world.running.load(SeqCst) == 0 => {}
                Move::Land(true) => world.land(Ok(7)),
                Move::Land(false) => world.land(Err(failed())),
                Move::Forget => *world.found.lock().unwrap() = None,
                Move::Pass => world.clock.advance(seconds(6)),
            }
            // A waiting caller waits for a running refresh, or has been woken.
            let runs = world.running.load(SeqCst) == 1;
            prop_assert!(runs || callers.iter().all(Caller::is_woken));
        }
        // From here on only woken callers poll.
        while !callers.is_empty() {
            if world.running.load(SeqCst) == 1 {
                world.land(Ok(7));
            }
            let woken = callers.iter().any(Caller::is_woken);
            prop_assert!(woken, "{} wait forever", callers.len());
            callers.retain_mut(|caller| !caller.is_woken() || caller.poll().is_none());
        }
        prop_assert_eq!(world.running.load(SeqCst), 0);
    }
}

// Refreshes without a waiting caller.

/// Work that completes after some polls, and records that it was polled and dropped.
struct Work {
    left: usize,
    panics: bool,
    polls: Arc<AtomicUsize>,
    gone: Arc<AtomicUsize>,
}

impl Future for Work {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        self.polls.fetch_add(1, SeqCst);
        assert!(!self.panics, "an intended panic");
        if self.left == 0 {
            return Poll::Ready(7);
        }
        self.left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.gone.fetch_add(1, SeqCst);
    }
}

fn work(left: usize, panics: bool) -> (Work, [Arc<AtomicUsize>; 2]) {
    let counts = <[Arc<AtomicUsize>; 2]>::default();
    let [polls, gone] = counts.clone();
    let work = Work {
        left,
        panics,
        polls,
        gone,
    };
    (work, counts)
}

#[test]
fn a_dropped_refresh_continues_in_the_background() {
    for polls in 0..=4 {
        let script = Script::new([]);
        let transport: Arc<dyn Transport> = script.clone();
        let (work, [polled, gone]) = work(3, false);
        let mut begun = DetachOnDrop::new(transport, Box::pin(work));
        for nth in 1..=polls {
            let (poll, _) = poll_once(&mut begun);
            assert_eq!(poll.is_ready(), nth == 4);
        }
        assert_eq!(gone.load(SeqCst), usize::from(polls == 4), "at once");
        drop(begun);
        assert_eq!(script.run_tasks(), usize::from(polls < 4));
        assert_eq!([polled.load(SeqCst), gone.load(SeqCst)], [4, 1]);
    }
}

#[test]
fn a_refresh_that_panics_does_not_continue() {
    let script = Script::new([]);
    let transport: Arc<dyn Transport> = script.clone();
    let (work, [polled, gone]) = work(3, true);
    let mut begun = DetachOnDrop::new(transport, Box::pin(work));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(&mut begun))).is_err());
    drop(begun);
    assert_eq!(script.run_tasks(), 0);
    assert_eq!([polled.load(SeqCst), gone.load(SeqCst)], [1, 1]);
}

#[test]
fn an_endless_refresh_is_dropped_after_two_seconds() {
    let script = Script::new([]);
    let transport: Arc<dyn Transport> = script.clone();
    drop(DetachOnDrop::new(
        transport,
        Box::pin(std::future::pending::<()>()),
    ));
    assert_eq!(script.run_tasks(), 1);
    assert_eq!(script.clock.elapsed(), seconds(2));
}
