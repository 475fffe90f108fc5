//! Predictions whose response is no longer wanted are canceled once, and only while they run.

use std::time::Duration;

use inferstream_replicate::{ChatEvent, ErrorKind, Timeouts};
use inferstream_simulator::{Answer, Fault, Simulator};

use crate::Service;

#[tokio::test]
async fn canceling_keeps_the_partial_response() {
    let answer = Answer::tokens(["one ", "two ", "three"]);
    let simulator = Simulator::builder().tokens_per_second(20.0).answer(answer);
    let service = Service::start(simulator).await;
    let mut stream = service.replicate.stream("Hi").await.unwrap();
    stream.next().await.unwrap().unwrap();
    let response = stream.cancel().await.unwrap();
    assert_eq!(response.text(), "one ");
    assert_eq!(service.counts(), [1, 1, 0, 1]);
    let id = response.id.unwrap();
    let error = service.replicate.resume(id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Canceled);
}

#[tokio::test]
async fn a_stream_dropped_at_any_event_is_canceled_once() {
    let tokens = ["a", "b", "c", "d", "e", "f"];
    let answers = (0..=tokens.len()).fold(Simulator::builder(), |simulator, _| {
        simulator.answer(Answer::tokens(tokens))
    });
    let service = Service::start(answers.tokens_per_second(50.0)).await;
    for (events, _) in tokens.iter().enumerate() {
        let mut stream = service.replicate.stream("Hi").await.unwrap();
        for _ in 0..events {
            stream.next().await.unwrap().unwrap();
        }
        drop(stream);
        service.canceled(events + 1).await;
    }
    let mut stream = service.replicate.stream("Hi").await.unwrap();
    while let Some(event) = stream.next().await {
        let is_finish = matches!(event.unwrap(), ChatEvent::Finish { .. });
        if is_finish {
            break;
        }
    }
    drop(stream);
    // A cancel that should not be sent would have been counted when this request is answered.
    service.replicate.models().await.unwrap();
    assert_eq!(service.counts()[3], tokens.len());
}

#[tokio::test]
async fn cancel_on_drop_can_be_turned_off() {
    let simulator = Simulator::builder().tokens_per_second(20.0);
    let service = Service::with(simulator, |client| client.cancel_on_drop(false)).await;
    drop(service.replicate.stream("Hi").await.unwrap());
    service.replicate.models().await.unwrap();
    assert_eq!(service.counts(), [1, 1, 0, 0]);
}

#[tokio::test]
async fn a_thousand_streams_dropped_at_once_are_canceled_over_few_connections() {
    const STREAMS: usize = 1000;
    // Without a separate stream, each prediction uses one connection, which the next one reuses.
    let simulator = Simulator::builder().every_fault(Fault::NoUrl);
    let service = Service::start(simulator.tokens_per_second(1.0)).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(service.replicate.stream("Hi").await.unwrap());
    }
    drop(streams);
    service.canceled(STREAMS).await;
    let at_once = service.simulator.counts().connections_at_once;
    // 16 cancels run at a time. On a busy machine the server notices the end of a connection late.
    assert!((2..=100).contains(&at_once), "{at_once}");
}

#[tokio::test]
async fn a_local_failure_cancels_the_prediction() {
    let simulator = Simulator::builder().fault(Fault::ColdBoot);
    let limits = Timeouts::default().first_event(Duration::from_millis(50));
    let service = Service::with(simulator, |client| client.timeouts(limits)).await;
    let error = service.replicate.chat("Hi").await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(error.partial().unwrap().id.is_some());
    service.canceled(1).await;
}

#[tokio::test]
async fn a_prediction_can_be_canceled_by_its_id() {
    let simulator = Simulator::builder().fault(Fault::ColdBoot);
    let service = Service::with(simulator, |client| client.cancel_on_drop(false)).await;
    let stream = service.replicate.stream("Hi").await.unwrap();
    let id = stream.partial().id.clone().unwrap();
    service.replicate.cancel(&*id).await.unwrap();
    let error = stream.finish().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Canceled);
    // Canceling succeeds if the prediction has ended or does not exist.
    service.replicate.cancel(&*id).await.unwrap();
    service.replicate.cancel("unknown").await.unwrap();
    let error = service.replicate.cancel("../models").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn the_service_enforces_the_deadline() {
    let simulator = Simulator::builder().fault(Fault::ColdBoot);
    let deadline = Duration::from_secs(1);
    let service = Service::with(simulator, |client| client.cancel_after(deadline)).await;
    let error = service.replicate.chat("Hi").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Canceled, "{error}");
    assert_eq!(service.counts()[3], 0);
}
