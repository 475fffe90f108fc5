//! The runtime, and Ctrl-C in it.

use std::{
    future::{Future, poll_fn},
    process,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{runtime, signal, sync::Notify, time::sleep};

use crate::exit::Failure;

/// How long the program may take to end after Ctrl-C, unless there is a second one: longer than it
/// takes to tell the service.
const GRACE: Duration = Duration::from_secs(4);

/// Runs to the end what is asynchronous.
pub(crate) fn run(
    work: impl AsyncFnOnce(&Interrupt) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::Io("the runtime could not be started".to_owned(), error))?;
    let outcome = runtime.block_on(async { work(&Interrupt::listen().await?).await });
    // A lookup of a name that hangs is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Tells of Ctrl-C.
#[derive(Debug)]
pub(crate) struct Interrupt(Arc<Notify>);

impl Interrupt {
    async fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::Io("Ctrl-C cannot be listened for".to_owned(), error);
        let mut signal = Box::pin(signal::ctrl_c());
        // It is listened for from the first poll on.
        let first = poll_fn(|cx| Poll::Ready(signal.as_mut().poll(cx))).await;
        let notify = Arc::new(Notify::new());
        match first {
            Poll::Ready(outcome) => {
                outcome.map_err(failed)?;
                notify.notify_one();
            }
            Poll::Pending => {
                let notify = notify.clone();
                tokio::spawn(async move {
                    if signal.await.is_ok() {
                        notify.notify_one();
                        tokio::select! {
                            _ = signal::ctrl_c() => {}
                            () = sleep(GRACE) => {}
                        }
                        process::exit(130);
                    }
                });
            }
        }
        Ok(Self(notify))
    }

    /// Waits for Ctrl-C.
    pub(crate) async fn wait(&self) {
        self.0.notified().await;
    }

    /// Waits for a future, unless Ctrl-C comes first.
    pub(crate) async fn or<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.wait() => Err(Failure::Interrupted),
            value = future => Ok(value),
        }
    }
}
