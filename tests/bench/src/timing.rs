//! The clock and the median of the benchmarks.

use rustix::time::{ClockId, clock_gettime};

/// Returns the CPU time of this thread in nanoseconds, which other programs do not affect.
pub fn thread_time() -> f64 {
    time_of(ClockId::ThreadCPUTime)
}

/// Returns the time of a clock in nanoseconds.
pub fn time_of(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Returns the median of some times; for an even number of them, the higher one of the two.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
