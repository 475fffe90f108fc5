//! The HTTP proxy: tunnels by `CONNECT`, and requests in absolute form.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    error::invalid,
    proxy::{
        fault::ProxyFault,
        requests::Requests,
        tunnel::{self, hold, reset},
    },
};

/// The maximum size of a request's head.
const MAX_HEAD: usize = 64 << 10;

const CONNECTED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Serves a connection whose first byte was read.
pub(super) async fn serve(
    mut socket: TcpStream,
    first: u8,
    fault: Option<ProxyFault>,
    requests: &Requests,
) -> io::Result<()> {
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
        head.push(socket.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    requests.push(text.clone());
    let response: &[u8] = match fault {
        None | Some(ProxyFault::Cut | ProxyFault::Stall) => {
            return forward(socket, &text, fault).await;
        }
        Some(ProxyFault::Close) => return Ok(()),
        Some(ProxyFault::Reset) => return reset(&socket),
        Some(ProxyFault::Silence) => return hold(socket).await,
        Some(ProxyFault::HalfReply) => {
            socket.write_all(&CONNECTED[..CONNECTED.len() / 2]).await?;
            return hold(socket).await;
        }
        Some(ProxyFault::HugeHead) => {
            socket.write_all(b"HTTP/1.1 200 OK\r\nx-huge: ").await?;
            for _ in 0..10 << 4 {
                socket.write_all(&vec![b'x'; MAX_HEAD]).await?;
            }
            b"\r\n\r\n"
        }
        Some(ProxyFault::Garbage) => tunnel::GARBAGE,
        Some(ProxyFault::AuthRequired) => {
            b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"a\"\r\ncontent-length: 0\r\n\r\n"
        }
        Some(ProxyFault::Refused) => b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        Some(ProxyFault::Html) => {
            b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\ncontent-length: 27\r\n\r\n<html>Blocked by policy.</html>"
        }
        Some(ProxyFault::Redirect) => {
            b"HTTP/1.1 302 Found\r\nlocation: http://login.example/\r\ncontent-length: 0\r\n\r\n"
        }
        Some(ProxyFault::Body) => {
            b"HTTP/1.1 200 Connection established\r\ncontent-length: 13\r\n\r\n<html></html>"
        }
    };
    socket.write_all(response).await?;
    socket.shutdown().await?;
    hold(socket).await
}

/// Opens a tunnel, or sends a request in absolute form on to its host.
async fn forward(mut socket: TcpStream, head: &str, fault: Option<ProxyFault>) -> io::Result<()> {
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next());
    let target = target.ok_or_else(|| invalid("invalid request of a proxy: expected a target"))?;
    if method == "CONNECT" {
        let upstream = TcpStream::connect(target).await?;
        socket.write_all(CONNECTED).await?;
        return tunnel::copy(socket, upstream, fault).await;
    }
    let path = target.strip_prefix("http://").unwrap_or(target);
    let (host, path) = path.split_once('/').unwrap_or((path, ""));
    let mut upstream = TcpStream::connect(host).await?;
    let head = head.replacen(target, &format!("/{path}"), 1);
    // The credentials of the proxy are not the service's.
    let lines = head.split_inclusive("\r\n");
    let lines = lines.filter(|line| !line.to_ascii_lowercase().starts_with("proxy-"));
    upstream
        .write_all(lines.collect::<String>().as_bytes())
        .await?;
    tunnel::copy(socket, upstream, fault).await
}
