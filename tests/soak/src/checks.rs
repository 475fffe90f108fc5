//! What the process uses, as Linux reports it.

use std::fs;

/// Returns the number of open sockets; `None` where the system does not report it.
pub(crate) fn sockets() -> Option<usize> {
    let files = fs::read_dir("/proc/self/fd").ok()?;
    let targets = files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok());
    Some(
        targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count(),
    )
}

/// Returns the resident memory in KiB; `None` where the system does not report it.
pub(crate) fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
