//! Which errors fall back to the next provider, and how they are reported.

use std::{error::Error as StdError, fmt, io};

use inferstream_compose::Fallback;
use inferstream_core::{ChatEvent, ChatRequest, Error, ErrorKind, Phase, Provider, Repeat, Sent};

use super::{Act, Fake, Step, now, says, steps};
use crate::support::{seconds, shown};

/// Returns the earlier errors in the chain of an error, the last one first.
pub(super) fn earlier(error: &Error) -> Vec<Error> {
    let below = std::iter::successors(StdError::source(error), |error| (*error).source());
    below
        .filter_map(|error| error.downcast_ref::<Error>().cloned())
        .collect()
}

/// Returns an error and its sources, as lines.
fn lines(error: &Error) -> Vec<String> {
    let first: &dyn StdError = error;
    std::iter::successors(Some(first), |error| (*error).source())
        .map(ToString::to_string)
        .collect()
}

/// The kinds that move on, and the kinds that do not.
const KINDS: (&[ErrorKind], &[ErrorKind]) = (
    &[
        ErrorKind::Auth,
        ErrorKind::Challenge,
        ErrorKind::Connect,
        ErrorKind::Disconnected,
        ErrorKind::Dns,
        ErrorKind::ModelNotSupported,
        ErrorKind::NotFound,
        ErrorKind::Overloaded,
        ErrorKind::Permission,
        ErrorKind::Protocol,
        ErrorKind::Provider,
        ErrorKind::Proxy,
        ErrorKind::Quota,
        ErrorKind::RateLimited,
        ErrorKind::Redirect,
        ErrorKind::Server,
        ErrorKind::Timeout(Phase::Dns),
        ErrorKind::Timeout(Phase::Connect),
        ErrorKind::Timeout(Phase::Tls),
        ErrorKind::Timeout(Phase::Write),
        ErrorKind::Timeout(Phase::Head),
        ErrorKind::Timeout(Phase::FirstEvent),
        ErrorKind::Timeout(Phase::Idle),
        ErrorKind::Timeout(Phase::Progress),
        ErrorKind::Tls,
        ErrorKind::TooLarge,
        ErrorKind::Truncated,
        ErrorKind::Unsupported,
        ErrorKind::UntrustedHost,
    ],
    &[
        ErrorKind::Canceled,
        ErrorKind::Config,
        ErrorKind::ContentFilter,
        ErrorKind::ContextLength,
        ErrorKind::InvalidRequest,
        ErrorKind::Timeout(Phase::Total),
    ],
);

/// Checks whether the next provider is tried after an error of the `.await`, of the first item, and
/// of `chat`.
#[track_caller]
fn check(kind: ErrorKind, moves_on: bool, rule: impl Fn(Fallback) -> Fallback) {
    for repeat in [Repeat::Safe, Repeat::Ambiguous, Repeat::Never] {
        let error = Error::new(kind, "it failed")
            .with_repeat(repeat)
            .with_sent(Sent::Maybe);
        for act in [Act::Refuse(error.clone()), steps([Step::Fail(error)])] {
            let two = Fake::new("two", [says("two")]);
            let fallback = rule(Fallback::new(Fake::new("one", [act])).or(two.clone()));
            let streamed = now(fallback.stream("hi".into())).err();
            let asked = now(fallback.chat("hi".into())).err();
            for failed in [streamed, asked] {
                assert_eq!(failed.is_none(), moves_on, "{kind}");
                if let Some(failed) = failed {
                    assert_eq!(failed.kind(), kind);
                    assert_eq!(
                        lines(&failed),
                        ["it failed"],
                        "the error of the first provider"
                    );
                }
            }
            assert_eq!(two.count(), if moves_on { 2 } else { 0 }, "{kind}");
        }
    }
}

#[test]
fn errors_that_another_service_may_not_have_move_on() {
    for kind in KINDS.0 {
        check(*kind, true, |fallback| fallback);
        assert!(Fallback::moves_on(&Error::new(*kind, "it failed")));
    }
}

#[test]
fn errors_of_the_request_do_not_move_on() {
    for kind in KINDS.1 {
        check(*kind, false, |fallback| fallback);
        assert!(!Fallback::moves_on(&Error::new(*kind, "it failed")));
    }
}

#[test]
fn the_caller_may_set_another_rule() {
    for kind in KINDS.0.iter().chain(KINDS.1) {
        check(*kind, false, |fallback| fallback.when(|_| false));
        check(*kind, true, |fallback| fallback.when(|_| true));
        let is_auth = *kind == ErrorKind::Auth;
        check(*kind, is_auth, |fallback| {
            fallback.when(|error| error.kind() == ErrorKind::Auth)
        });
    }
}

#[test]
fn the_rule_gets_the_original_error() {
    let error = Error::new(ErrorKind::Server, "it failed")
        .with_code("gone")
        .with_retry_after(Some(seconds(7)));
    let one = Fake::new("one", [Act::Refuse(error)]);
    let rule = |error: &Error| {
        assert_eq!(error.code(), Some("gone"));
        assert_eq!(error.retry_after(), Some(seconds(7)));
        assert_eq!(error.to_string(), "it failed");
        true
    };
    let fallback = Fallback::new(one)
        .or(Fake::new("two", [says("two")]))
        .when(rule);
    now(fallback.chat("hi".into())).unwrap();
}

// Messages.

fn warnings(fallback: &Fallback, request: impl Into<ChatRequest>) -> Vec<String> {
    let request = request.into();
    let mut stream = now(fallback.stream(request.clone())).unwrap();
    let warnings = stream.meta().warnings.clone();
    now(async move { while stream.next().await.is_some() {} });
    let answer = now(fallback.chat(request)).unwrap();
    assert_eq!(
        answer.meta.warnings, warnings,
        "a complete response has the warnings"
    );
    warnings
}

fn refuses(id: &'static str, message: &str) -> Fake {
    Fake::new(
        id,
        [Act::Refuse(Error::new(ErrorKind::Overloaded, message))],
    )
}

#[test]
fn each_failed_provider_is_a_warning() {
    let fallback = Fallback::new(refuses("one", "no room"))
        .or(refuses("two", "no way"))
        .or(Fake::new("three", [says("three")]))
        .or(Fake::new("four", [says("four")]));
    assert_eq!(
        warnings(&fallback, "hi"),
        [
            "`one` failed (no room); asked `two`",
            "`two` failed (no way); asked `three`",
        ]
    );
}

#[test]
fn a_warning_names_the_model_that_was_requested_instead() {
    let fallback = Fallback::new(refuses("one", "no room"))
        .or(refuses("two", "no way"))
        .or_with_model(Fake::new("three", [says("three")]), "own");
    assert_eq!(
        warnings(&fallback, ChatRequest::new("model").user("hi")),
        [
            "`one` failed (no room); asked `two` for its default model",
            "`two` failed (no way); asked `three` for `own`",
        ]
    );
}

#[test]
fn warnings_of_the_stream_are_kept() {
    let two = Fallback::new(refuses("two", "no way")).or(Fake::new("three", [says("three")]));
    let fallback = Fallback::new(refuses("one", "no room")).or(two);
    assert_eq!(
        warnings(&fallback, "hi"),
        [
            "`two` failed (no way); asked `three`",
            "`one` failed (no room); asked `two`",
        ]
    );
}

#[test]
fn warnings_show_no_headers_and_no_body() {
    const SECRET: &str = "5ecret";
    let mut headers = http::HeaderMap::new();
    headers.insert("x-secret", SECRET.parse().unwrap());
    let error = Error::new(ErrorKind::Server, "it failed")
        .with_head(http::StatusCode::BAD_GATEWAY, headers.clone())
        .with_body(&SECRET.into());
    let one = Fake::new("one", [Act::Refuse(error)]);
    let mut request = ChatRequest::from(SECRET);
    request.headers = headers;
    let two = Fake::new("two", [says("two")]);
    let fallback = Fallback::new(one.clone()).or(two);
    let told = warnings(&fallback, request.clone());
    assert_eq!(
        told,
        ["`one` failed (it failed); asked `two`, without the request's headers"]
    );
    let error = now(Fallback::new(one.clone()).or(one).chat(request)).unwrap_err();
    assert!(!shown(&error).contains(SECRET), "{}", shown(&error));
}

#[test]
fn the_last_error_has_the_earlier_ones_as_sources() {
    let last = Error::new(ErrorKind::RateLimited, "too many requests")
        .with_retry_after(Some(seconds(7)))
        .with_attempts(3);
    let fallback = Fallback::new(refuses("one", "no room"))
        .or(refuses("two", "no way"))
        .or(Fake::new("three", [Act::Refuse(last)]));
    for error in [
        now(fallback.stream("hi".into())).unwrap_err(),
        now(fallback.chat("hi".into())).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(error.retry_after(), Some(seconds(7)));
        assert_eq!(error.attempts(), 3);
        assert_eq!(
            lines(&error),
            ["three: too many requests", "two: no way", "one: no room"]
        );
        let kinds: Vec<_> = earlier(&error).iter().map(Error::kind).collect();
        assert_eq!(kinds, [ErrorKind::Overloaded; 2]);
    }
}

#[test]
fn an_error_that_does_not_move_on_has_the_earlier_ones_as_sources() {
    let wrong = Error::new(ErrorKind::InvalidRequest, "wrong");
    let fallback = Fallback::new(refuses("one", "no room"))
        .or(Fake::new("two", [Act::Refuse(wrong)]))
        .or(Fake::new("three", [says("three")]));
    let error = now(fallback.chat("hi".into())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(lines(&error), ["two: wrong", "one: no room"]);
}

/// A cause of a foreign type.
#[derive(Debug)]
struct Foreign(&'static str, Option<io::Error>);

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Foreign {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.1.as_ref().map(|error| error as _)
    }
}

/// A provider whose error has one of our errors as its cause, and below it a foreign one.
fn loses(id: &'static str) -> Fake {
    let cause = Foreign("the socket", Some(io::Error::other("reset")));
    let below = Error::new(ErrorKind::Disconnected, "the connection was lost").with_source(cause);
    let error = Error::new(ErrorKind::Truncated, "the response was cut off").with_source(below);
    Fake::new(id, [Act::Refuse(error)])
}

#[test]
fn causes_stay_in_the_chain() {
    let own = ["the connection was lost", "the socket", "reset"];
    let fallback = Fallback::new(loses("one"))
        .or(loses("two"))
        .or(loses("three"));
    let error = now(fallback.chat("hi".into())).unwrap_err();
    let line = "the socket: reset";
    let expected = [
        "three: the response was cut off",
        own[0],
        line,
        "two: the response was cut off",
        own[0],
        line,
        "one: the response was cut off",
        own[0],
        own[1],
        own[2],
    ];
    assert_eq!(lines(&error), expected);
    let end = std::iter::successors(StdError::source(&error), |error| (*error).source()).last();
    assert!(
        end.unwrap().is::<io::Error>(),
        "the chain of the first error is complete"
    );
}

#[test]
fn nested_fallbacks_have_one_chain_of_sources() {
    let tail = Fallback::new(loses("two")).or(loses("three"));
    let nested = Fallback::new(loses("one")).or(tail);
    let error = now(nested.chat("hi".into())).unwrap_err();
    let ours: Vec<_> = earlier(&error).iter().map(ToString::to_string).collect();
    assert_eq!(error.to_string(), "two: three: the response was cut off");
    assert_eq!(
        ours,
        [
            "the connection was lost",
            "two: the response was cut off",
            "the connection was lost",
            "one: the response was cut off",
            "the connection was lost",
        ]
    );
}

#[test]
fn an_error_of_the_caller_is_not_changed() {
    let first = Error::new(ErrorKind::Overloaded, "no room");
    let one = Fake::new("one", [Act::Refuse(first.clone())]);
    let error = now(Fallback::new(one.clone()).or(one).chat("hi".into())).unwrap_err();
    assert_eq!(lines(&error), ["one: no room", "one: no room"]);
    assert_eq!(lines(&first), ["no room"]);
}

#[test]
fn a_response_after_failures_is_not_an_error() {
    let empty = Fake::new("two", [steps([ChatEvent::finish(0, "stop".into())])]);
    let fallback = Fallback::new(refuses("one", "no room")).or(empty);
    assert_eq!(now(fallback.chat("hi".into())).unwrap().text(), "");
}
