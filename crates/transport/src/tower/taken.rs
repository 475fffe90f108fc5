//! A marker on requests that shows whether a transport below the layers enforces the head timeout.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Request;
use inferstream_core::{Error, Phase, Result, Sent};

/// A marker on a request: whether a transport below the layers enforces its timeouts.
#[derive(Clone, Default)]
pub(crate) struct Taken {
    is_taken: Arc<AtomicBool>,
    /// The marker of the enclosing service, if services are nested.
    above: Option<Arc<Self>>,
}

impl Taken {
    /// Creates a marker that also marks the request's existing one.
    pub(super) fn below<B>(request: &Request<B>) -> Self {
        let above = request.extensions().get::<Self>().cloned();
        Self {
            is_taken: Arc::default(),
            above: above.map(Arc::new),
        }
    }

    /// Marks the request: from here on its holder enforces the timeouts.
    pub(crate) fn mark<B>(request: &Request<B>) {
        let mut note = request.extensions().get::<Self>();
        while let Some(taken) = note {
            taken.is_taken.store(true, Ordering::Relaxed);
            note = taken.above.as_deref();
        }
    }
}

/// Waits for the response. The timeout applies unless a transport below enforces it.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    taken: &Taken,
    response: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(limit) = limit else {
        return response.await;
    };
    let mut response = pin!(response);
    match tokio::time::timeout(limit, response.as_mut()).await {
        Ok(response) => response,
        Err(_) if taken.is_taken.load(Ordering::Relaxed) => response.await,
        Err(_) => Err(Error::timeout(Phase::Head, limit).with_sent(Sent::Maybe)),
    }
}
