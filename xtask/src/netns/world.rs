//! The network of one scenario: the simulator, packet filters, name resolution, and our program.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::run::{Background, Result, run, start_simulator, stdout, words};

/// A network namespace with a running simulator.
pub(super) struct World {
    program: PathBuf,
    /// Stopped on drop.
    _simulator: Background,
    /// The port of the simulator on loopback.
    pub(super) port: u16,
}

/// The result of a run of the program.
pub(super) struct Run {
    pub(super) code: Option<i32>,
    pub(super) text: String,
    pub(super) errors: String,
    pub(super) took: Duration,
}

/// A run of the program that has not ended.
pub(super) struct Running {
    child: Child,
    begin: Instant,
}

impl World {
    /// Starts the simulator in the namespace of this process.
    pub(super) fn new(program: &Path) -> Result<Self> {
        ip("link set lo up")?;
        let (simulator, url) = start_simulator(program, "--tps 40")?;
        let port = url.rsplit(':').next().and_then(|rest| {
            let port = rest.split('/').next()?;
            port.parse().ok()
        });
        Ok(Self {
            program: program.to_owned(),
            _simulator: simulator,
            port: port.ok_or("the simulator's URL has no port")?,
        })
    }

    /// Starts `chat` with a host of the service.
    pub(super) fn start(&self, host: &str, prompt: &str, flags: &str) -> Result<Running> {
        let url = format!("http://{host}:{}/compatible/v1", self.port);
        let mut command = Command::new(&self.program);
        command
            .args(words(
                "chat -n -p openai-compat -m any --no-proxy --base-url",
            ))
            .arg(url)
            .args(words(flags))
            .args(["--", prompt])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let begin = Instant::now();
        let child = command.spawn()?;
        Ok(Running { child, begin })
    }

    /// Runs `chat` to its end.
    pub(super) fn chat(&self, flags: &str) -> Result<Run> {
        self.chat_with("127.0.0.1", "Tell me a story", flags)
    }

    pub(super) fn chat_with(&self, host: &str, prompt: &str, flags: &str) -> Result<Run> {
        self.start(host, prompt, flags)?.end()
    }

    /// Drops the packets that match, in both directions of loopback, from now on.
    pub(super) fn drop_packets(&self, rules: &[&str]) -> Result<()> {
        let port = self.port.to_string();
        let rules = rules.iter().map(|rule| {
            let rule = rule.replace("PORT", &port);
            format!("add rule inet t input {rule} counter drop\n")
        });
        let chain = "add chain inet t input { type filter hook input priority 0; }";
        nft(&format!(
            "add table inet t\n{chain}\n{}",
            rules.collect::<String>()
        ))
    }
}

impl Running {
    /// Reads the first bytes of the text.
    pub(super) fn read(&mut self, bytes: usize) -> Result<String> {
        let mut text = vec![0; bytes];
        let output = self
            .child
            .stdout
            .as_mut()
            .ok_or("the output is not piped")?;
        output.read_exact(&mut text)?;
        Ok(String::from_utf8(text)?)
    }

    /// Waits for the end, and returns the text that was not read yet.
    ///
    /// A program that does not end is stopped after two minutes, and is a failure.
    pub(super) fn end(mut self) -> Result<Run> {
        const LIMIT: Duration = Duration::from_secs(120);
        let mut stdout = self.child.stdout.take().ok_or("the output is not piped")?;
        let mut stderr = self.child.stderr.take().ok_or("the errors are not piped")?;
        let text = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        let errors = thread::spawn(move || {
            let mut errors = String::new();
            stderr.read_to_string(&mut errors).map(|_| errors)
        });
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if LIMIT < self.begin.elapsed() => {
                    self.child.kill()?;
                    self.child.wait()?;
                    return Err(format!("the program did not end within {LIMIT:?}").into());
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        let took = self.begin.elapsed();
        let panicked = |_| "a reader panicked";
        Ok(Run {
            code: status.code(),
            text: text.join().map_err(panicked)??,
            errors: errors.join().map_err(panicked)??,
            took,
        })
    }

    /// Stops the program.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Run {
    /// Checks that the response is complete and has this text.
    pub(super) fn is_complete(&self, text: &str) -> Result<()> {
        if self.code == Some(0) && self.text == text {
            return Ok(());
        }
        Err(self.unexpected("the complete text"))
    }

    /// Checks the exit code, that the error contains these words, and how long it took at most.
    pub(super) fn is_error(&self, code: i32, says: &[&str], limit: Duration) -> Result<()> {
        let is_said = says.iter().all(|word| self.errors.contains(word));
        if self.code != Some(code) || !is_said {
            return Err(self.unexpected(&format!("the exit code {code} and {says:?}")));
        }
        if limit < self.took {
            return Err(self.unexpected(&format!("an end within {limit:?}")));
        }
        Ok(())
    }

    /// Returns the last error, and when it was printed.
    pub(super) fn error(&self) -> String {
        let error = self.errors.lines().rfind(|line| line.starts_with("error:"));
        format!("{} after {:.1?}", error.unwrap_or_default(), self.took)
    }

    /// Returns how often an attempt was followed by another.
    pub(super) fn retries(&self) -> usize {
        self.errors.matches("retrying in").count()
    }

    fn unexpected(&self, expected: &str) -> crate::run::Error {
        let Self {
            code,
            text,
            errors,
            took,
        } = self;
        format!("expected {expected}, but after {took:.1?}: code {code:?}\n{text}\n{errors}").into()
    }
}

/// Returns how many packets the rules have dropped.
pub(super) fn dropped() -> Result<u64> {
    let rules = stdout(Command::new("nft").args(words("list ruleset")))?;
    let counters = rules.split("counter packets ").skip(1);
    let counts = counters.map(|rest| rest.split(' ').next().unwrap_or_default().parse::<u64>());
    Ok(counts.sum::<std::result::Result<_, _>>()?)
}

/// Lets all packets pass again.
pub(super) fn drop_nothing() -> Result<()> {
    nft("flush ruleset")
}

/// Runs an `ip` command.
pub(super) fn ip(line: &str) -> Result<()> {
    run(Command::new("ip").args(words(line)))
}

/// Replaces a file for the processes of this mount namespace.
pub(super) fn replace(path: &str, content: &str) -> Result<()> {
    // Only this namespace has the file system.
    if !Path::new("/mnt/netns").exists() {
        run(Command::new("mount").args(words("-t tmpfs tmpfs /mnt")))?;
        fs::create_dir("/mnt/netns")?;
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let file = Path::new("/mnt/netns").join(name);
    fs::write(&file, content)?;
    run(Command::new("mount").arg("--bind").arg(file).arg(path))
}

/// Runs a script of nftables.
fn nft(script: &str) -> Result<()> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take();
    stdin.ok_or("no input")?.write_all(script.as_bytes())?;
    if child.wait()?.success() {
        Ok(())
    } else {
        Err(format!("nft failed: {script}").into())
    }
}
