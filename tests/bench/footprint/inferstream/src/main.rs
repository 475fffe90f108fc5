//! A chat by inferstream.

use std::{error::Error, io::Write};

use inferstream::cerebras::Cerebras;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Cerebras::from_env()?;
    let mut stream = client.stream("Why is the sky blue?").await?;
    while let Some(text) = stream.text().next().await {
        print!("{}", text?);
        std::io::stdout().flush()?;
    }
    Ok(())
}
