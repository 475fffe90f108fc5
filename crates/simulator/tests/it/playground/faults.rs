//! Faults of the playground on the wire.

use inferstream_simulator::{Answer, Piece, PlaygroundProtocol, Simulator};

use super::{TOKENS, builder, infer};
use crate::client::{End, Response};

const PROTOCOLS: [PlaygroundProtocol; 3] = [
    PlaygroundProtocol::Oldest,
    PlaygroundProtocol::V4,
    PlaygroundProtocol::V5,
];

async fn answered(fault: &str, protocol: PlaygroundProtocol) -> Response {
    let builder = builder(protocol, Answer::tokens(TOKENS)).fault(fault.parse().unwrap());
    infer(&builder.start().await.unwrap()).await
}

/// Checks that eight tokens precede the fault, and returns what follows.
#[track_caller]
fn after_tokens(response: &Response, protocol: PlaygroundProtocol) -> Vec<String> {
    assert_eq!(response.status(), 200);
    let (mut chunks, _) = response.chunks();
    let opening = match protocol {
        PlaygroundProtocol::Oldest => 0,
        PlaygroundProtocol::V4 => 1,
        _ => 3,
    };
    let rest = chunks.split_off(8 + opening);
    assert!(chunks.last().unwrap().contains("\" eight\""));
    rest
}

#[tokio::test]
async fn a_stream_breaks_after_eight_tokens() {
    for protocol in PROTOCOLS {
        for (fault, len, whole, end) in [
            ("cut", 1, false, End::Closed),
            ("stall", 0, false, End::Silent),
            ("truncate", 0, true, End::Closed),
        ] {
            let response = answered(fault, protocol).await;
            let rest = after_tokens(&response, protocol);
            assert_eq!(rest.len(), len, "{fault}");
            assert!(rest.iter().all(|chunk| !chunk.contains('\n')));
            assert_eq!((response.chunks().1, response.end), (whole, end));
        }
    }
}

#[tokio::test]
async fn bad_json_is_one_line_among_good_ones() {
    for (protocol, line) in [
        (
            PlaygroundProtocol::Oldest,
            "data: {\"response\":\" nine\"\n\n",
        ),
        (PlaygroundProtocol::V4, "0:\" nine\n"),
    ] {
        let rest = after_tokens(&answered("badjson", protocol).await, protocol);
        assert_eq!(rest[0], line);
        assert!(rest[1].contains("\" ten\""));
        assert!(rest.last().unwrap().contains(['d', '[']));
    }
}

#[tokio::test]
async fn an_error_ends_like_a_complete_response() {
    for (protocol, expected) in [
        (
            PlaygroundProtocol::Oldest,
            "data: {\"error\":\"Error during inference\"}\n\n",
        ),
        (
            PlaygroundProtocol::V4,
            "3:\"Error during inference\"\ne:{\"finishReason\":\"error\",\"usage\":{\"promptTokens\":null,\"completionTokens\":null},\"isContinued\":false}\nd:{\"finishReason\":\"error\",\"usage\":{\"promptTokens\":null,\"completionTokens\":null}}\n",
        ),
        (
            PlaygroundProtocol::V5,
            "data: {\"type\":\"error\",\"errorText\":\"An error occurred.\"}\n\ndata: {\"type\":\"finish-step\"}\n\ndata: {\"type\":\"finish\"}\n\ndata: [DONE]\n\n",
        ),
    ] {
        let response = answered("error", protocol).await;
        assert_eq!(after_tokens(&response, protocol), [expected]);
        assert!(response.chunks().1);
    }
}

#[tokio::test]
async fn silence_and_close_send_no_bytes() {
    for (fault, end) in [("silence", End::Silent), ("close", End::Closed)] {
        let response = answered(fault, PlaygroundProtocol::V4).await;
        assert_eq!((response.head.as_str(), response.end), ("", end));
    }
}

#[tokio::test]
async fn every_status_can_be_sent() {
    for status in 400..=599 {
        let response = answered(&status.to_string(), PlaygroundProtocol::V4).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.header("retry-after"), None);
    }
    let response = answered("429:2", PlaygroundProtocol::V4).await;
    assert_eq!(response.header("retry-after"), Some("2"));
    assert_eq!(response.text(), "Too Many Requests");
    let response = answered("400", PlaygroundProtocol::V4).await;
    assert_eq!(response.text(), "");
}

#[tokio::test]
async fn a_page_may_replace_a_response() {
    for (fault, status, part) in [
        ("challenge", 403, "Just a moment..."),
        ("html", 503, "Error 1102"),
        ("empty", 500, ""),
    ] {
        let response = answered(fault, PlaygroundProtocol::V4).await;
        assert_eq!(response.status(), status);
        assert!(response.text().contains(part));
        assert_eq!(response.text().is_empty(), part.is_empty());
    }
}

#[tokio::test]
async fn a_fault_of_another_service_does_not_affect_an_inference() {
    for fault in [
        "aborted",
        "baredone",
        "coldboot",
        "context",
        "heartbeats",
        "jsonstream",
        "lost",
        "midfinish",
        "nofinish",
        "notsuccess",
        "plan",
        "quota",
        "quota-rest",
        "stream:401",
    ] {
        let faulty = answered(fault, PlaygroundProtocol::V4).await;
        assert_eq!(faulty.status(), 200, "{fault}");
        let (chunks, whole) = faulty.chunks();
        assert!(whole, "{fault}");
        assert_eq!(chunks.len(), 13, "{fault}");
    }
}

#[tokio::test]
async fn a_raw_answer_is_sent_byte_for_byte() {
    let simulator = Simulator::builder()
        .challenge(true)
        .fault("503".parse().unwrap())
        .answer(Answer::raw(200, &[], [Piece::from("0:\"a\"\n")]))
        .start()
        .await
        .unwrap();
    assert_eq!(infer(&simulator).await.status(), 503);
    let response = infer(&simulator).await;
    assert_eq!(response.header("set-cookie"), None);
    assert_eq!(response.chunks(), (vec!["0:\"a\"\n".to_owned()], true));
}
