//! Faults before HTTP: of the connection, of TLS, and of a server that does not read.

use std::{future::pending, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    tls::Identity,
    wire::{
        certificate,
        fault::Wire,
        play::{reset, until_closed},
        socket::Socket,
    },
};

/// An empty SETTINGS frame, with which a server of HTTP/2 begins.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// The alert `protocol_version` of TLS.
const ALERT: &[u8] = b"\x15\x03\x01\0\x02\x02\x46";

const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

const TOO_LARGE: &[u8] = b"HTTP/1.1 413 Content Too Large\r\ncontent-type: application/json\r\ncontent-length: 41\r\nconnection: close\r\n\r\n{\"error\":{\"message\":\"Request too large.\"}}";

/// Plays a fault that occurs before HTTP on a new connection.
///
/// Returns the connection if the fault has no effect: it needs TLS, and this server has none.
pub(crate) async fn before_http(
    fault: Wire,
    mut tcp: TcpStream,
    identity: Option<&Identity>,
) -> Option<TcpStream> {
    match (fault, identity) {
        (Wire::ResetOnAccept, _) => reset(&mut Socket::Plain(tcp)),
        (Wire::HandshakeSilence, _) => {
            // Nothing is read, so the end of the client is not seen either.
            pending::<()>().await;
            drop(tcp);
        }
        (Wire::PlainHttp, Some(_)) => refuse(tcp, BAD_REQUEST).await,
        (Wire::TlsAlert, Some(_)) => refuse(tcp, ALERT).await,
        (Wire::Http2Only, None) => {
            let _ = tcp.write_all(SETTINGS).await;
            until_closed(&mut Socket::Plain(tcp)).await;
        }
        (Wire::Http2Only, Some(identity)) => {
            let mut tls = ServerConfig::clone(&identity.config);
            tls.alpn_protocols = vec![b"h2".to_vec()];
            handshake(tcp, tls.into()).await;
        }
        (Wire::EarlyRefusal, None) => early(Socket::Plain(tcp)).await,
        (Wire::EarlyRefusal, Some(identity)) => {
            let mut tls = ServerConfig::clone(&identity.config);
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            if let Ok(stream) = TlsAcceptor::from(Arc::new(tls)).accept(tcp).await {
                early(Socket::Tls(Box::new(stream))).await;
            }
        }
        (fault, Some(identity)) if fault.is_about_certificates() => {
            if let Ok(tls) = certificate::config(fault, &identity.issuer) {
                handshake(tcp, tls).await;
            }
        }
        _ => return Some(tcp),
    }
    None
}

/// Performs a handshake that a careful client ends.
async fn handshake(tcp: TcpStream, tls: Arc<ServerConfig>) {
    if let Ok(stream) = TlsAcceptor::from(tls).accept(tcp).await {
        until_closed(&mut Socket::Tls(Box::new(stream))).await;
    }
}

/// Sends these bytes after the first ones of the client, and closes the connection.
async fn refuse(mut tcp: TcpStream, bytes: &[u8]) {
    let mut buffer = [0; 4096];
    if tcp.read(&mut buffer).await.is_ok() && tcp.write_all(bytes).await.is_ok() {
        let _ = tcp.shutdown().await;
        until_closed(&mut Socket::Plain(tcp)).await;
    }
}

/// Refuses a request by its headers, and closes the connection without reading its body.
async fn early(mut socket: Socket) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    if socket.write_all(TOO_LARGE).await.is_ok() {
        let _ = socket.flush().await;
        sleep(Duration::from_millis(20)).await;
    }
}
