//! The interactive session, driven through a pseudo-terminal.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{command, serve_stream, unix::signal};

const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";

/// A session in a terminal.
struct Session {
    child: Child,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    /// The output that no test has waited for.
    rest: String,
    folder: TempDir,
}

impl Session {
    fn start(args: &[&str]) -> Self {
        Self::with_columns(80, args)
    }

    /// Starts the program as the leader of the terminal's session, so that Ctrl-C is a signal.
    fn with_columns(columns: u16, args: &[&str]) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let open = || {
            let mut options = File::options();
            let options = options.read(true).write(true);
            options.open(OsStr::from_bytes(name.as_bytes())).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let plain = command(&[]);
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg(plain.get_program())
            .arg("chat")
            .args(args);
        for (name, value) in plain.get_envs() {
            match value {
                None => command.env_remove(name),
                Some(value) => command.env(name, value),
            };
        }
        let child = command
            .env("XDG_STATE_HOME", folder.path())
            .env("NO_COLOR", "1")
            .env("TERM", "xterm")
            .current_dir(folder.path())
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        // An open descriptor would keep the terminal open.
        drop(command);
        let keyboard = File::from(terminal);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Linux reports the end as an error.
            while let Ok(length) = screen.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard,
            output,
            rest: String::new(),
            folder,
        }
    }

    /// Waits until a text is shown; returns what was shown up to its end.
    #[track_caller]
    fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.rest.find(text) {
                let after = self.rest.split_off(at + text.len());
                return std::mem::replace(&mut self.rest, after);
            }
            // Only so that a failing test ends.
            match self.output.recv_timeout(Duration::from_secs(60)) {
                Ok(bytes) => self.rest += &String::from_utf8_lossy(&bytes),
                Err(why) => panic!("{text:?} was not shown ({why}): {:?}", self.rest),
            }
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the prompt, and enters a line.
    #[track_caller]
    fn enter(&mut self, line: &str) {
        self.until("> ");
        self.type_in(&format!("{line}\r"));
    }

    /// Ends the session; returns its exit code.
    #[track_caller]
    fn end(&mut self) -> Option<i32> {
        self.until("> ");
        self.type_in(CTRL_D);
        self.child.wait().unwrap().code()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A test that failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn ctrl_c_stops_a_response_and_retry_replaces_it() {
    let stall = ["--simulate", "--tps", "0", "--fault", "stall"];
    let mut session = Session::start(&[&stall[..], &["--session", "s.json"]].concat());
    let path = session.path("s.json");
    session.until("cerebras/gpt-oss-120b; `/help` lists the commands");
    session.enter("Hi");
    session.until("You asked");
    session.type_in(CTRL_C);
    session.until("stopped; `/retry` requests the response again");
    session.until("> ");
    let saved = parse(&path);
    assert_eq!(saved[0], json!({"role": "user", "content": "Hi"}));
    assert_eq!(saved[1]["truncated"], true);
    let partial = saved[1]["content"].as_str().unwrap().to_owned();
    assert!(partial.starts_with("You asked"), "{partial}");

    // The fault was that of the first request only.
    session.type_in("/retry\r");
    session.until("You asked");
    session.until("> ");
    let saved = parse(&path);
    assert_eq!(saved.as_array().unwrap().len(), 2);
    assert_eq!(saved[1].get("truncated"), None);
    assert!(partial.len() < saved[1]["content"].as_str().unwrap().len());

    session.type_in(CTRL_C);
    session.until("hint: Ctrl-D or `/quit` ends the session");
    session.enter("And?");
    session.until("> ");
    let history = session.path("inferstream/history");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&history), mode(&path)), (0o600, 0o600));
    assert_eq!(mode(history.parent().unwrap()), 0o700);
    session.type_in(CTRL_D);
    assert_eq!(session.child.wait().unwrap().code(), Some(0));
    assert_eq!(parse(&path).as_array().unwrap().len(), 4);
    assert!(
        fs::read_to_string(&history)
            .unwrap()
            .ends_with("\nHi\n/retry\nAnd?\n")
    );
}

#[test]
fn an_error_keeps_the_session() {
    let args = [
        "--simulate",
        "--tps",
        "0",
        "--fault",
        "503",
        "--attempts",
        "1",
        "--no-history",
    ];
    let mut session = Session::start(&[&args[..], &["--session", "s.json"]].concat());
    session.enter("/retry");
    session.until("error: no message to send again");
    session.enter("Hi");
    session.until("error: ");
    session.enter("/nosuch");
    session.until("error: unknown command `/nosuch`");
    // The message whose request failed is not in the conversation.
    assert!(!session.path("s.json").exists());
    session.enter("/retry");
    session.until("You asked");
    session.enter("/model nosuch");
    session.until("cerebras/nosuch");
    session.enter("Hi");
    session.until("hint: `inferstream models -p cerebras --simulate` lists the models");
    // The response before that is the last one.
    session.enter("/model replicate/meta/meta-llama-3-8b-instruct");
    session.until("replicate/meta/meta-llama-3-8b-instruct");
    session.enter("/usage");
    session.until("session: responses: 1, ");
    // The simulator of the other provider has the fault again.
    session.enter("/retry");
    session.until("error: replicate");
    let path = session.path("s.json");
    let saved = parse(&path);
    assert!(
        saved[1]["content"]
            .as_str()
            .unwrap()
            .starts_with("You asked")
    );
    session.enter("/retry");
    session.enter("/usage");
    session.until("session: responses: 2, ");
    assert_ne!(parse(&path), saved);
    assert!(!session.path("inferstream").exists());
    assert_eq!(parse(&path).as_array().unwrap().len(), 2);
    assert_eq!(session.end(), Some(0));
    assert_eq!(parse(&path).as_array().unwrap().len(), 2);
}

#[test]
fn messages_of_several_lines_and_wide_characters_fit_a_narrow_terminal() {
    let mut session = Session::with_columns(20, &["--simulate", "--tps", "0", "-s", "Old"]);
    session.enter("/system 短く答えてください、お願いします");
    session.enter("空はなぜ青いのですか、教えてください\\\r次の行");
    session.until("simulat");
    session.enter("\"\"\"\rone\r\rtwo\\\r\"\"\"");
    session.until("simulat");
    // A paste with line breaks is one message.
    session.until("> ");
    session.type_in("\u{1b}[200~three\nfour\u{1b}[201~\r");
    session.until("simulat");
    session.enter("/save a.json");
    session.until("saved to a.json");
    session.enter("/system");
    session.until("短く");
    // Text of the second line, which is not hidden by the editor.
    session.enter("/save a.json");
    session.until("saved to a.json");
    session.enter("/help");
    session.until("/quit");
    let path = session.path("a.json");
    fs::write(session.path("b.json"), "mine").unwrap();
    session.enter("/save b.json");
    session.until("exists");
    assert_eq!(fs::read(session.path("b.json")).unwrap(), b"mine");
    let saved = parse(&path);
    let of = |at: usize| saved[at]["content"].as_str().unwrap();
    assert_eq!(of(0), "短く答えてください、お願いします");
    assert_eq!(of(1), "空はなぜ青いのですか、教えてください\n次の行");
    assert_eq!(of(3), "one\n\ntwo\\");
    assert_eq!(of(5).replace('\r', "\n"), "three\nfour");
    assert_eq!(session.end(), Some(0));
}

#[test]
fn lines_that_are_typed_ahead_are_kept() {
    let mut session = Session::start(&["--simulate", "--tps", "0", "--no-history"]);
    session.until("> ");
    session.type_in("/model a\r/model gpt-oss-120b\r/usage\r");
    session.until("cerebras/a");
    session.until("cerebras/gpt-oss-120b");
    session.until("usage: no response yet");
    // While a response arrives, the terminal collects whole lines.
    session.enter("Hi\r/model c\r/model d");
    session.until("You asked");
    session.until("cerebras/c");
    session.until("cerebras/d");
    assert_eq!(session.end(), Some(0));
}

#[test]
fn ctrl_c_before_the_response_keeps_the_message() {
    let simulated = [
        "--simulate",
        "--tps",
        "0",
        "--fault",
        "silence",
        "--no-history",
    ];
    let mut session = Session::start(&[&simulated[..], &["--session", "s.json"]].concat());
    session.enter("Hi");
    // The spinner of a request that waits.
    session.until("⠋");
    session.type_in(CTRL_C);
    session.until("stopped");
    assert!(!session.path("s.json").exists());
    session.enter("/retry");
    session.until("You asked");
    let path = session.path("s.json");
    assert_eq!(session.end(), Some(0));
    assert_eq!(parse(&path)[0]["content"], "Hi");
}

#[test]
fn a_response_does_not_control_the_terminal() {
    let text = "a\u{1b}[2J\u{1b}]0;t\u{7}b\u{9b}31mc\rd\u{202e}e";
    let call = json!({"index": 0, "id": text, "function": {"name": text, "arguments": "{}"}});
    let url = serve_stream(
        &[
            json!({"reasoning": text}),
            json!({"content": text}),
            json!({"tool_calls": [call]}),
        ],
        text,
    );
    let service = [
        "-p",
        "openai-compat",
        "-m",
        "m",
        "--base-url",
        &url,
        "--session",
        "s.json",
    ];
    let mut session = Session::start(&[&service[..], &["-u", "-v"]].concat());
    session.enter("Hi");
    let mut shown = session.until("usage: ");
    shown += &session.until("> ");
    assert!(
        shown.contains("a\\u{1b}[2J") && shown.contains("\\u{9b}31m"),
        "{shown:?}"
    );
    for control in ["\u{1b}[2J", "\u{1b}]0", "\u{9b}", "c\rd", "\u{202e}"] {
        assert!(!shown.contains(control), "{shown:?}");
    }
}

#[test]
fn a_signal_restores_the_terminal() {
    let mut session = Session::start(&["--simulate", "--no-history"]);
    let modes = |session: &Session| tcgetattr(&session.keyboard).unwrap().local_modes;
    session.until("> ");
    assert!(!modes(&session).contains(LocalModes::ICANON));
    // Not that of the keyboard, which is a character while a line is read.
    signal(&session.child, "INT");
    session.type_in("/help\r");
    session.until("/quit");
    session.until("> ");
    signal(&session.child, "TERM");
    assert_eq!(session.child.wait().unwrap().code(), Some(143));
    assert!(modes(&session).contains(LocalModes::ICANON | LocalModes::ECHO));
}

#[test]
fn a_conversation_that_awaits_a_response_needs_no_session() {
    let mut session = Session::start(&["--simulate", "--tps", "0", "--messages", "m.json"]);
    session.until("m.json: not found");
    assert_eq!(session.child.wait().unwrap().code(), Some(2));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.json");
    fs::write(&path, r#"[{"role":"user","content":"Hi"}]"#).unwrap();
    let path = path.to_str().unwrap();
    let mut session = Session::start(&["--simulate", "--tps", "0", "--messages", path]);
    session.until("You asked");
    assert_eq!(session.child.wait().unwrap().code(), Some(0));

    let mut session = Session::start(&["--simulate", "--schema", "a,b", "--tool", path]);
    session.until("an interactive session runs no tools; pass a prompt");
    assert_eq!(session.child.wait().unwrap().code(), Some(2));
}
