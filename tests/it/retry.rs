//! Retries: which errors, how often, after which delay, and the headers that affect them.

use std::{
    future::ready,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use inferstream_client::{error_of_head, retry_after};
use inferstream_core::{
    Body, Error, ErrorKind, Phase, Repeat, Result, RetryPolicy, Sent, Transport,
};
use proptest::prelude::*;

use crate::support::{Script, block_on, seconds};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a policy over a request that always fails so; returns its error and the waits.
fn run(policy: &RetryPolicy, total: Option<Duration>, error: &Error) -> (Error, Vec<Duration>) {
    let script = Script::new([]);
    let mut sent = 0;
    let outcome = policy.run(&*script, total, |attempt| {
        sent += 1;
        assert_eq!(attempt, sent, "attempts count from 1");
        ready(Err::<(), _>(error.clone()))
    });
    let error = block_on(&script.clock, outcome).unwrap_err();
    assert_eq!(error.attempts(), sent);
    let mut sleeps = script.sleeps.lock().unwrap().clone();
    if total.is_some() {
        // What each attempt may take is armed by a sleep too.
        sleeps = sleeps.into_iter().skip(1).step_by(2).collect();
    }
    (error, sleeps)
}

/// A request that certainly may be sent again.
fn busy() -> Error {
    Error::new(ErrorKind::Overloaded, "busy")
}

/// The answer of a status and headers, as an error.
fn answer(status: u16, headers: &[(&'static str, &str)]) -> Error {
    let headers = header_map(headers);
    error_of_head(
        StatusCode::from_u16(status).unwrap(),
        &headers,
        SystemTime::UNIX_EPOCH,
    )
}

fn header_map(headers: &[(&'static str, &str)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect()
}

#[test]
fn each_wait_is_reported_to_the_transport_before_it_begins() {
    let policy = RetryPolicy::default();
    for total in [None, Some(seconds(60))] {
        let script = Script::new([]);
        let outcome = policy.run(&*script, total, |attempt| {
            let error = Error::new(ErrorKind::Overloaded, format!("busy {attempt}"));
            ready(Err::<(), _>(error.with_retry_after(Some(seconds(4)))))
        });
        block_on(&script.clock, outcome).unwrap_err();
        let retries = script.retries.lock().unwrap().clone();
        let sleeps = script.sleeps.lock().unwrap().clone();
        let messages: Vec<&str> = retries.iter().map(|(text, _)| text.as_str()).collect();
        // The last error ends the request, and nothing is waited for.
        assert_eq!(messages, ["busy 1", "busy 2"]);
        for (_, wait) in &retries {
            assert!(seconds(4) <= *wait && sleeps.contains(wait), "{sleeps:?}");
        }
    }
    let script = Script::new([]);
    let refused = Error::new(ErrorKind::Auth, "no");
    let outcome = policy.run(&*script, None, |_| ready(Err::<(), _>(refused.clone())));
    block_on(&script.clock, outcome).unwrap_err();
    assert!(script.retries.lock().unwrap().is_empty());
}

/// Checks how often a request that fails so is sent by default, and if ambiguity is accepted.
#[track_caller]
fn check(error: &Error, attempts: u32, ambiguous: u32) {
    let (last, _) = run(&RetryPolicy::default(), None, error);
    assert_eq!(last.attempts(), attempts, "by default: {error}");
    assert_eq!(last.kind(), error.kind());
    let policy = RetryPolicy::default().retry_ambiguous(true);
    let (last, _) = run(&policy, None, error);
    assert_eq!(
        last.attempts(),
        ambiguous,
        "with `retry_ambiguous`: {error}"
    );
    let (last, _) = run(&RetryPolicy::never(), None, error);
    assert_eq!(last.attempts(), 1, "never: {error}");
}

/// Checks that a wait lies in a range.
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

/// Checks how long headers ask to wait; the calendar says 1 January 1970, 01:00.
#[track_caller]
fn check_hint(headers: &[(&'static str, &str)], wait: Option<Duration>) {
    let now = SystemTime::UNIX_EPOCH + seconds(3600);
    assert_eq!(retry_after(&header_map(headers), now), wait, "{headers:?}");
}

// Which.

#[test]
fn what_was_certainly_not_worked_on_is_repeated() {
    for kind in [ErrorKind::Dns, ErrorKind::Connect, ErrorKind::Proxy] {
        check(&Error::new(kind, "not reached"), 3, 3);
    }
    for phase in [Phase::Dns, Phase::Connect, Phase::Tls] {
        check(&Error::timeout(phase, seconds(5)), 3, 3);
    }
    let unsent = Error::new(ErrorKind::Disconnected, "refused").with_sent(Sent::No);
    check(&unsent, 3, 3);
}

#[test]
fn what_may_have_been_worked_on_is_repeated_by_leave_only() {
    let lost = Error::new(ErrorKind::Disconnected, "lost");
    check(&lost, 1, 3);
    check(&lost.clone().with_sent(Sent::Maybe), 1, 3);
    check(&lost.with_sent(Sent::Yes), 1, 3);
    for phase in [Phase::Head, Phase::Write] {
        check(&Error::timeout(phase, seconds(5)), 1, 3);
    }
    for status in [520, 524, 527] {
        check(&answer(status, &[]), 1, 3);
    }
}

#[test]
fn what_cannot_get_better_is_not_repeated() {
    for kind in [
        ErrorKind::Auth,
        ErrorKind::Canceled,
        ErrorKind::Challenge,
        ErrorKind::Config,
        ErrorKind::ContentFilter,
        ErrorKind::ContextLength,
        ErrorKind::InvalidRequest,
        ErrorKind::ModelNotSupported,
        ErrorKind::NotFound,
        ErrorKind::Permission,
        ErrorKind::Protocol,
        ErrorKind::Quota,
        ErrorKind::Redirect,
        ErrorKind::Tls,
        ErrorKind::TooLarge,
        ErrorKind::Truncated,
        ErrorKind::Unsupported,
        ErrorKind::UntrustedHost,
    ] {
        check(&Error::new(kind, "no"), 1, 1);
    }
}

#[test]
fn what_was_lost_in_an_answer_is_not_repeated() {
    for phase in [
        Phase::FirstEvent,
        Phase::Idle,
        Phase::Progress,
        Phase::Total,
    ] {
        check(&Error::timeout(phase, seconds(5)), 1, 1);
    }
    check(&Error::new(ErrorKind::Provider, "failed"), 1, 1);
}

#[test]
fn some_statuses_are_repeated() {
    for status in [
        408, 429, 500, 502, 503, 504, 521, 522, 523, 525, 526, 529, 530,
    ] {
        check(&answer(status, &[]), 3, 3);
    }
    for status in [
        300, 301, 307, 400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 418, 422, 425, 451, 501,
        505, 599,
    ] {
        check(&answer(status, &[]), 1, 1);
    }
}

#[test]
fn server_errors_are_not_repeated_where_the_policy_leaves_them_out() {
    let policy = RetryPolicy::default()
        .retry_ambiguous(true)
        .retry_server_errors(false);
    let attempts = |error: &Error| run(&policy, None, error).0.attempts();
    for status in [
        408, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 527, 529,
    ] {
        let error = answer(status, &[]);
        assert_eq!(attempts(&error), 1, "{status}");
        let allowed = answer(status, &[("x-should-retry", "true")]);
        assert_eq!(attempts(&allowed), 1, "{status}");
        // Protocols make errors of their own of it.
        let other = error.with_kind(ErrorKind::Provider);
        assert_eq!(attempts(&other), 1, "{status}");
    }
    // Such as a 400 whose body says that the server failed.
    let server = Error::new(ErrorKind::Server, "failed").with_repeat(Repeat::Safe);
    assert_eq!(attempts(&server), 1);
    // What never reached the service, and what it did not begin, is repeated as before.
    assert_eq!(attempts(&answer(429, &[])), 3);
    assert_eq!(attempts(&Error::new(ErrorKind::Connect, "refused")), 3);
}

#[test]
fn a_status_has_its_kind() {
    for (status, kind) in [
        (301, ErrorKind::Redirect),
        (400, ErrorKind::InvalidRequest),
        (401, ErrorKind::Auth),
        (402, ErrorKind::Quota),
        (403, ErrorKind::Permission),
        (404, ErrorKind::NotFound),
        (413, ErrorKind::InvalidRequest),
        (422, ErrorKind::InvalidRequest),
        (429, ErrorKind::RateLimited),
        (500, ErrorKind::Server),
        (502, ErrorKind::Server),
        (503, ErrorKind::Overloaded),
        (524, ErrorKind::Server),
        (529, ErrorKind::Overloaded),
    ] {
        let error = answer(status, &[]);
        assert_eq!(error.kind(), kind, "{status}");
        assert_eq!(error.status().unwrap().as_u16(), status);
    }
}

#[test]
fn a_service_may_forbid_a_repeat() {
    for status in [408, 429, 500, 503, 520] {
        check(&answer(status, &[("x-should-retry", "false")]), 1, 1);
    }
}

#[test]
fn a_service_may_allow_some_repeats() {
    let allowed = [("x-should-retry", "true")];
    for status in [409, 425, 429, 500, 501, 503, 520] {
        check(&answer(status, &allowed), 3, 3);
    }
    for status in [301, 400, 401, 402, 403, 404, 422] {
        check(&answer(status, &allowed), 1, 1);
    }
}

#[test]
fn the_word_of_the_protocol_counts_before_the_kind() {
    check(&busy().with_repeat(Repeat::Never), 1, 1);
    check(&busy().with_repeat(Repeat::Ambiguous), 1, 3);
    let quota = Error::new(ErrorKind::Quota, "used up").with_repeat(Repeat::Safe);
    check(&quota, 3, 3);
}

#[test]
fn a_success_ends_the_attempts() {
    let script = Script::new([]);
    let mut left = vec![Ok(7), Err(busy()), Err(busy())];
    let policy = RetryPolicy::default();
    let outcome = policy.run(&*script, None, |_| ready(left.pop().unwrap()));
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
    let outcome: Result<_> = block_on(
        &script.clock,
        RetryPolicy::default().run(&*transport, None, move |attempt| {
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
fn the_last_error_is_the_one_given() {
    let script = Script::new([]);
    let mut left = vec![Error::config("last"), busy()];
    let policy = RetryPolicy::default();
    let outcome = policy.run(&*script, None, |_| ready(Err::<(), _>(left.pop().unwrap())));
    let error = block_on(&script.clock, outcome).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.attempts()), ("last", 2));
}

// How often.

#[test]
fn attempts_are_at_most_those_set_and_at_least_one() {
    for (max, attempts) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
        let policy = RetryPolicy::default().max_attempts(max);
        assert_eq!(run(&policy, None, &busy()).0.attempts(), attempts);
    }
}

#[test]
fn attempts_without_end_end_with_the_time() {
    let policy = RetryPolicy::default().max_attempts(u32::MAX);
    let (error, waits) = run(&policy, None, &busy());
    let sum: Duration = waits.iter().sum();
    assert!(seconds(52) <= sum && sum <= seconds(60), "{sum:?}");
    assert!(9 <= error.attempts());
}

#[test]
fn a_wait_that_would_pass_the_time_is_not_begun() {
    let policy = RetryPolicy::default().max_elapsed(millis(249));
    assert_eq!(run(&policy, None, &busy()).0.attempts(), 1);
    let policy = RetryPolicy::default();
    assert_eq!(run(&policy, Some(millis(249)), &busy()).0.attempts(), 1);
    assert_eq!(run(&policy, Some(millis(501)), &busy()).0.attempts(), 2);
}

#[test]
fn no_attempt_is_begun_after_the_total() {
    // The transport wakes a second late.
    let script = Script::oversleeping(seconds(1), []);
    let mut begun = 0;
    let policy = RetryPolicy::default();
    let outcome = policy.run(&*script, Some(millis(1200)), |attempt| {
        begun = attempt;
        ready(Err::<(), _>(busy()))
    });
    assert!(block_on(&script.clock, outcome).is_err());
    assert_eq!(begun, 1);
}

#[test]
fn the_total_ends_an_attempt() {
    let script = Script::new([]);
    let policy = RetryPolicy::default();
    let outcome = policy.run(&*script, Some(seconds(7)), |_| {
        std::future::pending::<Result<()>>()
    });
    let error = block_on(&script.clock, outcome).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total));
    assert_eq!(error.attempts(), 1);
    assert_eq!(script.clock.elapsed(), seconds(7));
}

#[test]
fn the_total_is_over_all_attempts() {
    let script = Script::new([]);
    let clock = Arc::clone(&script.clock);
    let policy = RetryPolicy::default();
    let outcome = policy.run(&*script, Some(seconds(10)), |_| {
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

// How long.

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
fn waits_are_spread() {
    let firsts: Vec<_> = (0..50)
        .map(|_| run(&RetryPolicy::default(), None, &busy()).1[0])
        .collect();
    let (least, most) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
    assert!(*least + millis(100) < *most, "{least:?} to {most:?}");
}

#[test]
fn a_hint_is_obeyed() {
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
fn a_hint_of_nothing_does_not_shorten_the_wait() {
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
fn a_hint_beyond_its_limit_fails_at_once() {
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
fn a_hint_that_passes_the_total_fails_at_once() {
    let error = answer(429, &[("retry-after", "30")]);
    let (last, waits) = run(&RetryPolicy::default(), Some(seconds(20)), &error);
    assert_eq!((last.attempts(), waits.len()), (1, 0));
    assert_eq!(last.kind(), ErrorKind::RateLimited);
}

#[test]
fn waits_without_end_do_not_panic() {
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
        .max_attempts(40);
    let (last, waits) = run(&policy, None, &busy());
    assert_eq!(last.attempts(), 40);
    assert_eq!(waits.iter().sum::<Duration>(), Duration::ZERO);
}

#[test]
fn a_hint_without_end_does_not_panic() {
    let policy = RetryPolicy::default().max_retry_after(Duration::MAX);
    let error = busy().with_retry_after(Some(Duration::MAX));
    assert_eq!(run(&policy, None, &error).0.attempts(), 1);
}

#[test]
fn the_defaults_are_those_that_the_documents_name() {
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
    let never = RetryPolicy::never();
    assert!(!never.replay_stale && !never.retry_ambiguous);
}

// Headers.

#[test]
fn a_hint_is_seconds() {
    check_hint(&[], None);
    check_hint(&[("retry-after", "2")], Some(seconds(2)));
    check_hint(&[("retry-after", " 2 ")], Some(seconds(2)));
    check_hint(&[("retry-after", "0")], Some(seconds(0)));
    check_hint(&[("retry-after", "1.5")], Some(millis(1500)));
    check_hint(&[("retry-after", "86400")], Some(seconds(86400)));
    check_hint(&[("retry-after", "2s")], Some(seconds(2)));
    check_hint(&[("retry-after", "1m30s")], Some(seconds(90)));
}

#[test]
fn a_hint_in_milliseconds_comes_first() {
    check_hint(&[("retry-after-ms", "700")], Some(millis(700)));
    check_hint(
        &[("retry-after-ms", "0.5")],
        Some(Duration::from_micros(500)),
    );
    check_hint(
        &[("retry-after", "9"), ("retry-after-ms", "700")],
        Some(millis(700)),
    );
    check_hint(
        &[("retry-after", "9"), ("retry-after-ms", "soon")],
        Some(seconds(9)),
    );
    check_hint(
        &[("retry-after", "9"), ("retry-after-ms", "nan")],
        Some(seconds(9)),
    );
    check_hint(
        &[("retry-after", "9"), ("retry-after-ms", "")],
        Some(seconds(9)),
    );
}

#[test]
fn negative_milliseconds_count_as_not_said() {
    check_hint(&[("retry-after-ms", "-5")], None);
    check_hint(
        &[("retry-after", "9"), ("retry-after-ms", "-5")],
        Some(seconds(9)),
    );
}

#[test]
fn a_hint_beyond_sense_counts_as_not_said() {
    let long = "9".repeat(10 << 10);
    for hint in [
        "-1", "-0.5", "-5", "nan", "NaN", "inf", "-inf", "infinity", "1e400", "-1e400", "1e300",
        "", " ", "soon", "2x", "1,5", "1 2", "0x10", "--", &long,
    ] {
        check_hint(&[("retry-after", hint)], None);
    }
}

#[test]
fn a_date_is_held_against_the_date_of_the_answer() {
    let at = "Sun, 06 Nov 1994 08:49:40 GMT";
    check_hint(
        &[
            ("retry-after", at),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ],
        Some(seconds(3)),
    );
    check_hint(
        &[
            ("retry-after", at),
            ("date", "Sun, 06 Nov 1994 08:50:00 GMT"),
        ],
        Some(Duration::ZERO),
    );
}

#[test]
fn a_date_is_held_against_the_clock_where_the_answer_has_none() {
    let at = "Thu, 01 Jan 1970 01:00:05 GMT";
    check_hint(&[("retry-after", at)], Some(seconds(5)));
    check_hint(
        &[("retry-after", at), ("date", "yesterday")],
        Some(seconds(5)),
    );
    check_hint(
        &[("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT")],
        Some(Duration::ZERO),
    );
    check_hint(&[("retry-after", "Thu, 01 Jan 1970")], None);
}

#[test]
fn of_two_hints_the_first_counts() {
    check_hint_twice("3", "9");
    check_hint_twice("3", "soon");
}

#[track_caller]
fn check_hint_twice(first: &'static str, second: &'static str) {
    let mut headers = HeaderMap::new();
    headers.append("retry-after", HeaderValue::from_static(first));
    headers.append("retry-after", HeaderValue::from_static(second));
    let wait = retry_after(&headers, SystemTime::UNIX_EPOCH);
    assert_eq!(wait, Some(seconds(3)));
}

proptest! {
    #[test]
    fn no_hint_panics(
        name in prop::sample::select(vec!["retry-after", "retry-after-ms", "date"]),
        value in prop::collection::vec(any::<u8>(), 0..40),
        number in "-?[0-9]{0,30}(\\.[0-9]{0,10})?(e-?[0-9]{0,4})?",
    ) {
        for value in [value, number.into_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", HeaderValue::from_static("Sun, 06 Nov 1994 08:49:40 GMT"));
            headers.insert(HeaderName::from_static(name), value);
            let error = error_of_head(StatusCode::TOO_MANY_REQUESTS, &headers, SystemTime::UNIX_EPOCH);
            run(&RetryPolicy::default(), None, &error);
        }
    }

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
