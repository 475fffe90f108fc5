//! Requests that the service refuses.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use inferstream_simulator::Simulator;

use crate::client::{chat, get, request, send};

async fn start() -> Simulator {
    Simulator::builder().start().await.unwrap()
}

#[tokio::test]
async fn a_chat_needs_a_key() {
    let simulator = start().await;
    let request = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let response = send(&simulator, request).await;
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.text(),
        r#"{"message":"Wrong API Key","type":"invalid_request_error","param":"api_key","code":"wrong_api_key"}"#
    );
}

#[tokio::test]
async fn only_the_configured_key_is_accepted() {
    let simulator = Simulator::builder().api_key("right").start().await.unwrap();
    for (key, status) in [(Some("right"), 200), (Some("wrong"), 401), (None, 401)] {
        let response = get(&simulator, "/v1/models", key).await;
        assert_eq!(response.status(), status, "{key:?}");
    }
    let public = get(&simulator, "/public/v1/models", None).await;
    assert_eq!(public.status(), 200);
}

#[tokio::test]
async fn models_are_listed_with_and_without_a_key() {
    let simulator = start().await;
    let with = get(&simulator, "/v1/models?format=default", Some("any")).await;
    let without = get(&simulator, "/public/v1/models", None).await;
    assert_eq!(with.body, without.body);
    assert_eq!(with.json()["data"][0]["id"], "gpt-oss-120b");
    let one = get(&simulator, "/public/v1/models/gemma-4-31b", None).await;
    assert_eq!(one.json()["id"], "gemma-4-31b");
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    let simulator = start().await;
    let response = chat(&simulator, &request("llama3.1-70b", "Hi", "")).await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.json()["code"], "model_not_found");
    assert_eq!(response.json()["type"], "not_found_error");

    let public = get(&simulator, "/public/v1/models/x", None).await;
    assert_eq!(public.status(), 404);
    assert_eq!(
        public.text(),
        r#"{"detail":"Model 'x' not found or not publicly available"}"#
    );
    for path in ["/v1/models/x", "/v1/v1/models", "/", "/v1/chat/completions"] {
        let response = get(&simulator, path, Some("any")).await;
        assert_eq!(response.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn an_invalid_request_is_refused() {
    let simulator = start().await;
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 422),
        ("{}", 422),
        (r#"{"model":"tiny"}"#, 422),
        (r#"{"model":"tiny","messages":[]}"#, 400),
        (r#"{"model":"tiny","messages":[{"role":"bard"}]}"#, 422),
        (
            r#"{"model":"tiny","messages":[{"role":"tool","tool_call_id":"a"}]}"#,
            400,
        ),
        (
            r#"{"model":"tiny","messages":[{"role":"assistant","tool_calls":[{"id":"a"}]},{"role":"user"}]}"#,
            400,
        ),
        (&request("tiny", "Hi", r#""store":true"#), 422),
        (&request("tiny", "Hi", r#""n":0"#), 400),
        (&request("tiny", "Hi", r#""temperature":3"#), 400),
        (
            r#"{"model":"tiny","messages":[{"role":"assistant","tool_calls":[{"id":"a"},{"id":"a"}]},{"role":"tool","tool_call_id":"a"},{"role":"tool","tool_call_id":"a"}]}"#,
            400,
        ),
        (&request("tiny", "Hi", r#""tool_choice":"required""#), 400),
        (&request("tiny", "Hi", r#""tool_choice":"none""#), 400),
        (
            &request("tiny", "Hi", r#""stream_options":{"include_usage":true}"#),
            400,
        ),
        (
            &request("tiny", "Hi", r#""stop":["1","2","3","4","5"]"#),
            400,
        ),
        (
            &request("tiny", "Hi", r#""seed":1,"n":null,"user":"u""#),
            200,
        ),
    ] {
        let response = chat(&simulator, body).await;
        assert_eq!(response.status(), status, "{body}");
        if status != 200 {
            assert_eq!(response.json()["type"], "invalid_request_error", "{body}");
        }
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let simulator = start().await;
    let len = (16 << 20) + 1;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n"
    );
    let response = send(&simulator, &head).await;
    assert_eq!(response.status(), 413);
    assert!(simulator.requests().is_empty());
}

/// Sends a chat request with a content encoding, and returns the status.
async fn encoded(encoding: &str, body: &[u8]) -> u16 {
    let simulator = start().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer any\r\nconnection: close\r\n\
         content-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
        body.len(),
    );
    let request = [head.as_bytes(), body].concat();
    send(&simulator, request).await.status()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn only_gzip_encoded_bodies_are_accepted() {
    let body = br#"{"model":"gpt-oss-120b","messages":[{"role":"user","content":"Hi"}]}"#;
    let zipped = gzip(body);
    assert_eq!(encoded("identity", body).await, 200);
    assert_eq!(encoded("gzip", &zipped).await, 200);
    assert_eq!(encoded("gzip", body).await, 400);
    assert_eq!(encoded("gzip", &zipped[..zipped.len() - 1]).await, 400);
    assert_eq!(encoded("br", &zipped).await, 415);
    assert_eq!(encoded("gzip", &gzip(&vec![b' '; 17 << 20])).await, 413);
}
