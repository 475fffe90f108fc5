//! The `sse` command: converts an event stream to lines of JSON.

use std::io::{self, BufWriter, Read as _, Write};

use bytes::Bytes;
use inferstream::{
    Error,
    sse::{Decoder, Item, TooLarge},
};
use serde::Serialize;

use crate::{args::Sse, exit::Failure, output::json_line};

/// The size of the read buffer.
const READ: usize = 64 << 10;

/// Decodes standard input.
pub(crate) fn run(args: &Sse) -> Result<(), Failure> {
    let mut stdin = io::stdin().lock();
    let mut stdout = BufWriter::new(io::stdout().lock());
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; READ];
    loop {
        let length = match stdin.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Io("standard input".to_owned(), error)),
        };
        let size = args.chunk_size.map_or(length, usize::from);
        let outcome = buffer[..length].chunks(size).try_for_each(|piece| {
            decoder.push(Bytes::copy_from_slice(piece));
            print_items(&mut decoder, &mut stdout)
        });
        // Flush before the next read, which may block, so that complete events are visible at once.
        stdout.flush()?;
        outcome?;
    }
}

/// A line of output.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Frame {
        event: &'a str,
        data: &'a str,
        id: &'a str,
    },
    Retry {
        retry: u128,
    },
}

fn print_items(decoder: &mut Decoder, out: &mut impl Write) -> Result<(), Failure> {
    while let Some(item) = decoder.next_item().map_err(too_large)? {
        let line = match item {
            Item::Frame(frame) => Line::Frame {
                event: frame.event,
                data: frame.data,
                id: frame.id,
            },
            Item::Retry(wait) => Line::Retry {
                retry: wait.as_millis(),
            },
            _ => continue,
        };
        out.write_all(json_line(&line)?.as_bytes())?;
    }
    Ok(())
}

fn too_large(error: TooLarge) -> Failure {
    Error::from(error).into()
}
