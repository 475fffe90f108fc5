//! A file's path and what it is to hold in, the file's content out: the steps on Unix.

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

/// The most bytes that are read: a session has some KiB.
const MAX_SIZE: u64 = 1 << 20;

/// The age from which a temporary file is one that a killed process left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(60 * 60);

/// What goes for every open: no link is followed, nothing is waited for, nothing is inherited.
const CAREFUL: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// What stands at the file's name.
enum Found<T> {
    Absent,
    Damaged,
    /// Others may have written it.
    Distrusted,
    Whole(T),
}

/// The file within its open folder, and where to complain.
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
        // Another may have replaced it by now, and must not while it is set aside.
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
        Err(errno) => return Err(failed("it was not deleted")(errno)),
    }
    Ok(())
}

/// Opens the folder, if there is one and only its owner may write to it.
fn open_folder(file: &CacheFile) -> Result<Option<File>, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(CWD, &file.folder, flags, Mode::empty());
    let folder = match retry_on_intr(open) {
        Ok(folder) => File::from(folder),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => {
            return Err("its folder is a link or none, and not used".to_owned());
        }
        Err(errno) => return Err(failed("its folder cannot be opened")(errno)),
    };
    let metadata = folder.metadata();
    let metadata = metadata.map_err(failed("its folder cannot be examined"))?;
    if metadata.uid() != geteuid().as_raw() {
        return Err("its folder has another owner, and is not used".to_owned());
    }
    if metadata.mode() & 0o002 != 0 {
        return Err("anybody may write to its folder, which is not used".to_owned());
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
    made.map_err(failed("its folder cannot be made"))?;
    open_folder(file)?.ok_or_else(|| "its folder is gone again".to_owned())
}

impl Place<'_> {
    /// Reads what stands at the file's name, if it is a file that may be read.
    fn look<T>(&mut self, parse: &impl Fn(&[u8]) -> Option<T>) -> Result<Found<T>, String> {
        let flags = OFlags::RDONLY | CAREFUL;
        let opened = match self.open(&self.file.name, flags) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(Found::Absent),
            Err(Errno::LOOP) => return Err("it is a link, and not used".to_owned()),
            Err(errno) => return Err(failed("it cannot be opened")(errno)),
        };
        let metadata = opened.metadata().map_err(failed("it cannot be examined"))?;
        if !metadata.is_file() {
            return Err("it is no regular file, and not used".to_owned());
        }
        if metadata.uid() != geteuid().as_raw() {
            return Err("it has another owner, and is not used".to_owned());
        }
        // None is left of a file that was replaced a moment ago.
        if 1 < metadata.nlink() {
            return Err("it has another name too (a hard link), and is not used".to_owned());
        }
        if metadata.mode() & 0o022 != 0 {
            self.warn("others may write to it; it is not read, and the next write replaces it");
            return Ok(Found::Distrusted);
        }
        if metadata.mode() & 0o077 != 0 {
            match rustix::fs::fchmod(&opened, PRIVATE) {
                Ok(()) => self.warn("others could read it; it has mode 0600 now"),
                Err(errno) => self.warn(&failed("others may read it")(errno)),
            }
        }
        if MAX_SIZE < metadata.len() {
            return Ok(Found::Damaged);
        }
        let mut bytes = Vec::new();
        let read = opened.take(MAX_SIZE + 1).read_to_end(&mut bytes);
        read.map_err(failed("it cannot be read"))?;
        let is_whole = bytes.len() as u64 <= MAX_SIZE;
        if is_whole && is_newer(&bytes) {
            return Err(
                "it was written by a newer version of this client, and is left as it is".to_owned(),
            );
        }
        let content = is_whole.then(|| parse(&bytes)).flatten();
        Ok(content.map_or(Found::Damaged, Found::Whole))
    }

    /// Returns what was found whole, and sets aside what is damaged.
    fn whole<T>(&mut self, found: Found<T>) -> Option<T> {
        if let Found::Damaged = found {
            let (folder, name) = (&self.folder, &*self.file.name);
            let corrupt = format!("{name}.corrupt");
            let message = match rustix::fs::renameat(folder, name, folder, &*corrupt) {
                Ok(()) => format!("it was damaged, and is {corrupt} now"),
                Err(errno) => failed("it is damaged, and cannot be set aside")(errno),
            };
            self.warn(&message);
        }
        match found {
            Found::Whole(content) => Some(content),
            Found::Absent | Found::Damaged | Found::Distrusted => None,
        }
    }

    /// Waits for the lock, which lasts while its file is open; none if it cannot be had.
    fn lock(&mut self) -> Option<File> {
        let name = format!("{}.lock", self.file.name);
        let locked = match self.open(&name, OFlags::RDWR | OFlags::CREATE | CAREFUL) {
            Ok(lock) if lock.metadata().is_ok_and(|metadata| metadata.is_file()) => {
                self.wait(&lock).map(|()| lock)
            }
            Ok(_) => Err("it cannot be locked: the lock is no regular file".to_owned()),
            Err(errno) => Err(failed("it cannot be locked")(errno)),
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
                    return Err("another process holds its lock for too long".to_owned());
                }
                Err(errno) => return Err(failed("it cannot be locked")(errno)),
            }
        }
    }

    /// Puts the bytes in the place of the file, all or none of them.
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let name = || format!(".{}.{:016x}", self.file.name, fastrand::u64(..));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | CAREFUL;
        // A forked process draws what its parent draws.
        let names = [name(), name(), name()];
        let opened = names
            .into_iter()
            .map(|name| (self.open(&name, flags), name));
        let mut opened = opened.skip_while(|(opened, _)| matches!(opened, Err(Errno::EXIST)));
        let (temporary, name) = opened.next().unwrap_or((Err(Errno::EXIST), String::new()));
        let mut temporary = temporary.map_err(failed("it was not written"))?;
        if let Err(error) = self.fill(&mut temporary, &name, bytes) {
            // What cannot be deleted now is swept later.
            let _ = rustix::fs::unlinkat(&self.folder, &*name, AtFlags::empty());
            return Err(failed("it was not written")(error));
        }
        self.sync_folder();
        Ok(())
    }

    fn fill(&mut self, temporary: &mut File, name: &str, bytes: &[u8]) -> io::Result<()> {
        temporary.write_all(bytes)?;
        match temporary.sync_all().map_err(|error| (error.kind(), error)) {
            Ok(()) => {}
            // A file system that cannot sync is no reason to keep nothing.
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

    /// Deletes what killed processes left behind; what cannot be deleted stays.
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

/// The version of the file's form. A file without the member `version`, as the original writes it, is
/// of this one.
const VERSION: f64 = 1.0;

/// Returns true for JSON whose member `version` is above ours, as a number or as a text of one.
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

const UNSYNCED: &str = "it is written, but may not outlast a loss of power";

fn failed<E: Into<io::Error>>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {}", error.into())
}
