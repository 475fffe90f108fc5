//! Nested combinators with callers that are dropped at any time: no permit, request or wake-up is
//! lost.

use std::sync::Arc;

use inferstream_compose::{ConcurrencyLimit, Fallback, ThinkTags};
use inferstream_core::{ChatEvent, ChatResponse, Error, ErrorKind, Provider, Result};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{Act, Fake, Step, Task, now, says, steps, together};

#[derive(Clone, Debug)]
enum Shape {
    Leaf(Vec<Act>),
    Limit(usize, Box<Shape>),
    Fallback(Vec<Shape>),
}

fn busy() -> Error {
    Error::new(ErrorKind::Overloaded, "no room")
}

fn act() -> impl Strategy<Value = Act> {
    let text = || Step::Event(ChatEvent::text(0, "a"));
    let usage = Step::Event(ChatEvent::usage(inferstream_core::Usage::default()));
    select(vec![
        Act::Refuse(busy()),
        Act::Refuse(Error::new(ErrorKind::InvalidRequest, "wrong")),
        says("a"),
        steps([Step::Later, text(), Step::Later, Step::Later]),
        steps([usage.clone(), Step::Later, Step::Fail(busy())]),
        steps([usage, Step::Later, text(), Step::Fail(busy())]),
        steps([Step::Later, Step::Fail(busy())]),
    ])
}

fn shapes() -> impl Strategy<Value = Shape> {
    vec(act(), 1..4)
        .prop_map(Shape::Leaf)
        .prop_recursive(4, 12, 3, |inner| {
            prop_oneof![
                (1..3_usize, inner.clone()).prop_map(|(n, inner)| Shape::Limit(n, inner.into())),
                vec(inner, 1..4).prop_map(Shape::Fallback),
            ]
        })
}

/// The parts of a shape, for inspection.
#[derive(Default)]
struct Parts {
    fakes: Vec<Fake>,
    /// The limits, each with its maximum and the indexes of the fakes below it.
    limits: Vec<(ConcurrencyLimit, usize, std::ops::Range<usize>)>,
}

impl Parts {
    fn build(&mut self, shape: &Shape) -> Arc<dyn Provider> {
        match shape {
            Shape::Leaf(acts) => {
                let fake = Fake::new("one", acts.clone());
                self.fakes.push(fake.clone());
                Arc::new(fake)
            }
            Shape::Limit(places, inner) => {
                let start = self.fakes.len();
                let limit = ConcurrencyLimit::new(self.build(inner)).max_in_flight(*places);
                let below = start..self.fakes.len();
                self.limits.push((limit.clone(), *places, below));
                Arc::new(limit)
            }
            Shape::Fallback(inner) => {
                let inner: Vec<_> = inner.iter().map(|inner| self.build(inner)).collect();
                Arc::new(Fallback::from_providers(inner).unwrap())
            }
        }
    }

    fn check(&self) {
        for (_, places, below) in &self.limits {
            let running: usize = self.fakes[below.clone()].iter().map(Fake::running).sum();
            assert!(running <= *places, "{running} of {places}");
        }
    }

    fn check_idle(&self) {
        for fake in &self.fakes {
            assert_eq!(fake.running(), 0);
        }
        for (limit, places, _) in &self.limits {
            let shown = format!("{limit:?}");
            let idle = format!("semaphore: Semaphore {{ free: {places}, waiting: 0, .. }}");
            assert!(shown.ends_with(&format!("{idle} }}")), "{shown}");
        }
    }
}

/// A call of a provider.
fn call(provider: &dyn Provider, kind: usize) -> Task<Result<ChatResponse>> {
    match kind % 4 {
        0 => Task::new(provider.chat("hi".into())),
        1 => {
            let opened = provider.stream("hi".into());
            Task::new(async { opened.await?.finish().await })
        }
        2 => {
            let opened = provider.stream("hi".into());
            Task::new(async {
                let mut stream = ThinkTags::default().split_stream(opened.await?);
                let _ = stream.next().await;
                stream.cancel().await
            })
        }
        _ => {
            let opened = provider.stream("hi".into());
            Task::new(async {
                let stream = ThinkTags::default().split_stream(opened.await?);
                stream.finish().await
            })
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn all_remaining_callers_finish_whichever_is_dropped(
        shape in shapes(),
        moves in vec((any::<usize>(), 0..8_usize), 0..60),
    ) {
        let mut parts = Parts::default();
        let provider = parts.build(&shape);
        let mut tasks: Vec<Task<Result<ChatResponse>>> = Vec::new();
        for (which, kind) in moves {
            match kind {
                0..4 => tasks.push(call(&*provider, kind)),
                4 if !tasks.is_empty() => {
                    // A caller is dropped.
                    let which = which % tasks.len();
                    drop(tasks.remove(which));
                }
                _ if !tasks.is_empty() => {
                    // A caller polls without having been woken.
                    let which = which % tasks.len();
                    if tasks[which].poll().is_some() {
                        drop(tasks.remove(which));
                    }
                }
                _ => {}
            }
            parts.check();
        }
        // From here on only woken callers poll, and all of them complete.
        for task in &mut tasks {
            task.alarm.is_set.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        while !tasks.is_empty() {
            let before = tasks.len();
            let woken = tasks.iter().any(Task::is_woken);
            prop_assert!(woken, "{before} wait forever");
            tasks.retain_mut(|task| !task.is_woken() || task.poll().is_none());
            parts.check();
        }
        parts.check_idle();
    }

    #[test]
    fn combinators_may_be_dropped_at_any_moment(
        shape in shapes(),
        count in 0..12_usize,
        in_flight in 1..6_usize,
        polls in 0..40_usize,
    ) {
        let mut parts = Parts::default();
        let provider = parts.build(&shape);
        let mut task = Task::new(together(provider, "hi", count, in_flight));
        let mut answers = None;
        for _ in 0..polls {
            answers = task.poll();
            parts.check();
            if answers.is_some() {
                break;
            }
            prop_assert!(task.is_woken());
        }
        prop_assert!(answers.is_none_or(|answers| answers.len() == count));
        drop(task);
        parts.check_idle();
    }
}

#[test]
fn finished_futures_keep_no_waker() {
    let limit = ConcurrencyLimit::new(Fake::new("one", [steps([Step::Later])])).max_in_flight(1);
    let fallback = Fallback::new(Fake::new("two", [Act::Refuse(busy())])).or(limit.clone());
    let place = now(limit.stream("hi".into())).unwrap();
    let mut waits: Vec<_> = (0..4).map(|kind| call(&fallback, kind)).collect();
    for task in &mut waits {
        assert!(task.poll().is_none());
    }
    drop(waits.remove(1));
    drop(place);
    for task in &mut waits {
        assert!(task.run().is_some());
        assert_eq!(Arc::strong_count(&task.alarm), 1);
    }
}
