//! Compressed requests to Cerebras.

use std::io::Read;

use flate2::read::GzDecoder;
use http::Request;
use inferstream_cerebras::{Cerebras, CerebrasBuilder};
use inferstream_core::{ChatRequest, RetryPolicy};
use serde_json::Value;

use super::KEY;
use crate::support::{Answer, Wire, block_on};

/// Sends a request, and returns it as it was sent.
fn sent(
    set: impl FnOnce(CerebrasBuilder) -> CerebrasBuilder,
    request: ChatRequest,
) -> Vec<Request<bytes::Bytes>> {
    let wire = Wire::new([Answer::json(503, "{}"), Answer::json(400, "{}")]);
    let builder = Cerebras::builder().api_key(KEY).transport(wire.clone());
    let cerebras = set(builder).build().unwrap();
    block_on(&wire.clock, cerebras.stream(request)).unwrap_err();
    wire.all()
}

fn unzipped(request: &Request<bytes::Bytes>) -> Value {
    let mut text = String::new();
    let mut decoder = GzDecoder::new(&**request.body());
    decoder.read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn nothing_is_compressed_by_default() {
    let request = ChatRequest::from("word ".repeat(100_000));
    for request in sent(|builder| builder, request) {
        assert!(!request.headers().contains_key("content-encoding"));
        serde_json::from_slice::<Value>(request.body()).unwrap();
    }
}

#[test]
fn large_requests_are_compressed() {
    let request = || ChatRequest::from("word ".repeat(1000)).retry(RetryPolicy::default());
    let plain = sent(|builder| builder, request()).remove(0);
    let length = plain.body().len();
    let [first, second] = &*sent(|builder| builder.gzip_from(length), request()) else {
        panic!("again after a 503");
    };
    assert_eq!(first.headers()["content-encoding"], "gzip");
    assert_eq!(first.headers()["content-type"], "application/json");
    assert!(first.body().len() * 10 < length, "{}", first.body().len());
    let expected = serde_json::from_slice::<Value>(plain.body()).unwrap();
    assert_eq!(unzipped(first), expected);
    assert_eq!(first.body(), second.body());

    let below = sent(|builder| builder.gzip_from(length + 1), request()).remove(0);
    assert_eq!(below.body(), plain.body());
    assert!(!below.headers().contains_key("content-encoding"));
}
