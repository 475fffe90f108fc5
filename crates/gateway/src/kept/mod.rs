//! Responses that are kept, so that a request with the same `Idempotency-Key` is sent only once.

mod file;
mod id;
mod line;
mod store;
mod writer;

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use inferstream::Error;
use tokio::sync::watch;

use self::{
    file::KeptFile,
    store::{Entry, Found, Outcome, Pending, Store, now},
    writer::Writer,
};
pub(crate) use self::{
    id::{Fingerprint, Id, key},
    store::Document,
};
use crate::{config::KeptResponses, metrics::Metrics, refusal::Refusal};

/// The kept responses of a gateway, and the requests in progress whose responses will be kept.
#[derive(Debug)]
pub(crate) struct Kept {
    memory: Arc<Memory>,
    writer: Option<Writer>,
    /// Has a receiver for each request in progress.
    running: watch::Sender<()>,
}

/// The part that the thread of the file shares.
struct Memory {
    store: Mutex<Store>,
    metrics: Arc<Metrics>,
}

impl Memory {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a failure of the file.
    fn failed(&self) {
        self.metrics.kept_failures.inc();
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Kept {
    /// Opens the file of the settings, if there is one, and reads its responses.
    pub(crate) fn open(settings: &KeptResponses, metrics: &Arc<Metrics>) -> Result<Self, Error> {
        let mut store = Store::new(settings.clone());
        let failed = |error: std::io::Error| {
            let path = settings.file.as_deref().unwrap_or("".as_ref());
            let message = format!(
                "opening the kept responses {} failed: {error}",
                path.display()
            );
            Error::config(message).with_setting("kept_responses")
        };
        let file = settings.file.as_deref();
        let file = file.map(|path| KeptFile::open(path, &mut store, now()));
        let file = file.transpose().map_err(failed)?;
        let memory = Arc::new(Memory {
            store: Mutex::new(store),
            metrics: Arc::clone(metrics),
        });
        let writer = file.map(|file| Writer::start(file, Arc::clone(&memory)));
        Ok(Self {
            memory,
            writer: writer.transpose().map_err(failed)?,
            running: watch::Sender::new(()),
        })
    }

    /// Waits until no request is in progress.
    pub(crate) async fn idle(&self) {
        self.running.closed().await;
    }

    /// Finds the response of a request.
    ///
    /// # Errors
    ///
    /// Fails if the key belongs to a request with another body.
    pub(crate) fn find(
        self: &Arc<Self>,
        id: Id,
        fingerprint: Fingerprint,
    ) -> Result<Answer, Refusal> {
        let found = self.memory.store().find(&id, fingerprint, now());
        match found {
            Found::Kept(document) => Ok(Answer::Kept(document)),
            Found::Other => Err(Refusal::key_reused()),
            Found::Running(pending) => Ok(Answer::Running(pending)),
            Found::Absent(sender) => Ok(Answer::Absent(Leader {
                kept: Arc::clone(self),
                _running: self.running.subscribe(),
                id,
                fingerprint,
                sender,
            })),
        }
    }
}

/// What is known of a request.
pub(crate) enum Answer {
    /// Nothing: the caller sends it.
    Absent(Leader),
    Kept(Arc<Document>),
    /// The same request is in progress.
    Running(Pending),
}

/// Waits for the result of a request in progress.
pub(crate) async fn outcome(mut pending: Pending) -> Outcome {
    match pending.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(Refusal::lost())),
        // Its task has panicked.
        Err(_) => Err(Refusal::lost()),
    }
}

/// The first of some requests that are the same, whose response the others wait for.
pub(crate) struct Leader {
    kept: Arc<Kept>,
    _running: watch::Receiver<()>,
    id: Id,
    fingerprint: Fingerprint,
    sender: watch::Sender<Option<Outcome>>,
}

impl Leader {
    /// Sends the request in a task of its own, which continues if the client leaves.
    pub(crate) fn send(
        self,
        request_id: String,
        response: impl Future<Output = Result<Document, Refusal>> + Send + 'static,
    ) -> Pending {
        let pending = self.sender.subscribe();
        tokio::spawn(async move {
            let outcome = match response.await {
                Ok(document) => Ok(self.keep(request_id, document).await),
                Err(refusal) => Err(refusal),
            };
            let sender = self.sender.clone();
            // First, so that a request that arrives after the others have their error is sent again.
            drop(self);
            // It fails if all clients have left.
            let _ = sender.send(Some(outcome));
        });
        pending
    }

    /// Keeps a complete response.
    async fn keep(&self, request_id: String, document: Document) -> Arc<Document> {
        let document = Arc::new(document);
        let entry = Entry {
            id: self.id.clone(),
            fingerprint: self.fingerprint,
            request_id,
            time: now(),
            document: Arc::clone(&document),
        };
        match &self.kept.writer {
            Some(writer) => writer.keep(entry).await,
            None => {
                self.kept.memory.store().insert(entry, now());
            }
        }
        document
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").finish_non_exhaustive()
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.kept.memory.store().ended(&self.id);
    }
}
