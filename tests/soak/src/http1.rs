//! HTTP/1.1 as this server speaks it: requests are read, and responses are written byte by byte.

use std::{io, time::Duration};

use fastrand::Rng;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;

use crate::plan::{Framing, Plan};

/// A connection, with or without TLS.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// The parts of a request that matter.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// Reads a request with its body; `None` if the client has closed the connection.
    pub(crate) async fn read(socket: &mut impl Socket) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if socket.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let mut word = || first.next().unwrap_or_default().to_owned();
        let (method, path) = (word(), word());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let request = Self {
            method,
            path,
            headers: headers.collect(),
        };
        let length = request
            .header("content-length")
            .and_then(|length| length.parse().ok());
        let total = end + 4 + length.unwrap_or(0);
        while bytes.len() < total {
            if socket.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(request))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|(other, value)| (other == name).then_some(value.as_str()))
    }
}

/// Returns a complete response with a JSON body.
pub(crate) fn json(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Returns the head of a stream whose body has this length, if its framing announces one.
pub(crate) fn head(framing: Framing, content_type: &str, length: usize, keeps: bool) -> Vec<u8> {
    let framing = match framing {
        Framing::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
        Framing::Close => String::new(),
        Framing::Length => format!("content-length: {length}\r\n"),
    };
    let close = if keeps { "" } else { "connection: close\r\n" };
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{framing}{close}\r\n").into_bytes()
}

/// Writes bytes in the framing, without its end.
pub(crate) fn frame(framing: Framing, body: &[u8], rng: &mut Rng) -> Vec<u8> {
    if framing != Framing::Chunked {
        return body.to_owned();
    }
    let largest = 1 << rng.u32(4..14);
    let mut rest = body;
    let mut framed = Vec::with_capacity(body.len() + 64);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(rng.usize(1..=largest).min(rest.len()));
        let extension = if rng.u8(..50) == 0 { ";name=value" } else { "" };
        framed.extend(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        framed.extend(chunk);
        framed.extend(b"\r\n");
        rest = after;
    }
    framed
}

/// Writes bytes in writes of random sizes, with a few delays.
pub(crate) async fn write(
    socket: &mut impl Socket,
    plan: &Plan,
    bytes: &[u8],
    rng: &mut Rng,
) -> io::Result<()> {
    // At most about a thousand writes for each stream.
    let largest = plan.write.max(bytes.len() / 500);
    let mut delays = if plan.has_delays { 20 } else { 0 };
    let mut rest = bytes;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rng.usize(1..=largest).min(rest.len()));
        socket.write_all(part).await?;
        rest = after;
        if 0 < delays && rng.u8(..10) == 0 {
            delays -= 1;
            socket.flush().await?;
            sleep(Duration::from_millis(rng.u64(..20))).await;
        }
    }
    socket.flush().await
}

/// Waits until the client closes the connection; false if it does not within 30 s.
pub(crate) async fn closed(socket: &mut impl Socket) -> bool {
    let mut buffer = [0; 256];
    let reads = async { while !matches!(socket.read(&mut buffer).await, Ok(0) | Err(_)) {} };
    timeout(Duration::from_secs(30), reads).await.is_ok()
}
