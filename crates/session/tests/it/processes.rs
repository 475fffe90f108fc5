//! Tests with several processes: this program starts itself, with its task in the environment.

use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use inferstream_session::CacheFile;
use tempfile::TempDir;

use crate::file::{MARK, NAME, is_root, mode, parse, run};

/// The variables with the task of a child and the path of the file.
const TASK: &str = "INFERSTREAM_TEST_TASK";
const PATH: &str = "INFERSTREAM_TEST_PATH";

/// The prefix of the lines in which children print their warnings.
pub(crate) const WARNED: &str = "warned: ";

/// The line that a child prints after its first write of many.
pub(crate) const BEGUN: &str = "it has begun";

/// What the names of temporary files come from in children that write.
pub(crate) const SEED: u64 = 7;

/// Prepares this program as a child; `wrapper` is what runs it, such as `strace`.
pub(crate) fn child(wrapper: &[&str], task: &str, path: &Path) -> Command {
    let this = env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
    };
    command
        .args([
            "--exact",
            "processes::child_process",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(TASK, task)
        .env(PATH, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Does nothing unless another test started it.
#[test]
fn child_process() {
    let (Ok(task), Some(path)) = (env::var(TASK), env::var_os(PATH)) else {
        return;
    };
    let file = CacheFile::new(path).unwrap();
    let mut warnings = Vec::new();
    match task.split_once(' ') {
        Some(("write", content)) => {
            // So that the temporary file has a name that is known.
            fastrand::seed(SEED);
            let content = [MARK, content.as_bytes()].concat();
            file.update(parse, |_| Some(content), &mut warnings);
        }
        Some(("add", name)) => {
            // The tries are waited for as long as it takes: none may be lost.
            let file = file.lock_wait(Duration::from_secs(3600));
            for n in 0..200 {
                let add = |old: Option<Vec<u8>>| {
                    let mut all = old.map_or(MARK.to_vec(), |old| [MARK, &old].concat());
                    all.extend_from_slice(format!("{name}{n},").as_bytes());
                    Some(all)
                };
                assert!(file.update(parse, add, &mut warnings));
                assert!(file.read(parse, &mut warnings).is_some());
            }
        }
        Some(("churn", name)) => {
            let file = file.lock_wait(Duration::from_secs(3600));
            // Until this process is killed, or its parent was killed and nothing else ends it. The
            // length changes with each write.
            let began = Instant::now();
            let is_wanted = |_: &usize| began.elapsed() < Duration::from_secs(120);
            for n in (1_usize..).take_while(is_wanted) {
                // A pause, because a lock that is taken again at once starves the other writer.
                thread::sleep(Duration::from_micros(fastrand::u64(0..2000)));
                let content = [MARK, format!("{name},").repeat(n % 4000).as_bytes()].concat();
                file.update(parse, |_| Some(content), &mut warnings);
                assert!(warnings.is_empty(), "{warnings:?}");
                if n == 1 {
                    println!("{BEGUN}");
                }
            }
        }
        Some(("race", name)) => {
            for n in 0..200 {
                // Without the lock a change may be lost, but nothing is torn.
                let file = CacheFile::new(env::var_os(PATH).unwrap()).unwrap();
                let file = file.lock_wait(Duration::ZERO);
                let content = [MARK, format!("{name}{n},").repeat(n).as_bytes()].concat();
                file.update(parse, |_| Some(content), &mut Vec::new());
                let text = file.read(parse, &mut warnings).unwrap();
                let text = String::from_utf8(text).unwrap();
                let parts: BTreeSet<&str> = text.split_terminator(',').collect();
                assert!(parts.len() <= 1, "{parts:?}");
            }
        }
        _ => panic!("no task: {task}"),
    }
    for warning in warnings {
        println!("{WARNED}{warning}");
    }
}

fn eight(task: &str, path: &Path) {
    let start = |n: usize| child(&[], &format!("{task} {n}-"), path).spawn().unwrap();
    let children: Vec<_> = (0..8).map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && !text.contains(WARNED),
            "{output:?}"
        );
    }
}

#[test]
fn eight_processes_lose_no_update_with_the_lock() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(NAME);
    eight("add", &path);
    let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
    let parts: BTreeSet<&str> = text[MARK.len()..].split_terminator(',').collect();
    assert_eq!(parts.len(), 8 * 200);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn eight_processes_tear_no_file_without_the_lock() {
    let folder = TempDir::new().unwrap();
    eight("race", &folder.path().join(NAME));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn the_umask_does_not_matter() {
    let folder = TempDir::new().unwrap();
    for umask in ["000", "077", "022"] {
        let path = folder.path().join(umask).join(NAME);
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        let output = child(&["sh", "-c", &script], "write 1", &path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(
            mode(&path.with_file_name("auth_Cloudflare.json.lock")),
            0o600
        );
    }
}

/// Writes within a mount of its own; checks that the old content stays and why the new is not there.
fn check_mount(options: &str, size: usize, why: &str) {
    if !is_root() || !run(Command::new("unshare").args(["--mount", "true"])) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("kept").join(NAME);
    // The mount is removed with its namespace.
    let script = format!(
        "cd \"${PATH}/../..\" 2>/dev/null || cd \"$(dirname \"$(dirname \"${PATH}\")\")\" && \
         mkdir -m 700 kept && mount -t tmpfs -o mode=700,size=16k none kept && \
         (umask 077; printf whole:old > kept/{NAME}; : > kept/{NAME}.lock) && \
         mount -o remount,{options} kept && (\"$0\" \"$@\"; cat kept/{NAME}; ls -A kept | wc -l)"
    );
    let task = format!("write {}", "x".repeat(size));
    let output = child(&["unshare", "--mount", "sh", "-c", &script], &task, &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("whole:old"), "{output:?}");
    assert!(
        text.lines()
            .any(|line| line.contains(WARNED) && line.contains(why)),
        "{text}"
    );
    assert!(text.trim_end().ends_with('2'), "{text}");
}

#[test]
fn a_full_disk_leaves_the_old_content() {
    check_mount("rw", 100_000, "writing it failed: No space left on device");
}

#[test]
fn a_read_only_disk_leaves_the_old_content() {
    check_mount("ro", 10, "writing it failed: Read-only file system");
}

#[test]
fn a_folder_without_permission_leaves_the_old_content() {
    if !is_root() || !run(Command::new("setpriv").args(["--reuid=65534", "true"])) {
        return;
    }
    let folder = TempDir::new().unwrap();
    crate::file::set_mode(folder.path(), 0o755);
    let path = folder.path().join("kept").join(NAME);
    let nobody = ["setpriv", "--reuid=65534", "--clear-groups"];
    // The user can neither create the folder nor use one of another owner.
    for why in [
        "creating its folder failed: Permission denied",
        "its folder is not used: it has another owner",
    ] {
        let output = child(&nobody, "write 1", &path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            eprintln!("SKIPPED: another user cannot run this program: {output:?}");
            return;
        }
        assert!(text.contains(why), "{text}");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
    }
    std::os::unix::fs::chown(path.parent().unwrap(), Some(65534), None).unwrap();
    crate::file::set_mode(path.parent().unwrap(), 0o500);
    let text = child(&nobody, "write 1", &path).output().unwrap().stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains("writing it failed: Permission denied"),
        "{text}"
    );
    assert!(!path.exists());
}
