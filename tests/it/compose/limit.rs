//! The concurrency limit: how long a permit is held, and how long callers wait.

use std::{pin::Pin, sync::atomic::Ordering::SeqCst, task::Poll};

use futures_core::Stream;
use inferstream_compose::ConcurrencyLimit;
use inferstream_core::{
    ChatEvent, ChatRequest, ChatStream, Error, ErrorKind, Phase, Provider, Result, Sent, Timeouts,
};

use super::{Act, Fake, Step, Task, now, says, steps};
use crate::support::{Clock, block_on, poll_once, seconds};

fn hangs() -> Fake {
    Fake::new(
        "one",
        [steps([Step::Event(ChatEvent::text(0, "a")), Step::Hang])],
    )
}

fn failed() -> Error {
    Error::new(ErrorKind::Overloaded, "the service has no room")
}

fn enter(limit: &ConcurrencyLimit) -> Task<Result<ChatStream>> {
    let mut task = Task::new(limit.stream("hi".into()));
    assert!(task.poll().is_none(), "no permit is free");
    task
}

fn next(stream: &mut ChatStream) -> Option<Result<ChatEvent>> {
    let next = std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx));
    match poll_once(next).0 {
        Poll::Ready(event) => event,
        Poll::Pending => panic!("it is there"),
    }
}

#[track_caller]
fn open(limit: &ConcurrencyLimit) -> ChatStream {
    now(limit.stream("hi".into())).unwrap()
}

/// Checks that exactly this many permits are free.
#[track_caller]
fn check_free(limit: &ConcurrencyLimit, places: usize) {
    let streams: Vec<_> = (0..places).map(|_| open(limit)).collect();
    drop(enter(limit));
    drop(streams);
}

#[test]
fn a_resumed_response_holds_a_permit() {
    let limit = ConcurrencyLimit::new(hangs()).max_in_flight(1);
    assert!(limit.resume("gone").is_none());
    let resumed = now(limit.resume("kept").unwrap()).unwrap();
    let waiting = enter(&limit);
    drop((waiting, resumed));
    check_free(&limit, 1);
    let chosen: std::sync::Arc<dyn Provider> = std::sync::Arc::new(limit);
    assert!(chosen.resume("gone").is_none() && chosen.resume("kept").is_some());
}

#[test]
fn the_number_of_concurrent_responses_is_limited() {
    let fake = hangs();
    let limit = ConcurrencyLimit::new(fake.clone()).max_in_flight(3);
    let streams: Vec<_> = (0..3).map(|_| open(&limit)).collect();
    let waiting: Vec<_> = (0..5).map(|_| enter(&limit)).collect();
    assert_eq!(fake.count(), 3, "nothing is sent without a permit");
    drop((waiting, streams));
    check_free(&limit, 3);
}

#[test]
fn the_default_is_64() {
    check_free(&ConcurrencyLimit::new(hangs()), 64);
}

#[test]
fn a_limit_of_zero_means_one() {
    check_free(&ConcurrencyLimit::new(hangs()).max_in_flight(0), 1);
}

#[test]
fn permits_are_granted_in_order() {
    let limit = ConcurrencyLimit::new(hangs()).max_in_flight(1);
    let mut running = open(&limit);
    let mut waiting: Vec<_> = (0..10).map(|_| enter(&limit)).collect();
    while !waiting.is_empty() {
        drop(running);
        let woken: Vec<_> = waiting.iter().map(Task::is_woken).collect();
        assert_eq!(woken.iter().filter(|woken| **woken).count(), 1);
        let mut late = enter(&limit);
        for other in &mut waiting[1..] {
            assert!(other.poll().is_none(), "no other request overtakes");
        }
        let mut first = waiting.remove(0);
        running = first.poll().expect("a permit was granted").unwrap();
        assert!(late.poll().is_none());
    }
}

#[test]
fn the_first_poll_decides_the_order() {
    let limit = ConcurrencyLimit::new(hangs()).max_in_flight(1);
    let running = open(&limit);
    let mut called_first = Task::new(limit.stream("hi".into()));
    let mut polled_first = enter(&limit);
    assert!(called_first.poll().is_none());
    drop(running);
    assert!(called_first.poll().is_none());
    assert!(polled_first.poll().is_some());
}

// Releasing a permit.

#[test]
fn a_permit_is_released_at_the_end_although_the_stream_is_kept() {
    let limit = ConcurrencyLimit::new(Fake::new("one", [says("a")])).max_in_flight(1);
    let mut stream = open(&limit);
    assert!(next(&mut stream).is_some());
    assert!(next(&mut stream).is_some());
    drop(enter(&limit));
    assert!(next(&mut stream).is_none());
    check_free(&limit, 1);
    assert!(next(&mut stream).is_none());
    assert_eq!(stream.partial().text(), "a");
    drop(stream);
    check_free(&limit, 1);
}

#[test]
fn a_permit_is_released_after_an_error_although_the_stream_is_kept() {
    let act = steps([Step::Event(ChatEvent::text(0, "a")), Step::Fail(failed())]);
    let limit = ConcurrencyLimit::new(Fake::new("one", [act])).max_in_flight(1);
    let mut stream = open(&limit);
    assert!(next(&mut stream).unwrap().is_ok());
    assert!(next(&mut stream).unwrap().is_err());
    check_free(&limit, 1);
    drop(stream);
    check_free(&limit, 1);
}

#[test]
fn a_permit_is_released_when_the_stream_is_dropped() {
    let fake = hangs();
    let limit = ConcurrencyLimit::new(fake.clone()).max_in_flight(1);
    let mut stream = open(&limit);
    assert!(next(&mut stream).is_some());
    drop(stream);
    assert_eq!(fake.running(), 0);
    check_free(&limit, 1);
}

#[test]
fn a_permit_is_released_when_the_request_fails() {
    let limit = ConcurrencyLimit::new(Fake::new("one", [Act::Refuse(failed())])).max_in_flight(1);
    for _ in 0..3 {
        assert!(now(limit.stream("hi".into())).is_err());
        assert!(now(limit.chat("hi".into())).is_err());
    }
}

#[test]
fn a_permit_is_released_when_the_request_is_dropped() {
    let fake = Fake::new("one", [Act::Silence]);
    let limit = ConcurrencyLimit::new(fake.clone()).max_in_flight(1);
    for _ in 0..3 {
        let mut stream = Task::new(limit.stream("hi".into()));
        assert!(stream.poll().is_none());
        assert_eq!(fake.running(), 1);
        drop(stream);
        let mut chat = Task::new(limit.chat("hi".into()));
        assert!(chat.poll().is_none());
        assert_eq!(fake.running(), 1);
    }
    assert_eq!(fake.running(), 0);
}

#[test]
fn a_chat_holds_a_permit_until_its_response_is_complete() {
    let limit = ConcurrencyLimit::new(hangs()).max_in_flight(1);
    let mut chat = Task::new(limit.chat("hi".into()));
    assert!(chat.run().is_none());
    let mut waits = enter(&limit);
    drop(chat);
    assert!(waits.poll().is_some());

    let done = ConcurrencyLimit::new(Fake::new("one", [says("a")])).max_in_flight(1);
    now(done.chat("hi".into())).unwrap();
    check_free(&done, 1);
}

#[test]
fn a_permit_is_released_once_the_service_was_notified_of_the_cancel() {
    let fake = hangs();
    let limit = ConcurrencyLimit::new(fake.clone()).max_in_flight(1);
    now(open(&limit).cancel()).unwrap();
    assert_eq!(fake.log.canceled.load(SeqCst), 1);
    check_free(&limit, 1);

    fake.log.is_deaf.store(true, SeqCst);
    let mut told = Task::new(open(&limit).cancel());
    assert!(told.poll().is_none());
    let mut waits = enter(&limit);
    drop(told);
    assert!(waits.poll().is_some());
}

#[test]
fn the_connection_is_closed_before_the_next_one_opens() {
    let fake = hangs();
    let limit = ConcurrencyLimit::new(fake.clone()).max_in_flight(1);
    let stream = open(&limit);
    let mut waits = enter(&limit);
    drop(stream);
    assert!(waits.poll().is_some());
    assert_eq!(fake.log.most.load(SeqCst), 1);
}

#[test]
fn models_needs_no_permit() {
    let limit = ConcurrencyLimit::new(hangs()).max_in_flight(1);
    let stream = open(&limit);
    assert!(now(limit.models()).is_ok());
    drop(stream);
}

#[test]
fn clones_share_the_permits_unless_they_set_another_limit() {
    let limit = ConcurrencyLimit::new(hangs()).max_in_flight(1);
    let stream = open(&limit.clone());
    drop(enter(&limit));
    check_free(&limit.clone().max_in_flight(2), 2);
    drop(stream);
    check_free(&limit, 1);
}

#[test]
fn its_futures_are_send_and_do_not_borrow() {
    fn check<T: Send + 'static>(_: T) {}
    let limit = ConcurrencyLimit::new(hangs());
    check(limit.stream("hi".into()));
    check(limit.chat("hi".into()));
    let shown = format!("{limit:?}");
    assert!(shown.contains("max_in_flight: 64"), "{shown}");
}

// Time.

fn within(total: u64) -> ChatRequest {
    ChatRequest::from("hi").timeouts(Timeouts::default().total(seconds(total)))
}

fn total(fake: &Fake) -> Option<std::time::Duration> {
    let requests = fake.requests();
    requests.last()?.timeouts?.total
}

#[test]
fn with_a_timer_the_wait_counts_towards_the_total() {
    let clock = Clock::new();
    let fake = hangs();
    let limit = ConcurrencyLimit::new(fake.clone()).max_in_flight(1);
    let limit = limit.timer(clock.clone());
    let stream = block_on(&clock, limit.stream(within(30))).unwrap();
    assert_eq!(total(&fake), Some(seconds(30)));
    let error = block_on(&clock, limit.stream(within(30))).unwrap_err();
    assert_eq!(clock.elapsed(), seconds(30));
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total));
    assert_eq!(error.sent(), Some(Sent::No));
    assert_eq!(error.attempts(), 0);
    assert_eq!(
        error.to_string(),
        "waiting for one of 1 permits: the request did not finish within 30s (timeout `total`)"
    );
    assert_eq!(fake.count(), 1, "nothing was sent");
    drop(stream);
    // Its position in the queue is given up.
    let stream = block_on(&clock, limit.stream(within(30))).unwrap();

    let mut waits = Task::new(limit.stream(within(30)));
    assert!(waits.poll().is_none());
    clock.advance(seconds(12));
    drop(stream);
    assert!(waits.poll().unwrap().is_ok());
    assert_eq!(total(&fake), Some(seconds(18)), "the remaining time");
}

#[test]
fn a_permit_that_is_granted_too_late_is_passed_on() {
    let clock = Clock::new();
    let fake = hangs();
    let limit = ConcurrencyLimit::new(fake.clone()).max_in_flight(1);
    let limit = limit.timer(clock.clone());
    let stream = open(&limit);
    let mut late = Task::new(limit.stream(within(30)));
    assert!(late.poll().is_none());
    let mut next = enter(&limit);
    clock.advance(seconds(30));
    drop(stream);
    let error = late.poll().expect("its timeout has elapsed").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total));
    assert_eq!(fake.count(), 1);
    assert!(next.is_woken());
    assert!(next.poll().unwrap().is_ok());
}

#[test]
fn a_caller_that_times_out_leaves_the_queue() {
    let clock = Clock::new();
    let limit = ConcurrencyLimit::new(hangs()).max_in_flight(1);
    let limit = limit.timer(clock.clone());
    let stream = open(&limit);
    let mut late = Task::new(limit.stream(within(30)));
    assert!(late.poll().is_none());
    let mut next = enter(&limit);
    clock.advance(seconds(30));
    assert!(late.is_woken(), "by its limit");
    assert!(late.poll().unwrap().is_err());
    assert!(next.poll().is_none());
    drop(stream);
    assert!(next.poll().unwrap().is_ok());
}

#[test]
fn without_a_timer_or_a_timeout_the_wait_is_unlimited() {
    let clock = Clock::new();
    let fake = hangs();
    let blind = ConcurrencyLimit::new(fake.clone()).max_in_flight(1);
    let timed = blind.clone().timer(clock.clone());
    let stream = open(&blind);
    let mut waits = [
        Task::new(blind.stream(within(30))),
        Task::new(timed.stream("hi".into())),
    ];
    for waits in &mut waits {
        assert!(waits.poll().is_none());
    }
    clock.advance(seconds(3600));
    assert!(waits.iter().all(|waits| !waits.is_woken()));
    drop(stream);
    drop(waits[0].poll().unwrap().unwrap());
    assert_eq!(
        total(&fake),
        Some(seconds(30)),
        "the timeout begins with the permit"
    );
    assert!(waits[1].poll().unwrap().is_ok());
    assert_eq!(total(&fake), None);
}
