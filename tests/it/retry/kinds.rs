//! Which errors are retried, by kind, by status and by header.

use inferstream_core::{Error, ErrorKind, Phase, Repeat, RetryPolicy, Sent};

use super::{answer, busy, run};
use crate::support::seconds;

/// Checks how often a request with this error is sent, by default and if ambiguous retries are
/// allowed.
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

#[test]
fn unprocessed_requests_are_retried() {
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
fn ambiguous_failures_are_retried_only_if_allowed() {
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
fn permanent_errors_are_not_retried() {
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
fn an_incomplete_response_is_not_retried() {
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
fn some_statuses_are_retried() {
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
fn server_errors_are_not_retried_if_turned_off() {
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
        // Protocols create their own errors from it.
        let other = error.with_kind(ErrorKind::Provider);
        assert_eq!(attempts(&other), 1, "{status}");
    }
    // Such as a 400 whose body reports a failure of the service.
    let server = Error::new(ErrorKind::Server, "failed").with_repeat(Repeat::Safe);
    assert_eq!(attempts(&server), 1);
    // Requests that never reached the service, or that it did not process, are retried as before.
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
fn a_service_may_forbid_a_retry() {
    for status in [408, 429, 500, 503, 520] {
        check(&answer(status, &[("x-should-retry", "false")]), 1, 1);
    }
}

#[test]
fn a_service_may_allow_some_retries() {
    let allowed = [("x-should-retry", "true")];
    for status in [409, 425, 429, 500, 501, 503, 520] {
        check(&answer(status, &allowed), 3, 3);
    }
    for status in [301, 400, 401, 402, 403, 404, 422] {
        check(&answer(status, &allowed), 1, 1);
    }
}

#[test]
fn the_decision_of_the_protocol_overrides_the_kind() {
    check(&busy().with_repeat(Repeat::Never), 1, 1);
    check(&busy().with_repeat(Repeat::Ambiguous), 1, 3);
    let quota = Error::new(ErrorKind::Quota, "used up").with_repeat(Repeat::Safe);
    check(&quota, 3, 3);
}
