//! The runtime, and the signals that end the program early.

use std::{
    future::Future,
    io, process,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{runtime, sync::Notify, time::sleep};

use crate::exit::Failure;

/// How long the program may take to end after a signal, unless there is a second one: longer than it
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
    let outcome = runtime.block_on(async { work(&Interrupt::listen()?).await });
    // A lookup of a name that hangs is not waited for.
    runtime.shutdown_background();
    outcome
}

/// A signal that asks the program to end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    #[cfg(unix)]
    Hangup,
    Interrupt,
    #[cfg(unix)]
    Terminate,
}

impl Signal {
    /// Returns the code to exit with: that of a shell for a program that the signal ended.
    pub(crate) fn code(self) -> u8 {
        match self {
            #[cfg(unix)]
            Self::Hangup => 129,
            Self::Interrupt => 130,
            #[cfg(unix)]
            Self::Terminate => 143,
        }
    }
}

/// Reports the first signal.
#[derive(Debug)]
pub(crate) struct Interrupt(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    signal: OnceLock<Signal>,
    notify: Notify,
}

impl Interrupt {
    fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::Io("signals cannot be listened for".to_owned(), error);
        let mut signals = Signals::listen().map_err(failed)?;
        let heard = Arc::new(Heard::default());
        let interrupt = Self(Arc::clone(&heard));
        tokio::spawn(async move {
            let signal = signals.next().await;
            // It is set here alone.
            let _ = heard.signal.set(signal);
            heard.notify.notify_one();
            tokio::select! {
                _ = signals.next() => {}
                () = sleep(GRACE) => {}
            }
            process::exit(signal.code().into());
        });
        Ok(interrupt)
    }

    /// Waits for a signal.
    pub(crate) async fn wait(&self) -> Signal {
        loop {
            self.0.notify.notified().await;
            if let Some(signal) = self.0.signal.get() {
                return *signal;
            }
        }
    }

    /// Waits for a future, unless a signal comes first.
    pub(crate) async fn or<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            signal = self.wait() => Err(Failure::Interrupted(signal)),
            value = future => Ok(value),
        }
    }
}

/// The signals that are listened for.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// `None` where it stays ignored.
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let hangup = (!ignores_hangup()).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangup.transpose()?,
        })
    }

    async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                None => std::future::pending().await,
                Some(hangup) => hangup.recv().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = hangup => Signal::Hangup,
        }
    }
}

/// Returns true if the program was started with SIGHUP ignored, as by `nohup`: it stays so.
///
/// Linux reports it in a file. Elsewhere only `unsafe` code could ask, and a hangup ends the program.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is signal 1, SIGHUP.
    mask.is_some_and(|mask| mask & 1 == 1)
}

/// The signal that is listened for.
#[cfg(not(unix))]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Signal {
        self.0.recv().await;
        Signal::Interrupt
    }
}
