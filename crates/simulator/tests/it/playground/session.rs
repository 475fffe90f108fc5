//! The page, its cookies, and refused requests.

use inferstream_simulator::{Fault, Simulator};

use super::{MODEL, body, call, infer};
use crate::client::Response;

async fn start() -> Simulator {
    let builder = Simulator::builder().challenge(true);
    builder.start().await.unwrap()
}

/// Returns the cookies of a client that ran the script of a challenge page.
#[track_caller]
fn cookies(page: &Response) -> String {
    let text = page.text();
    let (_, script) = text.split_once("document.cookie = \"").unwrap();
    let (clearance, _) = script.split_once("; path=/\"").unwrap();
    assert!(clearance.starts_with("cf_clearance=sim-"), "{clearance}");
    format!("{clearance}; {}", ticket(page))
}

/// Returns the cookie that the response sets.
#[track_caller]
fn ticket(response: &Response) -> String {
    let cookie = response.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; HttpOnly"), "{cookie}");
    let (pair, _) = cookie.split_once(';').unwrap();
    assert!(pair.starts_with("__cf_bm=sim-"), "{pair}");
    pair.to_owned()
}

async fn page(simulator: &Simulator, cookies: &str) -> Response {
    call(simulator, "GET", "/", cookies, "").await
}

async fn infer_with(simulator: &Simulator, cookies: &str) -> Response {
    let body = body(MODEL, "Hi");
    call(simulator, "POST", "/api/inference", cookies, &body).await
}

#[track_caller]
fn check_challenge(response: &Response) {
    assert_eq!(response.status(), 403);
    assert_eq!(response.header("cf-mitigated"), Some("challenge"));
    let html = Some("text/html; charset=UTF-8");
    assert_eq!(response.header("content-type"), html);
    assert!(response.text().contains("<title>Just a moment...</title>"));
    assert!(response.text().contains("<body class=\"no-js\">"));
}

#[tokio::test]
async fn the_page_requires_both_cookies() {
    let simulator = start().await;
    let challenge = page(&simulator, "").await;
    check_challenge(&challenge);
    let cookies = cookies(&challenge);
    let (clearance, ticket) = cookies.split_once("; ").unwrap();
    for half in [clearance, ticket, "cf_clearance=x; __cf_bm=y"] {
        check_challenge(&page(&simulator, half).await);
    }
    let app = page(&simulator, &format!("a=b; {cookies}")).await;
    assert_eq!(app.status(), 200);
    assert!(app.text().contains("<body>"));
    assert!(!app.text().contains("no-js"));
    assert_eq!(simulator.counts().pages, 5);
}

#[tokio::test]
async fn two_challenges_have_two_clearances() {
    let simulator = start().await;
    let first = cookies(&page(&simulator, "").await);
    let second = cookies(&page(&simulator, "").await);
    assert_ne!(first, second);
    for cookies in [first, second] {
        assert_eq!(page(&simulator, &cookies).await.status(), 200);
    }
}

#[tokio::test]
async fn an_inference_requires_the_cookies_if_configured() {
    let simulator = start().await;
    check_challenge(&infer(&simulator).await);
    let models = call(&simulator, "GET", "/api/models", "", "").await;
    check_challenge(&models);
    let cookies = cookies(&page(&simulator, "").await);
    let answer = infer_with(&simulator, &cookies).await;
    assert_eq!(answer.status(), 200);
    // A newer cookie is accepted, and so is the one before it.
    let (clearance, _) = cookies.split_once("; ").unwrap();
    let refreshed = format!("{clearance}; {}", ticket(&answer));
    assert_ne!(refreshed, cookies);
    for cookies in [&refreshed, &cookies] {
        assert_eq!(infer_with(&simulator, cookies).await.status(), 200);
    }
    let models = call(&simulator, "GET", "/api/models", &cookies, "").await;
    assert_eq!(models.status(), 200);
    assert_eq!(simulator.counts().inferences, 4);
}

#[tokio::test]
async fn cookies_are_checked_only_if_configured() {
    let simulator = Simulator::builder().start().await.unwrap();
    assert_eq!(infer(&simulator).await.status(), 200);
    check_challenge(&page(&simulator, "").await);
}

#[tokio::test]
async fn a_session_may_expire() {
    let simulator = Simulator::builder()
        .challenge(true)
        .fault(Fault::Expire)
        .start()
        .await
        .unwrap();
    let old = cookies(&page(&simulator, "").await);
    let other = cookies(&page(&simulator, "").await);
    assert_eq!(infer_with(&simulator, &old).await.status(), 401);
    check_challenge(&infer_with(&simulator, &old).await);
    assert_eq!(infer_with(&simulator, &other).await.status(), 200);
    let new = cookies(&page(&simulator, &old).await);
    assert_eq!(infer_with(&simulator, &new).await.status(), 200);
}

#[tokio::test]
async fn a_challenge_may_be_sent_despite_cookies() {
    let simulator = Simulator::builder()
        .challenge(true)
        .fault(Fault::Challenge)
        .start()
        .await
        .unwrap();
    let cookies = cookies(&page(&simulator, "").await);
    check_challenge(&infer_with(&simulator, &cookies).await);
    assert_eq!(infer_with(&simulator, &cookies).await.status(), 200);
}

#[tokio::test]
async fn the_models_are_listed() {
    let simulator = Simulator::builder().start().await.unwrap();
    let models = call(&simulator, "GET", "/api/models", "", "").await.json();
    assert_eq!(models["models"].as_array().unwrap().len(), 9);
    assert_eq!(models["models"][0]["name"], MODEL);
}

#[tokio::test]
async fn an_invalid_request_is_refused_without_a_message() {
    let simulator = Simulator::builder().start().await.unwrap();
    for body in [
        "",
        "{}",
        &body("@cf/x/y", "Hi"),
        &format!(r#"{{"model":"{MODEL}"}}"#),
        &format!(r#"{{"model":"{MODEL}","messages":[]}}"#),
    ] {
        let response = call(&simulator, "POST", "/api/inference", "", body).await;
        assert_eq!(response.status(), 400, "{body}");
        assert_eq!(response.text(), "");
    }
    for (method, path) in [("GET", "/api/inference"), ("POST", "/"), ("GET", "/x")] {
        let response = call(&simulator, method, path, "", "").await;
        assert_eq!((response.status(), response.text()), (404, "Not found"));
    }
    let elsewhere = crate::client::get(&simulator, "/playgrounds", None).await;
    assert_eq!(elsewhere.json()["type"], "not_found_error");
}
