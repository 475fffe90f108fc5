//! Replayed responses with every kind of event: nothing is lost or duplicated.

use inferstream_cloudflare::{ChatEvent, ChatRequest, ErrorKind};
use serde_json::{Value, json};

use super::{
    CHUNKS, PROMPT, client,
    double::Agent,
    plan,
    plan::{Break, Plan, Resume},
    run,
};
use crate::support::{Outcome, block_on, lines};

/// Every kind of chunk, with characters that are split into surrogate halves.
const RICH: [&str; 15] = [
    r#"{"type":"start","messageId":"m1"}"#,
    r#"{"type":"start-step"}"#,
    r#"{"type":"reasoning-delta","id":"0","delta":"Hm, "}"#,
    r#"{"type":"reasoning-delta","id":"0","delta":"so\ud83d"}"#,
    r#"{"type":"reasoning-delta","id":"0","delta":"\ude00."}"#,
    r#"{"type":"text-delta","id":"0","delta":"a\ud83d"}"#,
    r#"{"type":"text-delta","id":"0","delta":"\ude00b"}"#,
    r#"{"type":"message-metadata","messageMetadata":{"usage":{"inputTokens":1,"outputTokens":1}}}"#,
    r#"{"type":"tool-input-start","toolCallId":"c","toolName":"f"}"#,
    r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{\"a\":"}"#,
    r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"1}"}"#,
    r#"{"type":"tool-input-available","toolCallId":"c","toolName":"f","input":{"a":1}}"#,
    r#"{"type":"tool-input-available","toolCallId":"d","toolName":"g","input":{"b":2}}"#,
    r#"{"type":"text-delta","id":"0","delta":" end"}"#,
    r#"{"type":"finish","finishReason":"tool-calls","messageMetadata":{"usage":{"inputTokens":3,"outputTokens":4}}}"#,
];

/// Sets whether raw chunks are requested, too.
fn run_raw(plan: Plan, raw: bool) -> (Outcome, Agent) {
    let agent = plan.serve();
    let request = ChatRequest::from(PROMPT).raw(raw);
    let opened = block_on(&agent.clock, client(&agent).stream(request));
    let outcome = Outcome::read(&agent, opened);
    outcome.check(PROMPT);
    (outcome, agent)
}

/// Returns all events but the raw chunks, with neighboring fragments joined.
fn told(outcome: &Outcome) -> (String, String, String, Vec<String>) {
    let arguments = outcome.events.iter().filter_map(|event| match event {
        ChatEvent::ToolCallDelta { arguments, .. } => Some(arguments.to_string()),
        _ => None,
    });
    let others = outcome.events.iter().filter(|event| {
        !matches!(
            event,
            ChatEvent::Text { .. }
                | ChatEvent::Reasoning { .. }
                | ChatEvent::ToolCallDelta { .. }
                | ChatEvent::Raw { .. }
        )
    });
    (
        outcome.text(),
        outcome.reasoning(),
        arguments.collect(),
        lines(others),
    )
}

fn raw_chunks(outcome: &Outcome) -> Vec<String> {
    let is_raw = |event: &&ChatEvent| matches!(event, ChatEvent::Raw { .. });
    lines(outcome.events.iter().filter(is_raw))
}

/// The number of bytes that an agent sends for it, without its reply to a close frame.
fn length(chunks: &[&str]) -> usize {
    let (_, agent) = run(Plan::new(chunks));
    let seen = agent.seen.lock().unwrap();
    seen.sent[0] - 2
}

#[test]
fn events_of_every_kind_are_delivered_once() {
    let (whole, _) = run_raw(Plan::new(&RICH), true);
    assert_eq!(whole.response().choices[0].tool_calls.len(), 2);
    for resume in [
        Resume::Ended,
        Resume::Joined,
        Resume::Runs(3),
        Resume::Runs(9),
    ] {
        for bytes in (0..length(&RICH)).step_by(7) {
            let (outcome, agent) = run_raw(
                Plan {
                    cuts: vec![Some((bytes, Break::Lost))],
                    resume,
                    ..Plan::new(&RICH)
                },
                true,
            );
            let at = format!("{resume:?}, cut at {bytes}");
            assert_eq!(outcome.kind(), None, "{at}: {:?}", outcome.end);
            assert_eq!(told(&outcome), told(&whole), "{at}");
            let calls = &outcome.response().choices[0].tool_calls;
            assert_eq!(calls, &whole.response().choices[0].tool_calls, "{at}");
            if resume != Resume::Joined {
                assert_eq!(raw_chunks(&outcome), raw_chunks(&whole), "{at}");
            }
            assert_eq!(agent.count("chat_request_cancel"), 0, "{at}");
        }
    }
}

#[test]
fn interruptions_of_several_connections_make_no_difference() {
    let (whole, _) = run_raw(Plan::new(&RICH), false);
    let length = length(&RICH);
    let mut random = 12_345_usize;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for _ in 0..500 {
        let cuts = (0..3).map(|_| {
            let how = [Break::Lost, Break::Closed][next(2)];
            Some((next(length), how))
        });
        let plan = Plan {
            cuts: cuts.collect(),
            resume: [Resume::Runs(next(15)), Resume::Ended, Resume::Joined][next(3)],
            piece: [1, 5, 333, usize::MAX][next(4)],
            pings: next(2) == 0,
            binary: next(2) == 0,
            ..Plan::new(&RICH)
        };
        let at = format!("{:?}, {:?}, {}", plan.cuts, plan.resume, plan.piece);
        let (outcome, agent) = run_raw(plan, false);
        assert_eq!(outcome.kind(), None, "{at}: {:?}", outcome.end);
        assert_eq!(told(&outcome), told(&whole), "{at}");
        assert_eq!(agent.count("use_chat_request"), 1, "{at}");
        assert_eq!(agent.count("chat_request_cancel"), 0, "{at}");
    }
}

/// A connection that breaks here, followed by these chunks and the end.
fn again(chunks: &[&str], cut: usize, again: &[&str]) -> Plan {
    let mut all: Vec<Value> = again
        .iter()
        .map(|chunk| json!({"body": chunk, "done": false}))
        .collect();
    all.push(json!({"body": "", "done": true}));
    Plan {
        cuts: vec![Some((cut, Break::Lost))],
        again: Some(all),
        ..Plan::new(chunks)
    }
}

#[test]
fn a_response_that_is_shorter_the_second_time_has_one_end() {
    let cut = length(&CHUNKS) - 300;
    let (outcome, _) = run_raw(again(&CHUNKS, cut, &[CHUNKS[3], CHUNKS[7]]), false);
    let error = outcome.error();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(error.code(), Some("diverged"));
}

#[test]
fn a_complete_call_replaces_its_fragments() {
    let compact: Vec<&str> = RICH
        .into_iter()
        .filter(|chunk| !chunk.contains("tool-input-delta") && !chunk.contains("tool-input-start"))
        .collect();
    let (whole, _) = run_raw(Plan::new(&RICH), false);
    let (outcome, _) = run_raw(again(&RICH, length(&RICH) - 200, &compact), false);
    assert_eq!(told(&outcome), told(&whole));
}

#[test]
fn a_different_call_is_a_different_response() {
    let cut = length(&RICH) - 200;
    for (of, with) in [
        (r#"{"a":1}"#, r#"{"a":2}"#),
        (r#""toolName":"g""#, r#""toolName":"h""#),
    ] {
        let other: Vec<String> = RICH.iter().map(|chunk| chunk.replace(of, with)).collect();
        let other: Vec<&str> = other.iter().map(String::as_str).collect();
        let (outcome, _) = run_raw(again(&RICH, cut, &other), false);
        assert_eq!(outcome.error().code(), Some("diverged"), "{with}");
    }
}

#[test]
fn usage_is_not_delivered_again() {
    let chunks = [
        CHUNKS[3],
        RICH[7],
        r#"{"type":"message-metadata","messageMetadata":{"usage":{"inputTokens":9,"outputTokens":9}}}"#,
        CHUNKS[4],
    ];
    let (outcome, _) = run_raw(again(&chunks, length(&chunks) - 100, &chunks[..2]), false);
    let usages: Vec<_> = outcome
        .events
        .iter()
        .filter_map(|event| match event {
            ChatEvent::Usage { usage, .. } => usage.output_tokens,
            _ => None,
        })
        .collect();
    assert_eq!(usages, [1, 9]);
    let partial = outcome.error().partial().unwrap();
    assert_eq!(partial.usage.unwrap().output_tokens, Some(9));
}

#[test]
fn joined_raw_chunks_may_be_delivered_twice() {
    let (outcome, _) = run_raw(
        Plan {
            cuts: vec![Some((length(&CHUNKS) - 250, Break::Lost))],
            resume: Resume::Joined,
            ..plan()
        },
        true,
    );
    let chunks = raw_chunks(&outcome);
    for chunk in CHUNKS {
        let chunk = chunk.replace('"', "");
        assert!(
            chunks
                .iter()
                .any(|raw| raw.replace('"', "").contains(&chunk)),
            "{chunk}"
        );
    }
}
