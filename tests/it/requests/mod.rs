//! The settings of a request at each provider: sent, omitted or rejected.

mod agree;
mod calls;
mod composed;
mod derived;
mod fields;
mod gzip;
mod names;
mod policy;
mod refused_schemas;
mod schema_uri;
mod schemas;
mod soundness;
mod validity;

use std::sync::Arc;

use inferstream_cablyai::CablyAi;
use inferstream_cerebras::Cerebras;
use inferstream_cloudflare::{Cloudflare, Endpoint};
use inferstream_core::{ChatRequest, Error, Provider, RetryPolicy, Unsupported};
use inferstream_openai_compat::{Compatible, CompatibleBuilder};
use inferstream_replicate::Replicate;
use serde_json::Value;

use crate::support::{Answer, Wire, block_on};

const KEY: &str = "secret-key-of-tests";

/// The destination of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Service {
    Agent,
    CablyAi,
    Cerebras,
    /// The client of Cerebras at another host.
    Elsewhere,
    Compatible,
    Playground,
    Replicate,
    WorkersAi,
    /// Workers AI at a model's own path.
    Native,
}

impl Service {
    const ALL: [Self; 9] = [
        Self::Agent,
        Self::CablyAi,
        Self::Cerebras,
        Self::Elsewhere,
        Self::Compatible,
        Self::Playground,
        Self::Replicate,
        Self::WorkersAi,
        Self::Native,
    ];

    fn provider(self, wire: &Wire) -> Arc<dyn Provider> {
        let wire = wire.clone();
        let workers_ai = || {
            let account = "0123456789abcdef0123456789abcdef";
            Cloudflare::builder().account_id(account).api_token(KEY)
        };
        match self {
            Self::Agent => {
                let builder = Cloudflare::builder().playground_agent().transport(wire);
                Arc::new(builder.build().unwrap())
            }
            Self::CablyAi => {
                let builder = CablyAi::builder().api_key(KEY).transport(wire);
                Arc::new(builder.build().unwrap())
            }
            Self::Cerebras => {
                let builder = Cerebras::builder().api_key(KEY).transport(wire);
                Arc::new(builder.build().unwrap())
            }
            Self::Elsewhere => {
                let builder = Cerebras::builder().base_url("http://engine.test/v1");
                Arc::new(builder.transport(wire).build().unwrap())
            }
            Self::Compatible => compatible(&wire, |builder| builder),
            Self::Playground => {
                let builder = Cloudflare::builder().playground().transport(wire);
                Arc::new(builder.build().unwrap())
            }
            Self::Replicate => {
                let builder = Replicate::builder().api_key(KEY).transport(wire);
                Arc::new(builder.build().unwrap())
            }
            Self::WorkersAi => Arc::new(workers_ai().transport(wire).build().unwrap()),
            Self::Native => {
                let builder = workers_ai().endpoint(Endpoint::Native).transport(wire);
                Arc::new(builder.build().unwrap())
            }
        }
    }

    /// Returns a request for a model of the service, without settings.
    fn hi(self) -> ChatRequest {
        let model = match self {
            Self::CablyAi | Self::Compatible => "deepseek-v3",
            Self::Cerebras | Self::Elsewhere => "gpt-oss-120b",
            Self::Replicate => "openai/gpt-5",
            _ => "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
        };
        ChatRequest::new(model).user("Hi")
    }

    /// Checks a request.
    fn check(self, request: &ChatRequest) -> Result<Vec<Unsupported>, Error> {
        self.provider(&wire()).check(request)
    }

    /// Sends a request, which the service refuses, and returns its body.
    #[track_caller]
    fn body(self, request: ChatRequest) -> Value {
        let wire = wire();
        body(&*self.provider(&wire), &wire, request)
    }
}

fn compatible(
    wire: &Wire,
    set: impl FnOnce(CompatibleBuilder) -> CompatibleBuilder,
) -> Arc<dyn Provider> {
    let builder = Compatible::new("http://engine.test/v1").transport(wire.clone());
    Arc::new(set(builder).build().unwrap())
}

/// A transport that refuses everything.
fn wire() -> Wire {
    Wire::new([Answer::json(400, "{}")])
}

#[track_caller]
fn body(provider: &dyn Provider, wire: &Wire, request: ChatRequest) -> Value {
    let request = request.retry(RetryPolicy::never());
    block_on(&wire.clock, provider.stream(request)).unwrap_err();
    wire.json()
}
