//! Streams: their origin, their events, and reconnections.

use std::{collections::BTreeSet, time::Duration};

use inferstream_simulator::{Answer, Piece, Resume, Simulator};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    TOKENS, cancel, counting, create, events, ids, last, stream, stream_request, text, until,
};
use crate::client::{End, send, send_to};

#[tokio::test]
async fn streams_have_their_own_origin() {
    let simulator = counting().start().await.unwrap();
    let prediction = create(&simulator).await;
    let url = prediction["urls"]["stream"].as_str().unwrap();
    let authority = simulator.stream_authority();
    assert_ne!(authority, simulator.address().to_string());
    let path = url.strip_prefix(&format!("http://{authority}/")).unwrap();

    let wrong = send(&simulator, &stream_request(path, None)).await;
    assert_eq!(wrong.status(), 404);
    for path in [
        "v1/streams/x",
        "v1/streams/",
        "replicate/v1/account",
        "v1/models",
    ] {
        let response = send_to(&authority, &stream_request(path, None)).await;
        assert_eq!(response.status(), 404, "{path}");
        let problem = Some("application/problem+json");
        assert_eq!(response.header("content-type"), problem);
    }
    let request = stream_request(path, None);
    let request = request.replace("host: x\r\n", "host: x\r\nauthorization: Bearer any\r\n");
    assert_eq!(send_to(&authority, &request).await.status(), 200);

    let requests = simulator.requests();
    let origins: Vec<_> = requests.iter().map(|request| request.stream).collect();
    assert_eq!(origins, [false, false, true, true, true, true, true]);
    assert_eq!(requests[6].headers["authorization"], "Bearer any");
    let connections: BTreeSet<_> = requests.iter().map(|request| request.connection).collect();
    assert_eq!(connections.len(), requests.len());
}

#[tokio::test]
async fn a_stream_has_the_documented_bytes() {
    let tokens = ["Once upon a time", "\n\n there was", "\n", "", " Sure"];
    let simulator = Simulator::builder()
        .answer(Answer::tokens(tokens).logs("seed: 1\n"))
        .start()
        .await
        .unwrap();
    let prediction = create(&simulator).await;
    let (chunks, whole) = stream(&prediction, None).await.chunks();
    assert!(whole);
    let expected = [
        ": hi\n\n",
        "event: logs\nid: 1690212292:0\ndata: seed: 1\ndata: \n\n",
        "event: output\nid: 1690212292:1\ndata: Once upon a time\n\n",
        "event: output\nid: 1690212292:2\ndata: \ndata: \ndata:  there was\n\n",
        "event: output\nid: 1690212292:3\ndata: \ndata: \n\n",
        "event: output\nid: 1690212292:4\ndata: \n\n",
        "event: output\nid: 1690212292:5\ndata:  Sure\n\n",
        "event: done\nid: 1690212292:6\ndata: {}\n\n",
    ];
    assert_eq!(chunks, expected);
    let ended = until(&simulator, &prediction, "succeeded").await;
    assert_eq!(ended["logs"], "seed: 1\n");
}

#[tokio::test]
async fn a_stream_can_be_read_again_after_the_end() {
    let simulator = counting().tokens_per_second(50.0).start().await.unwrap();
    let prediction = create(&simulator).await;
    let (first, second) = tokio::join!(stream(&prediction, None), stream(&prediction, None));
    let late = stream(&prediction, None).await;
    assert_eq!(text(&events(&first).0), TOKENS.concat());
    assert_eq!(events(&first), events(&second));
    assert_eq!(events(&first), events(&late));
    let (events, _) = events(&late);
    let ids: BTreeSet<_> = ids(&events).into_iter().collect();
    assert_eq!(ids.len(), 11);
}

#[tokio::test]
async fn a_stream_ends_as_soon_as_its_prediction_is_canceled() {
    let simulator = counting()
        .boot(Duration::from_secs(600))
        .start()
        .await
        .unwrap();
    let prediction = create(&simulator).await;
    let url = prediction["urls"]["stream"].as_str().unwrap();
    let path = url.rsplit_once("/v1/").unwrap().1;
    let mut socket = TcpStream::connect(simulator.stream_authority())
        .await
        .unwrap();
    let request = stream_request(&format!("v1/{path}"), None);
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(": hi\n\n") {
        assert!(0 < socket.read_buf(&mut bytes).await.unwrap());
    }
    assert_eq!(cancel(&simulator, &prediction).await["status"], "canceled");
    socket.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("event: done\nid: 1690212292:0\ndata: {\"reason\":\"canceled\"}\n\n"));
    assert!(text.ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn a_first_stream_may_be_scripted() {
    let pieces = [
        Piece::from("event: output\nid: 1690212292:0\nda"),
        Piece::Wait(Duration::from_millis(1)),
        Piece::from("ta: one\n\n"),
        Piece::Abort,
    ];
    let simulator = Simulator::builder()
        .answer(Answer::tokens(TOKENS).events(pieces))
        .start()
        .await
        .unwrap();
    let prediction = create(&simulator).await;
    let first = stream(&prediction, None).await;
    assert_eq!(first.header("content-type"), Some("text/event-stream"));
    let chunks = ["event: output\nid: 1690212292:0\nda", "ta: one\n\n"];
    assert_eq!(first.chunks(), (chunks.map(str::to_owned).to_vec(), false));
    assert_eq!(first.end, End::Closed);

    let (events, _) = events(&stream(&prediction, Some("1690212292:0")).await);
    assert_eq!(text(&events), TOKENS[1..].concat());
    until(&simulator, &prediction, "succeeded").await;
}

#[tokio::test]
async fn a_reconnecting_client_continues() {
    let simulator = counting().start().await.unwrap();
    let prediction = create(&simulator).await;
    for (last, expected) in [
        ("1690212292:3", &TOKENS[4..]),
        ("1690212292:9", &[]),
        // No event has these ids.
        ("1690212292:11", &TOKENS[..]),
        ("1690212292:", &TOKENS[..]),
        ("7", &TOKENS[..]),
        ("", &TOKENS[..]),
    ] {
        let (events, whole) = events(&stream(&prediction, Some(last)).await);
        assert!(whole);
        assert_eq!(text(&events), expected.concat(), "{last}");
    }
    // The very last event.
    let (events, whole) = events(&stream(&prediction, Some("1690212292:10")).await);
    assert_eq!((events.len(), whole), (0, true));
}

#[tokio::test]
async fn a_reconnecting_client_may_get_all_events_again() {
    for resume in [Resume::Replay, Resume::Renumber, Resume::Differ] {
        let simulator = counting().resume(resume).start().await.unwrap();
        let prediction = create(&simulator).await;
        let (first, _) = events(&stream(&prediction, None).await);
        let (second, _) = events(&stream(&prediction, Some("1690212292:3")).await);
        let (third, _) = events(&stream(&prediction, Some("1690212292:3")).await);
        assert_eq!(text(&first), TOKENS.concat());
        assert_eq!(last(&second), ("done", "{}"));
        assert_eq!(first.len(), second.len());
        let same_ids = resume == Resume::Replay;
        for other in [&second, &third] {
            let (first, other) = (ids(&first), ids(other));
            assert_eq!(first == other, same_ids, "{resume:?}");
            assert!(same_ids || first.iter().all(|id| !other.contains(id)));
        }
        assert_eq!(ids(&second) == ids(&third), same_ids);
        let same_text = resume != Resume::Differ;
        assert_eq!(text(&first) == text(&second), same_text, "{resume:?}");
        assert_eq!(text(&second), text(&third));
        assert!(same_text || first[0].2 != second[0].2);
    }
}
