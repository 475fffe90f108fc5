//! Where the key of a call comes from.

use std::{fmt, future::ready};

use inferstream_core::{ApiKey, BoxFuture, Error, Result};

/// The source of a client's key.
///
/// [`Fixed`] and [`Missing`] serve most providers; a session that leases keys implements it.
pub trait Credentials: fmt::Debug + Send + Sync + 'static {
    /// Returns the key to send, or `None` where the service wants none.
    ///
    /// # Errors
    ///
    /// `Auth` where there is no key and the service wants one; what obtaining it failed with.
    ///
    /// # Cancel safety
    ///
    /// The caller may drop the future and ask again.
    fn key(&self) -> BoxFuture<'_, Result<Option<ApiKey>>>;

    /// Returns the error of every call, where the service wants a key and there is none; `None` by
    /// default.
    fn missing(&self) -> Option<&Error> {
        None
    }

    /// Returns true if [`key`](Self::key) may return another key now that the service refused this
    /// one; false by default.
    fn renews(&self, refused: &ApiKey) -> bool {
        let _ = refused;
        false
    }
}

/// A key that does not change, or none where the service wants none.
#[derive(Clone, Debug, Default)]
pub struct Fixed(pub Option<ApiKey>);

impl Credentials for Fixed {
    fn key(&self) -> BoxFuture<'_, Result<Option<ApiKey>>> {
        Box::pin(ready(Ok(self.0.clone())))
    }
}

/// No key at a service that wants one: every call fails with this error before anything is sent.
#[derive(Clone, Debug)]
pub struct Missing(pub Error);

impl Credentials for Missing {
    fn key(&self) -> BoxFuture<'_, Result<Option<ApiKey>>> {
        Box::pin(ready(Err(self.0.clone())))
    }

    fn missing(&self) -> Option<&Error> {
        Some(&self.0)
    }
}
