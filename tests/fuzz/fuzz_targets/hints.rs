//! The time that a service asks to wait is read exactly, and a retry waits that long or not at all.
#![no_main]

use std::time::{Duration, SystemTime};

use fuzz::input::Input;
use http::{HeaderMap, HeaderValue, StatusCode};
use inferstream_client::{error_of_head, retry_after};
use inferstream_core::{Error, RateLimits, RetryPolicy, Timer, protocol::RetryBudget};
use inferstream_test::{Reply, ScriptedTransport};

const NAMES: &[&str] = &[
    "retry-after",
    "retry-after-ms",
    "date",
    "x-should-retry",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "ratelimit-remaining",
    "ratelimit-reset",
    "ratelimit",
    "x-ratelimit-reset",
    "x-ratelimit-remaining",
    "x-ratelimit-remaining-tokens-minute",
    "x-ratelimit-reset-requests-day",
];

const STATUSES: &[u16] = &[429, 503, 500, 408, 409, 425, 529, 520, 401, 404, 301];

/// Returns the time of a `retry-after` in a form that has one meaning, without the code under test.
fn plain(value: &str) -> Option<Duration> {
    let digits = value.trim();
    let is_number = (1..=9).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
    let seconds = is_number.then(|| digits.parse().ok()).flatten();
    seconds.map(Duration::from_secs)
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let status = StatusCode::from_u16(input.pick(STATUSES)).expect("a status");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(input.byte()) * 100);
    let cap = Duration::from_secs(u64::from(input.byte()));
    let attempts = input.below(4) as u32;
    let text = String::from_utf8_lossy(input.rest());
    let mut headers = HeaderMap::new();
    for line in text.lines() {
        let mut line = Input::new(line.as_bytes());
        let name = line.pick(NAMES);
        if let Ok(value) = HeaderValue::from_bytes(line.rest()) {
            headers.insert(name, value);
        }
    }
    let shown = || format!("{status} {headers:?} {now:?}");

    let hint = retry_after(&headers, now);
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.contains_key("retry-after-ms") {
        if let Some(Duration { .. }) = value("retry-after-ms").and_then(plain) {
            let milliseconds = value("retry-after-ms").and_then(plain).map(|it| it / 1000);
            assert_eq!(hint, milliseconds, "{}", shown());
        }
    } else if let Some(seconds) = value("retry-after").and_then(plain) {
        assert_eq!(hint, Some(seconds), "{}", shown());
    }
    if !headers.contains_key("retry-after") && !headers.contains_key("retry-after-ms") {
        assert_eq!(hint, None, "{}", shown());
    }

    let error = error_of_head(status, &headers, now);
    let limits = RateLimits::from_headers_at(&headers, now);
    let asked = match hint {
        None if status == 429 => limits.until_reset(),
        hint => hint,
    };
    assert_eq!(error.retry_after(), asked, "{}", shown());

    // The policy's own waits are at most 8 s.
    let policy = RetryPolicy::default();
    let policy = policy.max_retry_after(cap).max_attempts(attempts);
    let transport = ScriptedTransport::new([Reply::empty(200)]);
    let mut made = 0;
    let end: Result<(), Error> =
        transport.block_on(
            policy.run(&transport, None, &RetryBudget::default(), |number| {
                made = number;
                let error = error.clone();
                async move { Err(error) }
            }),
        );
    let end = end.expect_err("each attempt fails");
    let retries = transport.retries();
    assert_eq!(end.attempts(), made, "{}", shown());
    assert_eq!(retries.len() + 1, made as usize, "{}", shown());
    assert!(made <= attempts.max(1), "{}", shown());
    assert!(
        made == 1 || asked.is_none_or(|asked| asked <= cap),
        "{}",
        shown()
    );
    let own = policy.max_delay;
    for (_, wait) in &retries {
        let least = asked.unwrap_or_default();
        let most = least.max(own) + least / 10;
        assert!((least..=most).contains(wait), "{wait:?} {}", shown());
    }
    let waits: Duration = retries.iter().map(|(_, wait)| *wait).sum();
    assert_eq!(transport.clock().elapsed(), waits, "{}", shown());
    assert!(transport.now() < Duration::MAX);
});
