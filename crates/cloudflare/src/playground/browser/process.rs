//! The browser process, which is killed when its value is dropped.

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{DirBuilderExt as _, PermissionsExt as _},
            process::CommandExt as _,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use command_fds::{CommandFdExt as _, FdMapping};
use inferstream_core::{Error, Result};
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use tokio::{net::unix::pipe, time::sleep};

use super::pipe::Pipe;

/// The names of Chromium and related browsers, in order of preference.
const NAMES: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "brave-browser",
];

/// The locations of the browsers on macOS.
const APPLICATIONS: [&str; 2] = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/// The file descriptors that a browser with `--remote-debugging-pipe` reads from and writes to.
const READS: i32 = 3;
const WRITES: i32 = 4;

/// The interval at which the exit of the process is checked.
const PAUSE: Duration = Duration::from_millis(20);

/// How often the removal of a folder is tried; killed processes may still write there.
const REMOVALS: u32 = 20;

/// The longest path of a folder in which a browser can create a socket; on BSD, socket paths are
/// limited to 104 bytes.
const MAX_FOLDER: usize = 50;

/// Finds the browser program: the given one, or one that is installed.
pub(super) fn find(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return on_path(given).ok_or_else(|| {
            let given = given.display();
            Error::config(format!("browser program `{given}` not found"))
        });
    }
    if let Some(chrome) = env::var_os("CHROME").filter(|chrome| !chrome.is_empty()) {
        let message =
            "invalid environment variable CHROME: expected the path or name of a browser program";
        return on_path(chrome.as_ref()).ok_or_else(|| Error::config(message));
    }
    let names = NAMES.iter().chain(APPLICATIONS.iter());
    let mut found = names.filter_map(|name| on_path(name.as_ref()));
    found.next().ok_or_else(|| {
        Error::config(
            "no browser found: install Chromium (`apt install chromium`, `dnf install \
             chromium`, `brew install --cask chromium`) or Google Chrome, or set the path of another with `program`",
        )
    })
}

/// Finds a program on `PATH` as a shell does.
fn on_path(program: &Path) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        let known = fs::metadata(path);
        known.is_ok_and(|known| known.is_file() && known.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() != 1 || program.is_absolute() {
        return Some(program.to_owned()).filter(is_program);
    }
    let path = env::var_os("PATH")?;
    let mut places = env::split_paths(&path).map(|folder| folder.join(program));
    places.find(is_program)
}

/// The folder of a profile; a temporary one is removed on drop.
pub(super) struct Folder {
    path: PathBuf,
    is_temporary: bool,
}

impl Folder {
    pub(super) fn given(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            is_temporary: false,
        }
    }

    /// Creates a new folder that only this user can access.
    pub(super) fn temporary() -> Result<Self> {
        let name = format!("inferstream-{:016x}", fastrand::u64(..));
        let path = env::temp_dir().join(name);
        // If the path already exists, also as a symbolic link, this fails.
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| {
            Error::config("creating a temporary folder for the browser profile failed")
                .with_source(error)
        })?;
        Ok(Self {
            path,
            is_temporary: true,
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_temporary {
            return;
        }
        for _ in 0..REMOVALS {
            match fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => thread::sleep(PAUSE),
                _ => return,
            }
        }
    }
}

/// A running browser, in a process group of its own.
///
/// Dropping it kills the group, waits for the browser to exit, and removes a temporary profile.
/// Chromium's crash handler leaves the group; it exits on its own when the browser does.
pub(super) struct Process {
    child: Child,
    /// The process group, whose leader is the browser.
    group: Option<Pid>,
    /// Dropped last, when no process writes to it.
    _folder: Folder,
}

impl Process {
    /// Starts a browser with a blank page.
    pub(super) fn start(program: &Path, folder: Folder, headless: bool) -> Result<(Self, Pipe)> {
        let mut command = Command::new(program);
        command
            .arg("--remote-debugging-pipe")
            .arg(joined("--user-data-dir=", &folder.path))
            .args(["--no-first-run", "--no-default-browser-check"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        if headless {
            command.arg("--headless=new");
        }
        if geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        if folder.is_temporary {
            // A new profile contains no passwords, so a prompt for the system's keychain is not
            // needed.
            command.args(["--password-store=basic", "--use-mock-keychain"]);
            // A browser that is killed leaves temporary files, which are removed with the folder.
            if folder.path.as_os_str().len() <= MAX_FOLDER {
                command.env("TMPDIR", &folder.path);
            }
        }
        command.arg("about:blank");
        let broken = |error| Error::config("starting the browser failed").with_source(error);
        let (to, from) = attach(&mut command).map_err(broken)?;
        let child = command.spawn().map_err(broken)?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let process = Self {
            child,
            group,
            _folder: folder,
        };
        Ok((process, Pipe::new(to, from)))
    }

    /// Waits for the browser to exit.
    pub(super) async fn ended(&mut self) {
        while matches!(self.child.try_wait(), Ok(None)) {
            sleep(PAUSE).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After the browser has exited, processes that it started may still be in its group. If the
        // group is empty, its id is free, but not yet reused, and this call fails.
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        // SIGKILL cannot be caught, so this wait is short.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes one end of each of two pipes to the child, and returns the other ends.
fn attach(command: &mut Command) -> io::Result<(pipe::Sender, pipe::Receiver)> {
    let (to, theirs) = pipe::pipe()?;
    let reads = mapping(theirs.into_blocking_fd()?, READS);
    let (theirs, from) = pipe::pipe()?;
    let writes = mapping(theirs.into_blocking_fd()?, WRITES);
    let mapped = command.fd_mappings(vec![reads, writes]);
    mapped.map_err(io::Error::other)?;
    Ok((to, from))
}

fn mapping(parent_fd: OwnedFd, child_fd: i32) -> FdMapping {
    FdMapping {
        parent_fd,
        child_fd,
    }
}

fn joined(option: &str, path: &Path) -> std::ffi::OsString {
    let mut joined = OsStr::new(option).to_owned();
    joined.push(path);
    joined
}
