//! A pool of idle connections, checked before they are reused.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, time::Instant};

use crate::{connect::Route, exchange::Connection};

/// The maximum number of idle connections per route, enough for a burst of parallel requests.
const MAX_IDLE: usize = 8;

pub(crate) struct Pool {
    idle_limit: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    idle: HashMap<Route, Vec<Idle>>,
    /// True while a background task closes expired connections.
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

    /// Returns the most recently used connection that is still open.
    pub(crate) fn take(&self, route: &Route) -> Option<Connection> {
        loop {
            let mut idle = self.pop(route)?;
            if idle.since.elapsed() < self.idle_limit && idle.connection.is_idle() {
                idle.connection.mark_reused();
                return Some(idle.connection);
            }
        }
    }

    /// Removes the newest connection that belongs to the current runtime. A connection of another
    /// runtime may not make progress, because its sockets are registered there.
    fn pop(&self, route: &Route) -> Option<Idle> {
        let runtime = Handle::try_current().ok()?.id();
        let mut kept = self.kept();
        let idle = kept.idle.get_mut(route)?;
        let youngest = idle
            .iter()
            .rposition(|idle| idle.connection.runtime() == Some(runtime))?;
        Some(idle.remove(youngest))
    }

    /// Keeps the connection if it can take another request.
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

    /// Closes expired connections. Returns true if any connections remain.
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

/// Closes expired connections until the pool is empty.
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

/// If the runtime shuts down, allow the next one to start a new cleanup task.
struct Sweeper(Weak<Pool>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.kept().swept = false;
        }
    }
}
