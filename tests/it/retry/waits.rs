//! The length of the delays between attempts.

use std::{future::ready, time::Duration};

use inferstream_core::{Error, ErrorKind, RetryPolicy, protocol::RetryBudget};

use super::{answer, busy, millis, run};
use crate::support::{Script, block_on, seconds};

/// Checks that a delay is within a range.
#[track_caller]
fn check_waits(waits: &[Duration], ranges: &[(u64, u64)]) {
    assert_eq!(waits.len(), ranges.len(), "{waits:?}");
    for (wait, (least, most)) in waits.iter().zip(ranges) {
        assert!(
            millis(*least) <= *wait && *wait <= millis(*most),
            "{waits:?}"
        );
    }
}

#[test]
fn each_wait_is_reported_to_the_transport_before_it_begins() {
    let policy = RetryPolicy::default();
    for total in [None, Some(seconds(60))] {
        let script = Script::new([]);
        let budget = RetryBudget::default();
        let outcome = policy.run(&*script, total, &budget, |attempt| {
            let error = Error::new(ErrorKind::Overloaded, format!("busy {attempt}"));
            ready(Err::<(), _>(error.with_retry_after(Some(seconds(4)))))
        });
        block_on(&script.clock, outcome).unwrap_err();
        let retries = script.retries.lock().unwrap().clone();
        let sleeps = script.sleeps.lock().unwrap().clone();
        let messages: Vec<&str> = retries.iter().map(|(text, _)| text.as_str()).collect();
        // The last error ends the request without a delay.
        assert_eq!(messages, ["busy 1", "busy 2"]);
        for (_, wait) in &retries {
            assert!(seconds(4) <= *wait && sleeps.contains(wait), "{sleeps:?}");
        }
    }
    let script = Script::new([]);
    let refused = Error::new(ErrorKind::Auth, "no");
    let budget = RetryBudget::default();
    let outcome = policy.run(&*script, None, &budget, |_| {
        ready(Err::<(), _>(refused.clone()))
    });
    block_on(&script.clock, outcome).unwrap_err();
    assert!(script.retries.lock().unwrap().is_empty());
}

#[test]
fn waits_double_up_to_their_limit() {
    for _ in 0..50 {
        let policy = RetryPolicy::default().max_attempts(8);
        let (_, waits) = run(&policy, None, &busy());
        check_waits(
            &waits,
            &[
                (250, 500),
                (500, 1000),
                (1000, 2000),
                (2000, 4000),
                (4000, 8000),
                (4000, 8000),
                (4000, 8000),
            ],
        );
    }
}

#[test]
fn waits_are_randomized() {
    let firsts: Vec<_> = (0..50)
        .map(|_| run(&RetryPolicy::default(), None, &busy()).1[0])
        .collect();
    let (least, most) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
    assert!(*least + millis(100) < *most, "{least:?} to {most:?}");
}

#[test]
fn retry_after_is_respected() {
    for _ in 0..50 {
        let error = answer(429, &[("retry-after", "2")]);
        let (_, waits) = run(&RetryPolicy::default(), None, &error);
        check_waits(&waits, &[(2000, 2200), (2000, 2200)]);
        let error = answer(429, &[("retry-after-ms", "700")]);
        let (_, waits) = run(&RetryPolicy::default(), None, &error);
        check_waits(&waits, &[(700, 770), (700, 1070)]);
    }
}

#[test]
fn a_retry_after_of_zero_does_not_shorten_the_wait() {
    for _ in 0..50 {
        for hint in [
            "0",
            "0.001",
            "-5",
            "nan",
            "1e400",
            "",
            "soon",
            "Thu, 01 Jan 1970 00:00:00 GMT",
        ] {
            let error = answer(429, &[("retry-after", hint)]);
            let (_, waits) = run(&RetryPolicy::default(), None, &error);
            check_waits(&waits, &[(250, 501), (500, 1001)]);
        }
    }
}

#[test]
fn a_retry_after_above_its_limit_fails_at_once() {
    for hint in ["60.001", "61", "86400", "1e15"] {
        let error = answer(429, &[("retry-after", hint)]);
        let (last, waits) = run(&RetryPolicy::default(), None, &error);
        assert_eq!((last.attempts(), waits.len()), (1, 0), "{hint}");
        assert_eq!(last.retry_after(), error.retry_after());
        assert!(seconds(60) < last.retry_after().unwrap());
    }
    let policy = RetryPolicy::default()
        .max_retry_after(seconds(100))
        .max_elapsed(seconds(1000));
    let error = answer(429, &[("retry-after", "100")]);
    let (_, waits) = run(&policy, None, &error);
    check_waits(&waits, &[(100_000, 110_000), (100_000, 110_000)]);
}

#[test]
fn a_retry_after_beyond_the_total_fails_at_once() {
    let error = answer(429, &[("retry-after", "30")]);
    let (last, waits) = run(&RetryPolicy::default(), Some(seconds(20)), &error);
    assert_eq!((last.attempts(), waits.len()), (1, 0));
    assert_eq!(last.kind(), ErrorKind::RateLimited);
}

#[test]
fn an_attempt_may_begin_when_the_longest_time_has_elapsed() {
    let policy = RetryPolicy::default().base_delay(Duration::ZERO);
    let (last, _) = run(&policy.max_elapsed(Duration::ZERO), None, &busy());
    assert_eq!(last.attempts(), 3);
}

#[test]
fn endless_waits_do_not_panic() {
    let policy = RetryPolicy::default()
        .base_delay(Duration::MAX)
        .max_delay(Duration::MAX)
        .max_elapsed(Duration::MAX)
        .max_attempts(u32::MAX);
    let (last, _) = run(
        &policy.max_elapsed(seconds(1)),
        Some(Duration::MAX),
        &busy(),
    );
    assert_eq!(last.attempts(), 1);
    let policy = RetryPolicy::default()
        .base_delay(Duration::ZERO)
        .max_attempts(40)
        .budget(None);
    let (last, waits) = run(&policy, None, &busy());
    assert_eq!(last.attempts(), 40);
    assert_eq!(waits.iter().sum::<Duration>(), Duration::ZERO);
}

#[test]
fn an_endless_retry_after_does_not_panic() {
    let policy = RetryPolicy::default().max_retry_after(Duration::MAX);
    let error = busy().with_retry_after(Some(Duration::MAX));
    assert_eq!(run(&policy, None, &error).0.attempts(), 1);
}
