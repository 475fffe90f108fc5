//! The playground's agent over a scripted connection: requests, events and endings.

mod cancel;
mod cuts;
mod double;
mod ends;
mod floods;
mod frames;
mod handshake;
mod hostile;
mod models;
mod plan;
mod replays;
mod requests;
mod resume;
mod secrets;
mod traces;

use std::time::Duration;

use inferstream_cloudflare::{ChatRequest, Cloudflare, CloudflareBuilder};
use serde_json::json;

use self::{double::Agent, plan::Plan};
use crate::support::{Outcome, block_on, check_line};

/// The prompt, which must not appear in an error.
const PROMPT: &str = "a prompt that nobody else may read";

/// The chunks of a response as an agent sends them, with the AI SDK's chunks around them.
const CHUNKS: [&str; 8] = [
    r#"{"type":"start"}"#,
    r#"{"type":"start-step"}"#,
    r#"{"type":"text-start","id":"0"}"#,
    r#"{"type":"text-delta","id":"0","delta":"Hello"}"#,
    r#"{"type":"text-delta","id":"0","delta":", 世界"}"#,
    r#"{"type":"text-delta","id":"0","delta":"!"}"#,
    r#"{"type":"finish-step"}"#,
    r#"{"type":"finish","finishReason":"stop"}"#,
];

const TEXT: &str = "Hello, 世界!";

fn plan() -> Plan {
    Plan::new(&CHUNKS)
}

fn builder(agent: &Agent) -> CloudflareBuilder {
    let builder = Cloudflare::builder().playground_agent();
    builder.transport(agent.clone())
}

fn client(agent: &Agent) -> Cloudflare {
    builder(agent).build().unwrap()
}

/// Sends the request, reads to the end, and checks the properties of every response.
#[track_caller]
fn ask(agent: &Agent, request: impl Into<ChatRequest>) -> Outcome {
    let before = agent.clock.elapsed();
    let opened = block_on(&agent.clock, client(agent).stream(request));
    let mut outcome = Outcome::read(agent, opened);
    outcome.check(PROMPT);
    outcome.check_one_choice();
    if let Err(error) = &outcome.end {
        check_line(error, PROMPT);
    }
    outcome.elapsed = outcome.elapsed.saturating_sub(before);
    outcome
}

#[track_caller]
fn run(plan: Plan) -> (Outcome, Agent) {
    let agent = plan.serve();
    (ask(&agent, PROMPT), agent)
}

#[test]
fn a_response_is_delivered_as_it_arrives() {
    let (outcome, agent) = run(plan());
    assert_eq!(outcome.text(), TEXT);
    assert_eq!(outcome.reason(), "stop");
    assert_eq!(outcome.elapsed, Duration::ZERO);
    assert_eq!(
        (agent.connections(), agent.count("chat_request_cancel")),
        (1, 0)
    );
    assert_eq!(
        agent.seen.lock().unwrap().closed,
        1,
        "the client sends a close frame"
    );
}

#[test]
fn the_transcript_with_one_delta_is_a_response() {
    let plan = Plan::new(&[
        r#"{"type":"text-delta","id":"0","delta":"Hello"}"#,
        r#"{"type":"finish"}"#,
    ]);
    let (outcome, _) = run(plan);
    assert_eq!(outcome.text(), "Hello");
    assert_eq!(outcome.kind(), None);
}

#[test]
fn messages_may_be_binary_fragmented_and_between_pings() {
    for piece in [1, 2, 3, 7, 64, usize::MAX] {
        for (binary, pings) in [(false, true), (true, false), (true, true)] {
            let (outcome, _) = run(Plan {
                piece,
                pings,
                binary,
                ..plan()
            });
            assert_eq!(outcome.text(), TEXT);
            assert_eq!(outcome.kind(), None);
        }
    }
}

#[test]
fn reasoning_tools_and_usage_are_the_same_as_over_http() {
    let (outcome, _) = run(Plan::new(&[
        r#"{"type":"start","messageId":"m1"}"#,
        r#"{"type":"reasoning-delta","id":"0","delta":"Hm."}"#,
        r#"{"type":"tool-input-start","toolCallId":"c","toolName":"f"}"#,
        r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{\"a\":"}"#,
        r#"{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"1}"}"#,
        r#"{"type":"tool-input-available","toolCallId":"c","toolName":"f","input":{"a":1}}"#,
        r#"{"type":"finish","finishReason":"tool-calls","messageMetadata":{"usage":{"inputTokens":3,"outputTokens":4}}}"#,
    ]));
    let response = outcome.response();
    assert_eq!(response.id.as_deref(), Some("m1"));
    assert_eq!(response.choices[0].reasoning, "Hm.");
    assert_eq!(response.choices[0].tool_calls[0].arguments, r#"{"a":1}"#);
    assert_eq!(response.usage.unwrap().output_tokens, Some(4));
}

#[test]
fn a_chunk_may_have_line_ends_between_its_tokens() {
    let plan = Plan::new(&[
        "{\n\"type\":\r\n\"text-delta\",\r\"delta\":\"a\"}",
        "{\"type\":\"finish\"}\n",
    ]);
    assert_eq!(run(plan).0.text(), "a");
}

#[test]
fn messages_of_other_turns_are_ignored() {
    let mut plan = plan();
    let mut strange = vec![
        json!({"type": "cf_agent_use_chat_response", "id": "another", "body": "{\"type\":\"text-delta\",\"delta\":\"x\"}"}),
        json!({"type": "cf_agent_chat_messages", "messages": [{"role": "user"}]}),
        json!({"type": "cf_agent_chat_recovering", "recovering": true}),
        json!({"type": "cf_agent_of_tomorrow"}),
        json!(["no", "object"]),
        json!(null),
    ];
    strange.append(&mut plan.last);
    let (outcome, _) = run(Plan {
        raw: raw(&strange),
        ..Plan::new(&CHUNKS)
    });
    assert_eq!(outcome.text(), TEXT);
}

/// Encodes messages that the agent sends unasked as WebSocket frames.
fn raw(messages: &[serde_json::Value]) -> Vec<u8> {
    let frame = |message: &serde_json::Value| {
        let text = message.to_string();
        let length = u8::try_from(text.len()).unwrap();
        let mut frame = match length {
            0..126 => vec![0x81, length],
            _ => vec![0x81, 126, 0, length],
        };
        frame.extend(text.bytes());
        frame
    };
    messages.iter().flat_map(frame).collect()
}
