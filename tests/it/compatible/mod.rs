//! CablyAI, and the client for any compatible service.

mod cablyai;
mod environment;
mod generic;
mod openrouter;
mod preset;

use inferstream_core::Model;

use crate::support::{Answer, Wire, piece, sse};

const KEY: &str = "sk-5ecret-0f-the-test";

/// A transport with complete responses.
fn wire() -> Wire {
    Wire::new([Answer::sse([piece(
        sse(&[
            r#"{"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            "[DONE]",
        ])
        .as_bytes(),
    )])])
}

fn ids(models: &[Model]) -> Vec<&str> {
    models.iter().map(|model| model.id.as_str()).collect()
}
