//! Who keeps the limit on the head: a transport of ours below the layers, or the service's.

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

/// A note on a request: whether somebody below the layers keeps its limits.
#[derive(Clone, Default)]
pub(crate) struct Taken {
    is_taken: Arc<AtomicBool>,
    /// The note of the service that this one is within.
    above: Option<Arc<Self>>,
}

impl Taken {
    /// Makes a note that is signed together with the one that the request has.
    pub(super) fn below<B>(request: &Request<B>) -> Self {
        let above = request.extensions().get::<Self>().cloned();
        Self {
            is_taken: Arc::default(),
            above: above.map(Arc::new),
        }
    }

    /// Says that whoever has this request keeps its limits.
    pub(crate) fn mark<B>(request: &Request<B>) {
        let mut note = request.extensions().get::<Self>();
        while let Some(taken) = note {
            taken.is_taken.store(true, Ordering::Relaxed);
            note = taken.above.as_deref();
        }
    }
}

/// Waits for the answer, within the limit unless somebody below keeps it.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    taken: &Taken,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(limit) = limit else {
        return answer.await;
    };
    let mut answer = pin!(answer);
    match tokio::time::timeout(limit, answer.as_mut()).await {
        Ok(answer) => answer,
        Err(_) if taken.is_taken.load(Ordering::Relaxed) => answer.await,
        Err(_) => Err(Error::timeout(Phase::Head, limit).with_sent(Sent::Maybe)),
    }
}
