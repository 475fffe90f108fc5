//! Writers that are killed at random moments, writers above a limit of the file size, and threads.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, SystemTime},
};

use inferstream_session::CacheFile;
use tempfile::TempDir;

use crate::{
    file::{MARK, NAME, mode, parse, run},
    processes::{BEGUN, WARNED, child},
};

/// The signals that end a writer, each in turn. A process that a shell started in the background
/// ignores SIGINT, and so do its children, so that it is not used here.
const SIGNALS: [&str; 2] = ["KILL", "TERM"];

const ROUNDS: usize = 150;

/// A child that writes without end, until it is dropped at the latest.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a child that writes without end, and waits for its first write.
fn start_writer(name: &str, path: &Path) -> Writer {
    let child = child(&[], &format!("churn {name}"), path).spawn();
    let mut writer = Writer(child.unwrap());
    let mut said = BufReader::new(writer.0.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains(BEGUN)), "{name}");
    writer
}

/// Checks that the file has the content of one write, and the mode 0600.
#[track_caller]
fn check_whole(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let content = parse(&bytes).unwrap_or_else(|| panic!("{} bytes", bytes.len()));
    let text = String::from_utf8(content).unwrap();
    assert!(text.is_empty() || text.ends_with(','), "{text}");
    let names: BTreeSet<&str> = text.split_terminator(',').collect();
    assert!(names.len() <= 1, "{names:?}");
    assert_eq!(mode(path), 0o600);
}

fn names(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|name| name.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn writers_killed_at_any_moment_leave_a_whole_file_and_no_lock() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(NAME);
    for round in 0..ROUNDS {
        // Two writers: one is often killed while the other waits for the lock.
        let mut writers = ["one", "two"].map(|name| start_writer(name, &path));
        thread::sleep(Duration::from_micros(fastrand::u64(0..3000)));
        for Writer(writer) in &mut writers {
            let signal = format!("-{}", SIGNALS[round % SIGNALS.len()]);
            assert!(run(
                Command::new("kill").args([&signal, &writer.id().to_string()])
            ));
            assert!(!writer.wait().unwrap().success());
            check_whole(&path);
        }
        // The lock ends with the process that held it.
        let mut warnings = Vec::new();
        let content = || Some([MARK, b"next,"].concat());
        let file = CacheFile::new(&path).unwrap();
        assert!(file.update(parse, |_| content(), &mut warnings));
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(file.read(parse, &mut warnings).unwrap(), b"next,");
    }
    // What killed writers left behind is deleted when it is an hour old.
    let old = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    for name in names(folder.path()) {
        if name.starts_with('.') {
            let left = File::options().write(true).open(folder.path().join(name));
            left.unwrap().set_modified(old).unwrap();
        }
    }
    let file = CacheFile::new(&path).unwrap();
    assert!(file.update(parse, |old| old.map(|_| MARK.to_vec()), &mut Vec::new()));
    let lock = format!("{NAME}.lock");
    let expected = [NAME.to_owned(), lock].into_iter().collect();
    assert_eq!(names(folder.path()), expected);
}

/// Writes 100,000 bytes under a limit of the file size, which is at most 8 KiB.
#[track_caller]
fn write_limited(path: &Path, prepare: &str) -> (bool, String) {
    let script = format!("{prepare} ulimit -c 0; ulimit -f 8; exec \"$0\" \"$@\"");
    let task = format!("write {}", "x".repeat(100_000));
    let output = child(&["sh", "-c", &script], &task, path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(fs::read(path).unwrap(), b"whole:old");
    (output.status.success(), said)
}

#[test]
fn a_limit_of_the_file_size_leaves_the_old_content() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(NAME);
    let file = CacheFile::new(&path).unwrap();
    let old = || Some(b"whole:old".to_vec());
    assert!(file.update(parse, |_| old(), &mut Vec::new()));
    // The signal of the limit is ignored: the write fails with EFBIG.
    let (is_done, said) = write_limited(&path, "trap '' XFSZ;");
    assert!(is_done, "{said}");
    let why = "writing it failed: File too large";
    let is_why = |line: &str| line.contains(WARNED) && line.contains(why);
    assert!(said.lines().any(is_why), "{said}");
    assert_eq!(names(folder.path()).len(), 2);
    // The signal kills the process in the middle of the write.
    let (is_done, said) = write_limited(&path, "trap - XFSZ;");
    assert!(!is_done, "{said}");
    assert_eq!(names(folder.path()).len(), 3, "a temporary file is left");
    let mut warnings = Vec::new();
    assert!(file.update(parse, |_| Some(b"whole:new".to_vec()), &mut warnings));
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(file.read(parse, &mut warnings).unwrap(), b"new");
}

#[test]
fn threads_lose_no_update_with_one_handle_or_their_own() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(NAME);
    let patient = || CacheFile::new(&path).map(|file| file.lock_wait(Duration::from_secs(3600)));
    let shared = patient().unwrap();
    thread::scope(|scope| {
        for thread in 0..8 {
            let (shared, patient) = (&shared, &patient);
            scope.spawn(move || {
                let own = patient().unwrap();
                let file = if thread % 2 == 0 { shared } else { &own };
                let mut warnings = Vec::new();
                for n in 0..50 {
                    let add = |old: Option<Vec<u8>>| {
                        let old = old.unwrap_or_default();
                        let new = format!("{thread}-{n},");
                        Some([MARK, &old, new.as_bytes()].concat())
                    };
                    assert!(file.update(parse, add, &mut warnings));
                    assert!(file.read(parse, &mut warnings).is_some());
                }
                assert!(warnings.is_empty(), "{warnings:?}");
            });
        }
    });
    let content = shared.read(parse, &mut Vec::new()).unwrap();
    let text = String::from_utf8(content).unwrap();
    let parts: BTreeSet<&str> = text.split_terminator(',').collect();
    assert_eq!(parts.len(), 8 * 50);
}
