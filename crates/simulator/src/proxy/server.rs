//! The listener of the proxy, and its handle.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use crate::proxy::{fault::ProxyFault, http, requests::Requests, socks};

/// The first byte of a SOCKS5 connection.
const SOCKS5: u8 = 5;

/// A running proxy on loopback: HTTP and SOCKS5 on one port.
///
/// It accepts any credentials. Dropping it stops it and closes its connections.
#[must_use = "the proxy stops when this is dropped"]
pub struct Proxy {
    address: SocketAddr,
    requests: Requests,
    task: AbortHandle,
}

impl Proxy {
    /// Starts a proxy on a free port of 127.0.0.1, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns the error of the listener.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with I/O and time enabled.
    pub async fn start(fault: Option<ProxyFault>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let requests = Requests::default();
        let serving = accept(listener, fault, requests.clone());
        Ok(Self {
            address,
            requests,
            task: tokio::spawn(serving).abort_handle(),
        })
    }

    /// Returns the URL of the HTTP proxy, such as `http://127.0.0.1:8080`.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the URL of the SOCKS5 proxy, such as `socks5h://127.0.0.1:8080`.
    pub fn socks_url(&self) -> String {
        format!("socks5h://{}", self.address)
    }

    /// Returns the heads of the requests to the HTTP proxy, and the targets (`host:port`) of those
    /// to the SOCKS5 proxy, oldest first.
    ///
    /// A head contains the credentials that were sent.
    pub fn requests(&self) -> Vec<String> {
        self.requests.all()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, fault: Option<ProxyFault>, requests: Requests) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                connections.spawn(serve(socket, fault, requests.clone()));
            }
            // Usually too many open files, which ends when connections close.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection; an error closes it.
async fn serve(mut socket: TcpStream, fault: Option<ProxyFault>, requests: Requests) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let _ = match socket.read_u8().await {
        Ok(SOCKS5) => socks::serve(socket, fault, &requests).await,
        Ok(first) => http::serve(socket, first, fault, &requests).await,
        Err(error) => Err(error),
    };
}
