//! Rows of standard input, or of a file that is read as it comes.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    thread,
};

use futures_core::Stream;
use inferstream_batch::{Failure as RowFailure, Part, Reader, Row};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::exit::Failure;

/// The rows that are read ahead.
const AHEAD: usize = 256;

/// A stream of rows. A thread reads them, because standard input blocks.
pub(super) struct Rows {
    rows: Receiver<io::Result<Row>>,
}

impl Rows {
    /// Begins to read a file, or standard input.
    pub(super) fn open(
        path: Option<&Path>,
        reader: Reader,
        part: Option<Part>,
    ) -> Result<Self, Failure> {
        let input: Box<dyn BufRead + Send> = match path {
            None => Box::new(BufReader::new(io::stdin())),
            Some(path) => match File::open(path) {
                Ok(file) => Box::new(BufReader::new(file)),
                Err(error) => {
                    let message = format!("opening {} failed: {error}", path.display());
                    return Err(inferstream::Error::config(message).into());
                }
            },
        };
        let (sender, rows) = channel(AHEAD);
        thread::spawn(move || read(input, &reader, part, &sender));
        Ok(Self { rows })
    }
}

impl Stream for Rows {
    type Item = io::Result<Row>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.rows.poll_recv(cx)
    }
}

fn read(
    mut input: Box<dyn BufRead + Send>,
    reader: &Reader,
    part: Option<Part>,
    rows: &Sender<io::Result<Row>>,
) {
    let mut ids = HashSet::new();
    let (mut line, mut number, mut count) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                // If the batch has ended, nobody needs the error.
                let _ = rows.blocking_send(Err(error));
                return;
            }
        }
        number += 1;
        let text = line.trim_ascii_end();
        if text.is_empty() {
            continue;
        }
        let is_own = part.is_none_or(|part| part.contains(count));
        count += 1;
        if !is_own {
            continue;
        }
        let mut row = reader.row(text, number);
        if !ids.insert(row.id.clone()) {
            let message = format!("invalid `custom_id` `{}`: an earlier line has it", row.id);
            row.request = Err(RowFailure::new("invalid_row", message));
        }
        if rows.blocking_send(Ok(row)).is_err() {
            return;
        }
    }
}
