//! The bytes between a client of the proxy and a service.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::TcpStream,
};

use crate::proxy::fault::ProxyFault;

/// The number of bytes from the service before a fault of the tunnel: in a response to a chat, after
/// its first events.
const BEFORE_FAULT: u64 = 2000;

pub(super) const GARBAGE: &[u8] = b"\x00\x9c\x17\xe2\x80\r\n\xff\xfe garbage\x00\x00\x05\xff";

/// Copies both ways until one side ends, or the fault.
pub(super) async fn copy(
    mut socket: TcpStream,
    mut upstream: TcpStream,
    fault: Option<ProxyFault>,
) -> io::Result<()> {
    if !matches!(fault, Some(ProxyFault::Cut | ProxyFault::Stall)) {
        return copy_bidirectional(&mut socket, &mut upstream)
            .await
            .map(drop);
    }
    let (mut client_read, mut client_write) = socket.split();
    let (service_read, mut service_write) = upstream.split();
    let mut first = service_read.take(BEFORE_FAULT);
    tokio::select! {
        result = tokio::io::copy(&mut client_read, &mut service_write) => result.map(drop),
        result = tokio::io::copy(&mut first, &mut client_write) => {
            result?;
            if fault == Some(ProxyFault::Stall) {
                return hold(socket).await;
            }
            client_write.shutdown().await
        }
    }
}

/// Keeps the connection open until the client closes it.
pub(super) async fn hold(mut socket: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while socket.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Resets the connection when the socket is dropped.
pub(super) fn reset(socket: &TcpStream) -> io::Result<()> {
    socket.set_zero_linger()
}
