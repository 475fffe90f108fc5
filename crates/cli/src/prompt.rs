//! The prompt: piped standard input, followed by the arguments.

use std::{
    io::{self, IsTerminal as _, Read as _},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use inferstream::{Error, Result};

use crate::{args::Chat, output::say};

/// The maximum size of standard input, which is also the maximum size of a request.
const MAX_PROMPT: u64 = 16 << 20;

/// How long standard input may be silent before a message explains that the program is waiting.
const SILENCE: Duration = Duration::from_secs(2);

/// Reads the prompt, which may be empty. Blocks until the end of standard input unless it is a
/// terminal.
pub(crate) fn read(args: &Chat) -> Result<String> {
    let piped = !args.no_stdin && !io::stdin().is_terminal();
    let mut prompt = if piped { piped_in()? } else { String::new() };
    prompt.truncate(prompt.trim_end_matches(['\r', '\n']).len());
    let arguments = args.prompt.join(" ");
    if !prompt.is_empty() && !arguments.is_empty() {
        prompt.push_str("\n\n");
    }
    prompt.push_str(&arguments);
    if prompt.trim().is_empty() {
        prompt.clear();
    }
    Ok(prompt)
}

/// Reads standard input to its end. Prints a message if nothing arrives for a while.
fn piped_in() -> Result<String> {
    let (heard, silence) = mpsc::channel();
    // The thread ends when this function drops the sender.
    thread::spawn(move || {
        loop {
            match silence.recv_timeout(SILENCE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    say("waiting for the end of standard input (use `--no-stdin` to ignore it)");
                    return;
                }
            }
        }
    });
    let failed = |error| Error::config(format!("cannot read standard input: {error}"));
    let mut stdin = io::stdin().lock().take(MAX_PROMPT + 1);
    let mut read = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                read.extend_from_slice(&buffer[..length]);
                // The receiver is gone after the message was printed.
                let _ = heard.send(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if MAX_PROMPT < read.len() as u64 {
        return Err(Error::config(
            "invalid prompt on standard input: expected at most 16 MiB",
        ));
    }
    String::from_utf8(read)
        .map_err(|_| Error::config("invalid prompt on standard input: expected UTF-8"))
}
