//! The file of the rows that are under way, beside the output.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use inferstream_core::Result;
use serde::{Deserialize, Serialize};

use crate::{
    recover::{file_error, read_lines},
    row::Earlier,
};

/// The lines after which the file is written again with those that still matter.
const LINES: usize = 4_096;

/// The rows that were sent, and whose outcome is not written yet.
///
/// A row is written before it is sent, and again once the service named its response. A row that
/// failed is written as over; one that is complete is in the output.
#[derive(Debug)]
pub(crate) struct UnderWay {
    path: PathBuf,
    file: File,
    /// The rows by id, with the service's id of the response.
    live: HashMap<String, Option<String>>,
    provider: String,
    lines: usize,
}

#[derive(Deserialize, Serialize)]
struct Line {
    custom_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The provider that gave the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    over: bool,
}

impl UnderWay {
    /// Opens the file, and reads the rows of an earlier run whose outcome is not known.
    ///
    /// # Errors
    ///
    /// `Config` if the file cannot be read, or is by another program.
    pub(crate) fn open(
        path: PathBuf,
        provider: &str,
        is_done: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let file = open(&path).map_err(|error| file_error("opening", &path, &error))?;
        let (mut live, mut count) = (HashMap::new(), 0);
        read_lines(&path, &file, |text| {
            let Ok(row) = serde_json::from_slice::<Line>(text) else {
                return false;
            };
            count += 1;
            if row.over || is_done(&row.custom_id) {
                live.remove(&row.custom_id);
            } else {
                let is_own = row.provider.as_deref() == Some(provider);
                live.insert(row.custom_id, row.id.filter(|_| is_own));
            }
            true
        })?;
        Ok(Self {
            path,
            file,
            live,
            provider: provider.to_owned(),
            lines: count,
        })
    }

    /// Returns the rows whose outcome is not known.
    pub(crate) fn all_earlier(&self) -> HashMap<String, Earlier> {
        let rows = self.live.iter();
        let rows = rows.map(|(row, response)| match response {
            None => (row.clone(), Earlier::UnderWay),
            Some(response) => (row.clone(), Earlier::Named(response.clone())),
        });
        rows.collect()
    }

    pub(crate) fn begin(&mut self, id: &str) -> io::Result<()> {
        self.live.insert(id.to_owned(), None);
        self.append(&self.line(id, None))
    }

    pub(crate) fn named(&mut self, id: &str, response: &str) -> io::Result<()> {
        self.live.insert(id.to_owned(), Some(response.to_owned()));
        self.append(&self.line(id, Some(response)))
    }

    /// Notes that the response of a row was written to the output.
    pub(crate) fn complete(&mut self, id: &str) {
        self.live.remove(id);
    }

    /// Notes that a row failed, or was not processed.
    pub(crate) fn over(&mut self, id: &str) -> io::Result<()> {
        if self.live.remove(id).is_none() {
            return Ok(());
        }
        let mut line = self.line(id, None);
        line.over = true;
        self.append(&line)
    }

    /// Removes the file if no row is under way.
    pub(crate) fn finish(&self) -> io::Result<()> {
        if self.live.is_empty() {
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn line(&self, id: &str, response: Option<&str>) -> Line {
        Line {
            custom_id: id.to_owned(),
            id: response.map(str::to_owned),
            provider: response.map(|_| self.provider.clone()),
            over: false,
        }
    }

    fn append(&mut self, line: &Line) -> io::Result<()> {
        if LINES + 4 * self.live.len() < self.lines {
            self.compact()?;
            return Ok(());
        }
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.lines += 1;
        write_whole(&self.file, text.as_bytes())
    }

    /// Writes the rows that are under way to a new file, which replaces the old one.
    fn compact(&mut self) -> io::Result<()> {
        let mut text = String::new();
        for (id, response) in &self.live {
            text += &serde_json::to_string(&self.line(id, response.as_deref()))?;
            text.push('\n');
        }
        let mut path = self.path.clone().into_os_string();
        path.push(".new");
        fs::write(&path, text)?;
        fs::rename(&path, &self.path)?;
        self.file = open(&self.path)?;
        self.lines = self.live.len();
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
}

/// Appends a line completely or not at all: usually by one write.
pub(crate) fn write_whole(mut file: &File, line: &[u8]) -> io::Result<()> {
    let mut written = 0;
    while written < line.len() {
        let failed = match file.write(&line[written..]) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(more) => {
                written += more;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        // The next run would cut it off, too.
        if let (Ok(metadata), Ok(part)) = (file.metadata(), u64::try_from(written)) {
            let _ = file.set_len(metadata.len().saturating_sub(part));
        }
        return Err(failed);
    }
    Ok(())
}
