//! Reading a file, and replacing it atomically.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process,
};

use inferstream::{Error, Result};

/// The maximum size of a file, which is also the maximum size of a request.
const LIMIT: u64 = 16 << 20;

/// Reads a file; `None` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |error| Error::config(format!("cannot read {}: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    let mut limited = file.take(LIMIT + 1);
    limited.read_to_end(&mut bytes).map_err(failed)?;
    if LIMIT < bytes.len() as u64 {
        let path = path.display();
        return Err(Error::config(format!(
            "invalid file {path}: expected at most 16 MiB"
        )));
    }
    Ok(Some(bytes))
}

/// Checks that a file can be replaced, without changing it.
pub(super) fn check_writable(path: &Path) -> Result<()> {
    let target = target(path);
    let checked = if target.exists() && !target.is_file() {
        Err(io::Error::other("it is not a regular file"))
    } else {
        create_beside(&target).and_then(|(_, temporary)| fs::remove_file(temporary))
    };
    checked.map_err(|error| Error::config(format!("cannot write {}: {error}", path.display())))
}

/// Replaces a file: readers see the old or the new content, also after a crash.
///
/// A new file can be read by its owner only; an existing one keeps its permissions.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = target(path);
    let (mut file, temporary) = create_beside(&target)?;
    let written = file.write_all(bytes).and_then(|()| {
        if let Ok(metadata) = fs::metadata(&target) {
            file.set_permissions(metadata.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&temporary, &target)
    });
    if written.is_err() {
        // The error of writing is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Follows links, so that the file that they lead to is replaced.
fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Creates an empty file in the same folder, readable by its owner only.
fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name();
    let name = name.ok_or_else(|| io::Error::other("expected a file name"))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // A killed process may have left a file of the same name.
    for attempt in 0..100 {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{attempt}", process::id()));
        let temporary = path.with_file_name(temporary);
        match options.open(&temporary) {
            Ok(file) => return Ok((file, temporary)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many temporary files beside it"))
}
