//! The loop: limits, retries, and what ends a batch.

use std::{num::NonZeroU32, sync::Arc, sync::Mutex, time::Duration};

use inferstream_batch::{Failure, Reader, Stop, Stopped};
use inferstream_core::{Error, ErrorKind, Phase, Repeat};
use proptest::prelude::{ProptestConfig, proptest};

use crate::support::{Reply, Scripted, Seen, rows};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn every_row_has_one_response() {
    let provider = Scripted::new(|_| Reply::complete());
    let (summary, seen) = provider.run(provider.batch(), rows(100));
    assert_eq!(
        (summary.complete, summary.failed, summary.requests),
        (100, 0, 100)
    );
    assert_eq!(
        (summary.tokens["m"].input, summary.tokens["m"].output),
        (300, 200)
    );
    assert_eq!(seen.complete.len(), 100);
    assert!(summary.stopped.is_none());
    assert!(provider.asked()[0].headers.is_empty());
}

#[test]
fn requests_in_flight_grow_from_8_to_the_maximum() {
    let provider = Scripted::new(|_| Reply::complete());
    provider.run(provider.batch(), rows(8));
    assert_eq!(provider.peak(), 8);
    let first = provider.asked().len();
    provider.run(provider.batch().max_in_flight(12), rows(500));
    assert_eq!(provider.peak(), 12);
    let asked = provider.asked();
    let begun_at_once = asked[first..]
        .iter()
        .filter(|other| other.at == asked[first].at);
    assert_eq!(begun_at_once.count(), 8);
    let one = Scripted::new(|_| Reply::complete());
    one.run(one.batch().max_in_flight(0), rows(5));
    assert_eq!(one.peak(), 1);
}

#[test]
fn an_idempotency_key_depends_on_the_id_and_the_request() {
    let key = |line: &str| {
        let provider = Scripted::new(|_| Reply::complete());
        let row = Reader::default().row(line.as_bytes(), 1);
        provider.run(provider.batch().idempotency_key(true), [row]);
        provider.asked()[0].headers["idempotency-key"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    let first = key(r#"{"custom_id":"a","prompt":"x"}"#);
    assert_eq!(first.len(), 32);
    assert_eq!(first, key(r#"{"prompt":"x", "custom_id":"a"}"#));
    assert_ne!(first, key(r#"{"custom_id":"b","prompt":"x"}"#));
    assert_ne!(first, key(r#"{"custom_id":"a","prompt":"y"}"#));
}

#[test]
fn nothing_begins_before_the_time_that_the_service_asked_for() {
    let provider = Scripted::new(|asked| {
        if asked.prompt == "3" && asked.before == 0 {
            let wait = Some(Duration::from_secs(7));
            let error = Error::new(ErrorKind::RateLimited, "slow down").with_retry_after(wait);
            return Reply::of(Err(error));
        }
        Reply::complete()
    });
    let (summary, seen) = provider.run(provider.batch(), rows(40));
    assert_eq!((summary.complete, summary.requests), (40, 41));
    assert_eq!(seen.complete.len(), 40);
    // The refusal comes after a second.
    let (from, to) = (Duration::from_secs(1), Duration::from_secs(8));
    let asked = provider.asked();
    let held = asked
        .iter()
        .filter(|asked| from < asked.at && asked.at < to);
    assert_eq!(held.count(), 0);
    // The row is sent again at the end of the queue.
    assert_eq!(asked.last().unwrap().prompt, "3");
}

#[test]
fn an_exhausted_limit_is_waited_for() {
    let provider = Scripted::new(|_| {
        let reply = Reply::complete().header("x-ratelimit-remaining-requests", "0");
        reply.header("x-ratelimit-reset-requests", "30s")
    });
    provider.run(provider.batch().max_in_flight(1), rows(3));
    let at: Vec<u64> = provider
        .asked()
        .iter()
        .map(|asked| asked.at.as_secs())
        .collect();
    assert_eq!(at, [0, 31, 62]);
}

#[test]
fn requests_per_minute_are_limited() {
    let provider = Scripted::new(|_| Reply::complete().after(Duration::from_millis(1)));
    let batch = provider
        .batch()
        .requests_per_minute(NonZeroU32::new(60).unwrap());
    let (summary, _) = provider.run(batch, rows(180));
    assert_eq!(summary.complete, 180);
    let asked = provider.asked();
    for first in 0..asked.len() {
        let end = asked[first].at + MINUTE;
        let within = asked[first..].iter().take_while(|other| other.at < end);
        // A burst of a minute's requests, and those that a minute adds.
        assert!(within.count() <= 120);
    }
    assert!(Duration::from_secs(119) <= summary.elapsed);
}

#[test]
fn a_safe_error_is_repeated_four_times() {
    let provider = Scripted::new(|asked| match asked.prompt.as_str() {
        "1" => Reply::error(ErrorKind::Overloaded),
        "2" if asked.before < 4 => Reply::error(ErrorKind::Overloaded),
        _ => Reply::complete(),
    });
    let (summary, seen) = provider.run(provider.batch(), rows(4));
    assert_eq!((summary.complete, summary.failed), (3, 1));
    assert_eq!(summary.commonest_failure(), Some("it failed"));
    assert_eq!(seen.failed["1"].code, "overloaded");
    let count = |prompt: &str| {
        provider
            .asked()
            .iter()
            .filter(|asked| asked.prompt == prompt)
            .count()
    };
    assert_eq!([count("0"), count("1"), count("2")], [1, 5, 5]);
}

#[test]
fn what_may_have_been_paid_is_not_repeated() {
    let lost = || {
        let error = Error::new(ErrorKind::Disconnected, "the connection was lost");
        assert_eq!(error.repeat(), Repeat::Ambiguous);
        error
    };
    let script = move |asked: &crate::support::Asked| match asked.prompt.as_str() {
        "0" if asked.before == 0 => Reply::of(Err(lost())),
        "1" if asked.before == 0 => Reply::error(ErrorKind::Truncated),
        _ => Reply::complete(),
    };
    let provider = Scripted::new(script);
    let (summary, seen) = provider.run(provider.batch(), rows(3));
    assert_eq!((summary.complete, summary.requests), (1, 3));
    assert_eq!(seen.failed["0"].code, Failure::MAYBE_PAID);
    assert_eq!(seen.failed["1"].code, "truncated");

    let provider = Scripted::new(script);
    let (summary, _) = provider.run(provider.batch().retry_ambiguous(true), rows(3));
    assert_eq!((summary.complete, summary.requests), (3, 5));
    assert_eq!(summary.maybe_paid_twice, 2);

    let provider = Scripted::new(script);
    let batch = provider.batch().retry_ambiguous(true).at_most_once(true);
    let (summary, _) = provider.run(batch, rows(3));
    assert_eq!((summary.complete, summary.requests), (1, 3));
}

#[test]
fn a_refused_key_and_a_used_up_quota_end_the_batch() {
    for kind in [ErrorKind::Auth, ErrorKind::Permission, ErrorKind::Quota] {
        let provider = Scripted::new(move |asked| match asked.prompt.as_str() {
            "3" => Reply::error(kind).after(Duration::from_millis(500)),
            _ => Reply::complete(),
        });
        let (summary, seen) = provider.run(provider.batch(), rows(1_000));
        let stopped = summary.stopped.unwrap();
        match kind {
            ErrorKind::Quota => assert!(matches!(stopped, Stopped::Quota(_))),
            _ => assert!(matches!(stopped, Stopped::Key(_))),
        }
        // The seven others under way are kept; no row has failed, so the next run asks them.
        assert_eq!((summary.complete, summary.failed), (7, 0));
        assert_eq!(seen.released, ["3"]);
        assert_eq!(provider.asked().len(), 8);
    }
}

#[test]
fn an_outage_costs_time_only() {
    let hour = Duration::from_secs(3_600);
    let provider = Scripted::new(move |asked| {
        let is_outage = (MINUTE..MINUTE + hour).contains(&asked.at);
        if is_outage {
            Reply::error(ErrorKind::Connect).after(Duration::ZERO)
        } else {
            Reply::complete().after(Duration::from_secs(20))
        }
    });
    let (summary, seen) = provider.run(provider.batch(), rows(100));
    assert_eq!((summary.complete, summary.failed), (100, 0));
    assert_eq!(seen.complete.len(), 100);
    assert!(summary.stopped.is_none());
}

#[test]
fn a_service_that_was_never_reached_is_given_up_after_a_minute() {
    let kinds = [ErrorKind::Dns, ErrorKind::Timeout(Phase::Connect)];
    for kind in kinds {
        let provider = Scripted::new(move |_| Reply::error(kind));
        let (summary, seen) = provider.run(provider.batch(), rows(100));
        assert!(matches!(summary.stopped, Some(Stopped::Unreachable(_))));
        assert_eq!((summary.complete, summary.failed), (0, 0));
        assert!(seen.complete.is_empty());
        assert!(summary.elapsed < 4 * MINUTE);
    }
}

#[test]
fn responses_under_way_are_waited_for_after_a_stop() {
    let stop = Stop::default();
    let provider = Scripted::new({
        let stop = stop.clone();
        move |asked| {
            if asked.prompt == "20" {
                stop.stop();
            }
            Reply::complete()
        }
    });
    let (summary, seen) = provider.run(provider.batch().stop(&stop), rows(1_000));
    assert!(matches!(summary.stopped, Some(Stopped::Caller)));
    assert_eq!(seen.complete.len(), provider.asked().len());
    assert!(provider.asked().len() < 40);
}

#[test]
fn a_full_disk_ends_the_batch_and_responses_under_way_are_passed_on() {
    let provider = Scripted::new(|_| Reply::complete());
    let mut seen = Seen {
        room: Some(3),
        ..Seen::default()
    };
    let run = provider.batch().run(rows(1_000), &mut seen);
    let summary = provider.clock().block_on(run);
    assert!(matches!(summary.stopped, Some(Stopped::Output(_))));
    assert_eq!(seen.complete.len(), provider.asked().len());
    // Eight begin at once, and one after each of the first two responses.
    assert_eq!(provider.asked().len(), 10);
}

#[test]
fn an_invalid_row_fails_and_the_others_do_not() {
    let provider = Scripted::new(|_| Reply::complete());
    let mut all = rows(3);
    all.insert(1, Reader::default().row(b"not JSON", 2));
    let (summary, seen) = provider.run(provider.batch(), all);
    assert_eq!(
        (summary.complete, summary.failed, summary.requests),
        (3, 1, 3)
    );
    assert_eq!(seen.failed["line-2"].code, "invalid_row");
}

#[test]
fn a_response_without_a_finish_reason_is_not_complete() {
    let provider = Scripted::new(|_| {
        let mut response = inferstream_core::ChatResponse::default();
        response.add(&inferstream_core::ChatEvent::text(0, "Hal"));
        Reply::of(Ok(response))
    });
    let (summary, seen) = provider.run(provider.batch(), rows(1));
    assert_eq!((summary.complete, summary.failed), (0, 1));
    assert_eq!(seen.failed["0"].code, "truncated");
}

#[test]
fn progress_is_reported() {
    let provider = Scripted::new(|_| Reply::complete());
    let latest = Arc::new(Mutex::new(None));
    let own = Arc::clone(&latest);
    let batch = provider.batch();
    let batch = batch.on_progress(move |progress| *own.lock().unwrap() = Some(*progress));
    provider.run(batch, rows(20));
    let progress = latest.lock().unwrap().unwrap();
    assert_eq!((progress.complete, progress.in_flight), (20, 0));
    assert_eq!(progress.tokens.input, 60);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_row_ends_once_whatever_the_service_does(
        replies in proptest::collection::vec((0_u8..9, 0_u64..3_000), 1..60),
        max in 1_usize..20,
        count in 1_usize..60,
    ) {
        let provider = Scripted::new(move |asked| {
            let number: usize = asked.prompt.parse().unwrap();
            let (kind, millis) = replies[(number * 7 + asked.before) % replies.len()];
            let reply = match kind {
                0 => Reply::error(ErrorKind::RateLimited),
                1 => Reply::error(ErrorKind::Overloaded),
                2 => Reply::error(ErrorKind::Truncated),
                3 => Reply::error(ErrorKind::InvalidRequest),
                _ => Reply::complete(),
            };
            reply.after(Duration::from_millis(millis))
        });
        let (summary, seen) = provider.run(provider.batch().max_in_flight(max), rows(count));
        assert!(summary.stopped.is_none());
        assert!(provider.peak() <= max);
        let mut ids = seen.complete;
        ids.extend(seen.failed.into_keys());
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert_eq!(summary.complete + summary.failed, u64::try_from(count).unwrap());
        assert!(provider.asked().iter().all(|asked| asked.before < 5));
    }
}
