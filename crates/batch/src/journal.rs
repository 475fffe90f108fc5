//! The output of a batch, which is its own journal.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use inferstream_core::{ChatResponse, Error, Result};

use crate::{
    failure::Failure,
    hash,
    ids::{Found, Ids},
    lines::{complete_line, failed_line},
    recover::{Recorded, file_error, read_lines},
    row::{Earlier, Row},
    sink::Sink,
    sync::Sync,
    under_way::{UnderWay, write_whole},
};

/// The output of a batch: a file of responses, from which an interrupted batch continues.
///
/// Each response is appended as one line, in the order of completion. Beside the file `out.jsonl`
/// are `out.failed.jsonl`, the rows that failed, and while the batch runs `out.jsonl.under-way`, the
/// rows that were sent.
///
/// # What survives
///
/// Whatever ends the process, all lines that were written stay. A torn last line is cut off by the
/// next run. The file is synced once per second: a power failure or a crash of the system costs at
/// most the responses of the last second, whose rows are then sent again.
///
/// # Platforms
///
/// A lock keeps a second run out: on Unix `flock`, and on Windows the file is not shared for
/// writing. Elsewhere there is no lock.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Arc<File>,
    sync: Sync,
    /// Lines that could not be written, with the ids of their rows.
    unwritten: Vec<(String, String)>,
    under_way: UnderWay,
    done: Ids,
    failed: Failed,
}

/// The file of rows that failed.
#[derive(Debug)]
struct Failed {
    path: PathBuf,
    /// The file of this run, which replaces the other at the end.
    new: Option<(PathBuf, BufWriter<File>)>,
    /// The rows that failed in an earlier run, with the hash of their request, and whether their
    /// lines are kept.
    earlier: HashMap<u128, (u128, bool)>,
    asks_again: bool,
}

/// What an earlier run has of a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Known {
    /// Neither a response nor a failure.
    No,
    Complete,
    Failed,
}

impl Journal {
    /// Opens or creates an output, and reads what an earlier run has written.
    ///
    /// `provider` is the [id](inferstream_core::ProviderInfo::id) of the provider.
    ///
    /// # Errors
    ///
    /// `Config` if another run uses the file, if it is not a regular file, if a line other than the
    /// last is not one that this crate wrote, and if a file cannot be read or written.
    pub fn open(path: impl Into<PathBuf>, provider: &str) -> Result<Self> {
        let path = path.into();
        let failed = |error: io::Error| file_error("opening", &path, &error);
        let file = open(&path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            let message = format!(
                "invalid output {}: expected a regular file, or standard output without a name",
                path.display()
            );
            return Err(Error::config(message).with_setting("output"));
        }
        lock(&file, &path)?;
        let mut done = Ids::default();
        read_lines(&path, &file, |line| {
            let Some(recorded) = Recorded::parse(line).filter(Recorded::is_complete) else {
                return false;
            };
            done.push(
                hash::of_id(&recorded.custom_id),
                recorded.hash().unwrap_or(0),
            );
            true
        })?;
        done.sort();
        let is_done = |id: &str| done.contains(hash::of_id(id));
        let under_way = UnderWay::open(beside(&path, "under-way"), provider, is_done)?;
        let sync = file.try_clone().and_then(Sync::start).map_err(failed)?;
        Ok(Self {
            failed: Failed::open(failed_path(&path))?,
            file: Arc::new(file),
            sync,
            unwritten: Vec::new(),
            under_way,
            done,
            path,
        })
    }

    /// Sets whether rows that failed in an earlier run are asked again. Off by default: they are kept
    /// in the file of rows that failed. A row whose request has changed since is asked again anyway.
    pub fn retry_failed(&mut self, retry: bool) {
        self.failed.asks_again = retry;
    }

    /// Returns the number of responses of earlier runs.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Returns true if no earlier run wrote a response.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the path of the file of rows that failed.
    pub fn failed_path(&self) -> &Path {
        &self.failed.path
    }

    /// Returns the path of the file of rows under way.
    pub fn under_way_path(&self) -> &Path {
        self.under_way.path()
    }

    /// Ends the run: writes what could not be written before, syncs the output, and replaces the file
    /// of rows that failed.
    ///
    /// # Errors
    ///
    /// The first error of these. The number of responses that could not be written is in the message.
    pub fn finish(mut self) -> io::Result<()> {
        let written = self.write_rest();
        let synced = self.sync.close();
        let failed = self.failed.finish(&self.done);
        written?;
        synced?;
        failed?;
        self.under_way.finish()
    }

    /// Looks a row of the input up.
    ///
    /// # Errors
    ///
    /// `Config` for a double id, and for a row whose request has changed.
    pub(crate) fn find(&mut self, id: &str, request: u128, line: u64) -> Result<Known> {
        let key = hash::of_id(id);
        match self.done.find(key, request, line) {
            Found::Same => Ok(Known::Complete),
            Found::Twice(earlier) => Err(double_id(id, earlier, line)),
            Found::Changed => {
                let message = format!(
                    "invalid row `{id}` on line {line}: its request or the model differs from that of the \
                     response in {}; use another output, or another `custom_id`",
                    self.path.display()
                );
                Err(Error::config(message).with_setting("input"))
            }
            Found::No => match self.failed.earlier.get_mut(&key) {
                Some((hash, _)) if *hash == request && !self.failed.asks_again => Ok(Known::Failed),
                Some((_, is_kept)) => {
                    *is_kept = false;
                    Ok(Known::No)
                }
                None => Ok(Known::No),
            },
        }
    }

    /// Returns the rows that an earlier run sent, and whose outcome is not known.
    pub(crate) fn all_earlier(&self) -> HashMap<String, Earlier> {
        self.under_way.all_earlier()
    }

    fn write_rest(&mut self) -> io::Result<()> {
        let count = self.unwritten.len();
        while let Some((id, line)) = self.unwritten.first() {
            write_whole(&self.file, line.as_bytes()).map_err(|error| {
                let message = format!("{error} ({count} responses could not be written)");
                io::Error::new(error.kind(), message)
            })?;
            self.under_way.complete(id);
            self.unwritten.remove(0);
            self.sync.written()?;
        }
        Ok(())
    }
}

impl Sink for Journal {
    fn begin(&mut self, row: &Row) -> io::Result<()> {
        self.under_way.begin(&row.id)
    }

    fn named(&mut self, row: &Row, id: &str) -> io::Result<()> {
        self.under_way.named(&row.id, id)
    }

    fn complete(&mut self, row: &Row, response: &ChatResponse) -> io::Result<()> {
        let line = complete_line(row, response)?;
        if let Err(error) = write_whole(&self.file, line.as_bytes()) {
            self.unwritten.push((row.id.clone(), line));
            return Err(error);
        }
        self.under_way.complete(&row.id);
        self.sync.written()
    }

    fn failed(&mut self, row: &Row, failure: &Failure) -> io::Result<()> {
        self.failed.write(&failed_line(row, failure))?;
        self.under_way.over(&row.id)
    }

    fn released(&mut self, row: &Row) -> io::Result<()> {
        self.under_way.over(&row.id)
    }
}

impl Failed {
    fn open(path: PathBuf) -> Result<Self> {
        let mut earlier = HashMap::new();
        match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file_error("opening", &path, &error)),
            Ok(file) => {
                read_lines(&path, &file, |line| {
                    let Some(recorded) = Recorded::parse(line) else {
                        return false;
                    };
                    let hash = recorded.hash().unwrap_or(0);
                    earlier.insert(hash::of_id(&recorded.custom_id), (hash, true));
                    true
                })?;
            }
        }
        Ok(Self {
            path,
            new: None,
            earlier,
            asks_again: false,
        })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let (_, file) = match &mut self.new {
            Some(new) => new,
            new => {
                let path = beside(&self.path, "new");
                let file = BufWriter::new(File::create(&path)?);
                new.insert((path, file))
            }
        };
        file.write_all(line.as_bytes())
    }

    /// Adds the rows that failed earlier and were not asked, and replaces the file.
    fn finish(&mut self, done: &Ids) -> io::Result<()> {
        if self.earlier.values().any(|(_, is_kept)| *is_kept) {
            let file = File::open(&self.path)?;
            let mut kept = Vec::new();
            let read = read_lines(&self.path, &file, |line| {
                let Some(recorded) = Recorded::parse(line) else {
                    return false;
                };
                let key = hash::of_id(&recorded.custom_id);
                let is_kept = self.earlier.get(&key).is_some_and(|(_, is_kept)| *is_kept);
                if is_kept && !done.contains(key) {
                    kept.push(String::from_utf8_lossy(line).into_owned() + "\n");
                }
                true
            });
            read.map_err(|error| io::Error::other(error.to_string()))?;
            for line in kept {
                self.write(&line)?;
            }
        }
        let Some((path, file)) = self.new.take() else {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_data()?;
        fs::rename(path, &self.path)
    }
}

/// Returns the error of two rows with one id.
pub(crate) fn double_id(id: &str, first: u64, second: u64) -> Error {
    let message = format!("invalid `custom_id` `{id}`: lines {first} and {second} both have it");
    Error::config(message).with_setting("input")
}

/// Returns the path with a further extension.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(".");
    path.push(extension);
    path.into()
}

/// Returns `answers.failed.jsonl` for `answers.jsonl`.
fn failed_path(path: &Path) -> PathBuf {
    let extension = path.extension().unwrap_or("jsonl".as_ref());
    let mut failed = std::ffi::OsString::from("failed.");
    failed.push(extension);
    path.with_extension(failed)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt as _;
        // Others may read.
        options.share_mode(1);
    }
    options.open(path)
}

#[cfg(unix)]
fn lock(file: &File, path: &Path) -> Result<()> {
    use rustix::{
        fs::{FlockOperation, flock},
        io::Errno,
    };

    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => {
            let message = format!("invalid output {}: another run uses it", path.display());
            Err(Error::config(message).with_setting("output"))
        }
        Err(error) => Err(file_error("locking", path, &error.into())),
    }
}

#[cfg(not(unix))]
fn lock(_: &File, _: &Path) -> Result<()> {
    Ok(())
}
