//! A conversation of two turns, printed while the responses arrive.
//!
//! `cargo run -p inferstream-cerebras --example chat`
//!
//! Without `CEREBRAS_API_KEY`, it uses the simulator in this process.

#![allow(clippy::print_stdout, reason = "the program prints the responses")]

use std::{
    env,
    error::Error,
    io::{Write, stdout},
};

use inferstream_cerebras::{Cerebras, ChatRequest, Message};
use inferstream_simulator::Simulator;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match env::var_os("CEREBRAS_API_KEY") {
        Some(_) => talk(&Cerebras::from_env()?).await,
        None => simulated().await,
    }
}

async fn simulated() -> Result<()> {
    let simulator = Simulator::builder().start().await?;
    let cerebras = Cerebras::builder()
        .base_url(simulator.base_url())
        .api_key("any")
        .build()?;
    talk(&cerebras).await
}

async fn talk(cerebras: &Cerebras) -> Result<()> {
    // The conversation: services keep no state between requests.
    let mut messages = vec![Message::system("Answer in one sentence.")];
    for question in ["Why is the sky blue?", "And at dusk?"] {
        println!("> {question}");
        messages.push(Message::user(question));
        let request = ChatRequest::from(messages.clone());
        let mut stream = cerebras.stream(request).await?;
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
