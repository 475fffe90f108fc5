//! Streams that are replayed to clients that reconnect.

use std::time::Duration;

use inferstream_simulator::{Answer, Simulator};
use serde_json::{Value, json};

use super::{Client, RESPONSE, builder, connect, faulty, follow, text};

const TEXT: &str = "one two three four five six seven eight nine ten";

/// Starts a response that stops after eight tokens and does not end.
async fn stalled(simulator: &Simulator) -> Client {
    let mut client = follow(simulator, "a").await;
    client.ask("r", "Hi").await;
    for _ in 0..11 {
        assert_eq!(client.hear().await["done"], false);
    }
    client
}

async fn request(client: &mut Client, probe: Option<&str>) -> Value {
    let mut message = json!({"type": "cf_agent_stream_resume_request"});
    if let Some(probe) = probe {
        message["probeId"] = probe.into();
    }
    client.say(&message).await;
    client.hear().await
}

#[track_caller]
fn check_replay(answer: &[Value], last: &Value) {
    let (end, replayed) = answer.split_last().unwrap();
    assert_eq!(end, last);
    for (seq, message) in replayed.iter().enumerate() {
        assert_eq!(message["replay"], true);
        assert_eq!(message["seq"], seq);
        assert_eq!(
            (&message["id"], &message["done"]),
            (&json!("r"), &json!(false))
        );
    }
}

fn replay_complete() -> Value {
    json!({
        "type": RESPONSE,
        "id": "r",
        "body": "",
        "done": false,
        "replay": true,
        "replayComplete": true,
    })
}

fn replay_end(id: &str) -> Value {
    json!({"type": RESPONSE, "id": id, "body": "", "done": true, "replay": true})
}

#[tokio::test]
async fn a_client_that_connects_during_a_stream_is_notified() {
    let simulator = faulty("stall").await;
    drop(stalled(&simulator).await);
    let mut late = follow(&simulator, "a").await;
    let resuming = json!({"type": "cf_agent_stream_resuming", "id": "r"});
    assert_eq!(late.hear().await, resuming);
    late.acknowledge("r").await;
    let answer = late.hear_answer().await;
    check_replay(&answer, &replay_complete());
    assert_eq!(answer.len(), 12);
    assert!(text(&answer).ends_with("eight"));
    late.check_quiet().await;
    assert_eq!(simulator.counts().agent_resumes, 1);
}

#[tokio::test]
async fn a_replay_continues_with_the_rest() {
    let builder = builder().tokens_per_second(20.0);
    let simulator = builder.start().await.unwrap();
    let mut asker = follow(&simulator, "a").await;
    asker.ask("r", "Hi").await;
    for _ in 0..5 {
        drop(asker.hear().await);
    }
    let mut late = follow(&simulator, "a").await;
    assert_eq!(late.hear().await["type"], "cf_agent_stream_resuming");
    late.acknowledge("r").await;
    let mut answer = late.hear_answer().await;
    check_replay(&answer, &replay_complete());
    let rest = late.hear_answer().await;
    assert!(rest.iter().all(|message| message["replay"].is_null()));
    assert_eq!(rest.last().unwrap()["done"], true);
    answer.extend(rest);
    assert_eq!(text(&answer), TEXT);
    assert!(
        asker
            .hear_answer()
            .await
            .iter()
            .all(|message| message["replay"].is_null())
    );
}

#[tokio::test]
async fn a_client_without_acknowledgment_gets_no_chunks() {
    let builder = builder().tokens_per_second(50.0);
    let builder = builder.answer(Answer::text("Again."));
    let simulator = builder.start().await.unwrap();
    let mut asker = follow(&simulator, "a").await;
    asker.ask("r", "Hi").await;
    drop(asker.hear().await);
    let mut late = follow(&simulator, "a").await;
    assert_eq!(late.hear().await["type"], "cf_agent_stream_resuming");
    drop(asker.hear_answer().await);
    late.check_quiet().await;
    late.acknowledge("r").await;
    let answer = late.hear_answer().await;
    check_replay(&answer, &replay_end("r"));
    assert_eq!(text(&answer), TEXT);
    // The next response is sent as it is generated.
    asker.ask("r2", "Hi").await;
    assert_eq!(late.hear().await["type"], "cf_agent_chat_messages");
    assert_eq!(late.hear_answer().await[0]["id"], "r2");
}

#[tokio::test]
async fn a_stream_can_be_requested() {
    let simulator = faulty("stall").await;
    let mut client = stalled(&simulator).await;
    for probe in [None, Some("p")] {
        let mut resuming = json!({"type": "cf_agent_stream_resuming", "id": "r"});
        if let Some(probe) = probe {
            resuming["probeId"] = probe.into();
        }
        assert_eq!(request(&mut client, probe).await, resuming);
    }
    client.acknowledge("r").await;
    assert!(text(&client.hear_answer().await).ends_with("eight"));
}

#[tokio::test]
async fn a_missing_stream_cannot_be_resumed() {
    let simulator = builder().start().await.unwrap();
    let mut client = follow(&simulator, "a").await;
    let none = json!({"type": "cf_agent_stream_resume_none", "reason": "idle"});
    assert_eq!(request(&mut client, None).await, none);
    client.ask("r", "Hi").await;
    drop(client.hear_answer().await);
    let with_probe = request(&mut client, Some("p")).await;
    assert_eq!(with_probe["type"], "cf_agent_stream_resume_none");
    assert_eq!(with_probe["probeId"], "p");
    let mut late = follow(&simulator, "a").await;
    late.check_quiet().await;
}

#[tokio::test]
async fn a_stream_that_has_not_started_is_pending() {
    let builder = builder().boot(Duration::from_millis(500));
    let simulator = builder.start().await.unwrap();
    let mut asker = follow(&simulator, "a").await;
    asker.ask("r", "Hi").await;
    let mut late = follow(&simulator, "a").await;
    let pending = json!({"type": "cf_agent_stream_pending", "probeId": "p"});
    assert_eq!(request(&mut late, Some("p")).await, pending);
    late.acknowledge("r").await;
    let resuming = json!({"type": "cf_agent_stream_resuming", "id": "r", "probeId": "p"});
    assert_eq!(late.hear().await, resuming);
    drop(asker.hear_answer().await);
    late.check_quiet().await;
    late.acknowledge("r").await;
    check_replay(&late.hear_answer().await, &replay_end("r"));
}

#[tokio::test]
async fn a_stream_that_never_starts_is_no_longer_pending() {
    let builder = builder().boot(Duration::from_secs(60));
    let simulator = builder.start().await.unwrap();
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    let pending = request(&mut client, None).await;
    assert_eq!(pending["type"], "cf_agent_stream_pending");
    client
        .say(&json!({"type": "cf_agent_chat_request_cancel", "id": "r"}))
        .await;
    assert_eq!(client.hear_answer().await.len(), 1);
    assert_eq!(client.hear().await["type"], "cf_agent_stream_resume_none");
    client.check_quiet().await;
}

#[tokio::test]
async fn a_complete_stream_is_replayed_to_its_end() {
    let simulator = builder().start().await.unwrap();
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    let live = client.hear_answer().await;
    client.acknowledge("r").await;
    let answer = client.hear_answer().await;
    check_replay(&answer, &replay_end("r"));
    assert_eq!(answer.len(), live.len());
    for (replayed, live) in answer.iter().zip(&live) {
        assert_eq!(replayed["body"], live["body"]);
    }
}

#[tokio::test]
async fn a_canceled_stream_is_replayed_up_to_its_cancellation() {
    let simulator = faulty("stall").await;
    let mut client = stalled(&simulator).await;
    client
        .say(&json!({"type": "cf_agent_chat_request_cancel", "id": "r"}))
        .await;
    drop(client.hear().await);
    client.acknowledge("r").await;
    let answer = client.hear_answer().await;
    check_replay(&answer, &replay_end("r"));
    assert!(text(&answer).ends_with("eight"));
}

#[tokio::test]
async fn an_unknown_stream_has_ended_unless_another_runs() {
    let simulator = faulty("stall").await;
    let mut client = follow(&simulator, "a").await;
    client.acknowledge("x").await;
    assert_eq!(client.hear().await, replay_end("x"));
    let mut client = stalled(&simulator).await;
    client.acknowledge("x").await;
    client.check_quiet().await;
}

#[tokio::test]
async fn only_the_most_recent_agents_are_kept() {
    let simulator = faulty("stall").await;
    let mut first = stalled(&simulator).await;
    for number in 0..1000 {
        drop(
            connect(&simulator, &format!("n{number}"), "")
                .await
                .unwrap(),
        );
    }
    assert_eq!(first.hear_out().await, (Vec::new(), None));
    let mut again = follow(&simulator, "a").await;
    again.check_quiet().await;
}
