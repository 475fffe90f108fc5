//! The headers that ask for a delay.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use inferstream_client::{error_of_head, retry_after};
use inferstream_core::RetryPolicy;
use proptest::prelude::*;

use super::{header_map, millis, run};
use crate::support::seconds;

/// Checks the delay that headers ask for; the calendar time is 1 January 1970, 01:00.
#[track_caller]
fn check_hint(headers: &[(&'static str, &str)], wait: Option<Duration>) {
    let now = SystemTime::UNIX_EPOCH + seconds(3600);
    assert_eq!(retry_after(&header_map(headers), now), wait, "{headers:?}");
}

// Which.

#[test]
fn retry_after_is_seconds() {
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
fn retry_after_ms_takes_precedence() {
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
fn negative_milliseconds_are_ignored() {
    check_hint(&[("retry-after-ms", "-5")], None);
    check_hint(
        &[("retry-after", "9"), ("retry-after-ms", "-5")],
        Some(seconds(9)),
    );
}

#[test]
fn an_implausible_delay_is_ignored() {
    let long = "9".repeat(10 << 10);
    for hint in [
        "-1", "-0.5", "-5", "nan", "NaN", "inf", "-inf", "infinity", "1e400", "-1e400", "1e300",
        "", " ", "soon", "2x", "1,5", "1 2", "0x10", "--", &long,
    ] {
        check_hint(&[("retry-after", hint)], None);
    }
}

#[test]
fn a_date_is_compared_with_the_date_of_the_response() {
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
fn a_date_is_compared_with_the_clock_if_the_response_has_none() {
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
fn a_clock_that_is_a_day_wrong_does_not_change_a_wait() {
    const DAY: u64 = 86_400;
    let at = "Sun, 06 Nov 1994 08:49:40 GMT";
    let now = SystemTime::UNIX_EPOCH + seconds(784_111_777); // 08:49:37
    let dated = [
        ("retry-after", at),
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ];
    for wrong in [now - seconds(DAY), now, now + seconds(DAY)] {
        let wait = retry_after(&header_map(&dated), wrong);
        assert_eq!(wait, Some(seconds(3)));
    }
    // Without a `date`, a clock that is slow makes the wait too long, which is reported at once, and
    // one that is fast makes it zero, which does not shorten the policy's own wait.
    let status = StatusCode::TOO_MANY_REQUESTS;
    let undated = header_map(&dated[..1]);
    let slow = error_of_head(status, &undated, now - seconds(DAY));
    assert_eq!(slow.retry_after(), Some(seconds(DAY + 3)));
    let (error, waits) = run(&RetryPolicy::default(), None, &slow);
    assert_eq!((error.attempts(), waits.len()), (1, 0));
    let fast = error_of_head(status, &undated, now + seconds(DAY));
    let (error, waits) = run(&RetryPolicy::default(), None, &fast);
    assert_eq!((error.attempts(), waits.len()), (3, 2));
    assert!(waits.iter().all(|wait| millis(250) <= *wait), "{waits:?}");
}

#[test]
fn the_first_of_two_headers_counts() {
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
    fn no_header_value_panics(
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
}
