//! Requests of the session for a key.

use std::{task::Poll, time::Duration};

use inferstream_cerebras::{Cerebras, Cookies};
use inferstream_core::{BoxFuture, ErrorKind, Result, RetryPolicy};

use super::{
    Answer, CHAT, SESSION, Service, all, check_error, cookies, refused, session, signed_in, text,
    whole,
};
use crate::support::{block_on, poll_once, seconds};

/// A chat service that accepts only one key.
fn only(key: &'static str, status: u16) -> impl Fn(&str) -> Answer {
    move |sent| {
        if sent == format!("Bearer {key}") {
            whole()
        } else {
            refused(status)
        }
    }
}

/// Sends fifty requests at once.
fn fifty(service: &Service, client: &Cerebras) -> Vec<Result<String>> {
    let one = |_| -> BoxFuture<'_, Result<String>> { Box::pin(text(client)) };
    block_on(&service.0.clock, all((0..50).map(one).collect()))
}

#[test]
fn cookies_are_exchanged_for_a_key_once() {
    let service = Service::of_session(signed_in("demo-1"));
    let client = service.client();
    for _ in 0..3 {
        assert_eq!(service.ask(&client).unwrap(), "Hello.");
    }
    assert_eq!((service.count(SESSION), service.count(CHAT)), (1, 3));
    let first = &service.all()[0];
    assert_eq!(first.method(), "GET");
    assert_eq!(
        service.cookies(),
        "session-token=c4nary-0f-the-session; theme=dark"
    );
    for request in &service.all()[1..] {
        assert_eq!(request.headers()["authorization"], "Bearer demo-1");
    }
}

#[test]
fn fifty_concurrent_calls_request_the_session_once() {
    let service = Service::of_session(signed_in("demo-1").after(seconds(1)));
    let client = service.client();
    let answers = fifty(&service, &client);
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap() == "Hello.")
    );
    assert_eq!((service.count(SESSION), service.count(CHAT)), (1, 50));
}

#[test]
fn fifty_concurrent_calls_share_one_error() {
    let service = Service::of_session(session("null").after(seconds(1)));
    let client = service.client();
    for answer in fifty(&service, &client) {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Auth);
    }
    assert_eq!((service.count(SESSION), service.count(CHAT)), (1, 0));
}

#[test]
fn another_call_refreshes_if_the_first_is_dropped() {
    let service = Service::new([Answer::hang(), signed_in("demo-1")], |_| whole());
    let client = service.client();
    let mut leader = Box::pin(text(&client));
    let mut other = Box::pin(text(&client));
    assert!(poll_once(leader.as_mut()).0.is_pending());
    assert!(poll_once(other.as_mut()).0.is_pending());
    assert_eq!(service.count(SESSION), 1);
    drop(leader);
    assert_eq!(block_on(&service.0.clock, other).unwrap(), "Hello.");
    assert_eq!(service.count(SESSION), 2);
}

#[test]
fn a_refused_key_is_requested_again() {
    for status in [401, 403] {
        let sessions = [signed_in("demo-1"), signed_in("demo-2")];
        let service = Service::new(sessions, only("demo-2", status));
        let client = service.client();
        assert_eq!(service.ask(&client).unwrap(), "Hello.");
        assert_eq!((service.count(SESSION), service.count(CHAT)), (2, 2));
        assert_eq!(service.ask(&client).unwrap(), "Hello.");
        assert_eq!((service.count(SESSION), service.count(CHAT)), (2, 3));
    }
}

#[test]
fn chat_and_models_renew_the_key_too() {
    let sessions = [
        signed_in("demo-1"),
        signed_in("demo-2"),
        signed_in("demo-3"),
    ];
    let service = Service::new(sessions, |key| match key {
        "Bearer demo-2" => {
            let message = r#"{"role":"assistant","content":"Hi."}"#;
            let choice = format!(r#"{{"index":0,"finish_reason":"stop","message":{message}}}"#);
            Answer::json(200, &format!(r#"{{"choices":[{choice}]}}"#))
        }
        "Bearer demo-3" => Answer::json(200, r#"{"data":[{"id":"m"}]}"#),
        _ => refused(401),
    });
    let client = service.client();
    let whole = block_on(&service.0.clock, client.chat("Hi")).unwrap();
    assert_eq!(whole.text(), "Hi.");
    assert_eq!(service.count(SESSION), 2);
    let client = service.client();
    let models = block_on(&service.0.clock, client.models()).unwrap();
    assert_eq!(models[0].id, "m");
}

#[test]
fn a_new_key_that_is_refused_too_is_the_error() {
    let sessions = [
        signed_in("demo-1"),
        signed_in("demo-2"),
        signed_in("demo-3"),
    ];
    let service = Service::new(sessions, only("demo-3", 401));
    let client = service.client();
    assert_eq!(service.ask(&client).unwrap_err().kind(), ErrorKind::Auth);
    assert_eq!((service.count(SESSION), service.count(CHAT)), (2, 2));
    // The key was discarded, so the next request gets one from the session.
    assert_eq!(service.ask(&client).unwrap(), "Hello.");
    assert_eq!((service.count(SESSION), service.count(CHAT)), (3, 3));
}

#[test]
fn the_same_key_again_is_not_tried_again() {
    let service = Service::new([signed_in("demo-1")], |_| refused(403));
    let error = service.ask(&service.client()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
    assert_eq!((service.count(SESSION), service.count(CHAT)), (2, 1));
}

#[test]
fn fifty_refused_calls_request_the_session_once() {
    let sessions = [signed_in("demo-1"), signed_in("demo-2").after(seconds(1))];
    let service = Service::new(sessions, |key| match key {
        "Bearer demo-2" => whole(),
        _ => refused(401).after(seconds(1)),
    });
    let client = service.client();
    let answers = fifty(&service, &client);
    assert!(
        answers
            .into_iter()
            .all(|answer| answer.unwrap() == "Hello.")
    );
    assert_eq!((service.count(SESSION), service.count(CHAT)), (2, 100));
}

#[test]
fn a_call_after_a_refusal_has_the_remedy() {
    let service = Service::new([signed_in("demo-1"), session("{}")], |_| refused(401));
    let error = service.ask(&service.client()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("sign in at https://inference.cerebras.ai")
    );
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.to_string().contains("401"), "{source}");
}

#[test]
fn other_errors_keep_the_key() {
    for status in [400, 404, 429, 500] {
        let service = Service::new([signed_in("demo-1")], move |_| refused(status));
        let client = service.client();
        for _ in 0..2 {
            service.ask(&client).unwrap_err();
        }
        assert_eq!(
            (service.count(SESSION), service.count(CHAT)),
            (1, 2),
            "{status}"
        );
    }
}

#[test]
fn a_refusal_inside_a_response_does_not_renew_the_key() {
    let inside = r#"data: {"error":{"message":"no","code":"wrong_api_key"},"status_code":401}"#;
    let service = Service::new([signed_in("demo-1")], move |_| {
        Answer::sse([crate::support::piece(format!("{inside}\n\n").as_bytes())])
    });
    service.ask(&service.client()).unwrap_err();
    assert_eq!((service.count(SESSION), service.count(CHAT)), (1, 1));
}

#[test]
fn an_api_key_takes_precedence() {
    let service = Service::of_session(signed_in("demo-1"));
    let other = Cookies::from_header("a=b").unwrap();
    let client = service
        .builder(other)
        .api_key("csk-own")
        .session_url("ftp://never")
        .build();
    assert_eq!(service.ask(&client.unwrap()).unwrap(), "Hello.");
    assert_eq!((service.count(SESSION), service.count(CHAT)), (0, 1));
    assert_eq!(
        service.all()[0].headers()["authorization"],
        "Bearer csk-own"
    );
}

#[test]
fn a_key_is_kept_no_longer_than_its_session() {
    let ends = |key: &str, at: &str| {
        session(&format!(
            r#"{{"user":{{"demoApiKey":"{key}"}},"expires":"{at}"}}"#
        ))
    };
    for at in [
        "1970-01-01T00:01:00Z",
        "1970-01-01T01:01:00.5+01:00",
        "Thu, 01 Jan 1970 00:01:00 GMT",
    ] {
        let service = Service::new([ends("demo-1", at), signed_in("demo-2")], |_| whole());
        let client = service.client();
        for (passed, sessions) in [(0, 1), (59, 1), (1, 2), (1000, 2)] {
            service.0.clock.advance(seconds(passed));
            service.ask(&client).unwrap();
            assert_eq!(service.count(SESSION), sessions, "{at} {passed}");
        }
    }
    // An invalid time is ignored.
    for at in [
        "",
        "soon",
        "1970-13-01T00:00:00Z",
        "1970-01-01",
        "9999999999999-01-01T00:00:00Z",
    ] {
        let service = Service::of_session(ends("demo-1", at));
        assert_eq!(service.ask(&service.client()).unwrap(), "Hello.", "{at}");
    }
}

#[test]
fn a_refusal_of_the_cookies_is_shared_during_the_back_off() {
    let service = Service::new([session("{}"), signed_in("demo-1")], |_| whole());
    let client = service.client();
    for _ in 0..3 {
        service.ask(&client).unwrap_err();
        service.0.clock.advance(Duration::from_secs(9));
    }
    assert_eq!(service.count(SESSION), 1);
    service.0.clock.advance(seconds(9));
    assert_eq!(service.ask(&client).unwrap(), "Hello.");
}

#[test]
fn transient_failures_are_retried_immediately() {
    let service = Service::new([Answer::json(503, "{}"), signed_in("demo-1")], |_| whole());
    let client = service.client();
    assert_eq!(
        service.ask(&client).unwrap_err().kind(),
        ErrorKind::Overloaded
    );
    assert_eq!(service.ask(&client).unwrap(), "Hello.");

    // And as the retry policy says.
    let service = Service::new([Answer::json(503, "{}"), signed_in("demo-1")], |_| whole());
    let client = service
        .builder(cookies())
        .retry(RetryPolicy::default())
        .build();
    assert_eq!(service.ask(&client.unwrap()).unwrap(), "Hello.");
    assert_eq!(service.count(SESSION), 2);
}

#[test]
fn cookies_set_by_the_session_are_sent_next_time() {
    let set = "session-token=next; Path=/; HttpOnly; Secure";
    let first = signed_in("demo-1").header("set-cookie", set);
    let service = Service::new([first, signed_in("demo-2")], only("demo-2", 401));
    service.ask(&service.client()).unwrap();
    let cookies = service.cookies();
    let mut pairs: Vec<&str> = cookies.split("; ").collect();
    pairs.sort_unstable();
    assert_eq!(pairs, ["session-token=next", "theme=dark"]);

    // Cookies for other hosts are ignored, and deleted cookies are gone.
    for (set, expected) in [
        (
            "session-token=x; Domain=example.com",
            "session-token=c4nary-0f-the-session; theme=dark",
        ),
        ("session-token=; Max-Age=0", "theme=dark"),
    ] {
        let first = signed_in("demo-1").header("set-cookie", set);
        let service = Service::new([first, signed_in("demo-2")], only("demo-2", 401));
        service.ask(&service.client()).unwrap();
        assert_eq!(service.cookies(), expected);
    }
}

#[test]
fn clones_share_the_key() {
    let service = Service::of_session(signed_in("demo-1"));
    let client = service.client();
    for client in [client.clone(), client] {
        service.ask(&client).unwrap();
    }
    assert_eq!(service.count(SESSION), 1);
}

#[test]
fn no_key_is_requested_before_the_first_request() {
    let service = Service::of_session(signed_in("demo-1"));
    let client = service.client();
    assert!(!client.known_models().is_empty());
    let future = client.stream("Hi");
    drop(future);
    assert_eq!(service.all().len(), 0);
}

#[test]
fn without_cookies_a_missing_key_is_an_error() {
    let service = Service::of_session(signed_in("demo-1"));
    let client = Cerebras::builder()
        .transport(service.0.clone())
        .build()
        .unwrap();
    let (outcome, _) = poll_once(text(&client));
    let Poll::Ready(Err(error)) = outcome else {
        panic!("it waits");
    };
    check_error(
        &error,
        ErrorKind::Auth,
        "missing key for cerebras: set CEREBRAS_API_KEY; create a key at https://cloud.cerebras.ai",
    );
}
