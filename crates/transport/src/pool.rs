//! Connections between two requests: kept for a while, looked at before they are used again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, time::Instant};

use crate::{connect::Route, exchange::Connection};

/// The most idle connections per route: a burst of parallel requests leaves so many behind.
const MAX_IDLE: usize = 8;

pub(crate) struct Pool {
    idle_limit: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    idle: HashMap<Route, Vec<Idle>>,
    /// True while a task of ours closes what has been idle for too long.
    swept: bool,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(idle_limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            idle_limit,
            kept: Mutex::default(),
        })
    }

    /// Returns the connection that was used last, if it still stands.
    pub(crate) fn take(&self, route: &Route) -> Option<Connection> {
        loop {
            let mut idle = self.pop(route)?;
            if idle.since.elapsed() < self.idle_limit && idle.connection.is_idle() {
                idle.connection.mark_reused();
                return Some(idle.connection);
            }
        }
    }

    /// Takes the youngest connection that belongs to the caller's runtime: another may stand still,
    /// and its sockets with it.
    fn pop(&self, route: &Route) -> Option<Idle> {
        let runtime = Handle::try_current().ok()?.id();
        let mut kept = self.kept();
        let idle = kept.idle.get_mut(route)?;
        let youngest = idle
            .iter()
            .rposition(|idle| idle.connection.runtime() == Some(runtime))?;
        Some(idle.remove(youngest))
    }

    /// Keeps the connection if another request may be sent on it.
    pub(crate) fn put(self: &Arc<Self>, route: Route, mut connection: Connection) {
        if self.idle_limit.is_zero() || !connection.is_idle() {
            return;
        }
        let mut kept = self.kept();
        let idle = kept.idle.entry(route).or_default();
        if MAX_IDLE <= idle.len() {
            idle.remove(0);
        }
        idle.push(Idle {
            connection,
            since: Instant::now(),
        });
        if kept.swept {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            kept.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self), self.idle_limit));
        }
    }

    /// Closes what has been idle for too long; returns true if something is left.
    fn expire(&self) -> bool {
        let mut kept = self.kept();
        kept.idle.retain(|_, idle| {
            idle.retain(|idle| idle.since.elapsed() < self.idle_limit);
            !idle.is_empty()
        });
        kept.swept = !kept.idle.is_empty();
        kept.swept
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what is idle, until there is nothing.
async fn sweep(pool: Weak<Pool>, every: Duration) {
    let sweeper = Sweeper(pool);
    loop {
        tokio::time::sleep(every).await;
        match sweeper.0.upgrade() {
            Some(pool) if pool.expire() => {}
            _ => return,
        }
    }
}

/// A sweep that ends with its runtime leaves the pool to the next one.
struct Sweeper(Weak<Pool>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.kept().swept = false;
        }
    }
}
