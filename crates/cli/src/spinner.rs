//! A progress indicator on the terminal until output starts.

use std::{
    future::Future,
    io,
    io::{IsTerminal as _, Write as _},
    pin::pin,
    time::Duration,
};

use tokio::time::{Instant, timeout};

const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// No spinner is shown for faster responses.
const DELAY: Duration = Duration::from_millis(300);

const INTERVAL: Duration = Duration::from_millis(80);

/// A spinner on standard error. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Spinner {
    enabled: bool,
    next: Instant,
    drawn: usize,
}

impl Spinner {
    /// Creates a spinner, which is shown only if standard error is a terminal.
    pub(crate) fn new() -> Self {
        Self {
            enabled: io::stderr().is_terminal(),
            next: Instant::now() + DELAY,
            drawn: 0,
        }
    }

    /// Waits for a future and shows the spinner meanwhile.
    pub(crate) async fn during<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        while self.enabled {
            let left = self.next.saturating_duration_since(Instant::now());
            if let Ok(value) = timeout(left, &mut future).await {
                return value;
            }
            self.next += INTERVAL;
            self.draw(FRAMES[self.drawn % FRAMES.len()]);
            self.drawn += 1;
        }
        future.await
    }

    /// Stops the spinner and clears it.
    pub(crate) fn stop(&mut self) {
        self.enabled = false;
        self.clear();
    }

    /// Clears the spinner so that a line can be printed.
    pub(crate) fn clear(&mut self) {
        if 0 < self.drawn {
            self.drawn = 0;
            self.draw(" ");
        }
    }

    fn draw(&mut self, frame: &str) {
        let mut stderr = io::stderr().lock();
        if write!(stderr, "\r{frame}\r")
            .and_then(|()| stderr.flush())
            .is_err()
        {
            self.enabled = false;
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.stop();
    }
}
