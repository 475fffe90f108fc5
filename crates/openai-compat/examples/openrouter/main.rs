//! A provider written from nothing, and a program that streams text from it.
//!
//! `CONTRIBUTING.md` explains it step by step, under "Write a provider".
//! Run it with a key in `OPENROUTER_API_KEY`:
//! `cargo run -p inferstream-openai-compat --features transport --example openrouter`

#![allow(clippy::print_stdout, reason = "the program prints the response")]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the provider is written as a library"
)]
mod provider;

use http::HeaderValue;
use inferstream_openai_compat::{ChatRequest, Result};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let url = HeaderValue::from_static("https://example.com");
    let title = HeaderValue::from_static("An example");
    let openrouter = provider::OpenRouterBuilder::from_env()?
        .app(url, title)
        .build()?;
    let request = ChatRequest::new("openai/gpt-4o-mini").user("Why is the sky blue?");
    let mut stream = openrouter.stream(request).await?;
    while let Some(text) = stream.text().next().await {
        print!("{}", text?);
    }
    println!();
    Ok(())
}
