//! A response that is parsed into a type of this program.
//!
//! `cargo run -p inferstream --example structured --features openai-compat,schemars`
//!
//! It sends the request to a simulator in this process, without a key. To use an engine of yours,
//! set `OPENAI_COMPAT_BASE_URL=http://localhost:11434/v1 OPENAI_COMPAT_MODEL=…`.

#![allow(clippy::print_stdout)] // an example prints

use std::error::Error;

use inferstream::{
    ChatRequest, Json, Provider, ResponseFormat,
    openai_compat::{CompatibleBuilder, json_schema},
};
use inferstream_simulator::Simulator;
use schemars::JsonSchema;
use serde::Deserialize;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// A film.
#[derive(Debug, Deserialize, JsonSchema)]
struct Film {
    title: String,
    /// When it was shown first.
    year: i32,
    kind: Kind,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Silent,
    Talkie,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    run(CompatibleBuilder::from_env()?).await
}

async fn run(mut builder: CompatibleBuilder) -> Result<()> {
    // The simulator stops when it is dropped.
    let simulator = Simulator::builder().start().await?;
    if !builder.has_base_url() {
        builder = builder.base_url(simulator.compatible_url());
    }
    let model = std::env::var("OPENAI_COMPAT_MODEL").unwrap_or_else(|_| "any".to_owned());
    let provider = builder.default_model(model).build()?;

    let Film { title, year, kind } = film(&provider).await?;
    println!("{title} ({year}), {kind:?}");
    Ok(())
}

async fn film(provider: &impl Provider) -> Result<Film> {
    let format = ResponseFormat::json_schema("film", json_schema::<Film>()).strict(true);
    let request = ChatRequest::from("A film of the twenties, please.")
        .response_format(format)
        .max_tokens(200);

    // The partial response can be parsed, too.
    let mut stream = provider.stream(request).await?;
    let mut shown = None;
    while stream.text().next().await.transpose()?.is_some() {
        let so_far = Json::from_partial(stream.partial().text());
        if so_far != shown {
            shown = so_far;
            println!("{}", shown.as_ref().map_or("", Json::as_str));
        }
    }
    // If the token limit cut the response off, this returns an error.
    Ok(stream.finish().await?.parse()?)
}

#[tokio::test]
async fn it_runs() {
    run(CompatibleBuilder::default()).await.unwrap();
}
