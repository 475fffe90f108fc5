//! The phases of a gateway's life, from serving to the end of the last response.

use inferstream::BoxFuture;
use tokio::sync::watch;

/// What the gateway does at the moment.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    #[default]
    Serving,
    /// New requests are refused; responses in flight go on.
    Draining,
    /// Responses in flight are ended.
    Ended,
}

/// The current phase, which only moves forward.
#[derive(Debug, Default)]
pub(crate) struct Phases(watch::Sender<Phase>);

impl Phases {
    pub(crate) fn current(&self) -> Phase {
        *self.0.borrow()
    }

    pub(crate) fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let is_later = *current < phase;
            *current = phase.max(*current);
            is_later
        });
    }

    /// Waits until the gateway reaches a phase.
    pub(crate) fn reached(&self, phase: Phase) -> BoxFuture<'static, ()> {
        let mut phases = self.0.subscribe();
        Box::pin(async move {
            // It fails if the gateway is dropped, which then never reaches the phase.
            if phases.wait_for(|current| phase <= *current).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}
