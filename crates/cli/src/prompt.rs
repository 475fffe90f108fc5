//! The prompt: what is piped in, then the arguments.

use std::{
    io::{self, IsTerminal as _, Read as _},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use inferstream::{Error, Result};

use crate::{args::Chat, check, output::say};

/// The most that is read of standard input: no request may be larger.
const MAX_PROMPT: u64 = 16 << 20;

/// How long nothing may come from standard input before the program says that it waits for it.
const SILENCE: Duration = Duration::from_secs(2);

/// Reads the prompt. Blocks until the end of a standard input that is not a terminal.
///
/// It may be empty where an option holds the conversation.
pub(crate) fn read(args: &Chat) -> Result<String> {
    let piped = !args.no_stdin && !io::stdin().is_terminal();
    let mut prompt = if piped { piped_in()? } else { String::new() };
    prompt.truncate(prompt.trim_end_matches(['\r', '\n']).len());
    let arguments = args.prompt.join(" ");
    if !prompt.is_empty() && !arguments.is_empty() {
        prompt.push_str("\n\n");
    }
    prompt.push_str(&arguments);
    if !prompt.trim().is_empty() {
        return Ok(prompt);
    }
    if check::asks_by_option(args) {
        return Ok(String::new());
    }
    Err(Error::config(
        "there is no prompt: give it as arguments or pipe it in",
    ))
}

/// Reads standard input to its end, and says that it does where nothing comes.
fn piped_in() -> Result<String> {
    let (heard, silence) = mpsc::channel();
    // It ends with this function, which drops the sender.
    thread::spawn(move || {
        loop {
            match silence.recv_timeout(SILENCE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    say("waiting for the end of standard input; `--no-stdin` does not read it");
                    return;
                }
            }
        }
    });
    let failed = |error| Error::config(format!("standard input: {error}"));
    let mut stdin = io::stdin().lock().take(MAX_PROMPT + 1);
    let mut read = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                read.extend_from_slice(&buffer[..length]);
                // Nothing listens once it has been said.
                let _ = heard.send(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if MAX_PROMPT < read.len() as u64 {
        return Err(Error::config(
            "standard input is larger than a request may be: 16 MiB",
        ));
    }
    String::from_utf8(read).map_err(|_| Error::config("standard input is not UTF-8"))
}
