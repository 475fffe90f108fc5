//! The plan of a fault: the steps in which the changed response is sent.

use crate::wire::{
    fault::Wire,
    head,
    step::{Plan, Sent},
    stream,
};

impl Plan {
    /// Returns the plan of a fault for a response.
    pub(crate) fn new(fault: Wire, sent: &Sent) -> Self {
        let steps = head::steps(fault, sent).or_else(|| stream::steps(fault, sent));
        Self(steps.unwrap_or_else(|| stream::complete(sent)))
    }
}
