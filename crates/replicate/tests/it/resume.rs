//! Streams that are interrupted and resumed.

use bytes::Bytes;
use inferstream_replicate::{ErrorKind, FinishReason, HttpTransport, Transport};
use inferstream_simulator::{Answer, Fault, Piece, Resume, Simulator};
use tokio::task::JoinSet;

use crate::Service;

/// Fifty tokens with everything that is difficult for an event stream.
fn tokens() -> Vec<String> {
    let kinds = [
        "word",
        " and",
        "\n",
        "\n\n there",
        "",
        "é👋🏽",
        "a\nb",
        ": x",
        "  ",
    ];
    let token = |index: usize| match kinds[index % kinds.len()] {
        word @ ("word" | " and") => format!("{word}{index}"),
        other => other.to_owned(),
    };
    (0..50).map(token).collect()
}

/// The stream of those tokens, as the simulator sends it for its nth prediction.
fn stream(prediction: usize) -> Vec<u8> {
    let seconds = 1_690_212_292 + 1000 * prediction;
    let mut stream = vec![": hi\n\n".to_owned()];
    for (number, token) in tokens().iter().enumerate() {
        let lines = token.split('\n').map(|line| format!("data: {line}\n"));
        let head = format!("event: output\nid: {seconds}:{number}\n");
        stream.extend([head, lines.collect(), "\n".to_owned()]);
    }
    stream.push(format!("event: done\nid: {seconds}:50\ndata: {{}}\n\n"));
    stream.concat().into_bytes()
}

/// Interrupts the stream at every byte, lets it resume, and checks that the text is complete.
async fn check(resume: Resume, end: Piece) {
    // A lane has six sockets, and all these tests together must fit in 256 descriptors.
    const LANES: usize = 6;
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let places = (lane..=stream(0).len()).step_by(LANES).collect();
        lanes.spawn(check_at(places, resume, end.clone()));
    }
    while let Some(outcome) = lanes.join_next().await {
        outcome.unwrap();
    }
}

/// Interrupts the stream at these bytes, in one prediction each.
async fn check_at(places: Vec<usize>, resume: Resume, end: Piece) {
    let mut simulator = Simulator::builder().resume(resume);
    for (prediction, &at) in places.iter().enumerate() {
        let cut = Bytes::copy_from_slice(&stream(prediction)[..at]);
        let pieces = vec![Piece::Bytes(cut), end.clone()];
        simulator = simulator.answer(Answer::tokens(tokens()).events(pieces));
    }
    let service = Service::start(simulator).await;
    for &at in &places {
        let response = service.replicate.chat("Hi").await;
        let response = response.unwrap_or_else(|error| panic!("{resume:?} at {at}: {error}"));
        assert_eq!(response.text(), tokens().concat(), "{resume:?} at {at}");
    }
    let counts = service.counts();
    assert_eq!((counts[0], counts[3]), (places.len(), 0));
}

#[tokio::test]
async fn interrupted_at_any_byte_a_continued_stream_is_complete() {
    check(Resume::Continue, Piece::Abort).await;
}

#[tokio::test]
async fn interrupted_at_any_byte_a_repeated_stream_is_complete() {
    check(Resume::Replay, Piece::Abort).await;
}

#[tokio::test]
async fn interrupted_at_any_byte_a_restarted_stream_is_complete() {
    check(Resume::Renumber, Piece::Abort).await;
}

#[tokio::test]
async fn closed_at_any_byte_the_stream_is_complete() {
    check(Resume::Continue, Piece::Bytes(Bytes::new())).await;
}

#[tokio::test]
async fn the_simulator_sends_the_expected_stream() {
    let service = Service::start(Simulator::builder().answer(Answer::tokens(tokens()))).await;
    service.replicate.chat("Hi").await.unwrap();
    let requests = service.simulator.requests();
    let path = &requests.iter().find(|request| request.stream).unwrap().path;
    let url = format!("http://{}{path}", service.simulator.stream_authority());
    let request = http::Request::get(url).body(Bytes::new()).unwrap();
    let transport = HttpTransport::builder().no_proxy().build().unwrap();
    let mut body = transport.send(request).await.unwrap().into_body();
    let mut sent = Vec::new();
    while let Some(bytes) = body.data().await {
        sent.extend_from_slice(&bytes.unwrap());
    }
    assert_eq!(
        String::from_utf8(sent).unwrap(),
        String::from_utf8(stream(0)).unwrap()
    );
}

/// Lets a fault occur in a long response. Returns the text, and the counts of requests.
async fn outlast(resume: Resume, fault: Fault) -> (String, [usize; 4]) {
    let simulator = Simulator::builder().resume(resume).every_fault(fault);
    let service = Service::start(simulator).await;
    let response = service.replicate.chat("Hi").await.unwrap();
    let counts = service.counts();
    (response.text().to_owned(), counts)
}

#[tokio::test]
async fn a_stream_that_is_always_interrupted_is_replaced_by_polling() {
    let (text, _) = outlast(Resume::Continue, Fault::NoUrl).await;
    let (found, counts) = outlast(Resume::Continue, Fault::CutAll).await;
    assert_eq!(found, text);
    assert_eq!(counts, [1, 4, 1, 0]);
}

#[tokio::test]
async fn a_stream_that_closes_early_is_resumed() {
    let (text, _) = outlast(Resume::Continue, Fault::NoUrl).await;
    for resume in [Resume::Continue, Resume::Replay] {
        let (found, counts) = outlast(resume, Fault::Truncate).await;
        assert_eq!((found.as_str(), counts), (text.as_str(), [1, 2, 1, 0]));
    }
}

#[tokio::test]
async fn a_stream_that_does_not_exist_yet_is_retried() {
    let (_, counts) = outlast(Resume::Continue, Fault::Early).await;
    assert_eq!(counts, [1, 3, 1, 0]);
}

#[tokio::test]
async fn different_text_is_never_appended() {
    let simulator = Simulator::builder()
        .resume(Resume::Differ)
        .fault(Fault::Cut);
    let service = Service::start(simulator).await;
    let mut stream = service.replicate.stream("Hi").await.unwrap();
    let mut text = String::new();
    let error = loop {
        match stream.text().next().await {
            Some(Ok(piece)) => text.push_str(&piece),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    match error {
        Some(error) => {
            assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
            assert_eq!(error.code(), Some("diverged"));
        }
        // The prediction may have shown that the other text does not belong to it before any was
        // delivered.
        None => assert_eq!(text, outlast(Resume::Continue, Fault::NoUrl).await.0),
    }
}

#[tokio::test]
async fn a_prediction_is_resumed_by_its_id() {
    let service = Service::with(Simulator::builder(), |client| client.cancel_on_drop(false)).await;
    let mut stream = service.replicate.stream("Hi").await.unwrap();
    stream.next().await.unwrap().unwrap();
    let id = stream.partial().id.clone().unwrap();
    drop(stream);
    let stream = service.replicate.resume(id).await.unwrap();
    let response = stream.finish().await.unwrap();
    assert_eq!(response.finish_reason(), Some(&FinishReason::Unknown));
    assert_eq!(
        response.text(),
        outlast(Resume::Continue, Fault::NoUrl).await.0
    );
    assert_eq!(service.counts()[0], 1);
}
