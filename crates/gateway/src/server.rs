//! The server: connections with their timeouts, and a shutdown that drains them.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    config::Serve,
    gateway::{Gateway, Shared},
    head::{FirstByte, HeadTimer},
    phase::Phase,
    socket::Socket,
};

/// The largest size of a request's headers, and of what is buffered for a client that does not read.
const BUFFER: usize = 64 << 10;

/// The longest timeout; a time after it cannot be computed on every platform.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The time that clients get to take the end of responses that the shutdown has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Serves a gateway over HTTP/1.1 until `shutdown` is ready and the responses in flight have ended.
///
/// After `shutdown`, `/readyz` and new chat requests get status 503. Connections are accepted for
/// [`linger`](Serve::linger) more, and responses in flight may take [`drain`](Serve::drain) more. Those
/// that are not complete by then end with an error of the code `draining`.
///
/// # Errors
///
/// `InvalidInput` if the address may not be served: see [`Gateway::check_address`].
///
/// # Cancel safety
///
/// Dropping the future closes all connections at once.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    gateway
        .check_address(address)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let router = gateway.router();
    let shared = &gateway.shared;
    let mut connections = JoinSet::new();
    accept_until(&listener, shared, &router, &mut connections, shutdown).await;
    shared.phases.advance(Phase::Draining);
    let serve = shared.state().config.serve.clone();
    let drained = async {
        let linger = sleep(serve.linger);
        accept_until(&listener, shared, &router, &mut connections, linger).await;
        drop(listener);
        while connections.join_next().await.is_some() {}
        // Requests whose responses are kept, and whose clients have left.
        shared.kept.idle().await;
    };
    if timeout(serve.drain.max(serve.linger), drained)
        .await
        .is_err()
    {
        shared.phases.advance(Phase::Ended);
        let ended = async {
            while connections.join_next().await.is_some() {}
            shared.kept.idle().await;
        };
        // Those that still do not read are closed with the set.
        let _ = timeout(LAST_WORDS, ended).await;
    }
    Ok(())
}

/// Accepts connections until a future is ready.
async fn accept_until(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    router: &Router,
    connections: &mut JoinSet<()>,
    end: impl Future<Output = ()>,
) {
    let mut end = pin!(end);
    loop {
        tokio::select! {
            biased;
            () = &mut end => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let serve = shared.state().config.serve.clone();
                    connections.spawn(connection(stream, Arc::clone(shared), router.clone(), serve));
                }
                // Usually too many open files, which ends when connections close.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection to its end. Errors are ignored: they are the client's.
async fn connection(stream: TcpStream, shared: Arc<Shared>, router: Router, serve: Serve) {
    // Each token is sent at once, not after the acknowledgment of the one before.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let first_byte = FirstByte::default();
    let timer = HeadTimer::new(serve.head_timeout, first_byte.clone());
    let io = TokioIo::new(Socket::new(stream, serve.write_timeout, first_byte));
    let mut builder = http1::Builder::new();
    builder
        .timer(timer)
        .header_read_timeout(serve.idle_timeout.min(LONGEST))
        .max_buf_size(BUFFER)
        .half_close(false);
    if shared.phases.current() != Phase::Serving {
        // It has one request at most, which is answered.
        builder.keep_alive(false);
        let _ = builder
            .serve_connection(io, TowerToHyperService::new(router))
            .await;
        return;
    }
    let mut connection = pin!(builder.serve_connection(io, TowerToHyperService::new(router)));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shared.phases.reached(Phase::Draining) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
