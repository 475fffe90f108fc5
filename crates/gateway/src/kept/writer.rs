//! A thread that writes kept responses to their file, because a write may wait for a disk.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    Memory,
    file::KeptFile,
    store::{Entry, now},
};

/// The time after which responses are on the disk. Until then they survive the death of the process,
/// but not a loss of power.
const SYNC: Duration = Duration::from_secs(1);

/// A response to write, and what is told once it is kept.
type Message = (Entry, oneshot::Sender<()>);

/// The sender of responses to the thread, which ends once the sender is dropped.
#[derive(Debug)]
pub(super) struct Writer(mpsc::Sender<Message>);

impl Writer {
    pub(super) fn start(file: KeptFile, memory: Arc<Memory>) -> io::Result<Self> {
        let (sender, messages) = mpsc::channel();
        thread::Builder::new()
            .name("kept-responses".to_owned())
            .spawn(move || run(file, &memory, &messages))?;
        Ok(Self(sender))
    }

    /// Waits until a response is kept, if it can be.
    pub(super) async fn keep(&self, entry: Entry) {
        let (sender, kept) = oneshot::channel();
        if self.0.send((entry, sender)).is_ok() {
            // It fails if the thread has panicked: the response is complete without being kept.
            let _ = kept.await;
        }
    }
}

fn run(mut file: KeptFile, memory: &Memory, messages: &mpsc::Receiver<Message>) {
    // The time of the next sync, if anything was written since the last one.
    let mut due: Option<Instant> = None;
    loop {
        let next = match due {
            None => messages.recv().map_err(RecvTimeoutError::from),
            Some(due) => messages.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        let is_over = matches!(next, Err(RecvTimeoutError::Disconnected));
        if let Ok((entry, kept)) = next {
            if keep(&mut file, memory, entry) {
                due.get_or_insert_with(|| Instant::now() + SYNC);
            }
            // The request may have ended with its runtime.
            let _ = kept.send(());
        }
        if due.is_some_and(|due| is_over || due <= Instant::now()) {
            due = None;
            if file.sync().is_err() {
                memory.failed();
            }
        }
        if is_over {
            return;
        }
    }
}

/// Writes a response, and keeps it in memory even if that fails. Returns true if it was written.
fn keep(file: &mut KeptFile, memory: &Memory, entry: Entry) -> bool {
    if !memory.store().can_keep(&entry, now()) {
        return false;
    }
    let written = file.append(&entry);
    let surplus = {
        let mut store = memory.store();
        store.insert(entry, now());
        file.is_due(store.bytes()).then(|| store.entries())
    };
    // Only this thread adds responses, so none is missing.
    let rewritten = surplus.map(|entries| file.rewrite(&entries));
    if written.is_err() || matches!(rewritten, Some(Err(_))) {
        memory.failed();
    }
    written.is_ok()
}
