//! The source of a client's key.

use std::{fmt, future::ready};

use inferstream_core::{ApiKey, BoxFuture, Error, Result};

/// The source of a client's key.
///
/// Most providers use [`Fixed`] and [`Missing`]. A session that obtains and renews keys implements the
/// trait itself.
pub trait Credentials: fmt::Debug + Send + Sync + 'static {
    /// Returns the key to send, or `None` if the service needs none.
    ///
    /// # Errors
    ///
    /// `Auth` if a required key is missing; any error while the key is obtained.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time, and the method called again.
    fn key(&self) -> BoxFuture<'_, Result<Option<ApiKey>>>;

    /// Returns the error of all calls if a required key is missing: `None` by default.
    fn missing(&self) -> Option<&Error> {
        None
    }

    /// Discards a key that the service refused, and returns true if [`key`](Self::key) may return
    /// another one now: false by default.
    fn renews(&self, refused: &ApiKey) -> bool {
        let _ = refused;
        false
    }
}

/// A key that does not change, or `None` for a service that needs none.
#[derive(Clone, Debug, Default)]
pub struct Fixed(pub Option<ApiKey>);

impl Credentials for Fixed {
    fn key(&self) -> BoxFuture<'_, Result<Option<ApiKey>>> {
        Box::pin(ready(Ok(self.0.clone())))
    }
}

/// Credentials without the key that the service needs: every call fails with this error before anything
/// is sent.
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
