//! The clients of the providers, on a scripted transport.

use std::sync::Arc;

use bytes::Bytes;
use inferstream_cablyai::CablyAi;
use inferstream_cerebras::Cerebras;
use inferstream_cloudflare::{Cloudflare, Endpoint};
use inferstream_core::{ChatRequest, Provider, Result};
use inferstream_openai_compat::Compatible;
use inferstream_replicate::Replicate;
use inferstream_test::{Piece, Reply, ScriptedTransport};

/// A Replicate prediction that was created.
pub const CREATED: &str = r#"{"id":"p1","status":"starting","urls":{"get":"https://api.replicate.com/v1/predictions/p1","cancel":"https://api.replicate.com/v1/predictions/p1/cancel","stream":"https://stream.replicate.com/p1"}}"#;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Service {
    Compatible,
    Cerebras,
    CablyAi,
    WorkersAi,
    /// Workers AI at a model's own path.
    Native,
    Replicate,
}

impl Service {
    pub const ALL: &[Self] = &[
        Self::Compatible,
        Self::Cerebras,
        Self::CablyAi,
        Self::WorkersAi,
        Self::Native,
        Self::Replicate,
    ];

    /// Creates a client.
    ///
    /// # Errors
    ///
    /// If a setting of the client is invalid, which none is.
    pub fn client(self, transport: &ScriptedTransport) -> Result<Arc<dyn Provider>> {
        let transport = transport.clone();
        let workers_ai = |endpoint| {
            let account = "0123456789abcdef0123456789abcdef";
            let builder = Cloudflare::builder().account_id(account);
            builder.api_token("fuzzed-token").endpoint(endpoint)
        };
        Ok(match self {
            Self::Compatible => {
                let builder = Compatible::new("https://engine.test/v1").transport(transport);
                Arc::new(builder.build()?)
            }
            Self::Cerebras => {
                let builder = Cerebras::builder().api_key("fuzzed-key");
                Arc::new(builder.transport(transport).build()?)
            }
            Self::CablyAi => {
                let builder = CablyAi::builder().api_key("fuzzed-key");
                Arc::new(builder.transport(transport).build()?)
            }
            Self::WorkersAi => {
                let builder = workers_ai(Endpoint::OpenAi).transport(transport);
                Arc::new(builder.build()?)
            }
            Self::Native => {
                let builder = workers_ai(Endpoint::Native).transport(transport);
                Arc::new(builder.build()?)
            }
            Self::Replicate => {
                let builder = Replicate::builder().api_key("r8_fuzzed").metrics(false);
                Arc::new(builder.transport(transport).build()?)
            }
        })
    }

    /// Returns a request for a model of the service.
    pub fn request(self) -> ChatRequest {
        let model = match self {
            Self::CablyAi | Self::Compatible => "deepseek-v3",
            Self::Cerebras => "gpt-oss-120b",
            Self::Replicate => "openai/gpt-5",
            Self::WorkersAi | Self::Native => "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
        };
        ChatRequest::new(model).user("Hi")
    }

    /// Creates a transport that sends one stream, and fails each other request.
    pub fn stream(self, pieces: Vec<Piece>) -> ScriptedTransport {
        let is_replicate = self == Self::Replicate;
        ScriptedTransport::by(move |request, before| match before.len() {
            0 if is_replicate => Reply::json(201, CREATED),
            1 if is_replicate => Reply::sse(pieces.clone()),
            0 => Reply::sse(pieces.clone()),
            _ if is_cancel(request) => Reply::json(200, "{}"),
            _ => Reply::json(404, r#"{"detail":"not found"}"#),
        })
    }
}

fn is_cancel(request: &http::Request<Bytes>) -> bool {
    request.uri().path().ends_with("/cancel")
}
