//! Faults of Workers AI on the wire.

use inferstream_simulator::{Answer, Fault, Simulator};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    ACCOUNT, GEMMA, LLAMA_2, LLAMA_3_1, TOKENS, body, call_at, chat, events, json, run, said,
};
use crate::client::{End, Response};

const STREAM: &str = r#""stream":true"#;

async fn start(fault: &str) -> Simulator {
    Simulator::builder()
        .fault(fault.parse().unwrap())
        .answer(Answer::tokens(TOKENS))
        .start()
        .await
        .unwrap()
}

async fn streamed(fault: &str, model: &str) -> Response {
    run(&start(fault).await, model, STREAM).await
}

/// Checks that eight tokens precede the fault, and returns what follows.
#[track_caller]
fn after_tokens(response: &Response) -> Vec<String> {
    assert_eq!(response.status(), 200);
    let (mut chunks, _) = response.chunks();
    let opening = usize::from(response.text().contains("\"choices\""));
    let rest = chunks.split_off(8 + opening);
    let events: Vec<_> = chunks.iter().map(|chunk| json(chunk)).collect();
    assert_eq!(said(&events), TOKENS[..8].concat());
    rest
}

#[tokio::test]
async fn a_stream_breaks_after_eight_tokens() {
    for model in [LLAMA_3_1, GEMMA] {
        for (fault, len, whole, end) in [
            ("cut", 1, false, End::Closed),
            ("stall", 0, false, End::Silent),
            ("truncate", 0, true, End::Closed),
        ] {
            let response = streamed(fault, model).await;
            let rest = after_tokens(&response);
            assert_eq!(rest.len(), len, "{fault}");
            assert!(rest.iter().all(|chunk| !chunk.contains('\n')));
            assert_eq!((response.chunks().1, response.end), (whole, end));
        }
        let rest = after_tokens(&streamed("badjson", model).await);
        let data = rest[0].strip_prefix("data: ").unwrap().trim_end();
        assert!(serde_json::from_str::<Value>(data).is_err());
        assert_eq!(rest.last().unwrap(), "data: [DONE]\n\n");
        assert!(json(&rest[1]).is_object());
    }
}

#[tokio::test]
async fn an_error_has_the_format_of_the_endpoint() {
    let response = streamed("error", LLAMA_3_1).await;
    let rest = after_tokens(&response);
    assert_eq!(rest.len(), 1);
    let error = json(&rest[0]);
    assert_eq!(error["success"], false);
    assert_eq!(error["errors"][0]["code"], 7009);
    assert!(response.chunks().1);

    let response = streamed("error", GEMMA).await;
    let rest = after_tokens(&response);
    assert_eq!(rest.len(), 1);
    assert_eq!(json(&rest[0])["error"]["code"], 7009);
    assert!(response.chunks().1);
}

#[tokio::test]
async fn a_document_breaks_in_the_middle() {
    for (fault, end, whole) in [
        ("badjson", End::Closed, true),
        ("cut", End::Closed, false),
        ("stall", End::Silent, false),
        ("truncate", End::Closed, true),
    ] {
        let response = run(&start(fault).await, GEMMA, "").await;
        assert!(serde_json::from_slice::<Value>(&response.body).is_err());
        let promised: usize = response.header("content-length").unwrap().parse().unwrap();
        assert_eq!(response.body.len() == promised, whole, "{fault}");
        assert_eq!(response.end, end, "{fault}");
    }
    let response = chat(&start("error").await, GEMMA, "").await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.json()["errors"][0]["code"], 7009);
}

#[tokio::test]
async fn silence_and_close_send_no_bytes() {
    for (fault, end) in [("silence", End::Silent), ("close", End::Closed)] {
        let response = streamed(fault, GEMMA).await;
        assert_eq!((response.head.as_str(), response.end), ("", end));
    }
}

#[tokio::test]
async fn every_status_can_be_sent() {
    for status in 400..=599 {
        let response = streamed(&status.to_string(), GEMMA).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.json()["success"], false);
        assert_eq!(response.header("retry-after"), None);
    }
    let response = streamed("429:2", GEMMA).await;
    assert_eq!(response.header("retry-after"), Some("2"));
    assert_eq!(
        response.text(),
        r#"{"success":false,"errors":[{"code":3040,"message":"Capacity temporarily exceeded, please try again."}],"messages":[],"result":null}"#
    );
}

#[tokio::test]
async fn a_gateway_has_its_own_error_formats() {
    for (fault, name, code) in [
        ("401", "AiGatewayError", 2009),
        ("402", "AiGatewayError", 2021),
        ("429", "AiError", 3040),
        ("503", "AiError", 7009),
        ("context", "AiError", 5021),
        ("quota", "AiError", 4006),
    ] {
        let path = format!("/gateway/v1/{ACCOUNT}/main/workers-ai/{GEMMA}");
        let key = "authorization: Bearer any\r\n";
        let simulator = start(fault).await;
        let refusal = call_at(&simulator, "POST", &path, key, &body("Hi", "")).await;
        assert!(refusal.header("cf-aig-log-id").is_some());
        let refusal = refusal.json();
        assert_eq!(refusal["name"], name, "{fault}");
        assert_eq!(refusal["internalCode"], code, "{fault}");
    }
}

#[tokio::test]
async fn a_quota_is_reported_in_two_formats() {
    let message = "you have used up your daily free allocation of 10,000 neurons, please upgrade to Cloudflare's Workers Paid plan if you would like to continue usage.";
    let flat = streamed("quota", GEMMA).await;
    assert_eq!(flat.status(), 429);
    let refusal = flat.json();
    let id = refusal["requestId"].as_str().unwrap();
    assert_eq!(
        refusal,
        json!({
            "name": "AiError",
            "internalCode": 4006,
            "httpCode": 429,
            "message": format!("AiError: AiError: {message} ({id})"),
            "description": message,
            "requestId": id,
        })
    );
    let rest = streamed("quota-rest", GEMMA).await;
    assert_eq!(rest.status(), 429);
    let refusal = rest.json();
    assert_eq!(refusal["result"], json!({}));
    assert_eq!(refusal["errors"][0]["code"], 3036);
    let told = refusal["errors"][0]["message"].as_str().unwrap();
    assert!(told.starts_with(&format!("AiError: AiError: {message} (")));
}

#[tokio::test]
async fn a_refusal_may_replace_a_response() {
    for (fault, status, code) in [
        ("context", 413, 5021),
        ("plan", 403, 5035),
        ("notsuccess", 200, 7009),
    ] {
        for fields in ["", STREAM] {
            let response = run(&start(fault).await, GEMMA, fields).await;
            assert_eq!(response.status(), status, "{fault}");
            assert_eq!(response.header("content-type"), Some("application/json"));
            let refusal = response.json();
            assert_eq!(refusal["success"], false);
            assert_eq!(refusal["errors"][0]["code"], code);
        }
    }
}

#[tokio::test]
async fn a_page_may_replace_a_response() {
    let html = Some("text/html; charset=UTF-8");
    let challenge = streamed("challenge", GEMMA).await;
    assert_eq!(challenge.status(), 403);
    assert_eq!(challenge.header("content-type"), html);
    assert_eq!(challenge.header("cf-mitigated"), Some("challenge"));
    assert!(challenge.text().contains("<title>Just a moment...</title>"));

    let down = streamed("html", GEMMA).await;
    assert_eq!(down.status(), 503);
    assert_eq!(down.header("content-type"), html);
    assert_eq!(down.header("cf-mitigated"), None);
    assert!(down.text().contains("Error 1102"));

    let empty = streamed("empty", GEMMA).await;
    assert_eq!(empty.status(), 500);
    assert_eq!(empty.header("content-length"), Some("0"));
    assert_eq!(empty.header("content-type"), None);
}

#[tokio::test]
async fn a_refusal_keeps_the_queued_answer() {
    for fault in [
        "quota",
        "quota-rest",
        "context",
        "plan",
        "challenge",
        "html",
    ] {
        let simulator = start(fault).await;
        assert_ne!(run(&simulator, GEMMA, STREAM).await.status(), 200);
        let events = events(&run(&simulator, GEMMA, STREAM).await);
        assert_eq!(said(&events), TOKENS.concat());
    }
}

#[tokio::test]
async fn a_refusal_comes_before_a_raw_answer() {
    let simulator = Simulator::builder()
        .fault(Fault::Quota)
        .fault(Fault::MidFinish)
        .answer(Answer::raw(299, &[], []))
        .answer(Answer::tokens(TOKENS))
        .start()
        .await
        .unwrap();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(run(&simulator, LLAMA_2, STREAM).await.status());
    }
    assert_eq!(statuses, [429, 299, 200]);
}

#[tokio::test]
async fn a_finish_reason_may_be_too_early() {
    let hybrid = events(&streamed("midfinish", GEMMA).await);
    assert_eq!(hybrid[9]["choices"][0]["finish_reason"], "length");
    assert_eq!(said(&hybrid), TOKENS.concat());
    assert_eq!(hybrid[12]["choices"][0]["finish_reason"], "stop");

    let native = events(&streamed("midfinish", LLAMA_3_1).await);
    assert_eq!(native[8], json!({"finish_reason": "length"}));
    assert_eq!(said(&native), TOKENS.concat());
    assert_eq!(native[12], json!({"finish_reason": "stop"}));
}

#[tokio::test]
async fn an_end_may_lack_its_finish_reason() {
    for (model, len) in [(LLAMA_3_1, 10), (GEMMA, 11)] {
        let response = streamed("nofinish", model).await;
        let (chunks, whole) = response.chunks();
        assert!(whole);
        assert_eq!(chunks.len(), len);
        let events: Vec<_> = chunks.iter().map(|chunk| json(chunk)).collect();
        assert_eq!(said(&events), TOKENS.concat());
    }
}

#[tokio::test]
async fn an_end_marker_may_be_bare() {
    for model in [LLAMA_3_1, GEMMA] {
        let (chunks, whole) = streamed("baredone", model).await.chunks();
        assert!(whole);
        assert_eq!(chunks.last().unwrap(), "[DONE]\n\n");
        let before = json(&chunks[chunks.len() - 2]);
        assert_eq!(before["response"], "");
    }
}

#[tokio::test]
async fn heartbeats_have_no_end() {
    let simulator = start("heartbeats").await;
    let path = format!("/client/v4/accounts/{ACCOUNT}/ai/run/{GEMMA}");
    let mut socket = TcpStream::connect(simulator.address()).await.unwrap();
    let body = body("Hi", STREAM);
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer any\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    let mut bytes = Vec::new();
    socket.write_all(head.as_bytes()).await.unwrap();
    let beat = "data: {\"choices\":[],";
    let text = loop {
        assert!(0 < socket.read_buf(&mut bytes).await.unwrap());
        let text = String::from_utf8_lossy(&bytes);
        if 5 < text.matches(beat).count() {
            break text.into_owned();
        }
    };
    let (_, stream) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        stream.matches("data: ").count(),
        stream.matches(beat).count()
    );
}

#[tokio::test]
async fn a_document_may_replace_a_stream() {
    let response = streamed("jsonstream", LLAMA_3_1).await;
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json()["result"]["response"], TOKENS.concat());
    let response = chat(&start("jsonstream").await, GEMMA, STREAM).await;
    let message = &response.json()["choices"][0]["message"];
    assert_eq!(message["content"], TOKENS.concat());
}

#[tokio::test]
async fn a_fault_of_another_service_does_not_affect_a_chat() {
    for fault in [
        "aborted",
        "coldboot",
        "expire",
        "lost",
        "noid",
        "stream:401",
    ] {
        let events = events(&streamed(fault, LLAMA_3_1).await);
        assert_eq!(said(&events), TOKENS.concat(), "{fault}");
    }
    for fault in [
        "baredone",
        "heartbeats",
        "jsonstream",
        "midfinish",
        "nofinish",
    ] {
        let whole = run(&start(fault).await, LLAMA_3_1, "").await.json();
        assert_eq!(whole["result"]["response"], TOKENS.concat(), "{fault}");
    }
}
