//! The session of Cerebras' page, and its keys.

use inferstream_simulator::{CerebrasSession, Simulator};

use crate::client::{Response, get, send};

/// Requests the session with a cookie.
async fn session(simulator: &Simulator) -> Response {
    let path = "/cerebras-session/api/auth/session";
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: x\r\ncookie: a=b\r\nconnection: close\r\n\r\n");
    send(simulator, &head).await
}

fn key(session: &Response) -> String {
    let user = &session.json()["user"];
    user["demoApiKey"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_session_is_returned_in_order() {
    let states = [
        (CerebrasSession::Null, 200, "null"),
        (CerebrasSession::Empty, 200, "{}"),
        (CerebrasSession::NoDemoKey, 200, "\"user\""),
        (CerebrasSession::Html, 200, "<!DOCTYPE html>"),
        (CerebrasSession::Forbidden, 403, "Forbidden"),
        (CerebrasSession::Challenge, 403, "Just a moment"),
        (CerebrasSession::SignedIn, 200, "demoApiKey"),
    ];
    let builder = Simulator::builder();
    let builder = states.iter().fold(builder, |builder, (state, ..)| {
        builder.cerebras_session(*state)
    });
    let simulator = builder.start().await.unwrap();
    for (state, status, text) in states {
        let response = session(&simulator).await;
        assert_eq!(response.status(), status, "{state:?}");
        assert!(
            response.text().contains(text),
            "{state:?}: {}",
            response.text()
        );
        let has_key = response.text().contains("demoApiKey");
        assert_eq!(has_key, state == CerebrasSession::SignedIn);
    }
    // Later a user is signed in.
    assert!(!key(&session(&simulator).await).is_empty());
    assert_eq!(simulator.counts().sessions, 8);
}

#[tokio::test]
async fn without_a_cookie_the_session_is_signed_out() {
    let simulator = Simulator::builder().start().await.unwrap();
    let response = get(&simulator, "/cerebras-session/api/auth/session", None).await;
    assert_eq!((response.status(), response.text()), (200, "{}"));
    for path in [
        "/cerebras-session",
        "/cerebras-session/api/auth",
        "/api/auth/session",
    ] {
        assert_eq!(get(&simulator, path, None).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn keys_of_the_session_are_accepted_in_addition() {
    let builder = Simulator::builder().api_key("right");
    let builder = builder.cerebras_session(CerebrasSession::ExpiredKey);
    let simulator = builder.start().await.unwrap();
    let expired = key(&session(&simulator).await);
    let valid = session(&simulator).await;
    let cookie = valid.header("set-cookie").unwrap();
    assert!(cookie.starts_with("session-token="), "{cookie}");
    for (key, status) in [
        (&*expired, 401),
        (&*key(&valid), 200),
        ("right", 200),
        ("wrong", 401),
    ] {
        let response = get(&simulator, "/v1/models", Some(key)).await;
        assert_eq!(response.status(), status);
    }
}

#[tokio::test]
async fn an_expired_key_is_refused_although_any_key_is_accepted() {
    let builder = Simulator::builder().cerebras_session(CerebrasSession::ExpiredKey);
    let simulator = builder.start().await.unwrap();
    let expired = key(&session(&simulator).await);
    for (key, status) in [(&*expired, 401), ("any", 200)] {
        let response = get(&simulator, "/v1/models", Some(key)).await;
        assert_eq!(response.status(), status);
    }
}
