//! A browser without a window, driven by the Chrome `DevTools` Protocol over pipes.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::run::{Background, Result, succeeds};

/// How long a busy machine may take for one step. Reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// The variable with the path of a browser, and the names that are tried without it.
const VARIABLE: &str = "INFERSTREAM_CHROMIUM";
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// No requests of the browser's own, and no dialogs. The sandbox does not work as root, and only our own
/// page is opened.
const ARGUMENTS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-pipe",
];

/// Returns the path of a browser, if there is one.
pub(super) fn find() -> Option<PathBuf> {
    if let Some(path) = env::var_os(VARIABLE) {
        return Some(path.into());
    }
    let found = |name: &&&str| succeeds(Command::new(name).arg("--version"));
    NAMES.iter().find(found).map(PathBuf::from)
}

/// A browser with one page, stopped on drop.
pub(super) struct Browser {
    input: ChildStdin,
    messages: Receiver<Value>,
    last_id: u64,
    session: Option<String>,
    /// What the browser reported about the page: exceptions, and violations of its policy.
    complaints: Vec<String>,
    profile: PathBuf,
    process: Option<Background>,
}

impl Browser {
    /// Starts a browser with a new profile in a folder.
    pub(super) fn start(program: &Path, profile: PathBuf) -> Result<Self> {
        let _ = fs::remove_dir_all(&profile);
        fs::create_dir_all(&profile)?;
        // The browser reads messages from descriptor 3 and writes them to descriptor 4.
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null"#, "sh"])
            .arg(program)
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Background::start(&mut command)?;
        let (input, output) = process.pipes()?;
        let (sender, messages) = channel();
        thread::spawn(move || {
            // Each message ends with a null byte.
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { return };
                let value = serde_json::from_slice(&message).unwrap_or(Value::Null);
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut this = Self {
            input,
            messages,
            last_id: 0,
            session: None,
            complaints: Vec::new(),
            profile,
            process: Some(process),
        };
        this.attach()?;
        Ok(this)
    }

    /// Selects the browser's page for all that follows.
    fn attach(&mut self) -> Result<()> {
        let targets = self.call("Target.getTargets", json!({}))?;
        let targets = targets["targetInfos"].as_array();
        let mut targets = targets.into_iter().flatten();
        let page = targets.find(|target| target["type"] == "page");
        let page = page.ok_or("the browser has no page")?["targetId"].clone();
        let attached = json!({ "targetId": page, "flatten": true });
        let attached = self.call("Target.attachToTarget", attached)?;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(())
    }

    /// Calls a method of the protocol and returns its result.
    pub(super) fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method });
        message["params"] = parameters;
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.input.write_all(format!("{message}\0").as_bytes())?;
        loop {
            let mut message = self
                .messages
                .recv_timeout(PATIENCE)
                .map_err(|error| format!("the browser did not reply to {method}: {error}"))?;
            if message["id"] == self.last_id {
                return match message.get("error") {
                    None => Ok(message["result"].take()),
                    Some(error) => Err(format!("{method}: {error}").into()),
                };
            }
            self.notice(&message);
        }
    }

    fn notice(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                let details = parameters["exceptionDetails"].to_string();
                self.complaints.push(details);
            }
            // A refused request is also an entry, and expected.
            Some("Log.entryAdded") if parameters["entry"]["source"] != "network" => {
                let text = parameters["entry"]["text"].to_string();
                self.complaints.push(text);
            }
            _ => {}
        }
    }

    /// Opens an address and waits until it is loaded.
    pub(super) fn open(&mut self, url: &str) -> Result<()> {
        self.call("Page.navigate", json!({ "url": url }))?;
        let loaded = format!(
            "document.readyState === 'complete' && location.href === {}",
            json!(url)
        );
        self.wait(&loaded)
    }

    /// Evaluates an expression in the page, waits for its promise, and returns its value.
    pub(super) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let parameters = json!({
            "expression": expression,
            "returnByValue": true,
            "awaitPromise": true,
        });
        let mut result = self.call("Runtime.evaluate", parameters)?;
        match result.get("exceptionDetails") {
            None => Ok(result["result"]["value"].take()),
            Some(details) => Err(format!("{expression}: {details}").into()),
        }
    }

    /// Returns the text of the element with this id.
    pub(super) fn text(&mut self, id: &str) -> Result<String> {
        let text = self.evaluate(&format!(
            "document.getElementById({}).textContent",
            json!(id)
        ))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until an expression is true.
    pub(super) fn wait(&mut self, expression: &str) -> Result<()> {
        let begin = Instant::now();
        while self.evaluate(expression)? != true {
            if PATIENCE < begin.elapsed() {
                let page = self.evaluate("document.body.innerText")?;
                return Err(format!("not reached: {expression}; the page is {page}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Writes a picture of the page.
    pub(super) fn screenshot(&mut self, path: &Path) -> Result<()> {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }))?;
        let data = shot["data"].as_str().ok_or("the screenshot has no data")?;
        fs::write(path, decode(data))?;
        Ok(())
    }

    /// Returns what the browser reported about the page so far.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        while let Ok(message) = self.messages.try_recv() {
            self.notice(&message);
        }
        std::mem::take(&mut self.complaints)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It writes to its profile until it has exited.
        self.process = None;
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// Decodes base64.
fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.bytes() {
        let Some(value) = ALPHABET.iter().position(|letter| *letter == byte) else {
            continue;
        };
        bits = bits << 6 | u32::try_from(value).unwrap_or_default();
        held += 6;
        if 8 <= held {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn base64_is_decoded() {
        for (text, expected) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(decode(text), expected.as_bytes(), "{text}");
        }
    }
}
