//! The operations of a cache file on Unix.

use std::{
    fs::{DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags},
    io::{Errno, retry_on_intr},
    process::geteuid,
};

use serde::Deserialize;
use serde_json::Value;

use crate::file::{CacheFile, Warning};

/// The largest file that is read, in bytes; a session has a few KiB.
const MAX_SIZE: u64 = 1 << 20;

/// The age from which a temporary file is considered left behind by a killed process.
const LEFT_BEHIND: Duration = Duration::from_secs(60 * 60);

/// The flags of every open: do not follow links, do not block, and close on exec.
const CAREFUL: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// What was found at the path of the file.
enum Found<T> {
    Absent,
    Damaged,
    /// A file that other users can write to.
    Distrusted,
    Whole(T),
}

/// The file with its open folder, and the list for its warnings.
struct Place<'a> {
    file: &'a CacheFile,
    folder: File,
    warnings: &'a mut Vec<Warning>,
}

pub(crate) fn read<T>(
    file: &CacheFile,
    parse: impl Fn(&[u8]) -> Option<T>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<T>, String> {
    let Some(folder) = open_folder(file)? else {
        return Ok(None);
    };
    let mut place = Place {
        file,
        folder,
        warnings,
    };
    let mut found = place.look(&parse)?;
    let mut _lock = None;
    if matches!(found, Found::Damaged) {
        // Another process may have replaced the file since. It is read again under the lock, so that
        // only a damaged file is renamed.
        _lock = place.lock();
        found = place.look(&parse)?;
    }
    Ok(place.whole(found))
}

pub(crate) fn update<T>(
    file: &CacheFile,
    parse: impl Fn(&[u8]) -> Option<T>,
    change: impl FnOnce(Option<T>) -> Option<Vec<u8>>,
    warnings: &mut Vec<Warning>,
) -> Result<(), String> {
    let folder = make_folder(file)?;
    let mut place = Place {
        file,
        folder,
        warnings,
    };
    let _lock = place.lock();
    if !file.swept.swap(true, Ordering::Relaxed) {
        place.sweep();
    }
    let found = place.look(&parse)?;
    match change(place.whole(found)) {
        Some(bytes) => place.write(&bytes),
        None => Ok(()),
    }
}

pub(crate) fn remove<T>(
    file: &CacheFile,
    parse: impl Fn(&[u8]) -> Option<T>,
    is_meant: impl FnOnce(&T) -> bool,
    warnings: &mut Vec<Warning>,
) -> Result<(), String> {
    let Some(folder) = open_folder(file)? else {
        return Ok(());
    };
    let mut place = Place {
        file,
        folder,
        warnings,
    };
    let _lock = place.lock();
    match place.look(&parse)? {
        Found::Absent => return Ok(()),
        Found::Whole(content) if !is_meant(&content) => return Ok(()),
        Found::Damaged | Found::Distrusted | Found::Whole(_) => {}
    }
    match rustix::fs::unlinkat(&place.folder, &*file.name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => place.sync_folder(),
        Err(errno) => return Err(failed("deleting it failed")(errno)),
    }
    Ok(())
}

/// Opens the folder, if it exists and only its owner, the current user, can write to it.
fn open_folder(file: &CacheFile) -> Result<Option<File>, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(CWD, &file.folder, flags, Mode::empty());
    let folder = match retry_on_intr(open) {
        Ok(folder) => File::from(folder),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => {
            return Err("its folder is not used: it is a link or not a directory".to_owned());
        }
        Err(errno) => return Err(failed("opening its folder failed")(errno)),
    };
    let metadata = folder.metadata();
    let metadata = metadata.map_err(failed("examining its folder failed"))?;
    if metadata.uid() != geteuid().as_raw() {
        return Err("its folder is not used: it has another owner".to_owned());
    }
    if metadata.mode() & 0o002 != 0 {
        return Err("its folder is not used: other users can write to it".to_owned());
    }
    Ok(Some(folder))
}

fn make_folder(file: &CacheFile) -> Result<File, String> {
    if let Some(folder) = open_folder(file)? {
        return Ok(folder);
    }
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&file.folder);
    made.map_err(failed("creating its folder failed"))?;
    open_folder(file)?.ok_or_else(|| "its folder was deleted by another process".to_owned())
}

impl Place<'_> {
    /// Reads the file, if it is one that may be used.
    fn look<T>(&mut self, parse: &impl Fn(&[u8]) -> Option<T>) -> Result<Found<T>, String> {
        let flags = OFlags::RDONLY | CAREFUL;
        let opened = match self.open(&self.file.name, flags) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(Found::Absent),
            Err(Errno::LOOP) => return Err("it is not used: it is a link".to_owned()),
            Err(errno) => return Err(failed("opening it failed")(errno)),
        };
        let metadata = opened.metadata().map_err(failed("examining it failed"))?;
        if !metadata.is_file() {
            return Err("it is not used: it is not a regular file".to_owned());
        }
        if metadata.uid() != geteuid().as_raw() {
            return Err("it is not used: it has another owner".to_owned());
        }
        // A count of 0 is fine: another process has just replaced the file that was opened.
        if 1 < metadata.nlink() {
            return Err("it is not used: it has a hard link".to_owned());
        }
        if metadata.mode() & 0o022 != 0 {
            self.warn(
                "other users can write to it: it is not read, and the next write replaces it",
            );
            return Ok(Found::Distrusted);
        }
        if metadata.mode() & 0o077 != 0 {
            match rustix::fs::fchmod(&opened, PRIVATE) {
                Ok(()) => self.warn("other users could read it: its mode was changed to 0600"),
                Err(errno) => self.warn(&failed(
                    "other users can read it, and changing its mode failed",
                )(errno)),
            }
        }
        if MAX_SIZE < metadata.len() {
            return Ok(Found::Damaged);
        }
        let mut bytes = Vec::new();
        let read = opened.take(MAX_SIZE + 1).read_to_end(&mut bytes);
        read.map_err(failed("reading it failed"))?;
        let is_whole = bytes.len() as u64 <= MAX_SIZE;
        if is_whole && is_newer(&bytes) {
            return Err(
                "it was written by a newer version of this client, and stays unchanged".to_owned(),
            );
        }
        let content = is_whole.then(|| parse(&bytes)).flatten();
        Ok(content.map_or(Found::Damaged, Found::Whole))
    }

    /// Returns the content, or renames the file if it is damaged.
    fn whole<T>(&mut self, found: Found<T>) -> Option<T> {
        if let Found::Damaged = found {
            let (folder, name) = (&self.folder, &*self.file.name);
            let corrupt = format!("{name}.corrupt");
            let message = match rustix::fs::renameat(folder, name, folder, &*corrupt) {
                Ok(()) => format!("it was damaged, and was renamed to {corrupt}"),
                Err(errno) => failed("it is damaged, and renaming it failed")(errno),
            };
            self.warn(&message);
        }
        match found {
            Found::Whole(content) => Some(content),
            Found::Absent | Found::Damaged | Found::Distrusted => None,
        }
    }

    /// Waits for the lock, which is held until the returned file is closed. Returns `None` with a
    /// warning if locking fails.
    fn lock(&mut self) -> Option<File> {
        let name = format!("{}.lock", self.file.name);
        let locked = match self.open(&name, OFlags::RDWR | OFlags::CREATE | CAREFUL) {
            Ok(lock) if lock.metadata().is_ok_and(|metadata| metadata.is_file()) => {
                self.wait(&lock).map(|()| lock)
            }
            Ok(_) => Err("locking it failed: the lock file is not a regular file".to_owned()),
            Err(errno) => Err(failed("locking it failed")(errno)),
        };
        self.file.or_warn(locked, self.warnings)
    }

    fn wait(&self, lock: &File) -> Result<(), String> {
        let began = Instant::now();
        loop {
            match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if began.elapsed() < self.file.lock_wait => {
                    thread::sleep(Duration::from_millis(fastrand::u64(1..=10)));
                }
                Err(Errno::WOULDBLOCK) => {
                    return Err(
                        "locking it failed: another process holds the lock for too long".to_owned(),
                    );
                }
                Err(errno) => return Err(failed("locking it failed")(errno)),
            }
        }
    }

    /// Replaces the file atomically by one with these bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let name = || format!(".{}.{:016x}", self.file.name, fastrand::u64(..));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | CAREFUL;
        // A forked process draws the same random numbers as its parent, so a name may be taken.
        let names = [name(), name(), name()];
        let opened = names
            .into_iter()
            .map(|name| (self.open(&name, flags), name));
        let mut opened = opened.skip_while(|(opened, _)| matches!(opened, Err(Errno::EXIST)));
        let (temporary, name) = opened.next().unwrap_or((Err(Errno::EXIST), String::new()));
        let mut temporary = temporary.map_err(failed("writing it failed"))?;
        if let Err(error) = self.fill(&mut temporary, &name, bytes) {
            // If this fails too, `sweep` deletes the file later.
            let _ = rustix::fs::unlinkat(&self.folder, &*name, AtFlags::empty());
            return Err(failed("writing it failed")(error));
        }
        self.sync_folder();
        Ok(())
    }

    fn fill(&mut self, temporary: &mut File, name: &str, bytes: &[u8]) -> io::Result<()> {
        temporary.write_all(bytes)?;
        match temporary.sync_all().map_err(|error| (error.kind(), error)) {
            Ok(()) => {}
            // On a file system that cannot sync, an unsynced file is better than none.
            Err((io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported, _)) => {
                self.warn(UNSYNCED);
            }
            Err((_, error)) => return Err(error),
        }
        rustix::fs::renameat(&self.folder, name, &self.folder, &*self.file.name)?;
        Ok(())
    }

    fn sync_folder(&mut self) {
        if self.folder.sync_all().is_err() {
            self.warn(UNSYNCED);
        }
    }

    /// Deletes the temporary files that killed processes left behind. Failures are ignored.
    fn sweep(&self) {
        let prefix = format!(".{}.", self.file.name);
        let entries = Dir::read_from(&self.folder).into_iter().flatten().flatten();
        for name in entries.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned)) {
            let random = name.strip_prefix(&prefix).unwrap_or_default();
            let is_ours = random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_ours && self.is_left_behind(&name).unwrap_or_default() {
                let _ = rustix::fs::unlinkat(&self.folder, &*name, AtFlags::empty());
            }
        }
    }

    fn is_left_behind(&self, name: &str) -> io::Result<bool> {
        let metadata = self.open(name, OFlags::RDONLY | CAREFUL)?.metadata()?;
        let age = SystemTime::now().duration_since(metadata.modified()?);
        Ok(metadata.is_file() && age.is_ok_and(|age| LEFT_BEHIND < age))
    }

    fn open(&self, name: &str, flags: OFlags) -> Result<File, Errno> {
        let open = || rustix::fs::openat(&self.folder, name, flags, PRIVATE);
        retry_on_intr(open).map(File::from)
    }

    fn warn(&mut self, message: &str) {
        self.file.warn(message, self.warnings);
    }
}

/// The version of the file format. A file without the member `version`, such as gpt4free writes it, has
/// this version.
const VERSION: f64 = 1.0;

/// Returns true for JSON whose member `version`, a number or a string with a number, is above
/// `VERSION`.
fn is_newer(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Versioned {
        version: Value,
    }

    let version = match serde_json::from_slice(bytes).map(|Versioned { version }| version) {
        Ok(Value::Number(number)) => number.as_f64(),
        Ok(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    version.is_some_and(|version: f64| VERSION < version)
}

const UNSYNCED: &str = "it was written, but may be lost in a power failure";

fn failed<E: Into<io::Error>>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {}", error.into())
}
