//! The playground: its page, its protocols, and its faults.

mod agent;
mod faults;
mod session;
mod streams;

use inferstream_simulator::{Answer, PlaygroundProtocol, Simulator, SimulatorBuilder};
use serde_json::json;

use crate::client::{Response, send};

const MODEL: &str = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";

/// The ten tokens of most tests.
const TOKENS: [&str; 10] = [
    "one", " two", " three", " four", " five", " six", " seven", " eight", " nine", " ten",
];

fn builder(protocol: PlaygroundProtocol, answer: Answer) -> SimulatorBuilder {
    Simulator::builder().playground(protocol).answer(answer)
}

/// Sends a request below the playground, with this `Cookie` if it is not empty.
async fn call(
    simulator: &Simulator,
    method: &str,
    path: &str,
    cookie: &str,
    body: &str,
) -> Response {
    let cookie = match cookie {
        "" => String::new(),
        cookie => format!("cookie: {cookie}\r\n"),
    };
    let len = body.len();
    let request = format!(
        "{method} /playground{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{cookie}content-length: {len}\r\n\r\n{body}"
    );
    send(simulator, &request).await
}

/// Sends a prompt.
async fn infer(simulator: &Simulator) -> Response {
    let body = body(MODEL, "Hi");
    call(simulator, "POST", "/api/inference", "", &body).await
}

fn body(model: &str, prompt: &str) -> String {
    json!({
        "messages": [{
            "role": "user",
            "content": prompt,
            "parts": [{"type": "text", "text": prompt}],
        }],
        "lora": null,
        "model": model,
        "max_tokens": 2048,
        "stream": true,
        "system_message": "You are a helpful assistant",
        "tools": [],
    })
    .to_string()
}
