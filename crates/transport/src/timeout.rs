//! A timeout for one phase of a request.

use std::{future::Future, pin::Pin, time::Duration};

use inferstream_core::{Phase, Result};

use crate::error::Peer;

/// Waits for the future, and fails with a `Timeout` that names the phase if the limit expires.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    phase: Phase,
    peer: &Peer<'_>,
    // Pinned by the caller, because a future that is moved into another occupies its space twice.
    future: Pin<&mut impl Future<Output = Result<T>>>,
) -> Result<T> {
    let Some(limit) = limit else {
        return future.await;
    };
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result,
        Err(_) => Err(peer.timeout(phase, limit)),
    }
}
