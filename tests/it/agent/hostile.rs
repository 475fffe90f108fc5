//! Invalid and hostile messages from an agent.

use inferstream_cloudflare::ErrorKind;
use serde_json::json;

use super::{CHUNKS, plan, plan::Plan, raw, run};

#[test]
fn a_huge_message_is_refused_by_its_header() {
    for length in [33_u64 << 20, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
        let mut raw = vec![0x81, 127];
        raw.extend(length.to_be_bytes());
        let (outcome, _) = run(Plan { raw, ..plan() });
        let kind = outcome.kind().unwrap();
        assert!(
            matches!(kind, ErrorKind::TooLarge | ErrorKind::Protocol),
            "{length}: {kind:?}"
        );
    }
}

#[test]
fn a_chunk_above_the_limits_is_too_large() {
    let text = "x".repeat(5 << 20);
    let chunk = json!({"type": "text-delta", "delta": text}).to_string();
    let (outcome, agent) = run(Plan::new(&[CHUNKS[0], &chunk]));
    assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge));
    assert_eq!(agent.count("chat_request_cancel"), 1);
}

#[test]
fn a_message_that_is_not_a_chunk_may_be_large() {
    let mut plan = plan();
    plan.last
        .insert(0, json!({"body": "", "padding": "x".repeat(9 << 20)}));
    assert_eq!(run(plan).0.kind(), None);
}

#[test]
fn an_invalid_chunk_is_a_protocol_error_after_the_text_before_it() {
    for broken in [
        "{",
        "[1",
        "nonsense",
        "{\"type\":\"text-delta\",\"delta\":\"x",
    ] {
        let (outcome, agent) = run(Plan::new(&[CHUNKS[3], broken, CHUNKS[4]]));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{broken}");
        assert_eq!(outcome.text(), "Hello");
        assert_eq!(agent.count("chat_request_cancel"), 1);
    }
}

#[test]
fn a_chunk_cannot_inject_another_event() {
    let (outcome, _) = run(Plan::new(&[
        "{\"type\":\"start\"}\n\ndata: {\"type\":\"text-delta\",\"delta\":\"x\"}",
        CHUNKS[7],
    ]));
    assert_eq!(outcome.text(), "");
    assert_eq!(outcome.kind(), Some(ErrorKind::Protocol));
}

#[test]
fn members_of_unexpected_types_are_ignored() {
    let strange = [
        json!({"type": 7, "id": {}, "body": []}),
        json!({"type": "cf_agent_use_chat_response", "id": 7}),
        json!({"type": ["cf_agent_state_error"]}),
        json!("cf_agent_use_chat_response"),
    ];
    let (outcome, _) = run(Plan {
        raw: raw(&strange),
        ..plan()
    });
    assert_eq!(outcome.kind(), None);
}
