//! The commands of an interactive session.

use std::path::PathBuf;

/// The names of all commands, for completion.
pub(super) const NAMES: &[&str] = &[
    "/help", "/model", "/quit", "/retry", "/save", "/system", "/usage",
];

pub(super) const HELP: &str = r#"/model [NAME]   show the model, or use another one (`provider/model` for another provider)
/system [TEXT]  show the system message, or replace it
/retry          request the last response again
/save FILE      save the conversation to a new JSON file
/usage          show the token counts and the speed of the last response, and totals
/help           show this list
/quit           end the session, as Ctrl-D does

A line that ends with \ continues on the next line. Text between lines of """ is one message.
Ctrl-C stops a response; what arrived is kept. A space before / makes a line a message."#;

/// A command.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Command {
    Help,
    Model(Option<String>),
    Quit,
    Retry,
    Save(PathBuf),
    System(Option<String>),
    Usage,
}

impl Command {
    /// Parses a line; `None` if it is a message.
    ///
    /// # Errors
    ///
    /// Returns what is invalid.
    pub(super) fn parse(line: &str) -> Result<Option<Self>, String> {
        if !line.starts_with('/') {
            return Ok(None);
        }
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim();
        let given = (!argument.is_empty()).then(|| argument.to_owned());
        let command = match (name, given) {
            ("/help", None) => Self::Help,
            ("/model", model) => Self::Model(model),
            ("/quit", None) => Self::Quit,
            ("/retry", None) => Self::Retry,
            ("/save", Some(path)) => Self::Save(path.into()),
            ("/save", None) => return Err("missing file: expected `/save FILE`".to_owned()),
            ("/system", text) => Self::System(text),
            ("/usage", None) => Self::Usage,
            ("/help" | "/quit" | "/retry" | "/usage", Some(_)) => {
                return Err(format!("invalid command: `{name}` takes no argument"));
            }
            _ => {
                return Err(format!(
                    "unknown command `{name}`: `/help` lists the commands; a space before it makes \
                     the line a message"
                ));
            }
        };
        Ok(Some(command))
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, NAMES};

    #[test]
    fn a_line_is_a_message_or_a_command() {
        for (line, expected) in [
            ("Hi", None),
            (" /help", None),
            ("/help", Some(Command::Help)),
            ("/model", Some(Command::Model(None))),
            ("/model  a/b ", Some(Command::Model(Some("a/b".to_owned())))),
            (
                "/system Be brief.\nAlways.",
                Some(Command::System(Some("Be brief.\nAlways.".to_owned()))),
            ),
            ("/save a b.json", Some(Command::Save("a b.json".into()))),
        ] {
            assert_eq!(Command::parse(line), Ok(expected), "{line}");
        }
        for line in ["/", "/etc/passwd", "/helper", "/retry now", "/save"] {
            assert!(Command::parse(line).is_err(), "{line}");
        }
        for name in NAMES {
            let unknown = Command::parse(name).is_err_and(|what| what.starts_with("unknown"));
            assert!(!unknown, "{name}");
        }
    }
}
