//! A cache file that survives crashes, concurrent writers and full disks.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

#[cfg(unix)]
use crate::place;

/// How long to wait for the lock before continuing without it.
///
/// A write takes milliseconds, so a process that holds the lock longer probably hangs.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The longest path, in bytes: the limit of Linux.
const MAX_PATH: usize = 4096;

/// The longest file name, in bytes. With the prefix and suffix of temporary files it stays below 255
/// bytes, the limit of file systems.
const MAX_NAME: usize = 200;

/// A reason why a session is not stored in its file. Requests are sent anyway.
///
/// It is one line that names the file, but neither its folder nor its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(String);

impl Warning {
    /// Creates a warning from its text, one line without the folder and without secrets.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Warning> for String {
    fn from(warning: Warning) -> Self {
        warning.0
    }
}

/// A cache file for a session, such as `auth_Cloudflare.json`, which several processes read and
/// rewrite.
///
/// - The folder is created with mode 0700. It is not used if other users can write to it, if it has
///   another owner, or if it is a link.
/// - The file is not used if it is a link, has hard links, is not a regular file or has another owner.
///   If other users can read it, it is read with a warning, and its mode is changed to 0600. If other
///   users can write to it, it is not read, and the next write replaces it.
/// - Writes are atomic: a temporary file with mode 0600 is written, synced and renamed. Readers see the
///   old or the new content.
/// - A JSON object whose member `version` is above 1 belongs to a newer version of this client. It is
///   not read, changed, renamed or deleted.
/// - A damaged file is renamed to `<name>.corrupt`, replacing an earlier one.
/// - Writers hold a lock on `<name>.lock`, for which they wait 2 s by default. Without the lock a write
///   is still atomic, but a concurrent change of another process may be lost.
///
/// Failures are reported as a [`Warning`], each once, and the caller continues without the file.
///
/// # Blocking
///
/// [`read`](Self::read), [`update`](Self::update) and [`remove`](Self::remove) wait for disks and
/// locks. In asynchronous code, call them on a thread that may block.
///
/// # Platforms
///
/// Owners, modes and locks need Unix. On other systems no file is read or written: a warning says so,
/// and the session is kept in memory only.
#[cfg_attr(not(unix), allow(dead_code))] // read only on Unix
pub struct CacheFile {
    pub(crate) folder: PathBuf,
    pub(crate) name: String,
    pub(crate) lock_wait: Duration,
    warned: Mutex<BTreeSet<String>>,
    pub(crate) swept: AtomicBool,
}

impl CacheFile {
    /// Creates a handle for a path. The file need not exist. A relative path is resolved against the
    /// current directory now.
    ///
    /// # Errors
    ///
    /// A warning if the path is longer than 4096 bytes, or does not end in a file name of at most 200
    /// bytes in UTF-8 without control characters.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, Warning> {
        let off = |why: &str| Warning::new(format!("the session is kept in memory only: {why}"));
        let path = std::path::absolute(path)
            .map_err(|_| off("invalid path: expected one that can be made absolute"))?;
        let name = path.file_name().and_then(OsStr::to_str);
        let name = name.filter(|name| name.len() <= MAX_NAME && !name.contains(char::is_control));
        let (Some(folder), Some(name)) = (path.parent(), name) else {
            return Err(off(
                "invalid path: expected a file name of at most 200 bytes without control characters",
            ));
        };
        if MAX_PATH < path.as_os_str().len() {
            return Err(off("invalid path: expected at most 4096 bytes"));
        }
        Ok(Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            lock_wait: LOCK_WAIT,
            warned: Mutex::default(),
            swept: AtomicBool::new(false),
        })
    }

    /// Creates a handle for a path below the home folder, whose path is the value of an environment
    /// variable such as `HOME`.
    ///
    /// # Errors
    ///
    /// A warning if the home folder is missing, relative, not UTF-8 or too long.
    pub fn in_home(home: Option<&OsStr>, below: &str) -> Result<Self, Warning> {
        let home = home.and_then(OsStr::to_str).map(Path::new);
        match home.filter(|home| home.is_absolute()) {
            Some(home) => Self::new(home.join(below)),
            None => Err(Warning::new(
                "the session is kept in memory only: the home folder is missing or invalid",
            )),
        }
    }

    /// Sets how long to wait for the lock: 2 s by default.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Reads the file. Returns `None` if it does not exist or is not used.
    ///
    /// `parse` returns `None` for damaged content; the file is then renamed. Blocks.
    pub fn read<T>(
        &self,
        parse: impl Fn(&[u8]) -> Option<T>,
        warnings: &mut Vec<Warning>,
    ) -> Option<T> {
        let read = place::read(self, parse, warnings);
        self.or_warn(read, warnings).flatten()
    }

    /// Reads the file, and writes what `change` returns for its content, while holding the lock.
    ///
    /// If `change` returns `None`, nothing is written. Returns true unless writing failed. Blocks.
    pub fn update<T>(
        &self,
        parse: impl Fn(&[u8]) -> Option<T>,
        change: impl FnOnce(Option<T>) -> Option<Vec<u8>>,
        warnings: &mut Vec<Warning>,
    ) -> bool {
        let written = place::update(self, parse, change, warnings);
        self.or_warn(written, warnings).is_some()
    }

    /// Deletes the file if `is_meant` returns true for its current content, or if the content is
    /// damaged or other users can write to it.
    ///
    /// Returns true unless deleting failed. Blocks.
    pub fn remove<T>(
        &self,
        parse: impl Fn(&[u8]) -> Option<T>,
        is_meant: impl FnOnce(&T) -> bool,
        warnings: &mut Vec<Warning>,
    ) -> bool {
        let removed = place::remove(self, parse, is_meant, warnings);
        self.or_warn(removed, warnings).is_some()
    }

    pub(crate) fn or_warn<T>(
        &self,
        result: Result<T, String>,
        warnings: &mut Vec<Warning>,
    ) -> Option<T> {
        result.map_err(|message| self.warn(&message, warnings)).ok()
    }

    /// Adds a warning, unless it was added before.
    pub(crate) fn warn(&self, message: &str, warnings: &mut Vec<Warning>) {
        let message = format!("the session file {}: {message}", self.name);
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(message.clone()) {
            warnings.push(Warning(message));
        }
    }
}

impl fmt::Debug for CacheFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path of the folder may contain a user name.
        f.debug_struct("CacheFile")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(not(unix))]
mod place {
    use super::{CacheFile, Warning};

    type Outcome<T> = Result<T, String>;

    pub(super) fn read<T, P>(_: &CacheFile, _: P, _: &mut Vec<Warning>) -> Outcome<Option<T>> {
        Err(
            "it is not used: this system is not Unix, so the session is kept in memory only"
                .to_owned(),
        )
    }

    pub(super) fn update<P, C>(_: &CacheFile, _: P, _: C, _: &mut Vec<Warning>) -> Outcome<()> {
        Ok(())
    }

    pub(super) fn remove<P, M>(_: &CacheFile, _: P, _: M, _: &mut Vec<Warning>) -> Outcome<()> {
        Ok(())
    }
}
