//! Tests that a write killed or failing at any system call leaves the old or the new content.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use fastrand::Rng;
use tempfile::TempDir;

use crate::{
    file::{NAME, mode, parse, run, set_mode},
    processes::{SEED, WARNED, child},
};

/// The system calls of a write that can fail. Memory and signals are omitted: their failures do not
/// matter.
const CALLS: &str = "openat,mkdir,mkdirat,fstat,statx,newfstatat,flock,getdents64,read,write,fsync,\
                     fchmod,renameat,renameat2,unlinkat,close,stat";

const OLD: &[u8] = b"old";
const NEW: &str = "new, and longer than the old";

/// A folder with the old content and a path for the trace.
struct Place {
    root: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let folder = root.path().join("kept");
        fs::create_dir(&folder).unwrap();
        set_mode(&folder, 0o700);
        let path = folder.join(NAME);
        fs::write(&path, b"whole:old").unwrap();
        set_mode(&path, 0o600);
        Self { root, path }
    }

    /// Writes the new content under strace; returns what the child said, and the trace.
    fn write(&self, inject: Option<&str>) -> (String, String) {
        let trace = self.root.path().join("trace");
        let calls = format!("trace={CALLS}");
        let mut strace = vec![
            "strace",
            "-f",
            "-y",
            "-o",
            trace.to_str().unwrap(),
            "-e",
            &calls,
        ];
        // Only calls on these paths are traced and made to fail.
        let folder = self.path.parent().unwrap();
        let temporary = Rng::with_seed(SEED).u64(..);
        let temporary = folder.join(format!(".{NAME}.{temporary:016x}"));
        let lock = folder.join(format!("{NAME}.lock"));
        for path in [folder, &self.path, &temporary, &lock] {
            strace.extend(["-P", path.to_str().unwrap()]);
        }
        let inject = inject.map(|inject| format!("inject={inject}"));
        if let Some(inject) = &inject {
            strace.extend(["-e", inject]);
        }
        let said = child(&strace, &format!("write {NEW}"), &self.path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        (said, fs::read_to_string(&trace).unwrap_or_default())
    }

    /// Checks that a reader finds the old or the new content, and returns true if it is the new one.
    #[track_caller]
    fn check(&self, what: &str) -> bool {
        let bytes = fs::read(&self.path).unwrap();
        let content = parse(&bytes).unwrap_or_else(|| panic!("{what}: {bytes:?}"));
        assert!(
            content == OLD || content == NEW.as_bytes(),
            "{what}: {bytes:?}"
        );
        assert_eq!(mode(&self.path), 0o600, "{what}");
        content != OLD
    }
}

/// Returns the name and the arguments of each call in the trace.
fn calls(trace: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = trace.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(_, call)| call.trim_start().split_once('('))
}

/// Returns each call, with its number among those of its name.
fn numbered(trace: &str) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let number = |(name, _)| {
        let count = counts.entry(name).or_default();
        *count += 1;
        (name.to_owned(), *count)
    };
    let found: Vec<_> = calls(trace).map(number).collect();
    assert!(10 < found.len(), "{trace}");
    found
}

fn has_strace() -> bool {
    run(Command::new("strace").args(["-o", "/dev/null", "true"]))
}

#[test]
fn the_order_of_calls_survives_a_power_failure() {
    if !has_strace() {
        return;
    }
    let place = Place::new();
    let (_, trace) = place.write(None);
    assert!(place.check("undisturbed"));
    let steps = [
        ("openat", "/kept>, \"auth_Cloudflare.json.lock\""),
        ("flock", "LOCK_EX"),
        ("openat", "O_WRONLY|O_CREAT|O_EXCL|"),
        ("write", "/kept/.auth_Cloudflare.json."),
        ("fsync", "/kept/.auth_Cloudflare.json."),
        ("renameat", "/kept>, \"auth_Cloudflare.json\""),
        ("fsync", "/kept>"),
        ("close", "/kept/auth_Cloudflare.json.lock>"),
    ];
    let mut calls = calls(&trace);
    for (name, part) in steps {
        let is_step =
            |(call, arguments): (&str, &str)| call.starts_with(name) && arguments.contains(part);
        assert!(calls.any(is_step), "{name} {part}: {trace}");
    }
}

#[test]
fn a_kill_at_any_call_leaves_the_old_or_new_content() {
    if !has_strace() {
        return;
    }
    let mut ends = [0, 0];
    for (name, count) in numbered(&Place::new().write(None).1) {
        let place = Place::new();
        let what = format!("{name}:signal=SIGKILL:when={count}");
        let (said, _) = place.write(Some(&what));
        assert!(!said.contains("test result"), "{what}: not killed");
        ends[usize::from(place.check(&what))] += 1;
        // What a killed write left behind does not stop the next one.
        place.write(None);
        assert!(place.check(&what), "{what}");
    }
    assert!(ends.iter().all(|end| 0 < *end), "{ends:?}");
}

#[test]
fn an_error_at_any_call_leaves_the_old_or_new_content() {
    if !has_strace() {
        return;
    }
    for (name, count) in numbered(&Place::new().write(None).1) {
        for error in [
            "EIO", "ENOSPC", "EACCES", "EINTR", "EDQUOT", "EFBIG", "ENOLCK", "EINVAL", "EROFS",
        ] {
            let place = Place::new();
            let what = format!("{name}:error={error}:when={count}");
            let (said, _) = place.write(Some(&what));
            assert!(said.contains("test result: ok"), "{what}: {said}");
            let is_new = place.check(&what);
            assert!(is_new || said.contains(WARNED), "{what}: {said}");
            // After a failure, no temporary file is left.
            let names = fs::read_dir(place.path.parent().unwrap()).unwrap();
            let count = names.filter(|name| {
                let name = name.as_ref().unwrap().file_name();
                name.to_str().unwrap().starts_with('.')
            });
            assert_eq!(count.count(), 0, "{what}");
            assert!(!said.contains(NEW), "{what}: {said}");
        }
    }
}

#[test]
fn file_systems_without_locks_or_syncs_are_used_with_a_warning() {
    if !has_strace() {
        return;
    }
    for (inject, why) in [
        (
            "flock:error=ENOLCK",
            "locking it failed: No locks available",
        ),
        (
            "flock:error=EOPNOTSUPP",
            "locking it failed: Operation not supported",
        ),
        ("fsync:error=EINVAL", "may be lost in a power failure"),
        ("fsync:error=ENOSYS", "may be lost in a power failure"),
    ] {
        let place = Place::new();
        let (said, _) = place.write(Some(inject));
        assert!(place.check(inject), "{inject}");
        assert!(said.contains(why), "{inject}: {said}");
        assert_eq!(said.matches(WARNED).count(), 1, "{said}");
    }
}
