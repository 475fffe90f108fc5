//! The line editor, on a thread of its own.

use std::{
    env,
    fs::DirBuilder,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use rustyline::{
    CompletionType, Config, Context, Editor, Helper,
    completion::Completer,
    config::BellStyle,
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};
use tokio::sync::mpsc as async_mpsc;

use super::{command, input};
use crate::{
    exit::Failure,
    output::say,
    runtime::{Interrupt, Signal},
};

/// What a user entered.
#[derive(Debug)]
pub(super) enum Line {
    /// Ctrl-D, or the end of standard input.
    End,
    Failed(String),
    /// Ctrl-C.
    Interrupted,
    Text(String),
}

/// Reads lines without blocking signals.
#[derive(Debug)]
pub(super) struct Lines {
    requests: Sender<()>,
    entered: async_mpsc::Receiver<Line>,
    terminal: Terminal,
}

impl Lines {
    /// Starts the editor. `history` is the file of earlier prompts, and `models` are completed.
    pub(super) fn start(history: Option<PathBuf>, models: Vec<String>) -> Self {
        let (requests, requested) = mpsc::channel();
        let (sender, entered) = async_mpsc::channel(1);
        // Not a task: on some systems the editor must stay on one thread.
        thread::spawn(move || edit(&requested, &sender, history.as_deref(), models));
        Self {
            requests,
            entered,
            terminal: Terminal::remember(),
        }
    }

    /// Waits for a line.
    ///
    /// # Errors
    ///
    /// Fails if a signal ends the program; the terminal is then restored.
    pub(super) async fn next(&mut self, interrupt: &Interrupt) -> Result<Line, Failure> {
        // If the thread has ended, `recv` reports it.
        let _ = self.requests.send(());
        loop {
            match interrupt.or(self.entered.recv()).await {
                Ok(line) => return Ok(line.unwrap_or(Line::End)),
                // Sent by another program: the keyboard's Ctrl-C is a character here.
                Err(Failure::Interrupted(Signal::Interrupt)) => interrupt.forget(),
                Err(failure) => {
                    self.terminal.restore();
                    return Err(failure);
                }
            }
        }
    }
}

/// Reads a line for each request.
fn edit(
    requested: &Receiver<()>,
    lines: &async_mpsc::Sender<Line>,
    history: Option<&Path>,
    models: Vec<String>,
) {
    let config = Config::builder()
        .bell_style(BellStyle::None)
        .completion_type(CompletionType::List)
        .history_ignore_space(true)
        .build();
    let mut editor = match Editor::<Rules, FileHistory>::with_config(config) {
        Ok(editor) => editor,
        Err(error) => {
            let _ = lines.blocking_send(Line::Failed(error.to_string()));
            return;
        }
    };
    editor.set_helper(Some(Rules { models }));
    let history = history.filter(|path| prepare(path));
    if let Some(path) = history {
        // The first session has no history yet.
        let _ = editor.load_history(path);
    }
    while requested.recv().is_ok() {
        let line = match editor.readline("> ") {
            Ok(text) => {
                let is_kept = editor.add_history_entry(&text).unwrap_or_default();
                if let (true, Some(path)) = (is_kept, history)
                    && let Err(error) = editor.append_history(path)
                {
                    say(&format!("warning: writing the history failed: {error}"));
                }
                Line::Text(text)
            }
            Err(ReadlineError::Eof) => Line::End,
            Err(ReadlineError::Interrupted) => Line::Interrupted,
            Err(error) => Line::Failed(error.to_string()),
        };
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

/// Creates the folder of the history, readable by its owner only.
fn prepare(history: &Path) -> bool {
    let Some(folder) = history.parent() else {
        return false;
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Ok(()) => true,
        Err(error) => {
            say(&format!(
                "warning: no history: creating {} failed: {error}",
                folder.display()
            ));
            false
        }
    }
}

/// Returns the file of the history, in the folder of the platform for such files.
pub(super) fn history_file() -> Option<PathBuf> {
    // The XDG base directory specification ignores relative paths.
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let folder = if cfg!(windows) {
        absolute("LOCALAPPDATA")?
    } else {
        absolute("XDG_STATE_HOME").or_else(|| {
            let below = if cfg!(target_os = "macos") {
                "Library/Application Support"
            } else {
                ".local/state"
            };
            absolute("HOME").map(|home| home.join(below))
        })?
    };
    Some(folder.join("inferstream/history"))
}

/// The editor's rules: messages of several lines, and the completion of commands and models.
struct Rules {
    models: Vec<String>,
}

impl Validator for Rules {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(if input::is_complete(context.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Completer for Rules {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let line = &line[..position];
        let starting = |all: &mut dyn Iterator<Item = &str>, start: &str| {
            let matching = all.filter(|name| name.starts_with(start));
            matching.map(str::to_owned).collect::<Vec<_>>()
        };
        Ok(match line.strip_prefix("/model ") {
            Some(start) => {
                let mut models = self.models.iter().map(String::as_str);
                (line.len() - start.len(), starting(&mut models, start))
            }
            None if line.starts_with('/') => {
                (0, starting(&mut command::NAMES.iter().copied(), line))
            }
            None => (position, Vec::new()),
        })
    }
}

impl Hinter for Rules {
    type Hint = String;
}

impl Highlighter for Rules {}

impl Helper for Rules {}

/// The terminal's modes before the editor changes them.
#[cfg(unix)]
#[derive(Debug)]
struct Terminal(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Terminal {
    fn remember() -> Self {
        Self(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }

    /// Restores the modes if the program ends while the editor reads a line.
    fn restore(&self) {
        use std::io::Write as _;

        if let Some(modes) = &self.0 {
            let now = rustix::termios::OptionalActions::Now;
            // If the terminal is gone, there is nothing to restore.
            let _ = rustix::termios::tcsetattr(std::io::stdin(), now, modes);
            // Ends bracketed paste.
            let _ = writeln!(std::io::stdout(), "\x1b[?2004l");
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
struct Terminal;

#[cfg(not(unix))]
impl Terminal {
    fn remember() -> Self {
        Self
    }

    #[allow(clippy::unused_self)] // as on Unix
    fn restore(&self) {}
}
