//! The record of requests to the proxy.

use std::sync::{Arc, Mutex, PoisonError};

/// What clients asked of the proxy: the heads of HTTP requests, and the targets of SOCKS5.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Mutex<Vec<String>>>);

impl Requests {
    pub(super) fn push(&self, request: String) {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(request);
    }

    pub(super) fn all(&self) -> Vec<String> {
        let requests = self.0.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
