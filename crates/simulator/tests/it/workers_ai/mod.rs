//! Workers AI: chats at its endpoints, and their faults.

mod api;
mod faults;
mod requests;
mod streams;

use inferstream_simulator::{Answer, Simulator};
use serde_json::Value;

use crate::client::{Response, send};

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// A model of each kind.
const LLAMA_2: &str = "@cf/meta/llama-2-7b-chat-int8";
const LLAMA_3_1: &str = "@cf/meta/llama-3.1-8b-instruct-fp8";
const LLAMA_3_3: &str = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";
const GEMMA: &str = "@cf/google/gemma-4-26b-a4b-it";
const GPT_OSS: &str = "@cf/openai/gpt-oss-120b";
const QWQ: &str = "@cf/qwen/qwq-32b";
const GLM: &str = "@cf/zai-org/glm-4.7-flash";
const KIMI: &str = "@cf/moonshotai/kimi-k2.6";
const MISTRAL: &str = "@cf/mistralai/mistral-small-3.1-24b-instruct";

/// The ten tokens of most tests.
const TOKENS: [&str; 10] = [
    "one", " two", " three", " four", " five", " six", " seven", " eight", " nine", " ten",
];

async fn start(answers: impl IntoIterator<Item = Answer>) -> Simulator {
    let builder = answers
        .into_iter()
        .fold(Simulator::builder(), |builder, answer| {
            builder.answer(answer)
        });
    builder.start().await.unwrap()
}

/// Sends a request below the account, with any key.
async fn call(simulator: &Simulator, method: &str, path: &str, body: &str) -> Response {
    let path = format!("/client/v4/accounts/{ACCOUNT}/ai/{path}");
    call_at(
        simulator,
        method,
        &path,
        "authorization: Bearer any\r\n",
        body,
    )
    .await
}

/// Sends a request with these header lines.
async fn call_at(
    simulator: &Simulator,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Response {
    let len = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {len}\r\n\r\n{body}"
    );
    send(simulator, &request).await
}

/// Sends a request for a model to `ai/run`.
async fn run(simulator: &Simulator, model: &str, fields: &str) -> Response {
    call(
        simulator,
        "POST",
        &format!("run/{model}"),
        &body("Hi", fields),
    )
    .await
}

/// Sends a request for a model to `ai/v1/chat/completions`.
async fn chat(simulator: &Simulator, model: &str, fields: &str) -> Response {
    let body = crate::client::request(model, "Hi", fields);
    call(simulator, "POST", "v1/chat/completions", &body).await
}

/// Returns the body of a request with additional `fields`.
fn body(prompt: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"messages":[{{"role":"user","content":"{prompt}"}}]{comma}{fields}}}"#)
}

/// Returns the JSON of all events of a complete stream that ends with `[DONE]`.
#[track_caller]
fn events(response: &Response) -> Vec<Value> {
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    let (mut chunks, whole) = response.chunks();
    assert!(whole);
    assert_eq!(chunks.pop().as_deref(), Some("data: [DONE]\n\n"));
    chunks.iter().map(|chunk| json(chunk)).collect()
}

/// Returns the JSON of one event.
#[track_caller]
fn json(chunk: &str) -> Value {
    let data = chunk.strip_prefix("data: ").unwrap();
    serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap()
}

/// Joins the texts of the events.
fn said(events: &[Value]) -> String {
    let texts = events.iter().filter_map(|event| {
        event["response"]
            .as_str()
            .or_else(|| event["choices"][0]["delta"]["content"].as_str())
    });
    texts.collect()
}

/// Removes the random padding of an event, which must be there.
#[track_caller]
fn unpadded(mut event: Value) -> Value {
    let padding = event.as_object_mut().unwrap().remove("p").unwrap();
    assert!((8..=36).contains(&padding.as_str().unwrap().len()));
    event
}
