//! Layers of `tower` between a provider and the network: a trace and a concurrency limit.
//!
//! `cargo run -p inferstream --example tower --features cerebras,tower`
//!
//! It sends the requests to a simulator in this process, over a real socket and without a key.

#![allow(clippy::print_stdout)] // an example prints

use std::error::Error;

use inferstream::{
    cerebras::Cerebras,
    transport::{HttpTransport, tower::ServiceTransport},
};
use inferstream_simulator::{Answer, Simulator};
use tower::ServiceBuilder;
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(Level::INFO)
        .with_writer(std::io::stderr)
        .init();
    for text in ask(&["Why is the sky blue?", "And at dusk?", "And at night?"]).await? {
        println!("{text}");
    }
    Ok(())
}

/// Sends all requests at once; the layers let two of them through at a time.
async fn ask(questions: &[&'static str]) -> Result<Vec<String>> {
    let mut simulator = Simulator::builder();
    for _ in questions {
        simulator = simulator.answer(Answer::text("It is the light, scattered."));
    }
    let simulator = simulator.start().await?;

    // The first layer is the outermost. If the trace prints headers, it shows the key's as
    // "Sensitive". The limit applies to requests that wait for their headers, not to streams.
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    let service = ServiceBuilder::new()
        .layer(trace)
        .concurrency_limit(2)
        .service(HttpTransport::builder().no_proxy().build()?);

    let cerebras = Cerebras::builder()
        .base_url(simulator.base_url())
        .api_key("any")
        .transport(ServiceTransport::new(service))
        .build()?;

    let tasks: Vec<_> = questions
        .iter()
        .map(|question| {
            let stream = cerebras.stream(*question);
            tokio::spawn(async move {
                let mut stream = stream.await?;
                while let Some(text) = stream.text().next().await {
                    let _so_far = text?;
                }
                stream.finish().await
            })
        })
        .collect();
    let mut texts = Vec::new();
    for task in tasks {
        texts.push(task.await??.text().to_owned());
    }
    Ok(texts)
}

#[test]
fn it_runs() {
    main().unwrap();
}
