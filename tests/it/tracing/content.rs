//! Messages are recorded only if the request asks for that and the subscriber enables them.

use inferstream_core::{Json, Message, OnUnsupported, ResponseFormat, Role, Tool, ToolCall};
use serde_json::Value;
use tracing::{Level, Metadata};

use super::{recorder::Told, *};
use crate::support::{broken, poll_once};

/// The filter `inferstream=info,inferstream::content=trace`.
fn with_content(metadata: &Metadata<'_>) -> bool {
    matches!(metadata.target(), "inferstream" | "inferstream::content")
}

/// The filter `inferstream::content=trace`.
fn content_alone(metadata: &Metadata<'_>) -> bool {
    metadata.target() == "inferstream::content"
}

/// The filter `inferstream=trace`.
fn all_of_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("inferstream")
}

fn at_most_debug(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::DEBUG
}

/// All ways in which a call to an endpoint can end.
fn scenes(endpoint: Endpoint) -> Vec<Vec<Answer>> {
    let echo =
        format!("{{\"message\":\"{KEY} {PROMPT} {ANSWER} {COOKIE}\",\"error\":\"{PROMPT}\"}}");
    let mut scenes = vec![endpoint.answers(), endpoint.whole()];
    for status in [400, 401, 403, 404, 429, 500, 503] {
        let refusal = Answer::json(status, &echo).header("set-cookie", format!("a={COOKIE}"));
        scenes.push(vec![refusal.header("x-request-id", KEY)]);
    }
    for end in [broken(), Piece::Hang, Piece::from("data: {\"broken")] {
        let mut answers = endpoint.answers();
        let place = answers.len().min(2) - 1;
        let piece = match endpoint {
            Endpoint::Playground => format!("0:\"{ANSWER}\"\n"),
            Endpoint::Replicate => format!("event: output\nid: 1:0\ndata: {ANSWER}\n\n"),
            _ => sse(&[&chunk()]),
        };
        answers[place] = Answer::sse([Piece::from(piece.as_str()), end]);
        scenes.push(answers);
    }
    scenes.push(vec![Answer::error(refused())]);
    scenes
}

/// A request with every setting that may contain private data.
fn full_of_secrets(endpoint: Endpoint) -> ChatRequest {
    let schema = || Json::from_text(format!("{{\"title\":\"{PROMPT}\"}}"));
    let cookie = http::HeaderValue::from_static(COOKIE);
    let request = endpoint
        .request()
        .tool(Tool::new("look", schema()).description(PROMPT))
        .response_format(ResponseFormat::JsonSchema {
            name: PROMPT.to_owned(),
            schema: schema(),
            strict: None,
        })
        .prediction(PROMPT)
        .logit_bias(7, 1.0)
        .top_logprobs(2_u32)
        .on_unsupported(OnUnsupported::Warn)
        .user_id(KEY)
        .header(http::HeaderName::from_static("cookie"), cookie)
        .extra("note", PROMPT);
    if matches!(endpoint, Endpoint::Playground | Endpoint::Replicate) {
        // Content that the provider does not support is refused.
        return request;
    }
    let call = ToolCall::new("c-1", "look", format!("{{\"where\":\"{PROMPT}\"}}"));
    request
        .message(Message::empty(Role::Assistant).tool_call(call))
        .message(Message::tool("c-1", PROMPT))
}

#[test]
fn no_secret_is_shown_at_any_level() {
    for (filter, has_span) in [
        (usual as Filter, true),
        (everything, true),
        (all_of_ours, true),
        (at_most_debug, true),
        (with_content, true),
        (content_alone, false),
    ] {
        for endpoint in ENDPOINTS {
            for answers in scenes(endpoint) {
                for retry in [RetryPolicy::never(), RetryPolicy::default()] {
                    let request = full_of_secrets(endpoint).retry(retry);
                    assert_eq!(request.record_content, RecordContent::Never);
                    let (outcome, seen) = ask_under(filter, endpoint, answers.clone(), request);
                    assert_ne!(outcome.attempts, 0, "{endpoint:?}: it was sent");
                    let shown = seen.shown();
                    assert_eq!(shown.contains("gen_ai.request.model"), has_span, "{shown}");
                    for secret in [KEY, PROMPT, ANSWER, COOKIE, ACCOUNT, "https:", "\"?"] {
                        assert!(!shown.contains(secret), "{secret} in {shown}");
                    }
                }
            }
        }
    }
}

/// Returns the messages of an event, and checks its other fields.
#[track_caller]
fn said(told: &Told, name: &str) -> Value {
    assert_eq!(told.name, "gen_ai.client.inference.operation.details");
    assert_eq!(
        (told.target, told.level),
        ("inferstream::content", Level::TRACE)
    );
    assert_eq!(told.fields["gen_ai.operation.name"], "chat");
    serde_json::from_str(told.fields[name].as_str().unwrap()).unwrap()
}

/// The request may be recorded, but the subscriber does not enable the target or the level.
#[test]
fn content_is_recorded_only_if_the_subscriber_enables_it() {
    for filter in [usual, at_most_debug] as [Filter; 2] {
        for endpoint in ENDPOINTS {
            for answers in scenes(endpoint) {
                let request = recorded(full_of_secrets(endpoint));
                let (_, seen) = ask_under(filter, endpoint, answers, request);
                for secret in [KEY, PROMPT, ANSWER, COOKIE, ACCOUNT] {
                    assert!(!seen.shown().contains(secret), "{secret}");
                }
            }
        }
    }
}

#[test]
fn content_is_recorded_as_events_of_the_span() {
    for endpoint in ENDPOINTS {
        for (filter, span) in [
            (with_content as Filter, Some(0)),
            (everything, Some(0)),
            (content_alone, None),
        ] {
            let (_, seen) = ask_under(
                filter,
                endpoint,
                endpoint.answers(),
                recorded(endpoint.request()),
            );
            let is_content = |told: &&Told| told.target == "inferstream::content";
            let events: Vec<_> = seen.events.iter().filter(is_content).collect();
            let [asked, answered] = *events else {
                panic!("{events:?}");
            };
            assert_eq!([asked.span, answered.span], [span; 2], "{endpoint:?}");
            assert_eq!(
                said(asked, "gen_ai.input.messages"),
                json!([{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}]),
            );
            let reason = match endpoint {
                // The service does not report why it ended.
                Endpoint::Replicate => "unknown",
                _ => "stop",
            };
            assert_eq!(
                said(answered, "gen_ai.output.messages"),
                json!([{
                    "role": "assistant",
                    "parts": [{"type": "text", "content": ANSWER}],
                    "finish_reason": reason,
                }]),
            );
            for secret in [KEY, COOKIE, ACCOUNT] {
                assert!(!seen.shown().contains(secret), "{secret}");
            }
        }
    }
}

#[test]
fn a_truncated_response_is_recorded_as_far_as_it_was_received() {
    let events = sse(&[&chunk()]);
    let answer = Answer::sse([Piece::from(events.as_str()), broken()]);
    let (_, seen) = ask_under(
        with_content,
        Endpoint::Cerebras,
        vec![answer],
        recorded(PROMPT),
    );
    assert_eq!(
        said(&seen.events[1], "gen_ai.output.messages"),
        json!([{"role": "assistant", "parts": [{"type": "text", "content": ANSWER}]}]),
    );
}

#[test]
fn a_call_without_a_response_records_its_messages() {
    let (_, seen) = ask_under(
        with_content,
        Endpoint::Cerebras,
        vec![Answer::json(400, "{}")],
        recorded(PROMPT),
    );
    assert_eq!(seen.events.len(), 1);
}

#[test]
fn every_kind_of_message_has_its_form() {
    let call = ToolCall::new("c-1", "weather", "{\"city\":\"Köln\"}");
    let request = ChatRequest::default()
        .system("be \"brief\"")
        .message(
            Message::user("see")
                .part(inferstream_core::Part::image_url("https://images.test/a"))
                .part(inferstream_core::Part::image("image/png", [1, 2, 3])),
        )
        .message(
            Message::empty(Role::Assistant)
                .reasoning("hm")
                .tool_call(call),
        )
        .message(Message::tool("c-1", "rain"));
    let recorder = Recorder::new(with_content);
    let wire = Wire::new([Answer::hang()]);
    recorder.watch(|| {
        let client = Endpoint::Cerebras.client(&wire);
        assert!(poll_once(client.stream(recorded(request))).0.is_pending());
    });
    assert_eq!(
        said(&recorder.seen().events[0], "gen_ai.input.messages"),
        json!([
            {"role": "system", "parts": [{"type": "text", "content": "be \"brief\""}]},
            {"role": "user", "parts": [
                {"type": "text", "content": "see"},
                {"type": "uri", "modality": "image", "uri": "https://images.test/a"},
                {"type": "blob", "modality": "image", "mime_type": "image/png"},
            ]},
            {"role": "assistant", "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "tool_call", "id": "c-1", "name": "weather", "arguments": "{\"city\":\"Köln\"}"},
            ]},
            {"role": "tool", "parts": [
                {"type": "tool_call_response", "id": "c-1", "response": "rain"},
            ]},
        ]),
    );
}
