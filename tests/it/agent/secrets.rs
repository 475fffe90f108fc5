//! Secrets that the agent repeats and no error shows.

use inferstream_cloudflare::{ChatRequest, ErrorKind};
use serde_json::{Value, json};

use super::{
    PROMPT, ask, plan,
    plan::{Break, Plan},
    run,
};
use crate::support::{Outcome, shown};

fn failing(words: &str) -> Value {
    json!({"body": words, "error": true, "done": true})
}

#[track_caller]
fn check(outcome: &Outcome, secret: &str) {
    let shown = shown(outcome.error());
    assert!(!shown.contains(secret), "{shown}");
    let words = outcome.error().provider_message().unwrap();
    assert!(!words.contains(secret), "{words}");
}

#[test]
fn the_address_is_a_secret() {
    let (outcome, agent) = run(Plan {
        last: vec![failing("failed at @URI")],
        ..Plan::new(&[])
    });
    let uri = agent.seen.lock().unwrap().requests[0].uri().to_string();
    let (address, key) = uri.split_once("?_pk=").unwrap();
    let name = address.split("Playground-").nth(1).unwrap();
    check(&outcome, name);
    check(&outcome, key);
}

#[test]
fn cookies_are_secrets_whenever_they_are_set() {
    let (outcome, _) = run(Plan {
        refusal: Some("bad cookie a-ticket-of-the-test-0"),
        ..plan()
    });
    assert_eq!(outcome.kind(), Some(ErrorKind::InvalidRequest));
    check(&outcome, "a-ticket-of-the-test");
    let (outcome, _) = run(Plan {
        last: vec![failing("bad cookie a-ticket-of-the-test-0")],
        ..Plan::new(&[])
    });
    check(&outcome, "a-ticket-of-the-test");
    let (outcome, _) = run(Plan {
        cuts: vec![Some((800, Break::Lost))],
        again: Some(vec![failing("bad cookie a-ticket-of-the-test-1")]),
        ..plan()
    });
    check(&outcome, "a-ticket-of-the-test");
}

#[test]
fn keys_among_the_settings_are_secrets() {
    let agent = Plan {
        refusal: Some("Incorrect API key provided: sk-the-users-own-key"),
        ..plan()
    }
    .serve();
    let request = ChatRequest::from(PROMPT).extra("providerApiKey", "sk-the-users-own-key");
    check(&ask(&agent, request), "sk-the-users-own-key");
}
