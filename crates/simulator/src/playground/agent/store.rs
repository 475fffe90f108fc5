//! The agents that exist, and the task that runs a turn.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{task::yield_now, time::sleep};

use crate::playground::agent::{
    plan::{Plan, Step},
    room::Room,
};

/// The maximum number of agents.
///
/// A client that uses a new name each time must not exhaust memory.
const MAX_AGENTS: usize = 1000;

/// One agent: a conversation and its connections.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(super) name: String,
    room: Mutex<Room>,
}

/// The most recent agents, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    all: Mutex<VecDeque<Arc<Agent>>>,
}

impl Agent {
    pub(super) fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Agents {
    /// Returns the agent with this name; creates it if it does not exist.
    pub(super) fn open(&self, name: &str) -> Arc<Agent> {
        let mut all = self.all();
        if let Some(agent) = all.iter().find(|agent| agent.name == name) {
            return agent.clone();
        }
        if all.len() == MAX_AGENTS
            && let Some(agent) = all.pop_front()
        {
            agent.room().close();
        }
        let agent = Arc::new(Agent {
            name: name.to_owned(),
            room: Mutex::new(Room::new()),
        });
        all.push_back(agent.clone());
        agent
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Agent>> {
        let all = self.all();
        all.iter().find(|agent| agent.name == name).cloned()
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Arc<Agent>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a turn, after those before it, until it ends or is stopped.
pub(super) async fn run(agent: Arc<Agent>, turn: u64, plan: Plan) {
    let mut changes = agent.room().changes.subscribe();
    while !agent.room().is_first(turn) {
        if changes.changed().await.is_err() {
            return;
        }
    }
    if !plan.boot.is_zero() {
        sleep(plan.boot).await;
    }
    agent.room().begin(turn);
    for step in plan.steps {
        match step {
            Step::Hang => std::future::pending().await,
            Step::Wait(time) => sleep(time).await,
            step => {
                if !agent.room().play(turn, step) {
                    return;
                }
                yield_now().await;
            }
        }
    }
}
