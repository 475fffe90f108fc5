//! Processes: their CPU time and memory, with those that they started.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// A process, which ends with this value.
pub(crate) struct Process {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a program whose output is ignored.
    pub(crate) fn quiet(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            child,
            output: None,
        }
    }

    /// Starts a program that is spoken to by lines.
    pub(crate) fn with_lines(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = child.stdout.take().map(BufReader::new);
        Self { child, output }
    }

    /// Reads a line; it is empty if the program has ended.
    pub(crate) fn read_line(&mut self) -> String {
        let mut line = String::new();
        if let Some(output) = &mut self.output {
            let _ = output.read_line(&mut line);
        }
        line.trim().to_owned()
    }

    /// Lets the program continue.
    pub(crate) fn send_line(&mut self) {
        if let Some(input) = &mut self.child.stdin {
            let _ = input.write_all(b"\n");
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The process and all that it started.
    fn tree(&self) -> Vec<u32> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process may end meanwhile.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
            parents.push((pid, parent.unwrap_or(0_u32)));
        }
        let mut tree = vec![self.child.id()];
        let mut known: HashSet<u32> = tree.iter().copied().collect();
        let mut at = 0;
        while let Some(parent) = tree.get(at).copied() {
            for (pid, _) in parents.iter().filter(|(_, own)| *own == parent) {
                if known.insert(*pid) {
                    tree.push(*pid);
                }
            }
            at += 1;
        }
        tree
    }

    /// The CPU time of all threads of the tree, in nanoseconds.
    pub(crate) fn cpu_time(&self) -> u64 {
        let mut sum = 0;
        for pid in self.tree() {
            for task in fs::read_dir(format!("/proc/{pid}/task"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                sum += text
                    .split(' ')
                    .next()
                    .and_then(|time| time.parse::<u64>().ok())
                    .unwrap_or(0);
            }
        }
        sum
    }

    /// The memory of the tree, in KiB; pages that processes share are divided among them. The field is
    /// `Pss` for all memory, and `Pss_Anon` for that which is not a cached part of a file.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let size = |pid: u32| -> Option<u64> {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let mut values = rollup.lines().filter_map(|line| line.split_once(':'));
            let (_, value) = values.find(|(name, _)| *name == field)?;
            value.trim().strip_suffix(" kB")?.parse().ok()
        };
        self.tree().into_iter().filter_map(size).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let tree = self.tree();
        let send = |pid: u32, signal| {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, signal);
            }
        };
        send(self.child.id(), Signal::TERM);
        let limit = Instant::now() + Duration::from_secs(1);
        while !self.has_ended() && Instant::now() < limit {
            sleep(Duration::from_millis(10));
        }
        for pid in tree {
            // The root is not reaped yet unless it has ended; of the others, none is reused this soon.
            if pid != self.child.id() || !self.has_ended() {
                send(pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}
