//! A file of rows, and the pass over it before anything is sent.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use inferstream_core::{Error, Provider, Result};

use crate::{
    hash,
    ids::Ids,
    journal::{Journal, Known, double_id},
    recover::{BUFFER, file_error},
    row::{Earlier, Part, Reader, Row},
};

/// A file of rows.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    file: File,
    reader: Reader,
    part: Option<Part>,
}

impl Input {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// `Config` if it cannot be opened.
    pub fn open(path: impl AsRef<Path>, reader: Reader) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let file = File::open(&path).map_err(|error| file_error("opening", &path, &error))?;
        Ok(Self {
            path,
            file,
            reader,
            part: None,
        })
    }

    /// Selects a part of the rows.
    #[must_use]
    pub fn part(mut self, part: Option<Part>) -> Self {
        self.part = part;
        self
    }

    /// Checks all rows before anything is sent: their format, the requests by
    /// [`Provider::check`], and that each id is there once. Invalid rows are not an error here; they
    /// fail when the batch takes them.
    ///
    /// Rows of which the journal has a response are not checked again.
    ///
    /// # Errors
    ///
    /// `Config` for a double id, with both line numbers; for a row whose request differs from the one
    /// whose response the journal has; and if the file cannot be read, for example because it is not
    /// a regular file.
    pub fn check(self, provider: &dyn Provider, journal: &mut Journal) -> Result<Checked> {
        let mut checked = Checked {
            marks: Vec::new(),
            total: 0,
            complete: 0,
            failed: 0,
            invalid: 0,
            input: self,
        };
        let mut ids = Ids::default();
        let mut lines = checked.input.lines()?;
        while let Some((line, number)) = lines.next_line().map_err(|e| checked.input.failed(&e))? {
            let key = checked.input.reader.key(line, number);
            let known = journal.find(&key.id, key.hash, number)?;
            if known != Known::Complete {
                ids.push_line(hash::of_id(&key.id), number);
            }
            checked.total += 1;
            let mark = match known {
                Known::Complete => {
                    checked.complete += 1;
                    Mark::Skip
                }
                Known::Failed => {
                    checked.failed += 1;
                    Mark::Skip
                }
                Known::No => {
                    let mut row = checked.input.reader.row(line, number);
                    row.check(provider);
                    let is_valid = row.request.is_ok();
                    checked.invalid += u64::from(!is_valid);
                    if is_valid { Mark::Ask } else { Mark::Invalid }
                }
            };
            checked.marks.push(mark);
        }
        ids.sort();
        match ids.double() {
            None => Ok(checked),
            Some((first, second)) => {
                let id = checked.input.id_on(first)?;
                Err(double_id(&id, first, second))
            }
        }
    }

    fn lines(&self) -> Result<Lines> {
        let again = || {
            let mut file = self.file.try_clone()?;
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        };
        let file = again().map_err(|error| self.failed(&error))?;
        Ok(Lines {
            reader: BufReader::with_capacity(BUFFER, file),
            line: Vec::new(),
            number: 0,
            row: 0,
            part: self.part,
        })
    }

    fn failed(&self, error: &io::Error) -> Error {
        file_error("reading", &self.path, error)
    }

    fn id_on(&self, wanted: u64) -> Result<String> {
        let mut lines = self.lines()?;
        while let Some((line, number)) = lines.next_line().map_err(|error| self.failed(&error))? {
            if number == wanted {
                return Ok(self.reader.key(line, number).id.into_owned());
            }
        }
        Ok(String::new())
    }
}

/// The lines of a file that are rows of a part: blank lines are not rows.
#[derive(Debug)]
struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    /// The number of the next row, from 0.
    row: u64,
    part: Option<Part>,
}

impl Lines {
    /// Returns the next row without the end of its line, and the number of the line.
    fn next_line(&mut self) -> io::Result<Option<(&[u8], u64)>> {
        loop {
            self.line.clear();
            if self.reader.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            let row = self.row;
            self.row += 1;
            if self.part.is_none_or(|part| part.contains(row)) {
                break;
            }
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Ok(Some((line, self.number)))
    }
}

/// What to do with a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mark {
    Ask,
    /// It fails a check, which is made again for its message.
    Invalid,
    Skip,
}

/// A file whose rows were checked.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checked {
    /// The number of rows.
    pub total: u64,
    /// Rows of which the journal has a response.
    pub complete: u64,
    /// Rows that failed in an earlier run, and are not asked again.
    pub failed: u64,
    /// Rows that are invalid.
    pub invalid: u64,
    /// By row.
    marks: Vec<Mark>,
    input: Input,
}

impl Checked {
    /// Returns the rows that remain: those without a response, including invalid ones.
    ///
    /// # Errors
    ///
    /// `Config` if the file cannot be read again.
    pub fn rows<'a>(&'a self, provider: &'a dyn Provider, journal: &Journal) -> Result<Rows<'a>> {
        Ok(Rows {
            lines: self.input.lines()?,
            marks: self.marks.iter(),
            reader: &self.input.reader,
            provider,
            earlier: journal.all_earlier(),
        })
    }
}

/// The rows that remain.
#[derive(Debug)]
pub struct Rows<'a> {
    lines: Lines,
    marks: std::slice::Iter<'a, Mark>,
    reader: &'a Reader,
    provider: &'a dyn Provider,
    /// What an earlier run did, by id.
    earlier: HashMap<String, Earlier>,
}

impl Rows<'_> {
    fn read(&mut self) -> io::Result<Option<Row>> {
        loop {
            let Some((line, number)) = self.lines.next_line()? else {
                return Ok(None);
            };
            // Lines that were added since the check are left to the next run.
            let Some(mark) = self.marks.next() else {
                return Ok(None);
            };
            if *mark == Mark::Skip {
                continue;
            }
            let mut row = self.reader.row(line, number);
            if *mark == Mark::Invalid {
                row.check(self.provider);
            }
            row.earlier = self.earlier.remove(&row.id).unwrap_or_default();
            return Ok(Some(row));
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<io::Result<Row>> {
        self.read().transpose()
    }
}
