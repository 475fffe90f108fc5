//! A provider written from nothing, and a program that streams text from it.
//!
//! `CONTRIBUTING.md` explains it step by step, under "Write a provider".
//!
//! `cargo run -p inferstream-openai-compat --features transport --example openrouter`
//!
//! Without `OPENROUTER_API_KEY`, it uses the simulator in this process.

#![allow(clippy::print_stdout, reason = "the program prints the response")]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the provider is written as a library"
)]
mod provider;

use std::{env, error::Error};

use http::HeaderValue;
use inferstream_client::Setting;
use inferstream_openai_compat::ChatRequest;
use inferstream_simulator::Simulator;

use self::provider::{OpenRouter, OpenRouterBuilder};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match env::var_os("OPENROUTER_API_KEY") {
        Some(_) => ask(&build(OpenRouterBuilder::from_env()?)?).await,
        None => simulated().await,
    }
}

async fn simulated() -> Result<()> {
    let simulator = Simulator::builder().start().await?;
    let mut builder = OpenRouterBuilder::default().api_key("any");
    builder.settings.base_url = Some(Setting::new(simulator.compatible_url()));
    ask(&build(builder)?).await
}

fn build(builder: OpenRouterBuilder) -> Result<OpenRouter> {
    let url = HeaderValue::from_static("https://example.com");
    let title = HeaderValue::from_static("An example");
    Ok(builder.app(url, title).build()?)
}

async fn ask(openrouter: &OpenRouter) -> Result<()> {
    let request = ChatRequest::new("openai/gpt-4o-mini").user("Why is the sky blue?");
    let mut stream = openrouter.stream(request).await?;
    while let Some(text) = stream.text().next().await {
        print!("{}", text?);
    }
    println!();
    Ok(())
}

#[tokio::test]
async fn it_runs() {
    simulated().await.unwrap();
}
