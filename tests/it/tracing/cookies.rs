//! Calls that get their key with cookies: one span each.

use inferstream_cerebras::Cookies;
use tracing::info_span;

use super::*;
use crate::support::block_on;

const SECRETS: [&str; 2] = [COOKIE, "demo-k3y-of-the-session"];

/// Sends a request with cookies, and returns what was recorded.
fn ask(sessions: Vec<Answer>, chat: Answer) -> Seen {
    let wire = Wire::by(move |request, before| {
        if request.uri().path() != "/api/auth/session" {
            let is_old = request.headers()["authorization"] == "Bearer old";
            return if is_old {
                Answer::json(401, "{}")
            } else {
                chat.clone()
            };
        }
        let same = before.iter().filter(|one| one.uri() == request.uri());
        sessions[same.count().min(sessions.len() - 1)].clone()
    });
    let cookies = Cookies::from_header(&format!("token={COOKIE}")).unwrap();
    let builder = Cerebras::builder().cookies(cookies);
    let client = builder.transport(wire.clone()).retry(RetryPolicy::never());
    let client = client.build().unwrap();
    let recorder = Recorder::new(everything);
    recorder.watch(|| {
        let call = info_span!("mine").in_scope(|| client.stream(PROMPT));
        let stream = info_span!("other").in_scope(|| block_on(&wire.clock, call));
        if let Ok(stream) = stream {
            drop(block_on(&wire.clock, stream.finish()));
        }
    });
    let seen = recorder.seen();
    let call = seen.call();
    assert!(call.closed);
    assert_eq!(seen.spans[call.parent.unwrap()].name, "mine");
    assert_eq!(call.fields["server.address"], "api.cerebras.ai");
    for secret in SECRETS {
        assert!(!seen.shown().contains(secret), "{}", seen.shown());
    }
    seen
}

fn signed_in(key: &str) -> Answer {
    let document = json!({"user": {"demoApiKey": key}});
    Answer::json(200, &document.to_string())
}

fn whole() -> Answer {
    Answer::sse([Piece::from(chunks().as_str())])
}

#[test]
fn a_call_is_one_span() {
    let seen = ask(vec![signed_in(SECRETS[1])], whole());
    assert!(!seen.call().fields.contains_key("error.type"));
}

#[test]
fn a_call_whose_key_is_refused_is_one_span() {
    let seen = ask(vec![signed_in("old"), signed_in(SECRETS[1])], whole());
    assert!(!seen.call().fields.contains_key("error.type"));
}

#[test]
fn a_call_that_gets_no_key_is_a_span() {
    for (session, kind) in [
        (Answer::json(200, "{}"), "auth"),
        (Answer::json(500, COOKIE), "server"),
        (Answer::error(refused()), "connect"),
    ] {
        let seen = ask(vec![session], whole());
        assert_eq!(seen.call().fields["error.type"], kind);
    }
}
