//! The state and settings of the Replicate service.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    replicate::{prediction::Prediction, resume::Resume},
    shared::Shared,
};

/// The maximum number of predictions kept.
///
/// Tests create dozens; a server that runs for days must not grow without limit.
const MAX_PREDICTIONS: usize = 1000;

/// The service: its predictions and settings.
#[derive(Debug)]
pub(crate) struct Replicate {
    pub(super) shared: Arc<Shared>,
    pub(super) resume: Resume,
    /// The URL of the API.
    pub(crate) url: String,
    /// The URL of all streams.
    pub(super) streams_url: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of predictions created so far.
    created: u64,
    /// The most recent predictions, oldest first.
    predictions: VecDeque<Arc<Prediction>>,
}

impl Replicate {
    pub(crate) fn new(
        shared: Arc<Shared>,
        resume: Resume,
        scheme: &str,
        address: SocketAddr,
        stream_address: SocketAddr,
    ) -> Self {
        Self {
            shared,
            resume,
            url: format!("{scheme}://{address}/replicate/v1"),
            streams_url: format!("{scheme}://{stream_address}/v1/streams"),
            state: Mutex::default(),
        }
    }

    /// Creates a prediction with the next number and keeps it.
    pub(super) fn create(&self, make: impl FnOnce(u64) -> Prediction) -> Arc<Prediction> {
        let mut state = self.state();
        let prediction = Arc::new(make(state.created));
        state.created += 1;
        if state.predictions.len() == MAX_PREDICTIONS {
            state.predictions.pop_front();
        }
        state.predictions.push_back(prediction.clone());
        prediction
    }

    pub(super) fn find(&self, is_it: impl Fn(&Prediction) -> bool) -> Option<Arc<Prediction>> {
        let state = self.state();
        let mut predictions = state.predictions.iter();
        predictions.find(|prediction| is_it(prediction)).cloned()
    }

    /// Returns the predictions that are kept, oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Prediction>> {
        self.state().predictions.iter().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
