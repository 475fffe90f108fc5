//! The retry budget: one for each host, and none for the rest of a response that has begun.

use std::time::Duration;

use inferstream_core::RetryPolicy;

use super::{
    Service, What, broken, builder, document, healthy, output, piece, prediction, run_with,
    scene_of, starting, succeeded, trouble,
};
use crate::support::Answer;

fn policy(tokens: u32) -> RetryPolicy {
    let policy = RetryPolicy::default().base_delay(Duration::ZERO);
    policy.budget(Some(tokens))
}

fn counts(service: &Service) -> (usize, usize) {
    (service.count(What::Create), service.count(What::Stream))
}

#[test]
fn the_streams_host_has_its_own_budget() {
    let limited = Answer::json(429, "{}");
    let service = healthy(&["a"])
        .create([starting(), limited, starting()])
        .stream([trouble()])
        .serve();
    let client = builder(&service).retry(policy(5)).build().unwrap();
    let outcome = run_with(&service, &client, "hi");
    assert_eq!(outcome.text(), "a");
    assert_eq!(counts(&service), (1, 2), "one retry of the stream");
    let outcome = run_with(&service, &client, "hi");
    assert_eq!(outcome.text(), "a");
    assert_eq!(counts(&service), (3, 3), "one retry of the create request");
    let warning =
        "not sent again: the client's retry budget is exhausted; the prediction is polled";
    let warnings = &outcome.response().meta.warnings;
    assert!(
        warnings.iter().any(|line| line.contains(warning)),
        "{warnings:?}"
    );
}

#[test]
fn an_exhausted_budget_does_not_end_a_response_that_has_begun() {
    let cut = [piece(output(0, "a").as_bytes()), broken()];
    let running = document(&prediction("processing", &serde_json::json!(["a"])));
    let service = scene_of(cut.clone())
        .stream([Answer::sse(cut), trouble()])
        .prediction([
            trouble(),
            trouble(),
            running,
            trouble(),
            trouble(),
            document(&succeeded(&["a", "b"])),
        ])
        .serve();
    let client = builder(&service).retry(policy(0)).build().unwrap();
    let outcome = run_with(&service, &client, "hi");
    assert_eq!(outcome.text(), "ab");
    assert_eq!(outcome.kind(), None);
    assert_eq!(
        counts(&service),
        (1, 4),
        "the stream is resumed three times"
    );
    assert_eq!(service.count(What::Prediction), 6);
}
