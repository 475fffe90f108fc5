//! A chat on hyper, rustls and `serde_json` alone, without any check.

use std::{env, error::Error, io::Write, sync::Arc};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[derive(Deserialize)]
struct Chunk {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Delta,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

const HOST: &str = "api.cerebras.ai";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let config = ClientConfig::builder().with_root_certificates(roots);
    let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    let socket = TcpStream::connect((HOST, 443)).await?;
    let socket = connector
        .connect(ServerName::try_from(HOST)?, socket)
        .await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let body = serde_json::json!({
        "model": "gpt-oss-120b",
        "messages": [{ "role": "user", "content": "Why is the sky blue?" }],
        "stream": true,
    });
    let request = Request::post("/v1/chat/completions")
        .header("host", HOST)
        .header("content-type", "application/json")
        .header(
            "authorization",
            format!("Bearer {}", env::var("CEREBRAS_API_KEY")?),
        )
        .body(Full::new(Bytes::from(body.to_string())))?;
    let mut response = sender.send_request(request).await?;
    let mut lines = Vec::new();
    while let Some(frame) = response.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        lines.extend_from_slice(&data);
        while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = lines.drain(..=end).collect();
            let Some(json) = line.strip_prefix(b"data: ") else {
                continue;
            };
            let Ok(chunk) = serde_json::from_slice::<Chunk>(json) else {
                continue;
            };
            for choice in chunk.choices {
                print!("{}", choice.delta.content.unwrap_or_default());
            }
            std::io::stdout().flush()?;
        }
    }
    Ok(())
}
