//! The outcomes of a request.

use std::{fmt, pin::Pin};

use http::Response;
use hyper::upgrade::Upgraded;

use crate::{body::Body, reply::Reply};

/// Builds a service's error response from a status and a value of `Retry-After`.
pub(crate) type Refuse = fn(u16, Option<&str>) -> Reply;

/// The result of handling a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Closes the connection without a response.
    Close,
    /// Sends a response whose body is produced while it is sent.
    Live(Response<Body>),
    /// Sends a prepared response.
    Reply(Reply),
    /// Never responds.
    Silence,
    /// Sends a response that switches protocols, then hands the connection over.
    Upgrade(Reply, Upgrade),
}

/// The code that serves a connection after it switched protocols.
pub(crate) struct Upgrade(Box<dyn FnOnce(Upgraded) -> Serving + Send>);

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Upgrade {
    pub(crate) fn new<F>(serve: impl FnOnce(Upgraded) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Box::new(|connection| Box::pin(serve(connection))))
    }

    /// Serves the connection until it ends.
    pub(crate) async fn serve(self, connection: Upgraded) {
        (self.0)(connection).await;
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}
