//! A conversation of two turns, printed while the responses arrive.
//!
//! `cargo run -p inferstream-cloudflare --example chat`
//!
//! Without `CLOUDFLARE_API_TOKEN`, it uses the simulator in this process.

#![allow(clippy::print_stdout, reason = "the program prints the responses")]

use std::{
    env,
    error::Error,
    io::{Write, stdout},
};

use inferstream_cloudflare::{ChatRequest, Cloudflare, Message};
use inferstream_simulator::Simulator;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match env::var_os("CLOUDFLARE_API_TOKEN") {
        Some(_) => talk(&Cloudflare::from_env()?).await,
        None => simulated().await,
    }
}

async fn simulated() -> Result<()> {
    let simulator = Simulator::builder().start().await?;
    let cloudflare = Cloudflare::builder()
        .base_url(simulator.cloudflare_url())
        .account_id("0123456789abcdef0123456789abcdef")
        .api_token("any")
        .build()?;
    talk(&cloudflare).await
}

async fn talk(cloudflare: &Cloudflare) -> Result<()> {
    // The conversation: services keep no state between requests.
    let mut messages = vec![Message::system("Answer in one sentence.")];
    for question in ["Why is the sky blue?", "And at dusk?"] {
        println!("> {question}");
        messages.push(Message::user(question));
        let request = ChatRequest::from(messages.clone());
        let mut stream = cloudflare.stream(request).await?;
        while let Some(text) = stream.text().next().await {
            print!("{}", text?);
            stdout().flush()?;
        }
        println!();
        messages.push(stream.finish().await?.message());
    }
    Ok(())
}

#[tokio::test]
async fn it_runs() {
    simulated().await.unwrap();
}
