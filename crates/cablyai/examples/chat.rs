//! A conversation of two turns, printed while the responses arrive.
//!
//! `cargo run -p inferstream-cablyai --example chat`
//!
//! Without `CABLYAI_API_KEY`, it uses the simulator in this process.

#![allow(clippy::print_stdout, reason = "the program prints the responses")]

use std::{
    env,
    error::Error,
    io::{Write, stdout},
};

use inferstream_cablyai::{CablyAi, ChatRequest, Message};
use inferstream_simulator::Simulator;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match env::var_os("CABLYAI_API_KEY") {
        Some(_) => talk(&CablyAi::from_env()?).await,
        None => simulated().await,
    }
}

async fn simulated() -> Result<()> {
    let simulator = Simulator::builder().start().await?;
    let cablyai = CablyAi::builder()
        .base_url(simulator.compatible_url())
        .build()?;
    talk(&cablyai).await
}

async fn talk(cablyai: &CablyAi) -> Result<()> {
    // The conversation: services keep no state between requests.
    let mut messages = vec![Message::system("Answer in one sentence.")];
    for question in ["Why is the sky blue?", "And at dusk?"] {
        println!("> {question}");
        messages.push(Message::user(question));
        let request = ChatRequest::new("deepseek-v3").messages(messages.clone());
        let mut stream = cablyai.stream(request).await?;
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
