//! Traces of calls through every entry point.

mod compose;
mod content;
mod cookies;
mod ends;
mod events;
mod fields;
mod filters;
mod log;
pub(crate) mod recorder;
mod scope;

use inferstream_cablyai::CablyAi;
use inferstream_cerebras::Cerebras;
use inferstream_cloudflare::Cloudflare;
use inferstream_core::{ChatRequest, Error, ErrorKind, Provider, RecordContent, RetryPolicy, Sent};
use inferstream_openai_compat::Compatible;
use inferstream_replicate::Replicate;
use serde_json::json;

use self::recorder::{Filter, Recorder, Seen};
use crate::support::{Answer, Outcome, Piece, Wire, block_on, seconds, sse};

/// Secrets that must not be recorded: the key, the prompt, the response, a cookie, the path of an
/// account.
const KEY: &str = "k3y-5ecret-0f-the-test";
const PROMPT: &str = "pr0mpt-that-nobody-else-may-read";
const ANSWER: &str = "answ3r";
const COOKIE: &str = "c00kie-5ecret";
const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// The endpoint of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Endpoint {
    CablyAi,
    Cerebras,
    Compatible,
    WorkersAi,
    Playground,
    Replicate,
}

const ENDPOINTS: [Endpoint; 6] = [
    Endpoint::CablyAi,
    Endpoint::Cerebras,
    Endpoint::Compatible,
    Endpoint::WorkersAi,
    Endpoint::Playground,
    Endpoint::Replicate,
];

impl Endpoint {
    fn client(self, wire: &Wire) -> Box<dyn Provider> {
        let wire = wire.clone();
        let never = RetryPolicy::never();
        let client: Box<dyn Provider> = match self {
            Self::CablyAi => Box::new(
                CablyAi::builder()
                    .api_key(KEY)
                    .transport(wire)
                    .retry(never)
                    .build()
                    .unwrap(),
            ),
            Self::Compatible => Box::new(
                Compatible::new(format!("https://gateway.test:8443/{ACCOUNT}/v1"))
                    .name("groq")
                    .api_key(KEY)
                    .default_model("llama3.2")
                    .transport(wire)
                    .retry(never)
                    .build()
                    .unwrap(),
            ),
            Self::Cerebras => Box::new(
                Cerebras::builder()
                    .api_key(KEY)
                    .transport(wire)
                    .retry(never)
                    .build()
                    .unwrap(),
            ),
            Self::WorkersAi => Box::new(
                Cloudflare::builder()
                    .account_id(ACCOUNT)
                    .api_token(KEY)
                    .transport(wire)
                    .retry(never)
                    .build()
                    .unwrap(),
            ),
            Self::Playground => Box::new(
                Cloudflare::builder()
                    .playground()
                    .transport(wire)
                    .retry(never)
                    .build()
                    .unwrap(),
            ),
            Self::Replicate => Box::new(
                Replicate::builder()
                    .api_key(KEY)
                    .transport(wire)
                    .retry(never)
                    .build()
                    .unwrap(),
            ),
        };
        client
    }

    /// Returns the prompt as a request that can be sent.
    fn request(self) -> ChatRequest {
        match self {
            // It has no default model.
            Self::CablyAi => ChatRequest::new("deepseek-v3").user(PROMPT),
            _ => PROMPT.into(),
        }
    }

    /// Returns the responses of the service to the prompt; the first fragment arrives after 2 s.
    fn answers(self) -> Vec<Answer> {
        let wait = Piece::Wait(seconds(2));
        match self {
            Self::CablyAi | Self::Cerebras | Self::Compatible | Self::WorkersAi => {
                vec![Answer::sse([wait, Piece::from(chunks().as_str())])]
            }
            Self::Playground => {
                let text = format!(
                    "f:{{\"messageId\":\"m-1\"}}\n0:\"{ANSWER}\"\n\
                     d:{{\"finishReason\":\"stop\",\"usage\":{{\"promptTokens\":7,\"completionTokens\":11}}}}\n"
                );
                let answer = Answer::new(200, [wait, Piece::from(text.as_str())])
                    .header("content-type", "text/plain; charset=utf-8")
                    .header("set-cookie", format!("__cf_bm={COOKIE}; Path=/; Secure"));
                vec![answer]
            }
            Self::Replicate => {
                let stream = format!(
                    "event: output\nid: 1:0\ndata: {ANSWER}\n\nevent: done\nid: 2:0\ndata: {{}}\n\n"
                );
                vec![
                    Answer::json(201, &prediction("starting").to_string()),
                    Answer::sse([wait, Piece::from(stream.as_str())]),
                    Answer::json(200, &prediction("succeeded").to_string()),
                ]
            }
        }
    }

    /// Like `answers`, for a complete response.
    fn whole(self) -> Vec<Answer> {
        match self {
            Self::CablyAi | Self::Cerebras | Self::Compatible | Self::WorkersAi => {
                let document = json!({
                    "id": "chatcmpl-1",
                    "model": "model-that-answered",
                    "choices": [{
                        "index": 0,
                        "message": {"role": "assistant", "content": ANSWER},
                        "finish_reason": "stop",
                    }],
                    "usage": usage(),
                });
                vec![Answer::json(200, &document.to_string())]
            }
            _ => self.answers(),
        }
    }
}

fn usage() -> serde_json::Value {
    json!({
        "prompt_tokens": 7,
        "completion_tokens": 11,
        "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 5},
    })
}

fn chunk() -> String {
    json!({
        "id": "chatcmpl-1",
        "model": "model-that-answered",
        "choices": [{"index": 0, "delta": {"content": ANSWER}}],
    })
    .to_string()
}

fn finish() -> String {
    let choices = json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]);
    json!({"choices": choices, "usage": usage()}).to_string()
}

fn chunks() -> String {
    // Workers AI sends the total after the finish reason, where Cerebras ends.
    let sum = json!({"choices": [], "usage": usage()}).to_string();
    sse(&[&chunk(), &finish(), &sum, "[DONE]"])
}

fn prediction(status: &str) -> serde_json::Value {
    let url = "https://api.replicate.com/v1/predictions/4awn473bsrztjzlx2b6ufoxkkm";
    let mut value = json!({
        "id": "4awn473bsrztjzlx2b6ufoxkkm",
        "model": "meta/meta-llama-3-70b-instruct",
        "status": status,
        "output": null,
        "error": null,
        "urls": {
            "get": url,
            "cancel": format!("{url}/cancel"),
            "stream": "https://streaming-api.svc.us.c.replicate.net/v1/predictions/x",
        },
    });
    if status == "succeeded" {
        value["output"] = json!([ANSWER]);
        value["metrics"] = json!({"input_token_count": 7, "output_token_count": 11});
    }
    value
}

/// All spans and events of the crates except content.
pub(crate) fn usual(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.target() == "inferstream"
}

/// Everything, as with `RUST_LOG=trace`.
fn everything(_: &tracing::Metadata<'_>) -> bool {
    true
}

/// Returns a request whose content may be recorded.
fn recorded(request: impl Into<ChatRequest>) -> ChatRequest {
    request.into().record_content(RecordContent::Always)
}

/// Requests a stream and reads it to its end.
#[track_caller]
fn ask(
    endpoint: Endpoint,
    answers: Vec<Answer>,
    request: impl Into<ChatRequest>,
) -> (Outcome, Seen) {
    ask_under(usual, endpoint, answers, request)
}

#[track_caller]
fn ask_under(
    filter: Filter,
    endpoint: Endpoint,
    answers: Vec<Answer>,
    request: impl Into<ChatRequest>,
) -> (Outcome, Seen) {
    let recorder = Recorder::new(filter);
    let wire = Wire::new(answers);
    let request = request.into();
    let outcome = recorder.watch(|| {
        let opened = block_on(&wire.clock, endpoint.client(&wire).stream(request));
        Outcome::read(&wire, opened)
    });
    (outcome, recorder.seen())
}

/// Creates the error of a transport for a request that was not sent.
fn refused() -> Error {
    Error::new(ErrorKind::Connect, "no connection").with_sent(Sent::No)
}
