//! Background tasks of the transport, awaited before the program exits.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use inferstream::{Body, BoxFuture, Error, Result, Timer, Transport, transport::HttpTransport};
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};

use crate::output::say;

/// How long the program waits for background tasks: the timeout of a cancellation request.
const LIMIT: Duration = Duration::from_secs(2);

/// The background tasks of a transport.
#[derive(Clone, Debug, Default)]
pub(crate) struct Background(Arc<Mutex<Vec<JoinHandle<()>>>>);

impl Background {
    /// Waits up to 2 s for all tasks.
    pub(crate) async fn settle(&self) {
        let all = async {
            loop {
                let tasks = mem::take(&mut *self.tasks());
                if tasks.is_empty() {
                    return;
                }
                for task in tasks {
                    // A task that panicked has ended too.
                    let _ = task.await;
                }
            }
        };
        // Slower tasks are abandoned.
        let _ = timeout(LIMIT, all).await;
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transport that tracks its background tasks and prints a line for each retry.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    transport: HttpTransport,
    background: Background,
}

impl Watched {
    pub(crate) fn new(transport: HttpTransport, background: &Background) -> Self {
        Self {
            transport,
            background: background.clone(),
        }
    }
}

impl Transport for Watched {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'static, Result<http::Response<Body>>> {
        self.transport.send(request)
    }

    fn on_retry(&self, error: &Error, wait: Duration) {
        let wait = wait.as_secs_f64();
        let digits = usize::from(wait < 1.0);
        say(&format!("retrying in {wait:.digits$} s: {error}"));
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        if let Ok(runtime) = Handle::try_current() {
            let mut tasks = self.background.tasks();
            tasks.retain(|task| !task.is_finished());
            tasks.push(runtime.spawn(task));
        }
    }
}

impl Timer for Watched {
    fn now(&self) -> Duration {
        self.transport.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.transport.sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        self.transport.system_time()
    }
}
