//! A gateway on a socket, services behind it, and a client that shows every byte.

use std::{sync::Arc, time::Duration};

use inferstream::{
    Hub, Provider, RetryPolicy, Timeouts,
    cablyai::CablyAi,
    cerebras::Cerebras,
    cloudflare::Cloudflare,
    openai_compat::Compatible,
    replicate::Replicate,
    transport::{HttpTransport, Roots},
};
use inferstream_gateway::{Config, Gateway, serve};
use inferstream_simulator::Simulator;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

/// A text of more than eight tokens, and beyond ASCII.
pub(crate) const TEXT: &str = "one two three four fünf 六 seven eight nine ten eleven twelve";

/// A gateway on a free port.
pub(crate) struct Served {
    pub(crate) address: String,
    pub(crate) gateway: Gateway,
    pub(crate) task: JoinHandle<std::io::Result<()>>,
    shutdown: Option<oneshot::Sender<()>>,
}

impl Served {
    pub(crate) async fn start(hub: Hub, config: Config) -> Self {
        Self::of(Gateway::new(hub, config).unwrap()).await
    }

    pub(crate) async fn of(gateway: Gateway) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (shutdown, signal) = oneshot::channel();
        let signal = async {
            // A test that drops the sender does not shut down.
            if signal.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let task = tokio::spawn(serve(listener, gateway.clone(), signal));
        Self {
            address,
            gateway,
            task,
            shutdown: Some(shutdown),
        }
    }

    /// Begins the shutdown.
    pub(crate) fn stop(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    /// Ends the server, and drops the gateway.
    pub(crate) async fn stop_at_once(mut self) {
        self.task.abort();
        // It was canceled.
        let _ = (&mut self.task).await;
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(
            &format!("GET {path} HTTP/1.1\r\nhost: {}\r\n", self.address),
            "",
        )
        .await
    }

    pub(crate) async fn chat(&self, body: &str) -> Reply {
        self.chat_with("", body).await
    }

    /// Sends a chat request with further headers, each with its line end.
    pub(crate) async fn chat_with(&self, headers: &str, body: &str) -> Reply {
        self.send(&self.chat_head(headers), body).await
    }

    pub(crate) fn chat_head(&self, headers: &str) -> String {
        let line = "POST /v1/chat/completions HTTP/1.1";
        format!("{line}\r\nhost: {}\r\n{headers}", self.address)
    }

    pub(crate) async fn send(&self, head: &str, body: &str) -> Reply {
        Reply::read(self.open(head, body).await).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// Sends a request and returns its connection.
    pub(crate) async fn open(&self, head: &str, body: &str) -> TcpStream {
        let mut connection = self.connect().await;
        let length = match body {
            "" => String::new(),
            body => format!("content-length: {}\r\n", body.len()),
        };
        let request = format!("{head}connection: close\r\n{length}\r\n{body}");
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    }

    /// Returns our own client of this gateway, which does not retry.
    pub(crate) fn client(&self) -> Compatible {
        Compatible::new(format!("http://{}/v1", self.address))
            .transport(HttpTransport::builder().no_proxy().build().unwrap())
            .retry(RetryPolicy::never())
            .build()
            .unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A response, with nothing interpreted but HTTP.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// Whether the body has the end that HTTP announces.
    pub(crate) has_end: bool,
}

impl Reply {
    /// Reads a response until the connection is closed.
    pub(crate) async fn read(mut connection: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset shows as a body without its end.
        let _ = connection.read_to_end(&mut bytes).await;
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Self {
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let at = at.unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..at].to_vec())
            .unwrap()
            .to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let rest = &bytes[at + 4..];
        let (body, has_end) = if head.contains("transfer-encoding: chunked") {
            dechunk(rest)
        } else {
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
            (rest.to_vec(), length == Some(rest.len()))
        };
        let body = String::from_utf8(body).unwrap();
        Self {
            status,
            head,
            body,
            has_end,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the chunks of a stream, without comments and without the end marker.
    #[track_caller]
    pub(crate) fn chunks(&self) -> Vec<Value> {
        assert!(
            self.body.is_empty() || self.body.ends_with("\n\n"),
            "{self:?}"
        );
        let events = self.body.split_terminator("\n\n");
        let data = events.filter_map(|event| event.strip_prefix("data: "));
        let chunks = data.filter(|data| *data != "[DONE]");
        chunks
            .map(|chunk| serde_json::from_str(chunk).unwrap())
            .collect()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.body.ends_with("data: [DONE]\n\n")
    }

    /// Returns the text of choice 0 of a stream.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        let chunks = self.chunks();
        let texts = chunks.iter().filter_map(|chunk| {
            let delta = chunk["choices"].get(0)?.get("delta")?;
            delta.get("content")?.as_str()
        });
        texts.collect()
    }

    /// Returns the finish reasons of a stream.
    #[track_caller]
    pub(crate) fn finish_reasons(&self) -> Vec<String> {
        let chunks = self.chunks();
        let reasons = chunks.iter().filter_map(|chunk| {
            let reason = chunk["choices"].get(0)?.get("finish_reason")?;
            reason.as_str().map(str::to_owned)
        });
        reasons.collect()
    }
}

fn dechunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..at]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let data = &rest[at + 2..];
        if data.len() < size + 2 {
            body.extend_from_slice(&data[..size.min(data.len())]);
            return (body, false);
        }
        body.extend_from_slice(&data[..size]);
        rest = &data[size + 2..];
    }
    (body, false)
}

/// The providers of a simulator, by name.
pub(crate) const PROVIDERS: [(&str, &str); 4] = [
    ("cerebras", "gpt-oss-120b"),
    ("cloudflare", "@cf/meta/llama-3.1-8b-instruct-fp8"),
    ("openai-compat", "any"),
    ("replicate", "meta/meta-llama-3-8b-instruct"),
];

/// Creates a hub with the services of a simulator.
pub(crate) fn hub(simulator: &Simulator, timeouts: Timeouts) -> Hub {
    let mut transport = HttpTransport::builder().no_proxy();
    let mut scheme = "http";
    if let Some(pem) = simulator.certificate_pem() {
        // Loading the system's authorities would take most of the time.
        transport = transport.roots(Roots::Given).certificate_pem(pem);
        scheme = "https";
    }
    let transport = transport.timeouts(timeouts).build().unwrap();
    let cablyai = CablyAi::builder()
        .base_url(simulator.compatible_url())
        .api_key("key-of-the-gateway")
        .transport(transport.clone())
        .timeouts(timeouts);
    let cerebras = Cerebras::builder()
        .base_url(simulator.base_url())
        .behind_gateway()
        .api_key("key-of-the-gateway")
        .transport(transport.clone())
        .timeouts(timeouts);
    let cloudflare = Cloudflare::builder()
        .base_url(simulator.cloudflare_url())
        .account_id("00000000000000000000000000000000")
        .api_token("key-of-the-gateway")
        .transport(transport.clone())
        .timeouts(timeouts);
    let compatible = Compatible::new(simulator.compatible_url())
        .transport(transport.clone())
        .timeouts(timeouts);
    let replicate = Replicate::builder()
        .base_url(simulator.replicate_url())
        .stream_origin(format!("{scheme}://{}", simulator.stream_authority()))
        .api_key("key-of-the-gateway")
        .transport(transport)
        .timeouts(timeouts);
    Hub::new()
        .with(cablyai.build().unwrap())
        .with(cerebras.build().unwrap())
        .with(cloudflare.build().unwrap())
        .with(compatible.build().unwrap())
        .with(replicate.build().unwrap())
}

/// A service whose connections a test handles itself.
pub(crate) struct Service {
    listener: TcpListener,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    pub(crate) fn hub(&self) -> Hub {
        Hub::new().with_name("local", self.provider())
    }

    pub(crate) fn provider(&self) -> Arc<dyn Provider> {
        let address = self.listener.local_addr().unwrap();
        let provider = Compatible::new(format!("http://{address}/v1"))
            .transport(HttpTransport::builder().no_proxy().build().unwrap());
        Arc::new(provider.build().unwrap())
    }

    /// Waits for a request, reads it and returns its connection.
    pub(crate) async fn accept(&self) -> TcpStream {
        let (mut connection, _) = self.listener.accept().await.unwrap();
        let mut read = Vec::new();
        loop {
            let mut part = [0; 4096];
            let length = connection.read(&mut part).await.unwrap();
            read.extend_from_slice(&part[..length]);
            let text = String::from_utf8_lossy(&read).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let expected = head.split("content-length: ").nth(1).unwrap();
            let expected: usize = expected.lines().next().unwrap().parse().unwrap();
            if expected <= body.len() {
                return connection;
            }
        }
    }
}

/// The head of a stream.
pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// Returns a chunk with a text.
pub(crate) fn chunk(text: &str) -> String {
    format!(
        "data: {{\"id\":\"x\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
    )
}

/// The end of a complete stream.
pub(crate) const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Waits until the other side has closed a connection.
pub(crate) async fn closed(mut connection: TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _ = connection.read_to_end(&mut rest).await;
}

/// Reads until a text has arrived.
pub(crate) async fn read_until(connection: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let mut part = [0; 4096];
    while !String::from_utf8_lossy(&read).contains(text) {
        let length = connection.read(&mut part).await.unwrap();
        assert_ne!(
            length,
            0,
            "the end before {text:?}: {:?}",
            String::from_utf8_lossy(&read)
        );
        read.extend_from_slice(&part[..length]);
    }
    String::from_utf8(read).unwrap()
}

/// The body of a request.
pub(crate) fn request(model: &str, members: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Count!"}}]{members}}}"#)
}

pub(crate) const STREAMED: &str = r#","stream":true"#;

/// A time that tests wait for, where something must happen after a while.
pub(crate) const SHORT: Duration = Duration::from_millis(50);
