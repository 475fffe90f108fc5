//! The states in which a prediction can end.

use inferstream_replicate::{ChatRequest, End, ErrorKind, FinishReason, Repeat, Sent};
use inferstream_simulator::{Answer, Fault, Simulator};

use crate::Service;

#[tokio::test]
async fn a_response_is_complete_over_tls() {
    let answer = Answer::tokens(["\n", " Sure", "", ":\n\n", "• é", "\n"]).logs("seed 1\n");
    let service = Service::start(Simulator::builder().tls(true).answer(answer)).await;
    let request = ChatRequest::from("Hi").max_tokens(100);
    let mut stream = service.replicate.stream(request).await.unwrap();
    let mut text = String::new();
    while let Some(piece) = stream.text().next().await {
        text.push_str(&piece.unwrap());
    }
    assert_eq!(text, "\n Sure:\n\n• é\n");
    let meta = stream.meta().clone();
    assert_eq!(meta.logs, "seed 1\n");
    assert!(
        meta.web_url
            .unwrap()
            .starts_with("https://replicate.com/p/")
    );
    assert_eq!(meta.status, 201);
    assert_eq!(
        stream
            .meta()
            .rate_limits()
            .get("requests")
            .unwrap()
            .remaining,
        Some(599)
    );
    let response = stream.finish().await.unwrap();
    assert_eq!(response.text(), text);
    assert_eq!(response.end, Some(End::Marker));
    assert_eq!(response.finish_reason(), Some(&FinishReason::Stop));
    assert!(response.usage.unwrap().output_tokens.is_some());
    assert!(response.timing.unwrap().total_time.is_some());
    assert_eq!(service.counts(), [1, 1, 1, 0]);
}

#[tokio::test]
async fn without_metrics_the_prediction_is_not_read() {
    let service = Service::with(Simulator::builder(), |client| client.metrics(false)).await;
    let response = service.replicate.chat("Hi").await.unwrap();
    assert!(response.usage.is_none() && !response.text().is_empty());
    assert_eq!(service.counts(), [1, 1, 0, 0]);
}

/// Checks the effects of a fault: the kind of error, and the counts of requests.
async fn check(fault: &str, kind: ErrorKind, says: &str, counts: [usize; 4]) {
    let fault: Fault = fault.parse().unwrap();
    let service = Service::start(Simulator::builder().every_fault(fault.clone())).await;
    let error = service.replicate.chat("Hi").await.unwrap_err();
    assert_eq!(error.kind(), kind, "{fault}: {error}");
    assert!(error.to_string().contains(says), "{fault}: {error}");
    // A prediction that has not ended is canceled in the background.
    service.canceled(counts[3]).await;
    assert_eq!(service.counts(), counts, "{fault}");
}

#[tokio::test]
async fn a_prediction_that_fails_is_an_error() {
    let provider = ErrorKind::Provider;
    check("failed", provider, "Model setup failed", [1, 0, 0, 0]).await;
    check("canceled", ErrorKind::Canceled, "canceled", [1, 0, 0, 0]).await;
    check("aborted", ErrorKind::Canceled, "aborted", [1, 0, 0, 0]).await;
    check("error", provider, "please retry", [1, 1, 0, 0]).await;
    check("donefail", provider, "CUDA out of memory", [1, 1, 1, 0]).await;
}

#[tokio::test]
async fn a_prediction_is_created_once() {
    let server = ErrorKind::Server;
    check("500", server, "500", [1, 0, 0, 0]).await;
    check("502", server, "502", [1, 0, 0, 0]).await;
    check("504", server, "504", [1, 0, 0, 0]).await;
    check("503", ErrorKind::Overloaded, "503", [1, 0, 0, 0]).await;
    check(
        "badjson",
        ErrorKind::Protocol,
        "expected a prediction with an id",
        [1, 0, 0, 0],
    )
    .await;
    check(
        "noid",
        ErrorKind::Protocol,
        "expected a prediction with an id",
        [1, 0, 0, 0],
    )
    .await;
}

#[tokio::test]
async fn a_lost_response_is_an_ambiguous_error() {
    for fault in [Fault::Lost, Fault::CloseBeforeHead] {
        let service = Service::start(Simulator::builder().fault(fault)).await;
        let error = service.replicate.stream("Hi").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        assert_ne!(error.sent(), Some(Sent::No));
        assert_eq!(error.repeat(), Repeat::Ambiguous);
        assert!(
            error
                .to_string()
                .contains("may have created the prediction")
        );
        assert_eq!(service.counts(), [1, 0, 0, 0]);
    }
}

#[tokio::test]
async fn a_rate_limited_request_is_retried() {
    let faults = Simulator::builder()
        .fault("429:0".parse().unwrap())
        .fault("503:0".parse().unwrap());
    let service = Service::start(faults).await;
    service.replicate.chat("Hi").await.unwrap();
    assert_eq!(service.counts(), [3, 1, 1, 0]);
}

#[tokio::test]
async fn the_key_is_sent_to_no_other_host() {
    check(
        "evilhost",
        ErrorKind::UntrustedHost,
        "evil.example",
        [1, 0, 0, 1],
    )
    .await;
}

#[tokio::test]
async fn a_foreign_cancel_url_is_replaced() {
    let service = Service::start(Simulator::builder().fault(Fault::EvilCancel)).await;
    let stream = service.replicate.stream("Hi").await.unwrap();
    assert!(stream.meta().warnings[0].contains("evil.example"));
    stream.cancel().await.unwrap();
    assert_eq!(service.counts()[3], 1);
}

#[tokio::test]
async fn a_prediction_whose_stream_fails_is_polled() {
    for fault in ["stream:404", "stream:500", "stream:502", "stream:503"] {
        let service = Service::start(Simulator::builder().fault(fault.parse().unwrap())).await;
        let response = service.replicate.chat("Hi").await.unwrap();
        assert!(response.text().ends_with('.'), "{fault}");
        assert!(response.meta.warnings[0].contains("is polled"), "{fault}");
        assert_eq!(
            (service.counts()[0], service.counts()[3]),
            (1, 0),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn a_refused_stream_is_an_error() {
    check(
        "stream:401",
        ErrorKind::Auth,
        "the prediction's stream",
        [1, 1, 0, 1],
    )
    .await;
    check("stream:410", ErrorKind::NotFound, "410", [1, 1, 0, 1]).await;
}

#[tokio::test]
async fn without_a_stream_the_prediction_is_polled() {
    let service = Service::start(Simulator::builder().fault(Fault::NoUrl)).await;
    let response = service.replicate.chat("Hi").await.unwrap();
    assert_eq!(response.end, Some(End::FinishReason));
    assert!(response.usage.is_some() && response.text().ends_with('.'));
    assert_eq!(service.counts(), [1, 0, 1, 0]);
}

#[tokio::test]
async fn models_are_listed() {
    let service = Service::start(Simulator::builder()).await;
    let replicate = &service.replicate;
    let models = replicate.models().await.unwrap();
    assert!(models.iter().any(|model| model.id == "openai/gpt-5"));
    assert_eq!(replicate.known_models(), models);
    let found = replicate.search("claude").await.unwrap();
    assert_eq!(found[0].id, "anthropic/claude-4-sonnet");
    let schema = replicate.schema("openai/gpt-5").await.unwrap();
    assert!(schema.as_str().contains("x-cog-array-display"));
    let versions = replicate.versions("openai/gpt-5").await.unwrap();
    let version = format!("openai/gpt-5:{}", versions[0].id);
    assert_eq!(replicate.schema(version).await.unwrap(), schema);
    let error = replicate.versions("acme/none").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn versions_and_deployments_are_supported() {
    let service = Service::start(Simulator::builder()).await;
    let hash = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa";
    for model in [
        &format!("acme/model:{hash}"),
        hash,
        "deployments/acme/mine",
        "openai/gpt-5",
    ] {
        let request = ChatRequest::new(model).user("Hi");
        service.replicate.chat(request).await.unwrap();
    }
    assert_eq!(service.counts()[0], 4);
}
