//! The settings that all predictions of a client share.

use std::sync::Arc;

use http::HeaderValue;
use inferstream_client::Semaphore;

use crate::{inputs::Inputs, trust::Trust};

/// The settings that all predictions of a client share.
#[derive(Debug)]
pub(crate) struct PredictionSettings {
    pub(crate) needs_key: bool,
    pub(crate) trust: Trust,
    pub(crate) inputs: Vec<(String, Inputs)>,
    pub(crate) cancel_after: Option<HeaderValue>,
    pub(crate) cancel_on_drop: bool,
    /// The permits for cancel requests in the background.
    pub(crate) cancels: Arc<Semaphore>,
    pub(crate) metrics: bool,
}
