//! The progress of a batch on standard error: a bar on a terminal, or a line every 10 s.

use std::{
    io::{self, IsTerminal as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use inferstream_batch::Progress;
use tokio::time::sleep;

use crate::output::say;

/// The time between two lines, and between two states of the bar.
const EVERY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(100));

/// The progress of a batch.
pub(super) struct Meter {
    latest: Arc<Mutex<Progress>>,
    /// The rows that remained at the beginning, if that is known.
    total: Option<u64>,
    begun: Instant,
    bar: Option<ProgressBar>,
}

impl Meter {
    pub(super) fn new(total: Option<u64>) -> Self {
        let bar = io::stderr().is_terminal().then(|| bar(total));
        Self {
            latest: Arc::default(),
            total,
            begun: Instant::now(),
            bar,
        }
    }

    /// Returns a function that takes the state of the batch.
    pub(super) fn observer(&self) -> impl FnMut(&Progress) + Send + 'static {
        let latest = Arc::clone(&self.latest);
        move |progress| *latest.lock().unwrap_or_else(PoisonError::into_inner) = *progress
    }

    /// Waits until the progress is due, and shows it.
    pub(super) async fn tick(&self) {
        match &self.bar {
            None => {
                sleep(EVERY.0).await;
                say(&self.line());
            }
            Some(bar) => {
                sleep(EVERY.1).await;
                let progress = self.latest();
                bar.set_position(progress.complete + progress.failed);
                bar.set_message(self.line());
            }
        }
    }

    /// Prints a line.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            None => say(line),
            Some(bar) => bar.suspend(|| say(line)),
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn latest(&self) -> Progress {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> String {
        line(&self.latest(), self.total, self.begun.elapsed())
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let template = match total {
        None => "{spinner} {msg}",
        Some(_) => "{bar:24} {percent}% {msg}",
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Returns the progress as one line.
fn line(progress: &Progress, total: Option<u64>, elapsed: Duration) -> String {
    let over = progress.complete + progress.failed;
    // Counts of rows are far below 2⁵².
    #[allow(clippy::cast_precision_loss)]
    let rate = over as f64 / elapsed.as_secs_f64().max(0.001);
    let mut parts = vec![
        match total {
            None => format!("{over} rows"),
            Some(total) => format!("{over} of {total} rows"),
        },
        format!("{rate:.0}/s"),
    ];
    if 0 < progress.failed {
        parts.push(format!("{} failed", progress.failed));
    }
    parts.push(format!(
        "{} of {} in flight",
        progress.in_flight, progress.limit
    ));
    if 0 < progress.refused {
        parts.push(format!("{} refused", progress.refused));
    }
    if Duration::from_secs(1) <= progress.wait {
        parts.push(format!("waiting {} s", progress.wait.as_secs()));
    }
    let tokens = progress.tokens.input + progress.tokens.output;
    if 0 < tokens {
        parts.push(format!("{tokens} tokens"));
    }
    let left = total.map(|total| total.saturating_sub(over));
    if let Some(left) = left.filter(|left| 0 < *left && 0.0 < rate) {
        #[allow(clippy::cast_precision_loss)]
        let seconds = left as f64 / rate;
        parts.push(format!("{} left", duration(seconds)));
    }
    parts.join(", ")
}

/// Returns a time in the two largest units that matter.
fn duration(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).map_or(u64::MAX, |time| time.as_secs());
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use inferstream_batch::Progress;

    use super::{duration, line};

    #[test]
    fn a_line_has_what_is_known() {
        let mut progress = Progress::default();
        progress.complete = 110;
        progress.failed = 10;
        progress.in_flight = 7;
        progress.limit = 8;
        let minute = Duration::from_secs(60);
        let known = "120 of 720 rows, 2/s, 10 failed, 7 of 8 in flight, 5 min 0 s left";
        assert_eq!(line(&progress, Some(720), minute), known);
        progress.refused = 3;
        progress.wait = Duration::from_secs(12);
        progress.tokens.input = 5;
        let unknown =
            "120 rows, 2/s, 10 failed, 7 of 8 in flight, 3 refused, waiting 12 s, 5 tokens";
        assert_eq!(line(&progress, None, minute), unknown);
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, expected) in [(0.4, "0 s"), (62.0, "1 min 2 s"), (4_980.0, "1 h 23 min")] {
            assert_eq!(duration(seconds), expected);
        }
    }
}
