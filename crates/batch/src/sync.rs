//! A thread that syncs a file once per second while it is written to.

use std::{
    fs::File,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// The time between two syncs: what a power failure may cost.
const INTERVAL: Duration = Duration::from_secs(1);

/// Syncs a file in the background. What was written before a crash of the process needs no sync.
#[derive(Debug)]
pub(crate) struct Sync {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_dirty: bool,
    /// Whether the thread waits for a write: otherwise it looks by itself.
    is_idle: bool,
    is_closing: bool,
    error: Option<io::Error>,
}

impl Sync {
    pub(crate) fn start(file: File) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new().name("sync".to_owned());
        Ok(Self {
            thread: Some(thread.spawn(move || own.run(&file))?),
            shared,
        })
    }

    /// Notes that the file was written to.
    ///
    /// # Errors
    ///
    /// The error of an earlier sync, once.
    pub(crate) fn written(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        state.is_dirty = true;
        let error = state.error.take();
        let is_idle = std::mem::take(&mut state.is_idle);
        drop(state);
        // Not for each write: that would wake the thread up.
        if is_idle {
            self.shared.changed.notify_one();
        }
        error.map_or(Ok(()), Err)
    }

    /// Syncs what was written, and ends the thread.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.shared.state().is_closing = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.shared.state().error.take().map_or(Ok(()), Err)
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl Shared {
    fn run(&self, file: &File) {
        let mut state = self.state();
        loop {
            while !state.is_dirty && !state.is_closing {
                state.is_idle = true;
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if !state.is_dirty {
                return;
            }
            state.is_dirty = false;
            drop(state);
            let synced = file.sync_data();
            state = self.state();
            if let Err(error) = synced {
                state.error = Some(error);
            }
            let is_open = |state: &mut State| !state.is_closing;
            let waited = self.changed.wait_timeout_while(state, INTERVAL, is_open);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
