//! Errors of a session without a key, which never show a cookie.

use inferstream_cerebras::Cookies;
use inferstream_core::{Error, ErrorKind, Repeat, Sent};

use super::{
    Answer, CANARY, CHAT, HOST, SESSION, Service, check_error, check_hidden, cookies, refused,
    session, signed_in,
};
use crate::support::{Piece, broken, seconds};

const SIGN_IN: &str = "sign in at https://inference.cerebras.ai and export the cookies again";
const MAKE_KEY: &str = "create a key at https://cloud.cerebras.ai";

#[track_caller]
fn check(answer: Answer, kind: ErrorKind, what: &str, remedy: &str) {
    let service = Service::of_session(answer);
    let error = service.ask(&service.client()).unwrap_err();
    check_error(&error, kind, &format!("cerebras: {what}: {remedy}"));
    assert_eq!((service.count(SESSION), service.count(CHAT)), (1, 0));
}

fn page(status: u16, text: &str) -> Answer {
    Answer::new(status, [Piece::from(text)]).header("content-type", "text/html; charset=utf-8")
}

#[test]
fn a_signed_out_session_is_an_error() {
    for document in [
        "null",
        "{}",
        " {} ",
        "\u{feff}{}",
        r#"{"user":null}"#,
        r#"{"expires":"2026-12-21T04:30:00.000Z"}"#,
    ] {
        let what = "the session of the cookies is not signed in";
        check(session(document), ErrorKind::Auth, what, SIGN_IN);
    }
}

#[test]
fn an_account_without_a_key_is_an_error() {
    for document in [
        r#"{"user":{}}"#,
        r#"{"user":{"demoApiKey":null}}"#,
        r#"{"user":{"demoApiKey":"  "}}"#,
        r#"{"user":{"demoapikey":"x"}}"#,
    ] {
        check(
            session(document),
            ErrorKind::Auth,
            "the account has no demo key",
            MAKE_KEY,
        );
    }
}

#[test]
fn an_expired_session_is_an_error() {
    let document = r#"{"user":{"demoApiKey":"k"},"expires":"1969-12-31T23:59:59Z"}"#;
    check(
        session(document),
        ErrorKind::Auth,
        "the session has expired",
        SIGN_IN,
    );
}

#[test]
fn a_page_instead_of_the_session_is_an_error() {
    let html = format!("<!DOCTYPE html><title>Sign in {CANARY}</title>");
    for answer in [
        page(200, &html),
        page(200, "Sign in"),
        Answer::json(200, &html),
        Answer::json(200, &format!(" \n{html}")),
    ] {
        check(
            answer,
            ErrorKind::Protocol,
            "the session endpoint returned an HTML page",
            MAKE_KEY,
        );
    }
}

#[test]
fn a_browser_challenge_is_an_error() {
    let html = "<html><title>Just a moment...</title></html>";
    for answer in [
        page(403, html),
        page(503, html),
        page(200, html),
        Answer::json(403, "{}").header("cf-mitigated", "challenge"),
    ] {
        let what = "the session endpoint returned a browser challenge";
        check(answer, ErrorKind::Challenge, what, MAKE_KEY);
    }
}

#[test]
fn an_error_status_is_an_error() {
    let body = format!(r#"{{"error":"{CANARY}"}}"#);
    for (status, kind, what, remedy) in [
        (
            401,
            ErrorKind::Auth,
            "the cookies were refused (401)",
            SIGN_IN,
        ),
        (
            403,
            ErrorKind::Permission,
            "the cookies were refused (403)",
            SIGN_IN,
        ),
        (
            404,
            ErrorKind::NotFound,
            "the session endpoint returned 404",
            MAKE_KEY,
        ),
        (
            429,
            ErrorKind::RateLimited,
            "the session endpoint returned 429",
            MAKE_KEY,
        ),
        (
            500,
            ErrorKind::Server,
            "the session endpoint returned 500",
            MAKE_KEY,
        ),
    ] {
        let answer = Answer::json(status, &body)
            .header("set-cookie", format!("a={CANARY}"))
            .header("retry-after", "7");
        let service = Service::of_session(answer.clone());
        let error = service.ask(&service.client()).unwrap_err();
        assert_eq!(error.status().unwrap(), status);
        assert_eq!(error.retry_after(), Some(seconds(7)));
        check(answer, kind, what, remedy);
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let what = "the session endpoint returned a redirect, which is not followed";
    for status in [301, 302, 307, 308] {
        for target in [
            "https://evilcerebras.ai/",
            "/api/auth/signin",
            &format!("/?c={CANARY}"),
        ] {
            let answer = Answer::empty(status).header("location", target);
            check(answer, ErrorKind::Redirect, what, SIGN_IN);
        }
    }
    // In the form in which a transport returns it.
    let told = Error::new(ErrorKind::Redirect, format!("it redirects to /?c={CANARY}"));
    check(Answer::error(told), ErrorKind::Redirect, what, SIGN_IN);
}

#[test]
fn invalid_json_is_an_error() {
    for (document, what) in [
        ("", "JSON"),
        (r#"{"user":{"demoApiKey":"c4nary-0f-the-session"#, "JSON"),
        (r"{} {}", "JSON"),
        (&*"[".repeat(100_000), "JSON"),
        ("[]", "a JSON object"),
        ("false", "a JSON object"),
        (r#""c4nary-0f-the-session""#, "a JSON object"),
        (
            r#"{"user":"c4nary-0f-the-session"}"#,
            "an object as its user",
        ),
        (r#"{"user":{"demoApiKey":7}}"#, "a string as its key"),
        (
            r#"{"user":{"demoApiKey":"c4nary-0f-the-session\n x"}}"#,
            "a key that is valid in a header",
        ),
        (
            &*format!(r#"{{"user":{{"demoApiKey":"{}"}}}}"#, "k".repeat(4097)),
            "a key that is valid in a header",
        ),
    ] {
        let what = format!("invalid session: expected {what}");
        check(session(document), ErrorKind::Protocol, &what, MAKE_KEY);
    }
}

#[test]
fn the_error_of_a_refused_key_names_the_session() {
    for (status, kind, reason) in [
        (401, ErrorKind::Auth, "401 Unauthorized"),
        (403, ErrorKind::Permission, "403 Forbidden"),
    ] {
        let service = Service::new([signed_in("demo-1")], move |_| refused(status));
        let error = service.ask(&service.client()).unwrap_err();
        let line = format!(
            "cerebras returned {reason}: Wrong API Key (the key came from the session of the cookies; \
             create your own key at https://cloud.cerebras.ai)"
        );
        check_error(&error, kind, &line);
        assert_eq!(error.code(), Some("wrong_api_key"));
    }
    // If the environment variable is set, its key is used.
    let service = Service::new([signed_in("demo-1")], |_| refused(401));
    let client = service
        .builder(cookies())
        .api_key("csk-own")
        .build()
        .unwrap();
    let error = service.ask(&client).unwrap_err();
    assert!(error.to_string().contains("CEREBRAS_API_KEY"), "{error}");
}

#[test]
fn the_size_of_a_session_is_limited() {
    let long = |length: usize| {
        let rest = "x".repeat(length - r#"{"user":{"demoApiKey":"k"},"a":""}"#.len());
        session(&format!(r#"{{"user":{{"demoApiKey":"k"}},"a":"{rest}"}}"#))
    };
    let service = Service::of_session(long(1 << 20));
    assert_eq!(service.ask(&service.client()).unwrap(), "Hello.");
    let service = Service::of_session(long((1 << 20) + 1));
    let error = service.ask(&service.client()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(
        error.to_string().starts_with("cerebras's session: "),
        "{error}"
    );
    assert_eq!(service.count(CHAT), 0);
}

#[test]
fn a_lost_connection_is_an_error() {
    let told = Error::new(ErrorKind::Disconnected, format!("the peer said {CANARY}"))
        .with_sent(Sent::Yes)
        .with_repeat(Repeat::Never);
    let service = Service::of_session(Answer::error(told));
    let error = service.ask(&service.client()).unwrap_err();
    check_error(
        &error,
        ErrorKind::Disconnected,
        "cerebras's session: the peer said …",
    );

    let cut = Answer::new(200, [Piece::from(r#"{"user":"#), broken()]);
    let service = Service::of_session(cut);
    let error = service.ask(&service.client()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    check_hidden(&error);
}

#[test]
fn cookies_with_similar_names_are_not_shown() {
    let one = |value: &str, path: &str| {
        format!(r#"{{"name":"t","value":"{value}","path":"{path}","domain":"{HOST}"}}"#)
    };
    let (first, second) = ("first-0f-the-session", "sec0nd-0f-the-session");
    let list = format!("[{},{}]", one(first, "/"), one(second, "/api"));
    let cookies = Cookies::from_text(&list).unwrap();
    let said = format!("t={second}; t={first}");
    let told = Error::new(ErrorKind::Disconnected, format!("the peer said {said}"))
        .with_source(Error::config(format!("because of {said}")));
    let service = Service::of_session(Answer::error(told));
    let client = service.builder(cookies).build().unwrap();
    let error = service.ask(&client).unwrap_err();
    assert_eq!(service.cookies(), said);
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(first) && !shown.contains(second), "{shown}");
}

#[test]
fn a_silent_session_times_out() {
    let silent = Answer::new(200, [Piece::Hang]);
    let service = Service::of_session(silent);
    let error = service.ask(&service.client()).unwrap_err();
    assert!(error.is_timeout(), "{error}");
}
