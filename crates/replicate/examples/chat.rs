//! A conversation of two turns, printed while the responses arrive.
//!
//! `cargo run -p inferstream-replicate --example chat`
//!
//! Without `REPLICATE_API_TOKEN`, it uses the simulator in this process.

#![allow(clippy::print_stdout, reason = "the program prints the responses")]

use std::{
    env,
    error::Error,
    io::{Write, stdout},
};

use inferstream_replicate::{ChatRequest, Message, Replicate};
use inferstream_simulator::Simulator;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match env::var_os("REPLICATE_API_TOKEN") {
        Some(_) => talk(&Replicate::from_env()?).await,
        None => simulated().await,
    }
}

async fn simulated() -> Result<()> {
    let simulator = Simulator::builder().start().await?;
    let replicate = Replicate::builder()
        .base_url(simulator.replicate_url())
        .stream_origin(format!("http://{}", simulator.stream_authority()))
        .api_key("any")
        .build()?;
    talk(&replicate).await
}

async fn talk(replicate: &Replicate) -> Result<()> {
    // The conversation: services keep no state between requests.
    let mut messages = vec![Message::system("Answer in one sentence.")];
    for question in ["Why is the sky blue?", "And at dusk?"] {
        println!("> {question}");
        messages.push(Message::user(question));
        let request = ChatRequest::from(messages.clone());
        let mut stream = replicate.stream(request).await?;
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
