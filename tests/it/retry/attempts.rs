//! The number of attempts, and the time they take.

use std::{future::ready, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Uri};
use inferstream_client::{Call, RetryBudgets};
use inferstream_core::{
    Body, Error, ErrorKind, Phase, Repeat, Result, RetryPolicy, Timeouts, Timer, Transport,
    protocol::RetryBudget,
};
use proptest::prelude::*;

use super::{busy, millis, run};
use crate::support::{Script, block_on, seconds};

#[test]
fn a_success_ends_the_attempts() {
    let script = Script::new([]);
    let mut left = vec![Ok(7), Err(busy()), Err(busy())];
    let policy = RetryPolicy::default();
    let budget = RetryBudget::default();
    let outcome = policy.run(&*script, None, &budget, |_| ready(left.pop().unwrap()));
    assert_eq!(block_on(&script.clock, outcome).unwrap(), 7);
    assert_eq!(script.sleeps.lock().unwrap().len(), 2);
}

#[test]
fn each_attempt_is_a_request_to_the_transport() {
    let lost = || Error::new(ErrorKind::Connect, "no connection");
    let answer = http::Response::new(Body::from("hi"));
    let script = Script::new([Err(lost()), Err(lost()), Ok(answer)]);
    let transport: Arc<dyn Transport> = Arc::clone(&script) as _;
    let sender = Arc::clone(&transport);
    let budget = RetryBudget::default();
    let outcome: Result<_> = block_on(
        &script.clock,
        RetryPolicy::default().run(&*transport, None, &budget, move |attempt| {
            let request = http::Request::new(attempt.to_string().into());
            sender.send(request)
        }),
    );
    assert!(outcome.is_ok());
    let requests = script.requests.lock().unwrap();
    let bodies: Vec<_> = requests.iter().map(http::Request::body).collect();
    assert_eq!(bodies, ["1", "2", "3"]);
}

#[test]
fn the_last_error_is_returned() {
    let script = Script::new([]);
    let mut left = vec![Error::config("last"), busy()];
    let policy = RetryPolicy::default();
    let budget = RetryBudget::default();
    let outcome = policy.run(&*script, None, &budget, |_| {
        ready(Err::<(), _>(left.pop().unwrap()))
    });
    let error = block_on(&script.clock, outcome).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.attempts()), ("last", 2));
}

// How often.

#[test]
fn attempts_are_limited_and_at_least_one() {
    for (max, attempts) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
        let policy = RetryPolicy::default().max_attempts(max);
        assert_eq!(run(&policy, None, &busy()).0.attempts(), attempts);
    }
}

#[test]
fn endless_attempts_end_with_the_time_limit() {
    let policy = RetryPolicy::default().max_attempts(u32::MAX);
    let (error, waits) = run(&policy, None, &busy());
    let sum: Duration = waits.iter().sum();
    assert!(seconds(52) <= sum && sum <= seconds(60), "{sum:?}");
    assert!(9 <= error.attempts());
}

#[test]
fn a_wait_beyond_the_time_limit_is_not_started() {
    let policy = RetryPolicy::default().max_elapsed(millis(249));
    assert_eq!(run(&policy, None, &busy()).0.attempts(), 1);
    let policy = RetryPolicy::default();
    assert_eq!(run(&policy, Some(millis(249)), &busy()).0.attempts(), 1);
    assert_eq!(run(&policy, Some(millis(501)), &busy()).0.attempts(), 2);
}

#[test]
fn no_attempt_starts_after_the_total_timeout() {
    // The timer wakes a second late.
    let script = Script::oversleeping(seconds(1), []);
    let mut begun = 0;
    let policy = RetryPolicy::default();
    let budget = RetryBudget::default();
    let outcome = policy.run(&*script, Some(millis(1200)), &budget, |attempt| {
        begun = attempt;
        ready(Err::<(), _>(busy()))
    });
    assert!(block_on(&script.clock, outcome).is_err());
    assert_eq!(begun, 1);
}

#[test]
fn the_total_timeout_ends_an_attempt() {
    let script = Script::new([]);
    let policy = RetryPolicy::default();
    let budget = RetryBudget::default();
    let outcome = policy.run(&*script, Some(seconds(7)), &budget, |_| {
        std::future::pending::<Result<()>>()
    });
    let error = block_on(&script.clock, outcome).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total));
    assert_eq!(error.attempts(), 1);
    assert_eq!(script.clock.elapsed(), seconds(7));
}

#[test]
fn the_total_timeout_covers_all_attempts() {
    let script = Script::new([]);
    let clock = script.clock.clone();
    let policy = RetryPolicy::default();
    let budget = RetryBudget::default();
    let outcome = policy.run(&*script, Some(seconds(10)), &budget, |_| {
        let sleep = clock.sleep(seconds(6));
        async move {
            sleep.await;
            Err::<(), _>(busy())
        }
    });
    let error = block_on(&script.clock, outcome).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total));
    assert_eq!(error.attempts(), 2);
    assert_eq!(script.clock.elapsed(), seconds(10));
}

#[test]
fn a_timeout_names_the_total_of_the_call() {
    let script = Script::new([]);
    let timeouts = Timeouts::default().total(Some(seconds(10)));
    let policy = RetryPolicy::default();
    let call = Call::new(script.clone(), timeouts, policy, RetryBudgets::default());
    let url = Uri::from_static("https://a.test/");
    let request = call.prepare(call.request_to(Method::GET, url, Bytes::new()));
    // An earlier request of the call took 4 s.
    script.clock.advance(seconds(4));
    let outcome = call.run(&policy, &request, |_| std::future::pending::<Result<()>>());
    let error = block_on(&script.clock, outcome).unwrap_err();
    assert_eq!(script.clock.elapsed(), seconds(10));
    let expected = Error::timeout(Phase::Total, seconds(10));
    assert_eq!(error.to_string(), expected.to_string());
    assert_eq!((error.attempts(), error.repeat()), (1, Repeat::Never));
}

// How long.

#[test]
fn the_defaults_are_the_documented_ones() {
    let policy = RetryPolicy::default();
    assert_eq!(policy.max_attempts, 3);
    assert_eq!(
        (policy.base_delay, policy.max_delay),
        (millis(500), seconds(8))
    );
    assert_eq!(
        (policy.max_retry_after, policy.max_elapsed),
        (seconds(60), seconds(60))
    );
    assert!(policy.replay_stale && policy.retry_server_errors);
    assert!(!policy.retry_ambiguous);
    assert_eq!(policy.budget, Some(100));
    let never = RetryPolicy::never();
    assert!(!never.replay_stale && !never.retry_ambiguous);
}

// Headers.

proptest! {
    #[test]
    fn no_policy_panics(
        attempts in 0_u32..60,
        base in any::<Duration>(),
        most in any::<Duration>(),
        elapsed in any::<Duration>(),
        hint in any::<Option<Duration>>(),
        total in any::<Option<Duration>>(),
    ) {
        let policy = RetryPolicy::default()
            .max_attempts(attempts)
            .base_delay(base)
            .max_delay(most)
            .max_elapsed(elapsed.min(seconds(1 << 40)));
        let (last, _) = run(&policy, total, &busy().with_retry_after(hint));
        prop_assert!(last.attempts() <= attempts.max(1));
    }
}
