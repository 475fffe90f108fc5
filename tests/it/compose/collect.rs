//! Many requests together: the order of their answers, how many run, and how often each is polled.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    thread,
};

use inferstream_compose::collect_all;
use inferstream_core::{
    BoxFuture, Capabilities, ChatEvent, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind,
    Model, Provider, ProviderInfo, Result,
};
use proptest::prelude::*;

use super::{Alarm, Step, Task, now};

/// A provider whose answers are given by hand.
#[derive(Clone, Debug)]
struct Desk {
    info: ProviderInfo,
    calls: Arc<Mutex<Vec<Call>>>,
    dropped: Arc<AtomicUsize>,
    /// Whether requests wake themselves whenever they are polled.
    is_restless: bool,
}

#[derive(Debug)]
struct Call {
    question: String,
    polls: usize,
    waker: Option<Waker>,
    answer: Option<Result<ChatResponse>>,
}

impl Desk {
    fn new() -> Self {
        Self {
            info: ProviderInfo::new("desk", "Desk", ""),
            calls: Arc::default(),
            dropped: Arc::default(),
            is_restless: false,
        }
    }

    /// How many requests have begun.
    fn begun(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    fn polls(&self) -> Vec<usize> {
        self.calls
            .lock()
            .unwrap()
            .iter()
            .map(|call| call.polls)
            .collect()
    }

    fn waker(&self, nth: usize) -> Waker {
        self.calls.lock().unwrap()[nth].waker.clone().unwrap()
    }

    /// Answers a request with its question, and wakes it.
    fn answer(&self, nth: usize) {
        self.answer_with(nth, |question| {
            let mut answer = ChatResponse::default();
            answer.add(&ChatEvent::text(0, question));
            Ok(answer)
        });
    }

    fn answer_with(&self, nth: usize, answer: impl Fn(&str) -> Result<ChatResponse>) {
        let mut calls = self.calls.lock().unwrap();
        let call = &mut calls[nth];
        call.answer = Some(answer(&call.question));
        let waker = call.waker.clone();
        drop(calls);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Provider for Desk {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn capabilities(&self, _: &str) -> Capabilities {
        Capabilities::default()
    }

    fn stream(&self, _: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        unreachable!("whole answers are asked for")
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let this = self.clone();
        let mut calls = this.calls.lock().unwrap();
        let nth = calls.len();
        calls.push(Call {
            question: request.messages[0].text(),
            polls: 0,
            waker: None,
            answer: None,
        });
        drop(calls);
        let dropped = Dropped(Arc::clone(&this.dropped));
        Box::pin(std::future::poll_fn(move |cx| {
            let _ = &dropped;
            let mut calls = this.calls.lock().unwrap();
            let call = &mut calls[nth];
            call.polls += 1;
            if let Some(answer) = call.answer.take() {
                return Poll::Ready(answer);
            }
            call.waker = Some(cx.waker().clone());
            drop(calls);
            if this.is_restless {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        }))
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        unreachable!("nobody asks")
    }

    fn known_models(&self) -> Vec<Model> {
        Vec::new()
    }
}

/// Counts that it is gone.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

type Answers = Vec<Result<ChatResponse>>;

fn questions(count: usize) -> Vec<String> {
    (0..count).map(|nth| format!("question {nth}")).collect()
}

fn ask(desk: &Desk, count: usize, at_once: usize) -> Task<Answers> {
    Task::new(collect_all(desk.clone(), questions(count), at_once))
}

#[track_caller]
fn check(answers: &Answers, count: usize) {
    let texts = answers
        .iter()
        .map(|answer| answer.as_ref().unwrap().text().to_owned());
    assert_eq!(texts.collect::<Vec<_>>(), questions(count));
}

#[test]
fn nothing_is_asked_before_the_first_poll_and_nothing_for_no_request() {
    let desk = Desk::new();
    drop(ask(&desk, 3, 3));
    assert_eq!(desk.begun(), 0);
    assert!(now(collect_all(desk, [""; 0], 3)).is_empty());
}

#[test]
fn so_many_run_at_once_and_the_next_begins_when_one_is_done() {
    let desk = Desk::new();
    let mut task = ask(&desk, 10, 3);
    assert!(task.run().is_none());
    // The youngest is done first.
    for (done, nth) in [2, 3, 4, 5, 6, 7, 8, 9, 1, 0].into_iter().enumerate() {
        assert_eq!(desk.begun(), (done + 3).min(10));
        desk.answer(nth);
        let answers = task.run();
        assert_eq!(answers.is_some(), nth == 0);
        if let Some(answers) = answers {
            check(&answers, 10);
        }
    }
}

#[test]
fn none_at_once_is_one_and_more_than_all_is_all() {
    for (at_once, begun) in [(0, 1), (1, 1), (3, 3), (5, 5), (6, 5), (usize::MAX, 5)] {
        let desk = Desk::new();
        let mut task = ask(&desk, 5, at_once);
        assert!(task.run().is_none());
        assert_eq!(desk.begun(), begun);
    }
}

#[test]
fn an_error_stands_in_its_place_and_stops_nobody() {
    let desk = Desk::new();
    let mut task = ask(&desk, 5, 2);
    assert!(task.run().is_none());
    for nth in 0..5 {
        desk.answer_with(nth, |question| match nth {
            1 => Err(Error::new(ErrorKind::Overloaded, question)),
            _ => Ok(ChatResponse::default()),
        });
        if let Some(answers) = task.run() {
            let failed: Vec<_> = answers.iter().map(Result::is_err).collect();
            assert_eq!(failed, [false, true, false, false, false]);
            assert_eq!(answers[1].as_ref().unwrap_err().to_string(), "question 1");
            assert_eq!(nth, 4);
        }
    }
}

#[test]
fn a_thousand_requests_are_polled_twice_each() {
    let desk = Desk::new();
    let mut task = ask(&desk, 1000, 1000);
    assert!(task.run().is_none());
    assert_eq!(desk.polls(), [1; 1000]);
    let mut nth = 0;
    loop {
        // All over the place.
        nth = (nth + 387) % 1000;
        desk.answer(nth);
        let answers = task.run();
        assert_eq!(desk.polls()[nth], 2);
        if let Some(answers) = answers {
            check(&answers, 1000);
            break;
        }
    }
    assert_eq!(desk.polls(), [2; 1000]);
}

#[test]
fn a_thousand_requests_that_are_done_together_are_polled_twice_each() {
    let desk = Desk::new();
    let mut task = ask(&desk, 1000, 1000);
    assert!(task.run().is_none());
    let wakes = task.alarm.count.load(SeqCst);
    for nth in 0..1000 {
        desk.answer(nth);
        desk.waker(nth).wake();
    }
    assert_eq!(task.alarm.count.load(SeqCst), wakes + 1, "one for all");
    check(&task.run().unwrap(), 1000);
    assert_eq!(desk.polls(), [2; 1000]);
}

#[test]
fn whoever_is_polled_for_nothing_polls_nobody() {
    let desk = Desk::new();
    let mut task = ask(&desk, 100, 100);
    assert!(task.run().is_none());
    for _ in 0..10 {
        assert!(task.poll().is_none());
        assert!(!task.is_woken());
    }
    assert_eq!(desk.polls(), [1; 100]);
}

#[test]
fn who_is_woken_often_is_polled_once() {
    let desk = Desk::new();
    let mut task = ask(&desk, 3, 3);
    assert!(task.run().is_none());
    for _ in 0..100 {
        desk.waker(1).wake();
    }
    assert!(task.poll().is_none());
    assert!(!task.is_woken());
    assert_eq!(desk.polls(), [1, 2, 1]);
}

#[test]
fn what_is_woken_while_others_are_polled_is_polled_with_them() {
    let restless = super::steps([Step::Later, Step::Later, Step::Hang]);
    let provider = super::Fake::new("one", [restless]);
    let mut task = Task::new(collect_all(provider.clone(), questions(5), 5));
    assert!(task.poll().is_none());
    assert_eq!(provider.log.polls.load(SeqCst), 3 * 5);
    assert!(!task.is_woken(), "there is nothing left to do");
}

#[test]
fn a_wake_up_that_comes_after_the_answer_wakes_no_other() {
    let desk = Desk::new();
    let mut task = ask(&desk, 4, 2);
    assert!(task.run().is_none());
    let stale = desk.waker(0);
    desk.answer(0);
    assert!(task.run().is_none());
    assert_eq!(desk.polls(), [2, 1, 1]);
    stale.wake_by_ref();
    assert!(task.run().is_none());
    assert_eq!(desk.polls(), [2, 1, 1]);
    drop(task);
    // Nor after all of them are gone.
    stale.wake();
    assert_eq!(desk.polls(), [2, 1, 1]);
}

#[test]
fn who_was_polled_last_is_woken() {
    let desk = Desk::new();
    let mut task = ask(&desk, 1, 1);
    assert!(task.run().is_none());
    let before = std::mem::replace(&mut task.alarm, Arc::new(Alarm::default()));
    assert!(task.run().is_none());
    desk.answer(0);
    assert!(task.is_woken());
    assert!(!before.is_set.load(SeqCst));
    check(&task.run().unwrap(), 1);
}

#[test]
fn restless_requests_leave_the_thread_to_others_and_starve_nobody() {
    let mut desk = Desk::new();
    desk.is_restless = true;
    let mut task = ask(&desk, 50, 50);
    for round in 1..=10 {
        assert!(task.poll().is_none());
        assert!(task.is_woken());
        let polls = desk.polls();
        assert_eq!(
            polls.iter().sum::<usize>(),
            32 * round,
            "no more in one poll"
        );
        let [least, most] = [polls.iter().min(), polls.iter().max()];
        assert!(
            most.unwrap() - least.unwrap() <= 1,
            "each in turn: {polls:?}"
        );
    }
}

#[test]
fn requests_that_are_answered_at_once_leave_the_thread_to_others() {
    let provider = super::Fake::new("one", [super::says("a")]);
    let mut task = Task::new(collect_all(provider.clone(), questions(100), 1));
    assert!(task.poll().is_none());
    assert!(task.is_woken());
    assert_eq!(provider.count(), 32);
    assert_eq!(task.run().unwrap().len(), 100);
    assert_eq!(provider.log.most.load(SeqCst), 1);
}

#[test]
fn dropping_it_drops_all_that_run() {
    let desk = Desk::new();
    let mut task = ask(&desk, 100, 10);
    assert!(task.run().is_none());
    desk.answer(3);
    assert!(task.run().is_none());
    assert_eq!(
        desk.dropped.load(SeqCst),
        1,
        "what is done is let go of at once"
    );
    drop(task);
    assert_eq!(desk.begun(), 11);
    assert_eq!(desk.dropped.load(SeqCst), 11);
}

#[test]
fn answers_may_come_on_other_threads() {
    let desk = Desk::new();
    let mut task = ask(&desk, 400, 20);
    assert!(task.run().is_none());
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let desk = desk.clone();
            thread::spawn(move || {
                for nth in (thread..400).step_by(4) {
                    while desk.begun() <= nth {
                        thread::yield_now();
                    }
                    desk.answer(nth);
                }
            })
        })
        .collect();
    let answers = loop {
        // Only when woken: a wake-up that is lost hangs the test.
        if task.is_woken()
            && let Some(answers) = task.poll()
        {
            break answers;
        }
        thread::yield_now();
    };
    check(&answers, 400);
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(desk.polls().iter().all(|polls| *polls <= 2));
}

#[test]
fn it_can_be_sent_and_takes_what_is_a_request() {
    fn check<T: Send + 'static>(_: T) {}
    let desk = Desk::new();
    check(collect_all(desk.clone(), ["hi"], 1));
    check(collect_all(desk.clone(), vec![ChatRequest::from("hi")], 1));
    let shared: Arc<dyn Provider> = Arc::new(desk);
    check(collect_all(shared, std::iter::once(String::from("hi")), 1));
}

proptest! {
    #[test]
    fn answers_are_in_the_order_of_the_requests(
        count in 0..30_usize,
        at_once in 0..8_usize,
        picks in proptest::collection::vec(any::<usize>(), 30),
    ) {
        let desk = Desk::new();
        let mut task = ask(&desk, count, at_once);
        let mut open: Vec<usize> = Vec::new();
        let mut known = 0;
        let mut picks = picks.into_iter();
        let answers = loop {
            if let Some(answers) = task.run() {
                break answers;
            }
            open.extend(known..desk.begun());
            known = desk.begun();
            prop_assert!(open.len() == at_once.max(1) || known == count);
            let nth = open.swap_remove(picks.next().unwrap() % open.len());
            desk.answer(nth);
        };
        prop_assert!(open.is_empty());
        check(&answers, count);
        prop_assert_eq!(desk.polls(), vec![2; count]);
    }
}
