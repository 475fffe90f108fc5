//! A question about an image.
//!
//! `cargo run -p inferstream-openai-compat --features transport --example image -- picture.png`
//!
//! It uses the service at `OPENAI_COMPAT_BASE_URL` with the model in `OPENAI_COMPAT_MODEL`, or else the
//! simulator in this process, which does not look at the image.

#![allow(clippy::print_stdout, reason = "the program prints the response")]

use std::{env, error::Error, fs};

use inferstream_openai_compat::{ChatRequest, Compatible, CompatibleBuilder, Message, Part};
use inferstream_simulator::Simulator;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// One transparent pixel.
const PIXEL: &[u8] = b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1F\x15\xC4\x89\0\0\0\rIDATx\x9Cc\0\x01\0\0\x05\0\x01\r\n-\xB4\0\0\0\0IEND\xAEB`\x82";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let png = match env::args_os().nth(1) {
        Some(path) => fs::read(path)?,
        None => PIXEL.to_vec(),
    };
    let builder = CompatibleBuilder::from_env()?;
    let text = if builder.has_base_url() {
        let model = env::var("OPENAI_COMPAT_MODEL").unwrap_or_else(|_| "any".to_owned());
        describe(&builder.default_model(model).build()?, png).await?
    } else {
        simulated(png).await?
    };
    println!("{text}");
    Ok(())
}

async fn simulated(png: Vec<u8>) -> Result<String> {
    let simulator = Simulator::builder().start().await?;
    let url = simulator.compatible_url();
    describe(&Compatible::new(url).default_model("any").build()?, png).await
}

async fn describe(client: &Compatible, png: Vec<u8>) -> Result<String> {
    // Bytes are sent inside the request. `Part::image_url` lets the service fetch an image.
    let message = Message::user("What is in this picture?").part(Part::image("image/png", png));
    let response = client.chat(ChatRequest::from(vec![message])).await?;
    Ok(response.text().to_owned())
}

#[tokio::test]
async fn it_runs() {
    assert!(!simulated(PIXEL.to_vec()).await.unwrap().is_empty());
}
