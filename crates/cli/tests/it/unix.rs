//! Signals and pipes.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Stdio},
    sync::Once,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal as handle};

use crate::{Run, Server, command};

/// Makes child processes start with the default actions of the signals that these tests send.
///
/// A test process that ignores signals, for example under `nohup`, would pass that on. Linux
/// reports ignored signals in a file; elsewhere only `unsafe` code could query them.
pub(crate) fn reset_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = ignored_signals(&status);
        let kinds = [
            SignalKind::hangup(),
            SignalKind::interrupt(),
            SignalKind::terminate(),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _context = runtime.enter();
        for kind in kinds {
            if ignored & 1 << (kind.as_raw_value() - 1) != 0 {
                // A handler does not survive `exec`, but an ignored signal does. The handler does
                // nothing, so this process still ignores the signal.
                drop(handle(kind).unwrap());
            }
        }
    });
}

/// Returns the mask of ignored signals in `/proc/PID/status`. The lowest bit is signal 1.
fn ignored_signals(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap())
}

pub(crate) fn interrupt(child: &Child) {
    signal(child, "INT");
}

pub(crate) fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap()
            .success()
    );
}

/// Runs until the program has printed this many bytes, then interrupts it.
fn interrupted(flags: &[&str], bytes: usize) -> Run {
    signaled("INT", flags, bytes)
}

/// Runs until the program has printed this many bytes, then sends it a signal.
fn signaled(name: &str, flags: &[&str], bytes: usize) -> Run {
    let args = [&["chat", "--simulate", "--fault", "stall", "Hi"], flags].concat();
    let mut child = command(&args).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut printed = vec![0; bytes];
    stdout.read_exact(&mut printed).unwrap();
    signal(&child, name);
    let begin = Instant::now();
    stdout.read_to_end(&mut printed).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5));
    Run {
        stdout: String::from_utf8(printed).unwrap(),
        ..Run::from(output)
    }
}

#[test]
fn ctrl_c_keeps_the_partial_response() {
    let run = interrupted(&["--tps", "0"], 20);
    assert_eq!(run.code, Some(130));
    assert!(run.stdout.starts_with("You asked") && run.stdout.ends_with('\n'));
    assert!(!run.stderr.contains("error"), "{}", run.stderr);

    let run = interrupted(&["--tps", "0", "--jsonl"], 20);
    assert_eq!(run.code, Some(130));
    assert_eq!(run.lines().pop().unwrap()["kind"], "canceled");
}

#[test]
fn other_signals_keep_the_partial_response() {
    for (name, code) in [("TERM", 143), ("HUP", 129)] {
        let run = signaled(name, &["--tps", "0"], 20);
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        assert!(run.stdout.starts_with("You asked") && run.stdout.ends_with('\n'));
        assert!(!run.stderr.contains("error"), "{}", run.stderr);

        let run = signaled(name, &["--tps", "0", "--jsonl"], 20);
        assert_eq!(run.code, Some(code));
        assert_eq!(run.lines().pop().unwrap()["kind"], "canceled");

        let mut server = Server::start(&[]);
        signal(&server.child, name);
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_ignored_hangup_stays_ignored() {
    // As `nohup` does.
    let program = env!("CARGO_BIN_EXE_inferstream");
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", program])
        .args(["chat", "--simulate", "--tps", "0", "--fault", "stall", "Hi"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 20]).unwrap();
    signal(&child, "HUP");
    thread::sleep(Duration::from_millis(300));
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

/// Also run by [`ignored_signals_are_reset_for_child_processes`].
#[cfg(target_os = "linux")]
#[test]
fn child_processes_start_with_default_signals() {
    reset_signals();
    let child = Command::new("cat")
        .arg("/proc/self/status")
        .output()
        .unwrap();
    let status = String::from_utf8(child.stdout).unwrap();
    // SIGHUP, SIGINT and SIGTERM.
    assert_eq!(ignored_signals(&status) & 0b100_0000_0000_0011, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn ignored_signals_are_reset_for_child_processes() {
    // As under `nohup`, and under `&` in a script.
    let output = Command::new("sh")
        .args(["-c", "trap '' HUP INT TERM; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "unix::child_processes_start_with_default_signals",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn ctrl_c_prints_the_partial_json_object() {
    let args = ["--simulate", "--tps", "0", "--fault", "stall", "--json"];
    let args = [&["chat", "Hi", "-v"], &args[..]].concat();
    let mut child = command(&args).spawn().unwrap();
    // Nothing is printed before the end, but the arrival of the headers is.
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("status 200")));
    thread::sleep(Duration::from_millis(500));
    interrupt(&child);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(130));
    let object = run.json();
    assert_eq!(object["error"]["kind"], "canceled");
    assert_eq!(object["finish_reason"], Value::Null);
    assert!(object["text"].as_str().unwrap().starts_with("You"));
    assert!(object["id"].is_string());
}

#[test]
fn ctrl_c_works_while_waiting_for_the_headers() {
    let mut child = command(&["chat", "--simulate", "--fault", "silence", "Hi"])
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn ctrl_c_works_while_waiting_for_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for flag in ["--cookies", "--key-file", "--cacert"] {
        let begin = Instant::now();
        let mut child = command(&["chat", "Hi", flag, pipe.to_str().unwrap()])
            .spawn()
            .unwrap();
        // A named pipe without a writer.
        thread::sleep(Duration::from_millis(500));
        interrupt(&child);
        assert_eq!(child.wait().unwrap().signal(), Some(2));
        assert!(begin.elapsed() < Duration::from_secs(3), "{flag}");
    }
}

#[test]
fn ctrl_c_works_while_the_output_is_blocked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        // Part of the request, which must start before its response does.
        assert_ne!(socket.read(&mut [0; 4096]).unwrap(), 0);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        let text = "x".repeat(4000);
        let chunk = format!(
            r#"data: {{"id":"1","object":"chat.completion.chunk","created":1,"model":"tiny","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#
        );
        // Until the program has exited.
        while write!(socket, "{chunk}\n\n").is_ok() {}
    });
    let mut child = command(&["chat", "Hi", "--base-url", &url])
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    thread::sleep(Duration::from_millis(500));
    interrupt(&child);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    server.join().unwrap();
}

#[test]
fn ctrl_c_ends_the_simulator_with_success() {
    let mut server = Server::start(&[]);
    interrupt(&server.child);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert_eq!(server.rest(), "");
}

#[test]
fn a_closed_output_ends_the_program_silently() {
    for flags in [&[][..], &["--jsonl"], &["--jsonl", "--no-stream"]] {
        let args = [&["chat", "--simulate", "--tps", "400", "Hi"], flags].concat();
        let mut child = command(&args).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 5]).unwrap();
        drop(stdout);
        let run = Run::from(child.wait_with_output().unwrap());
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.starts_with("SIMULATED"));
        assert!(matches!(run.code, Some(0 | 141)));
    }
}

#[test]
fn events_are_printed_while_the_input_is_open() {
    let mut child = command(&["sse"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for data in ["a", "b"] {
        write!(stdin, "data: {data}\n\n").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains(data));
    }
    drop(stdout);
    write!(stdin, "data: c\n\n").unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!((run.code, run.stderr.as_str()), (Some(141), ""));
}
