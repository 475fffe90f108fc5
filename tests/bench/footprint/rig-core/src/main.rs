//! A chat by rig-core.

use std::{error::Error, io::Write};

use futures_util::StreamExt;
use rig_core::{
    completion::CompletionRequest,
    providers::openai::{self, OpenAI},
    streaming::{Item, StreamEvent},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let model = OpenAI::from_env()?.completion(openai::GPT_5_2);
    let mut stream = model.stream(CompletionRequest::new("Why is the sky blue?"))?;
    while let Some(event) = stream.next().await {
        if let Item::Event(StreamEvent::Text { text, .. }) = event? {
            print!("{text}");
            std::io::stdout().flush()?;
        }
    }
    Ok(())
}
