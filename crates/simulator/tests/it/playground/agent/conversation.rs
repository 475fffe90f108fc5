//! Messages to and from agents.

use futures_util::SinkExt;
use inferstream_simulator::{Answer, Simulator};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    RESPONSE, builder, chunks, conversation, conversation_of, faulty, follow, message, question,
    text,
};

async fn start() -> Simulator {
    Simulator::builder().start().await.unwrap()
}

#[tokio::test]
async fn a_response_consists_of_chunks_and_an_end() {
    let answer = Answer::tokens(["Hel", "lo"]).reasoning("Hm");
    let builder = Simulator::builder().answer(answer);
    let simulator = builder.start().await.unwrap();
    let mut client = follow(&simulator, "a").await;
    client.ask("r1", "Hi").await;
    let answer = client.hear_answer().await;
    assert_eq!(
        answer[0],
        json!({"type": RESPONSE, "id": "r1", "body": "{\"type\":\"start\"}", "done": false})
    );
    assert_eq!(
        chunks(&answer),
        [
            json!({"type": "start"}),
            json!({"type": "start-step"}),
            json!({"type": "reasoning-start", "id": "0"}),
            json!({"type": "reasoning-delta", "id": "0", "delta": "Hm"}),
            json!({"type": "reasoning-end", "id": "0"}),
            json!({"type": "text-start", "id": "1"}),
            json!({"type": "text-delta", "id": "1", "delta": "Hel"}),
            json!({"type": "text-delta", "id": "1", "delta": "lo"}),
            json!({"type": "text-end", "id": "1"}),
            json!({"type": "finish-step"}),
            json!({"type": "finish", "finishReason": "stop"}),
        ]
    );
    assert_eq!(
        answer.last().unwrap(),
        &json!({"type": RESPONSE, "id": "r1", "body": "", "done": true})
    );
    client.check_quiet().await;
    assert_eq!(simulator.counts().agent_turns, 1);
}

#[tokio::test]
async fn a_response_calls_tools_in_steps() {
    let answer = Answer::text("Let me look.").tool_call("sky", r#"{"at":"noon"}"#);
    let answer = answer.step(Answer::text("Blue.").finish_reason("content_filter"));
    let builder = Simulator::builder().answer(answer);
    let simulator = builder.start().await.unwrap();
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    let chunks = chunks(&client.hear_answer().await);
    let has = |kind: &str| chunks.iter().filter(|chunk| chunk["type"] == kind).count();
    assert_eq!((has("start-step"), has("finish-step")), (2, 2));
    assert_eq!(
        (has("tool-input-available"), has("tool-output-available")),
        (1, 1)
    );
    assert_eq!(chunks.last().unwrap()["finishReason"], "content-filter");
    let messages = conversation_of(&simulator, "a", 2).await;
    let parts = messages[1]["parts"].as_array().unwrap();
    let kinds: Vec<_> = parts.iter().map(|part| &part["type"]).collect();
    assert_eq!(
        kinds,
        ["step-start", "text", "tool-sky", "step-start", "text"]
    );
    assert_eq!(parts[2]["state"], "output-available");
    assert_eq!(parts[2]["input"], json!({"at": "noon"}));
}

#[tokio::test]
async fn a_response_is_generated() {
    let start = || Simulator::builder().seed(7).start();
    let mut answers = Vec::new();
    for simulator in [start().await.unwrap(), start().await.unwrap()] {
        let mut client = follow(&simulator, "a").await;
        client.ask("r", "Tell a story!").await;
        answers.push(client.hear_answer().await);
    }
    assert_eq!(answers[0], answers[1]);
    assert!(100 < text(&answers[0]).len());
}

#[tokio::test]
async fn a_conversation_keeps_complete_responses() {
    let simulator = builder().start().await.unwrap();
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    drop(client.hear_answer().await);
    let messages = conversation(&simulator, "a").await;
    assert_eq!(messages[0], message("Hi"));
    assert_eq!(messages[1]["role"], "assistant");
    assert_eq!(
        messages[1]["parts"][1],
        json!({
            "type": "text",
            "text": "one two three four five six seven eight nine ten",
            "state": "done",
        })
    );
    assert_eq!(conversation(&simulator, "b").await, json!([]));
}

#[tokio::test]
async fn agents_share_no_state() {
    let simulator = start().await;
    let mut one = follow(&simulator, "a").await;
    let mut other = follow(&simulator, "b").await;
    one.ask("r", "Hi").await;
    drop(one.hear_answer().await);
    other.check_quiet().await;
    assert_eq!(conversation(&simulator, "b").await, json!([]));
}

#[tokio::test]
async fn all_clients_of_an_agent_are_notified() {
    let simulator = builder().start().await.unwrap();
    let mut asker = follow(&simulator, "a").await;
    let mut other = follow(&simulator, "a").await;
    asker.ask("r", "Hi").await;
    assert_eq!(
        other.hear().await,
        json!({"type": "cf_agent_chat_messages", "messages": [message("Hi")]})
    );
    assert_eq!(asker.hear_answer().await, other.hear_answer().await);
}

#[tokio::test]
async fn a_response_continues_without_its_client() {
    let simulator = builder().tokens_per_second(100.0).start().await.unwrap();
    let mut asker = follow(&simulator, "a").await;
    asker.ask("r", "Hi").await;
    drop(asker.hear().await);
    drop(asker);
    conversation_of(&simulator, "a", 2).await;
}

#[tokio::test]
async fn unknown_messages_are_ignored() {
    let simulator = start().await;
    let mut client = follow(&simulator, "a").await;
    let mut bad = vec![
        String::new(),
        "no JSON".to_owned(),
        "[]".to_owned(),
        json!({"type": "unknown"}).to_string(),
        json!({"type": "cf_agent_use_chat_request", "id": "r"}).to_string(),
    ];
    let bodies = [
        "",
        "{",
        "[]",
        "{}",
        r#"{"messages":[]}"#,
        r#"{"messages":"Hi"}"#,
        r#"{"messages":[{"id":"m"}]}"#,
        r#"{"messages":[1]}"#,
    ];
    bad.extend(bodies.map(|body| {
        let mut question = question("r", "Hi");
        question["init"]["body"] = body.into();
        question.to_string()
    }));
    for member in ["method", "body"] {
        let mut question = question("r", "Hi");
        question["init"][member] = 1.into();
        bad.push(question.to_string());
    }
    for message in bad {
        client.socket.send(Message::text(message)).await.unwrap();
        client.check_quiet().await;
    }
    let binary = Message::binary(question("r", "Hi").to_string());
    client.socket.send(binary).await.unwrap();
    client.check_quiet().await;
    assert_eq!(conversation(&simulator, "a").await, json!([]));
    assert_eq!(simulator.counts().agent_turns, 0);
}

#[tokio::test]
async fn a_state_is_replaced_and_sent_to_other_clients() {
    let simulator = start().await;
    let mut one = follow(&simulator, "a").await;
    let mut other = follow(&simulator, "a").await;
    let state = json!({"type": "cf_agent_state", "state": {"model": "@cf/qwen/qwq-32b", "x": 1}});
    one.say(&state).await;
    one.check_quiet().await;
    assert_eq!(other.hear().await, state);
    let mut late = super::connect(&simulator, "a", "").await.unwrap();
    drop(late.hear().await);
    assert_eq!(late.hear().await, state);
}

#[tokio::test]
async fn a_state_without_a_model_is_refused() {
    let simulator = start().await;
    let mut one = follow(&simulator, "a").await;
    let mut other = follow(&simulator, "a").await;
    for state in [
        json!(null),
        json!("x"),
        json!([]),
        json!({}),
        json!({"model": 1}),
    ] {
        one.say(&json!({"type": "cf_agent_state", "state": state}))
            .await;
        assert_eq!(
            one.hear().await,
            json!({"type": "cf_agent_state_error", "error": "State update rejected"})
        );
    }
    one.say(&json!({"type": "cf_agent_state"})).await;
    assert_eq!(one.hear().await["type"], "cf_agent_state_error");
    other.check_quiet().await;
    drop(follow(&simulator, "a").await);
}

#[tokio::test]
async fn a_model_that_does_not_exist_has_an_error() {
    let simulator = builder().start().await.unwrap();
    let mut client = follow(&simulator, "a").await;
    client
        .say(&json!({"type": "cf_agent_state", "state": {"model": "@cf/x/y"}}))
        .await;
    client.ask("r1", "Hi").await;
    let answer = client.hear_answer().await;
    assert_eq!(
        chunks(&answer),
        [
            json!({"type": "start"}),
            json!({"type": "error", "errorText": "An error occurred."}),
        ]
    );
    assert_eq!(answer.last().unwrap()["error"], Value::Null);
    assert_eq!(conversation(&simulator, "a").await, json!([message("Hi")]));
}

#[tokio::test]
async fn a_response_can_be_canceled() {
    let simulator = faulty("stall").await;
    let mut asker = follow(&simulator, "a").await;
    let mut other = follow(&simulator, "a").await;
    let cancel = json!({"type": "cf_agent_chat_request_cancel", "id": "r"});
    other.say(&cancel).await;
    asker.ask("r", "Hi").await;
    while asker.hear().await["body"].as_str().unwrap()
        != r#"{"type":"text-delta","delta":" eight","id":"0"}"#
    {}
    other.say(&cancel).await;
    let end = json!({"type": RESPONSE, "id": "r", "body": "", "done": true});
    assert_eq!(asker.hear().await, end);
    assert_eq!(other.hear().await["type"], "cf_agent_chat_messages");
    let answer = other.hear_answer().await;
    assert_eq!(answer.last().unwrap(), &end);
    assert!(text(&answer).ends_with("eight"));
    assert_eq!(conversation(&simulator, "a").await, json!([message("Hi")]));
    assert_eq!(simulator.counts().agent_cancels, 2);
}

#[tokio::test]
async fn responses_are_sent_one_after_another() {
    let simulator = faulty("stall").await;
    let mut client = follow(&simulator, "a").await;
    client.ask("r1", "Hi").await;
    client.ask("r2", "Hi again").await;
    for _ in 0..11 {
        assert_eq!(client.hear().await["id"], "r1");
    }
    client.check_quiet().await;
    client
        .say(&json!({"type": "cf_agent_chat_request_cancel", "id": "r1"}))
        .await;
    assert_eq!(client.hear_answer().await[0]["id"], "r1");
    let answer = client.hear_answer().await;
    assert_eq!(answer[0]["id"], "r2");
    assert_eq!(chunks(&answer).last().unwrap()["type"], "finish");
}

#[tokio::test]
async fn a_running_turn_is_not_started_again() {
    let simulator = faulty("stall").await;
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    for _ in 0..11 {
        drop(client.hear().await);
    }
    client.ask("r", "Hi").await;
    client.check_quiet().await;
    assert_eq!(simulator.counts().agent_turns, 1);
}

#[tokio::test]
async fn a_conversation_can_be_cleared() {
    let simulator = faulty("stall").await;
    let mut one = follow(&simulator, "a").await;
    let mut other = follow(&simulator, "a").await;
    one.ask("r", "Hi").await;
    for _ in 0..11 {
        drop(one.hear().await);
    }
    one.say(&json!({"type": "cf_agent_chat_clear"})).await;
    one.check_quiet().await;
    for _ in 0..12 {
        drop(other.hear().await);
    }
    assert_eq!(other.hear().await, json!({"type": "cf_agent_chat_clear"}));
    assert_eq!(conversation(&simulator, "a").await, json!([]));
    one.say(&json!({"type": "cf_agent_stream_resume_request"}))
        .await;
    assert_eq!(one.hear().await["type"], "cf_agent_stream_resume_none");
    one.ask("r", "Hi").await;
    assert_eq!(one.hear_answer().await.last().unwrap()["done"], true);
}

#[tokio::test]
async fn a_method_lists_the_models() {
    let simulator = start().await;
    let mut client = follow(&simulator, "a").await;
    client
        .say(&json!({"type": "rpc", "id": "u", "method": "getModels", "args": []}))
        .await;
    let answer = client.hear().await;
    assert_eq!(
        (&answer["type"], &answer["id"]),
        (&json!("rpc"), &json!("u"))
    );
    assert_eq!(
        (&answer["success"], &answer["done"]),
        (&json!(true), &json!(true))
    );
    let models = answer["result"].as_array().unwrap();
    assert_eq!(models.len(), 9);
    for model in models {
        assert!(model["name"].as_str().unwrap().starts_with("@cf/"));
        assert_eq!(model["id"].as_str().unwrap().len(), 36);
        assert_eq!(model["task"]["name"], "Text Generation");
    }
    client
        .say(&json!({"type": "rpc", "id": "v", "method": "getX", "args": []}))
        .await;
    assert_eq!(
        client.hear().await,
        json!({"type": "rpc", "id": "v", "success": false, "error": "Method getX does not exist"})
    );
}
