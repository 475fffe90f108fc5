//! A file of kept responses, which only grows by complete lines until it is rewritten.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    line::{self, Line},
    store::{Entry, Store},
};

/// The file is rewritten when it has this many bytes more than twice what is kept.
const SLACK: u64 = 64 << 20;

/// An open file of kept responses, which no other process can open meanwhile.
#[derive(Debug)]
pub(super) struct KeptFile {
    path: PathBuf,
    file: File,
    /// The length up to the end of the last complete line.
    length: u64,
    slack: u64,
    /// Held until the file is closed.
    _lock: File,
}

impl KeptFile {
    /// Opens a file, or creates it, and adds its responses to a store. Removes a torn last line, and
    /// lines of responses that are no longer kept.
    pub(super) fn open(path: &Path, store: &mut Store, now: u64) -> io::Result<Self> {
        let lock = lock(&with_suffix(path, ".lock"))?;
        let mut file = options().read(true).append(true).create(true).open(path)?;
        if !file.metadata()?.is_file() {
            let message = "expected a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let (length, lines) = read(&mut file, store, now)?;
        let mut this = Self {
            path: path.to_owned(),
            file,
            length,
            slack: SLACK,
            _lock: lock,
        };
        let entries = store.entries();
        if entries.len() < lines {
            this.rewrite(&entries)?;
        } else {
            this.file.set_len(length)?;
        }
        Ok(this)
    }

    /// Appends a response. If that fails, the file is as it was.
    pub(super) fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let Some(line) = line::encode(entry) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        // A single write, so that a process that is killed leaves all of the line or nothing.
        match self.file.write_all(&line) {
            Ok(()) => {
                self.length += u64::try_from(line.len()).unwrap_or(u64::MAX);
                Ok(())
            }
            Err(error) => {
                // A part of it may have been written, after which no other line may follow.
                self.file.set_len(self.length)?;
                Err(error)
            }
        }
    }

    /// Returns true if most of the file is no longer kept.
    pub(super) fn is_due(&self, kept: u64) -> bool {
        kept.saturating_mul(2).saturating_add(self.slack) < self.length
    }

    /// Replaces the content atomically.
    pub(super) fn rewrite(&mut self, entries: &[Arc<Entry>]) -> io::Result<()> {
        // If it fails, it is tried again once the file has grown a lot.
        let slack = mem::replace(&mut self.slack, self.length.saturating_add(SLACK));
        let temporary = with_suffix(&self.path, ".new");
        // One that a process left behind, perhaps with another mode.
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = options().append(true).create_new(true).open(&temporary)?;
        let written = fill(file, entries).and_then(|(file, length)| {
            std::fs::rename(&temporary, &self.path)?;
            Ok((file, length))
        });
        let (file, length) = written.inspect_err(|_| {
            // If this fails too, the next rewrite removes it.
            let _ = std::fs::remove_file(&temporary);
        })?;
        (self.file, self.length, self.slack) = (file, length, slack);
        sync_folder(&self.path);
        Ok(())
    }

    /// Waits until all lines are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn fill(file: File, entries: &[Arc<Entry>]) -> io::Result<(File, u64)> {
    let mut writer = BufWriter::new(file);
    let mut length = 0;
    for entry in entries {
        let line = line::encode(entry).ok_or(io::ErrorKind::InvalidData)?;
        writer.write_all(&line)?;
        length += u64::try_from(line.len()).unwrap_or(u64::MAX);
    }
    let file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok((file, length))
}

/// Reads all lines into a store. Returns the length up to the last complete line, and the number of
/// lines.
fn read(file: &mut File, store: &mut Store, now: u64) -> io::Result<(u64, usize)> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut length, mut lines, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok((length, lines));
        }
        match line::parse(&line) {
            Line::Entry(entry) => {
                store.insert(*entry, now);
            }
            Line::Torn if reader.fill_buf()?.is_empty() => return Ok((length, lines)),
            Line::Foreign | Line::Torn => {
                let message = format!(
                    "invalid line {}: expected a file of kept responses",
                    lines + 1
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
        lines += 1;
        length += u64::try_from(read).unwrap_or(u64::MAX);
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Responses are private.
fn options() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Opens a file that only one process can have open.
fn lock(path: &Path) -> io::Result<File> {
    let mut options = options();
    options.write(true).create(true).truncate(false);
    // The handle is not shared with anyone.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0);
    let file = options.open(path)?;
    // `File::try_lock` requires Rust 1.89.
    #[cfg(unix)]
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(
        |errno| match errno {
            rustix::io::Errno::WOULDBLOCK => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another process uses the file")
            }
            errno => errno.into(),
        },
    )?;
    Ok(file)
}

/// Makes a rename permanent, on file systems that need it.
fn sync_folder(path: &Path) {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        // Without it, a loss of power may bring the old file back, which has the same responses.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    #[cfg(not(unix))]
    let _ = path;
}

#[cfg(test)]
mod tests {
    use std::{fs, io, path::Path, time::Duration};

    use super::{
        super::store::{Store, tests::entry},
        KeptFile,
    };
    use crate::config::KeptResponses;

    const NOW: u64 = 1_000;

    fn open(path: &Path, limits: KeptResponses) -> io::Result<(KeptFile, Store)> {
        let mut store = Store::new(limits);
        let file = KeptFile::open(path, &mut store, NOW)?;
        Ok((file, store))
    }

    fn open_default(path: &Path) -> (KeptFile, Store) {
        open(path, KeptResponses::default()).unwrap()
    }

    fn keys(store: &Store) -> Vec<String> {
        let entries = store.entries().into_iter();
        entries.map(|entry| entry.id.key.clone()).collect()
    }

    /// Writes a file of three responses and returns its bytes.
    fn three(path: &Path) -> Vec<u8> {
        let (mut file, _) = open_default(path);
        for (key, text) in [("a", "one"), ("b\"\n\u{2028}", "zwölf 六"), ("c", "")] {
            file.append(&entry(key, NOW, text)).unwrap();
        }
        file.sync().unwrap();
        drop(file);
        fs::read(path).unwrap()
    }

    #[test]
    fn a_response_is_the_same_after_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        three(&path);
        let (_, store) = open_default(&path);
        let entries = store.entries();
        assert_eq!(*entries[0], entry("a", NOW, "one"));
        assert_eq!(*entries[1], entry("b\"\n\u{2028}", NOW, "zwölf 六"));
        assert_eq!(*entries[2], entry("c", NOW, ""));
    }

    #[test]
    fn a_line_is_a_row_of_a_batch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        let bytes = three(&path);
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap();
        let row: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!(row["custom_id"], "a");
        assert_eq!(row["response"]["status_code"], 200);
        assert_eq!(row["response"]["body"]["text"], "one");
        assert_eq!(row["error"], serde_json::Value::Null);
    }

    #[test]
    fn a_file_that_ends_at_any_byte_keeps_its_complete_lines_and_grows_after_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        let bytes = three(&path);
        for end in 0..=bytes.len() {
            fs::write(&path, &bytes[..end]).unwrap();
            let lines = bytes[..end].split(|byte| *byte == b'\n').count() - 1;
            let (mut file, store) = open_default(&path);
            assert_eq!(keys(&store).len(), lines, "{end}");
            file.append(&entry("d", NOW, "four")).unwrap();
            drop(file);
            let (_, store) = open_default(&path);
            assert_eq!(keys(&store).len(), lines + 1, "{end}");
        }
    }

    #[test]
    fn zeros_at_the_end_are_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        let mut bytes = three(&path);
        let length = bytes.len();
        bytes.extend([0; 300]);
        fs::write(&path, &bytes).unwrap();
        let (_, store) = open_default(&path);
        assert_eq!(keys(&store).len(), 3);
        assert_eq!(fs::read(&path).unwrap().len(), length);
    }

    #[test]
    fn a_file_of_another_kind_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        let mut damaged = three(&path);
        damaged[10..400].fill(b'x');
        for content in [
            b"My notes".as_slice(),
            b"{\"id\":\"batch_req_1\",\"custom_id\":\"a\"}\n",
            b"{\"id\":\"batch_req_1\",\"custom_id\":\"a\"}",
            b"[1]\n",
            b"\n",
            &damaged,
        ] {
            fs::write(&path, content).unwrap();
            let error = open(&path, KeptResponses::default()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn expired_and_surplus_responses_are_removed_when_the_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        let (mut file, _) = open_default(&path);
        for (key, time) in [("a", 1), ("b", NOW), ("a", NOW), ("c", NOW)] {
            file.append(&entry(key, time, "")).unwrap();
        }
        drop(file);
        // One that a killed process left behind.
        fs::write(folder.path().join("kept.jsonl.new"), "torn").unwrap();
        let limits = KeptResponses {
            time: Duration::from_secs(100),
            entries: 2,
            ..KeptResponses::default()
        };
        let (mut file, store) = open(&path, limits).unwrap();
        assert_eq!(keys(&store), ["a", "c"]);
        file.append(&entry("d", NOW, "")).unwrap();
        drop(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(!folder.path().join("kept.jsonl.new").exists());
    }

    #[test]
    fn a_file_that_has_grown_far_beyond_what_is_kept_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        let (mut file, mut store) = open_default(&path);
        file.slack = 1_000;
        for number in 0..20 {
            let entry = entry("a", NOW, &"x".repeat(number));
            file.append(&entry).unwrap();
            store.insert(entry, NOW);
        }
        assert!(file.is_due(store.entries().len() as u64));
        file.rewrite(&store.entries()).unwrap();
        assert!(!file.is_due(0));
        file.append(&entry("b", NOW, "")).unwrap();
        drop(file);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_a_file() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        three(&path);
        let mode = || fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode() & 0o777, 0o600);
        let (mut file, store) = open_default(&path);
        file.rewrite(&store.entries()).unwrap();
        assert_eq!(mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_is_open_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.jsonl");
        let first = open_default(&path);
        assert!(open(&path, KeptResponses::default()).is_err());
        drop(first);
        open_default(&path);
    }
}
