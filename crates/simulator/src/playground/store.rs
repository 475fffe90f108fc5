//! The state and settings of the playground.

use std::sync::Arc;

use crate::{
    playground::{agent::store::Agents, protocol::PlaygroundProtocol, session::Sessions},
    shared::Shared,
};

/// The service: its agents, its cookies and its settings.
#[derive(Debug)]
pub(crate) struct Playground {
    pub(super) shared: Arc<Shared>,
    pub(super) protocol: PlaygroundProtocol,
    /// Whether the API asks for cookies.
    pub(super) challenge: bool,
    pub(super) sessions: Sessions,
    pub(super) agents: Agents,
}

impl Playground {
    pub(crate) fn new(
        shared: Arc<Shared>,
        protocol: PlaygroundProtocol,
        challenge: bool,
        tls: bool,
    ) -> Self {
        Self {
            sessions: Sessions::new(shared.settings.seed, tls),
            shared,
            protocol,
            challenge,
            agents: Agents::default(),
        }
    }
}
