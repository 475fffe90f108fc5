//! Helpers to run commands, read their output and stop them.

use std::{
    env,
    error::Error as StdError,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

/// The reason for a failed job.
pub(crate) type Error = Box<dyn StdError>;
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// The outcome of a job that did not fail.
pub(crate) enum Outcome {
    Done,
    /// Something that the job needs is missing on this machine.
    Skipped(String),
}

/// The maximum number of characters of an argument in messages.
const SHOWN: usize = 100;

/// Returns the workspace's root.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Returns the folder for build output.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(target) => root().join(target),
        None => root().join("target"),
    }
}

/// Returns a cargo command that runs at the workspace's root.
pub(crate) fn cargo<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    // Cargo sets the variable. A test that is run without cargo uses the one that built it, so that
    // cargo need not be in the path.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    command
}

/// Splits a command line at spaces; arguments must not contain any.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_ascii_whitespace()
}

/// Runs a command with its output shown.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status = command
        .status()
        .map_err(|cause| format!("cannot start {}: {cause}", shown(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{status}: {}", shown(command)).into())
    }
}

/// Runs a command and returns its output, even if it fails.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command
        .output()
        .map_err(|cause| format!("cannot start {}: {cause}", shown(command)).into())
}

/// Runs a command and returns its standard output, or an error if it fails.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}\n{errors}", output.status, shown(command)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns true if the command can be started and succeeds; hides its output.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Returns the command line, with long arguments shortened.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program
        .file_stem()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    command.get_args().fold(name, |line, argument| {
        let argument = argument.to_string_lossy();
        let is_long = SHOWN < argument.chars().count();
        let start: String = argument.chars().take(SHOWN).collect();
        let rest = if is_long { "…" } else { "" };
        let quote = if argument.contains([' ', '"']) {
            "'"
        } else {
            ""
        };
        format!("{line} {quote}{start}{rest}{quote}")
    })
}

/// Reads a file. The error names the file.
pub(crate) fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path)
        .map_err(|cause| format!("cannot read {}: {cause}", path.display()).into())
}

/// Writes a file and creates its folders. The error names the file.
pub(crate) fn write(path: impl AsRef<Path>, content: &str) -> Result<()> {
    let path = path.as_ref();
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, content))
        .map_err(|cause| format!("cannot write {}: {cause}", path.display()).into())
}

/// A background process, stopped on drop.
pub(crate) struct Background(Child);

impl Background {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        eprintln!("$ {} &", shown(command));
        let child = command
            .spawn()
            .map_err(|cause| format!("cannot start {}: {cause}", shown(command)))?;
        Ok(Self(child))
    }

    /// Waits for the first line of the process's piped output.
    pub(crate) fn first_line(&mut self) -> Result<String> {
        let output = self.0.stdout.as_mut().ok_or("the output is not piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        match line.trim() {
            "" => Err("the program ended without a line of output".into()),
            line => Ok(line.to_owned()),
        }
    }

    /// Takes the process's piped input and output.
    pub(crate) fn pipes(&mut self) -> Result<(ChildStdin, ChildStdout)> {
        let pipes = self.0.stdin.take().zip(self.0.stdout.take());
        pipes.ok_or_else(|| "the input or the output is not piped".into())
    }

    /// Returns true if the process has exited.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Builds our program and returns its path.
pub(crate) fn build_program() -> Result<PathBuf> {
    run(&mut cargo(words(
        "build --quiet --locked -p inferstream-cli --bin inferstream",
    )))?;
    Ok(target()
        .join("debug")
        .join(format!("inferstream{}", env::consts::EXE_SUFFIX)))
}

/// Starts our simulator on a free port and returns it with its base URL.
pub(crate) fn start_simulator(program: &Path, arguments: &str) -> Result<(Background, String)> {
    let mut command = Command::new(program);
    command
        .args(words("simulate --port 0 --seed 7"))
        .args(words(arguments))
        .stdout(Stdio::piped());
    let mut simulator = Background::start(&mut command)?;
    let url = simulator.first_line()?;
    Ok((simulator, url))
}
