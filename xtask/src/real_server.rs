//! A test of our program against a real inference server: llama.cpp with a small model of random
//! weights.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    python,
    run::{Background, Outcome, Result, build_program, output, root, run, shown, target, words},
};

const PORT: u16 = 8801;

/// The first build of the server takes minutes; its start takes seconds.
const START: Duration = Duration::from_secs(60);

/// A test: a name, the arguments besides `--no-stream`, and the check of the result.
type Case<'a> = (&'a str, &'a str, Expect);

type Expect = fn(&Answer) -> std::result::Result<(), String>;

/// The result of a run.
struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// The tests that apply to streams and complete responses alike.
const CASES: &[Case<'static>] = &[
    ("text", "--max-tokens 40", is_text),
    ("length", "--json --max-tokens 12", is_cut_at_length),
    // Random weights soon produce one of these letters.
    ("stop", "--json --stop e --stop o", is_stopped),
];

const QUESTION: &str = "Why is the sky blue? ";

pub(crate) fn job(_: &[String]) -> Result<Outcome> {
    let packages = ["llama-cpp-python[server]", "gguf"];
    let Some(python) = python::environment("real-server", "INFERSTREAM_REAL_VENV", &packages)?
    else {
        return Ok(Outcome::Skipped("no Python 3 here".to_owned()));
    };
    let program = build_program()?;
    let model = target().join("real-server").join("tiny.gguf");
    std::fs::create_dir_all(target().join("real-server"))?;
    run(python
        .command()
        .arg(root().join("xtask/real-server/tiny_gguf.py"))
        .arg(&model))?;
    let _server = start(python.command(), &model)?;

    let too_long = QUESTION.repeat(200);
    let mut failed = 0;
    let mut check = |case: Case<'_>, question: &str| -> Result<()> {
        let (name, arguments, expect) = case;
        let answer = ask(&program, arguments, question)?;
        match expect(&answer) {
            Ok(()) => eprintln!("ok   {name}"),
            Err(why) => {
                failed += 1;
                eprintln!("FAIL {name}: {why}\n{}\n{}", answer.stdout, answer.stderr);
            }
        }
        Ok(())
    };
    for &(name, arguments, expect) in CASES {
        check((name, arguments, expect), QUESTION)?;
        check(
            (name, &format!("{arguments} --no-stream"), expect),
            QUESTION,
        )?;
    }
    check(("too long, streamed", "", is_cut_off), &too_long)?;
    check(("too long, whole", "--no-stream", is_refused), &too_long)?;
    match failed {
        0 => Ok(Outcome::Done),
        _ => Err(format!("{failed} failed").into()),
    }
}

fn start(mut python: Command, model: &PathBuf) -> Result<Background> {
    if TcpStream::connect(("127.0.0.1", PORT)).is_ok() {
        return Err(format!("port {PORT} is in use").into());
    }
    python.args(words(
        "-m llama_cpp.server --model_alias tiny --host 127.0.0.1 --n_ctx 512 --port",
    ));
    python.arg(PORT.to_string()).arg("--model").arg(model);
    let mut server = Background::start(python.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", PORT)).is_err() {
        if server.has_ended() || START < begin.elapsed() {
            return Err("the server did not start listening".into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(server)
}

fn ask(program: &Path, arguments: &str, question: &str) -> Result<Answer> {
    let mut command = Command::new(program);
    command
        .args(words("chat -p cerebras -m tiny --no-proxy --base-url"))
        .arg(format!("http://127.0.0.1:{PORT}/v1"))
        .args(words(arguments))
        .arg(question.trim_end());
    // The server accepts any key; do not send the user's own.
    command
        .env("CEREBRAS_API_KEY", "local")
        .stdin(Stdio::null());
    eprintln!("$ {}", shown(&command));
    let output = output(&mut command)?;
    Ok(Answer {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn is_text(answer: &Answer) -> std::result::Result<(), String> {
    match answer.code {
        Some(0) if !answer.stdout.trim().is_empty() => Ok(()),
        Some(0) => Err("no text".to_owned()),
        code => Err(format!("exit {code:?}, not 0")),
    }
}

fn is_cut_at_length(answer: &Answer) -> std::result::Result<(), String> {
    ends(answer, "length")
}

fn is_stopped(answer: &Answer) -> std::result::Result<(), String> {
    ends(answer, "stop")
}

fn ends(answer: &Answer, reason: &str) -> std::result::Result<(), String> {
    if answer.code != Some(0) {
        return Err(format!("exit {:?}, not 0", answer.code));
    }
    let value: Value = serde_json::from_str(&answer.stdout)
        .map_err(|cause| format!("not one JSON value: {cause}"))?;
    match value["finish_reason"].as_str() {
        Some(found) if found == reason => Ok(()),
        found => Err(format!("the finish reason is {found:?}, not {reason:?}")),
    }
}

/// This server starts a stream with status 200, fails, and closes it cleanly without an error.
fn is_cut_off(answer: &Answer) -> std::result::Result<(), String> {
    match answer.code {
        Some(6) if !answer.stderr.is_empty() => Ok(()),
        code => Err(format!("expected exit code 6 and a message, got {code:?}")),
    }
}

/// Without a stream, the server responds with status 400 and the reason.
fn is_refused(answer: &Answer) -> std::result::Result<(), String> {
    match answer.code {
        Some(1) if answer.stdout.is_empty() && answer.stderr.contains("context length") => Ok(()),
        code => Err(format!(
            "expected exit code 1 and the server's reason, got {code:?}"
        )),
    }
}
