//! The SOCKS5 proxy, as in RFC 1928 and RFC 1929.

use std::{io, net::Ipv4Addr};

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

/// The methods without and with a user name.
const OPEN: u8 = 0;
const USER: u8 = 2;
const NO_METHOD: u8 = 0xff;

/// Serves a connection whose first byte, the version, was read.
pub(super) async fn serve(
    mut socket: TcpStream,
    fault: Option<ProxyFault>,
    requests: &Requests,
) -> io::Result<()> {
    let methods = bytes(&mut socket).await?;
    match fault {
        Some(ProxyFault::AuthRequired) => return refuse(socket, &[5, NO_METHOD]).await,
        Some(ProxyFault::Garbage) => return refuse(socket, tunnel::GARBAGE).await,
        _ => {}
    }
    if methods.contains(&USER) {
        socket.write_all(&[5, USER]).await?;
        socket.read_u8().await?;
        // Any user and password.
        bytes(&mut socket).await?;
        bytes(&mut socket).await?;
        socket.write_all(&[1, 0]).await?;
    } else {
        socket.write_all(&[5, OPEN]).await?;
    }
    let target = target(&mut socket).await?;
    requests.push(target.clone());
    match fault {
        Some(ProxyFault::Close) => return Ok(()),
        Some(ProxyFault::Reset) => return reset(&socket),
        Some(ProxyFault::Silence) => return hold(socket).await,
        Some(ProxyFault::HalfReply) => {
            socket.write_all(&[5, 0, 0, 1, 0]).await?;
            return hold(socket).await;
        }
        Some(ProxyFault::Refused) => return refuse(socket, &reply(2)).await,
        _ => {}
    }
    match TcpStream::connect(&target).await {
        Ok(upstream) => {
            socket.write_all(&reply(0)).await?;
            tunnel::copy(socket, upstream, fault).await
        }
        Err(_) => refuse(socket, &reply(5)).await,
    }
}

/// Returns the reply with this code; the address is unused.
const fn reply(code: u8) -> [u8; 10] {
    [5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

async fn refuse(mut socket: TcpStream, response: &[u8]) -> io::Result<()> {
    socket.write_all(response).await?;
    socket.shutdown().await?;
    hold(socket).await
}

/// Reads bytes after their number.
async fn bytes(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(socket.read_u8().await?)];
    socket.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Reads the target of a request, as `host:port`.
async fn target(socket: &mut TcpStream) -> io::Result<String> {
    let mut head = [0; 4];
    socket.read_exact(&mut head).await?;
    let host = match head[3] {
        1 => {
            let mut address = [0; 4];
            socket.read_exact(&mut address).await?;
            Ipv4Addr::from(address).to_string()
        }
        3 => String::from_utf8_lossy(&bytes(socket).await?).into_owned(),
        _ => {
            return Err(invalid(
                "invalid address of a proxy: expected IPv4 or a name",
            ));
        }
    };
    Ok(format!("{host}:{}", socket.read_u16().await?))
}
