//! The conversation: messages that are read from a file, sent, and saved.

mod file;
mod wire;

use std::path::{Path, PathBuf};

use inferstream::{Error, Message, Result, Role};
use serde_json::value::RawValue;

use crate::{args::Chat, exit::Failure, output::json_line};

/// The messages so far, and the file that keeps them.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    entries: Vec<Entry>,
    /// The file of `--session`, and its content when it was last read or written.
    session: Option<(PathBuf, Option<Vec<u8>>)>,
    /// Files that `/save` wrote, which it may replace.
    saved: Vec<PathBuf>,
}

/// A message, as JSON and as it is sent.
#[derive(Debug)]
struct Entry {
    /// The message as it is saved. A message that was read stays unchanged, with all its members.
    json: Box<RawValue>,
    message: Message,
}

impl Entry {
    fn new(message: Message, truncated: bool) -> Self {
        let json = wire::write(&message, truncated);
        Self { json, message }
    }
}

impl Conversation {
    /// Reads the file of `--session` or `--messages`, and adds `--system`.
    ///
    /// # Errors
    ///
    /// Returns `Config` for a file that cannot be read, or that is not a conversation, and for a
    /// session file that cannot be written. The file stays unchanged.
    pub(crate) fn open(args: &Chat) -> Result<Self> {
        let mut conversation = Self::default();
        if let Some(path) = &args.messages {
            let read = file::read(path)?;
            let missing = || Error::config(format!("cannot read {}: not found", path.display()));
            conversation.entries = parse(path, &read.ok_or_else(missing)?)?;
        }
        if let Some(path) = &args.session {
            let read = file::read(path)?;
            if let Some(bytes) = &read {
                conversation.entries = parse(path, bytes)?;
            }
            file::check_writable(path)?;
            conversation.session = Some((path.clone(), read));
        }
        if let Some(system) = &args.system {
            conversation.set_system(system);
        }
        Ok(conversation)
    }

    /// Returns the messages to send.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let messages = self.entries.iter().map(|entry| &entry.message);
        // An incomplete response without text has nothing to send.
        let is_sent =
            |message: &&Message| !(message.content.is_empty() && message.tool_calls.is_empty());
        messages.filter(is_sent).cloned().collect()
    }

    /// Returns true if the last message awaits a response.
    pub(crate) fn asks(&self) -> bool {
        let last = self.entries.last();
        last.is_some_and(|last| matches!(last.message.role, Role::User | Role::Tool))
    }

    /// Returns the ids of the tool calls that have no result yet.
    pub(crate) fn waiting_calls(&self) -> Vec<&str> {
        let mut waiting = Vec::new();
        for Entry { message, .. } in &self.entries {
            if message.role == Role::Assistant {
                waiting = message.tool_calls.iter().map(|call| &*call.id).collect();
            }
            let answered = message.tool_call_id.as_deref();
            waiting.retain(|id| Some(*id) != answered);
        }
        waiting
    }

    /// Adds the results of tool calls.
    ///
    /// # Errors
    ///
    /// Returns `Config` for a result without a call, and for a call without a result.
    pub(crate) fn add_results(&mut self, results: &[(String, String)]) -> Result<()> {
        for (id, result) in results {
            if !self.waiting_calls().contains(&id.as_str()) {
                return Err(Error::config(format!(
                    "invalid `--tool-result`: the conversation has no tool call `{id}` without a \
                     result"
                )));
            }
            self.push(Message::tool(id.as_str(), result.as_str()));
        }
        match self.waiting_calls().as_slice() {
            [] => Ok(()),
            waiting => Err(Error::config(format!(
                "missing results of tool calls: pass `--tool-result ID=TEXT` for {}",
                waiting.join(", ")
            ))),
        }
    }

    /// Returns the text of the system message.
    pub(crate) fn system(&self) -> Option<String> {
        let system = self.entries.iter().find(|entry| is_system(entry));
        system.map(|entry| entry.message.text())
    }

    /// Replaces the system message, or adds one as the first message.
    pub(crate) fn set_system(&mut self, text: &str) {
        if self.system().as_deref() == Some(text) {
            return;
        }
        let entry = Entry::new(Message::system(text), false);
        match self.entries.iter_mut().find(|entry| is_system(entry)) {
            Some(system) => *system = entry,
            None => self.entries.insert(0, entry),
        }
    }

    /// Adds a message.
    pub(crate) fn push(&mut self, message: Message) {
        self.entries.push(Entry::new(message, false));
    }

    /// Adds a response. Later requests contain the text of a truncated one, but not its tool calls.
    pub(crate) fn push_response(&mut self, message: Message, truncated: bool) {
        let mut entry = Entry::new(message, truncated);
        if truncated {
            entry.message.tool_calls.clear();
        }
        self.entries.push(entry);
    }

    /// Removes the last message if it has this role.
    pub(crate) fn pop(&mut self, role: Role) -> Option<Popped> {
        let popped = self.entries.pop_if(|last| last.message.role == role);
        popped.map(Popped)
    }

    /// Adds a message again.
    pub(crate) fn restore(&mut self, popped: Popped) {
        self.entries.push(popped.0);
    }

    /// Writes the session file, if there is one.
    ///
    /// # Errors
    ///
    /// Fails if writing fails, or if another program changed the file since it was read. The
    /// conversation is then written to a file beside it, with `.conflict` added to its name.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        let bytes = self.to_bytes();
        let Some((path, known)) = &mut self.session else {
            return Ok(());
        };
        let failed = |path: &Path, error| {
            Failure::Io(
                format!("writing the session file {}", path.display()),
                error,
            )
        };
        if file::read(path)? != *known {
            let mut other = path.clone().into_os_string();
            other.push(".conflict");
            let other = PathBuf::from(other);
            file::replace(&other, &bytes).map_err(|error| failed(&other, error))?;
            return Err(Error::config(format!(
                "writing the session file {} failed: another program changed it; this \
                 conversation is in {}",
                path.display(),
                other.display()
            ))
            .into());
        }
        file::replace(path, &bytes).map_err(|error| failed(path, error))?;
        *known = Some(bytes);
        Ok(())
    }

    /// Writes the conversation to another file, which must not exist unless this wrote it.
    ///
    /// # Errors
    ///
    /// Fails if the file exists or writing fails.
    pub(crate) fn save_to(&mut self, path: &Path) -> Result<(), Failure> {
        if path.exists() && !self.saved.iter().any(|saved| saved == path) {
            let message = format!("invalid file {}: it exists already", path.display());
            return Err(Error::config(message).into());
        }
        let written = file::replace(path, &self.to_bytes());
        written.map_err(|error| Failure::Io(format!("writing {}", path.display()), error))?;
        self.saved.push(path.to_owned());
        Ok(())
    }

    /// Returns the file's content: a JSON array, each message on one line.
    fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::from("[");
        for (at, entry) in self.entries.iter().enumerate() {
            text.push_str(if at == 0 { "\n" } else { ",\n" });
            // JSON that was read once can be written.
            let line = json_line(&entry.json).unwrap_or_else(|_| entry.json.get().to_owned());
            text.push_str(line.trim_end_matches('\n'));
        }
        text.push_str("\n]\n");
        text.into_bytes()
    }
}

/// A message that was removed.
#[derive(Debug)]
pub(crate) struct Popped(Entry);

fn is_system(entry: &Entry) -> bool {
    matches!(entry.message.role, Role::System | Role::Developer)
}

/// Parses a file of messages. White space alone is a conversation without messages.
fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Entry>> {
    let invalid = |what: String| {
        Error::config(format!(
            "invalid conversation in {}: {what}",
            path.display()
        ))
    };
    if bytes.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let messages: Vec<Box<RawValue>> = serde_json::from_slice(bytes)
        .map_err(|error| invalid(format!("expected a JSON array of messages: {error}")))?;
    let parse = |(index, json): (usize, Box<RawValue>)| match wire::read(index, &json) {
        Ok(message) => Ok(Entry { json, message }),
        Err(what) => Err(invalid(what)),
    };
    messages.into_iter().enumerate().map(parse).collect()
}
