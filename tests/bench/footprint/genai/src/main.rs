//! A chat by genai.

use std::{error::Error, io::Write};

use futures_util::StreamExt;
use genai::{
    Client,
    chat::{ChatMessage, ChatRequest, ChatStreamEvent},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::new()?;
    let request = ChatRequest::new(vec![ChatMessage::user("Why is the sky blue?")]);
    let response = client
        .exec_chat_stream("gpt-4o-mini", request, None)
        .await?;
    let mut stream = response.stream;
    while let Some(event) = stream.next().await {
        if let ChatStreamEvent::Chunk(chunk) = event? {
            print!("{}", chunk.content);
            std::io::stdout().flush()?;
        }
    }
    Ok(())
}
