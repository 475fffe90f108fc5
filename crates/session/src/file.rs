//! A session's bytes in; the same bytes after a crash, a race or a full disk out.

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

/// How long another holder of the lock is waited for, before it is done without.
///
/// A write takes milliseconds, so that whoever holds it longer hangs.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The longest path that is used: Linux takes no longer one.
const MAX_PATH: usize = 4096;

/// The longest name of a file: with what is put around it, it stays below the 255 bytes of file
/// systems.
const MAX_NAME: usize = 200;

/// Something that keeps a session from being kept, though no request from being sent.
///
/// It is one line that names the file, but neither its folder nor anything that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(String);

impl Warning {
    /// Creates a warning from its line, which must not contain the folder or a secret.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Returns the line.
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

/// A small file that several processes read and rewrite, such as `auth_Cloudflare.json`.
///
/// - Its folder is made with mode 0700; one that others may write to, of another owner or behind a
///   link is refused.
/// - The file is refused if it is a link, has other names, is no regular file or another's. One
///   that others may read is read with a warning and made 0600; one that others may write to is
///   not read, and replaced by the next write.
/// - It is written beside itself, with mode 0600, synced and renamed: what is read is old or new.
/// - A JSON object whose member `version` is above 1 is of a newer version of this client. It is
///   neither read nor written, set aside or deleted.
/// - What is damaged is set aside as `<name>.corrupt`, one of which is kept.
/// - Writers hold a lock on `<name>.lock`. It is waited for 2 s; without it the write is still
///   atomic, only another's simultaneous change may be lost.
///
/// What goes wrong is a [`Warning`], each once, and the caller goes on without the file.
///
/// # Blocking
///
/// [`read`](Self::read), [`update`](Self::update) and [`remove`](Self::remove) wait for disks and
/// locks: an asynchronous caller gives them a thread that may block.
///
/// # Platforms
///
/// Owner, mode and lock are Unix's. Elsewhere no file is read or written, with a warning that says
/// so: a session is then kept in memory only.
#[cfg_attr(not(unix), allow(dead_code))] // only the steps on Unix look into it
pub struct CacheFile {
    pub(crate) folder: PathBuf,
    pub(crate) name: String,
    pub(crate) lock_wait: Duration,
    warned: Mutex<BTreeSet<String>>,
    pub(crate) swept: AtomicBool,
}

impl CacheFile {
    /// Takes the path of a file that need not exist; a relative one counts from where the process
    /// is now.
    ///
    /// # Errors
    ///
    /// A warning, if the path names no file, is longer than 4096 bytes, or if the file's own name
    /// is longer than 200 bytes or not plain text.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, Warning> {
        let off = |why: &str| Warning::new(format!("the session is kept in memory only: {why}"));
        let path = std::path::absolute(path).map_err(|_| off("its path is none"))?;
        let name = path.file_name().and_then(OsStr::to_str);
        let name = name.filter(|name| name.len() <= MAX_NAME && !name.contains(char::is_control));
        let (Some(folder), Some(name)) = (path.parent(), name) else {
            return Err(off("its path does not end in a plain file name"));
        };
        if MAX_PATH < path.as_os_str().len() {
            return Err(off("its path is too long"));
        }
        Ok(Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            lock_wait: LOCK_WAIT,
            warned: Mutex::default(),
            swept: AtomicBool::new(false),
        })
    }

    /// Takes a path below the home folder, as the environment names that.
    ///
    /// # Errors
    ///
    /// A warning, if there is no home, or one that is relative, not UTF-8 or too long: what the
    /// environment gets wrong turns the file off.
    pub fn in_home(home: Option<&OsStr>, below: &str) -> Result<Self, Warning> {
        let home = home.and_then(OsStr::to_str).map(Path::new);
        match home.filter(|home| home.is_absolute()) {
            Some(home) => Self::new(home.join(below)),
            None => Err(Warning::new(
                "the session is kept in memory only: there is no usable home folder",
            )),
        }
    }

    /// Sets how long the lock is waited for, 2 s by default.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Reads the file; none if there is none, or none that may be used.
    ///
    /// `parse` returns none for damaged content, which is then set aside. Blocks.
    pub fn read<T>(
        &self,
        parse: impl Fn(&[u8]) -> Option<T>,
        warnings: &mut Vec<Warning>,
    ) -> Option<T> {
        let read = place::read(self, parse, warnings);
        self.or_warn(read, warnings).flatten()
    }

    /// Reads the file, and writes what `change` makes of it, with no other writer in between.
    ///
    /// Where `change` returns none, nothing is written. Returns true if nothing is left to be
    /// written. Blocks.
    pub fn update<T>(
        &self,
        parse: impl Fn(&[u8]) -> Option<T>,
        change: impl FnOnce(Option<T>) -> Option<Vec<u8>>,
        warnings: &mut Vec<Warning>,
    ) -> bool {
        let written = place::update(self, parse, change, warnings);
        self.or_warn(written, warnings).is_some()
    }

    /// Deletes the file, if `is_meant` says so of what it holds now.
    ///
    /// Returns true if what was meant is gone. Blocks.
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

    /// Adds a warning, unless this file has given it before.
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
        // The folder may name a person.
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
        Err("it is not used: on this system sessions are kept in memory only".to_owned())
    }

    pub(super) fn update<P, C>(_: &CacheFile, _: P, _: C, _: &mut Vec<Warning>) -> Outcome<()> {
        Ok(())
    }

    pub(super) fn remove<P, M>(_: &CacheFile, _: P, _: M, _: &mut Vec<Warning>) -> Outcome<()> {
        Ok(())
    }
}
