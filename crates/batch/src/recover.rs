//! The recovery of a file of lines: valid lines are read, and a torn last line is cut off.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    path::Path,
};

use inferstream_core::{Error, Result};
use serde::{Deserialize, de::IgnoredAny};

use crate::{hash, lines::ID};

/// The size of reads.
pub(crate) const BUFFER: usize = 256 << 10;

/// The members of a result that identify its row.
#[derive(Deserialize)]
pub(crate) struct Recorded<'a> {
    #[serde(borrow)]
    id: &'a str,
    #[serde(borrow)]
    pub(crate) custom_id: Cow<'a, str>,
    #[serde(borrow)]
    request_hash: &'a str,
    // A line is foreign without them.
    #[serde(rename = "response")]
    _response: IgnoredAny,
    error: Option<IgnoredAny>,
}

impl<'a> Recorded<'a> {
    /// Parses a line, without its end. Returns `None` for a line that is torn, or by others.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        // A list would be read as the members in order.
        let object = line.first().filter(|first| **first == b'{').map(|_| line)?;
        let recorded: Self = serde_json::from_slice(object).ok()?;
        let is_ours = recorded.id.starts_with(ID) && recorded.hash().is_some();
        is_ours.then_some(recorded)
    }

    /// Returns true if the line is that of a complete response.
    pub(crate) fn is_complete(&self) -> bool {
        self.error.is_none()
    }

    pub(crate) fn hash(&self) -> Option<u128> {
        hash::from_hex(self.request_hash)
    }
}

/// Reads the lines of a file. `take` returns false for a line that it does not know.
///
/// A last line without an end is torn, unless `take` knows it: then only its end is missing, and is
/// written. Returns the length of the file.
///
/// # Errors
///
/// `Config` if the file cannot be read, or for a line that is not known and not the last.
pub(crate) fn read_lines(
    path: &Path,
    file: &File,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<u64> {
    let failed = |error: io::Error| file_error("reading", path, &error);
    let mut reader = BufReader::with_capacity(BUFFER, file);
    reader.seek(SeekFrom::Start(0)).map_err(failed)?;
    let (mut line, mut length, mut number) = (Vec::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            return Ok(length);
        }
        number += 1;
        let is_ended = line.last() == Some(&b'\n');
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let is_known = take(text);
        if is_ended && !is_known {
            let message = format!(
                "invalid line {number} of {}: expected a line that this program wrote; the file is not \
                 changed",
                path.display()
            );
            return Err(Error::config(message).with_setting("output"));
        }
        if is_known {
            length += u64::try_from(read).unwrap_or(u64::MAX);
        }
        if !is_ended {
            return if is_known {
                append_end(file, length).map_err(failed)
            } else {
                file.set_len(length).map_err(failed)?;
                Ok(length)
            };
        }
    }
}

/// Ends the last line.
fn append_end(mut file: &File, length: u64) -> io::Result<u64> {
    use io::Write as _;

    file.seek(SeekFrom::End(0))?;
    file.write_all(b"\n")?;
    Ok(length + 1)
}

/// Returns the error of an operation on a file.
pub(crate) fn file_error(doing: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("{doing} {} failed: {error}", path.display());
    Error::config(message)
}
