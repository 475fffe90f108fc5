//! The tokio runtime and signal handling.

use std::{
    future::Future,
    io, process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime, sync::Notify, time::sleep};

use crate::exit::Failure;

/// How long the program may take to exit after a first signal. Longer than a cancellation request
/// takes.
const GRACE: Duration = Duration::from_secs(4);

/// Runs an asynchronous command to its end.
pub(crate) fn run(
    work: impl AsyncFnOnce(&Interrupt) -> Result<(), Failure>,
) -> Result<(), Failure> {
    start(runtime::Builder::new_multi_thread().worker_threads(1), work)
}

/// Runs an asynchronous command that does not block on pipes: on one thread, which is faster,
/// because nothing is passed from one to another.
pub(crate) fn run_on_one_thread(
    work: impl AsyncFnOnce(&Interrupt) -> Result<(), Failure>,
) -> Result<(), Failure> {
    start(&mut runtime::Builder::new_current_thread(), work)
}

fn start(
    builder: &mut runtime::Builder,
    work: impl AsyncFnOnce(&Interrupt) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::Io("cannot start the runtime".to_owned(), error))?;
    let outcome = runtime.block_on(async { work(&Interrupt::listen()?).await });
    // Do not wait for a hanging DNS lookup.
    runtime.shutdown_background();
    outcome
}

/// A signal that ends the program, or a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Signal {
    #[cfg(unix)]
    Hangup,
    Interrupt,
    #[cfg(unix)]
    Terminate,
}

impl Signal {
    /// Returns the exit code that a shell reports for the signal.
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

/// Receives the signal that ends the program.
#[derive(Debug)]
pub(crate) struct Interrupt(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    signal: Mutex<Option<Signal>>,
    notify: Notify,
    /// True if Ctrl-C does not end the program.
    keeps_program: AtomicBool,
}

impl Heard {
    fn signal(&self) -> MutexGuard<'_, Option<Signal>> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interrupt {
    fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::Io("cannot install signal handlers".to_owned(), error);
        let mut signals = Signals::listen().map_err(failed)?;
        let heard = Arc::new(Heard::default());
        let interrupt = Self(Arc::clone(&heard));
        tokio::spawn(async move {
            let signal = loop {
                let signal = signals.next().await;
                *heard.signal() = Some(signal);
                heard.notify.notify_one();
                let keeps_program = heard.keeps_program.load(Ordering::Relaxed);
                if !(keeps_program && signal == Signal::Interrupt) {
                    break signal;
                }
            };
            tokio::select! {
                _ = signals.next() => {}
                () = sleep(GRACE) => {}
            }
            process::exit(signal.code().into());
        });
        Ok(interrupt)
    }

    /// From now on, Ctrl-C interrupts what the program waits for, but does not end the program.
    pub(crate) fn keep_program(&self) {
        self.0.keeps_program.store(true, Ordering::Relaxed);
    }

    /// Forgets a Ctrl-C that was not waited for.
    pub(crate) fn forget(&self) {
        let mut signal = self.0.signal();
        signal.take_if(|signal| *signal == Signal::Interrupt);
    }

    /// Waits for a signal.
    pub(crate) async fn wait(&self) -> Signal {
        loop {
            self.0.notify.notified().await;
            if let Some(signal) = *self.0.signal() {
                return signal;
            }
        }
    }

    /// Waits for a future, or fails if a signal arrives first.
    pub(crate) async fn or<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            signal = self.wait() => Err(Failure::Interrupted(signal)),
            value = future => Ok(value),
        }
    }
}

/// The signals that are handled.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// `None` if SIGHUP is ignored.
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

/// Returns true if the program was started with SIGHUP ignored, as by `nohup`; it then stays
/// ignored.
///
/// Linux reports this in a file. Elsewhere only `unsafe` code could query it, so SIGHUP ends the
/// program.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is signal 1, SIGHUP.
    mask.is_some_and(|mask| mask & 1 == 1)
}

/// The signal that is handled.
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
