//! A program that is suspended in the middle of a response (SIGSTOP) and continued later.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    process::Child,
    sync::mpsc::{self, Sender},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{Run, ask_args, command, unix::signal};

/// A service that sends what the test tells it to.
struct Service {
    url: String,
    /// Dropping it closes the connection.
    send: Sender<String>,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (send, pieces) = mpsc::channel::<String>();
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            assert_ne!(socket.read(&mut [0; 4096]).unwrap(), 0);
            for piece in pieces {
                // The program may have exited.
                let _ = socket.write_all(piece.as_bytes());
            }
        });
        Self { url, send }
    }

    fn send(&self, piece: impl Into<String>) {
        self.send.send(piece.into()).unwrap();
    }

    fn text(&self, text: &str) {
        self.send(event(&json!({"content": text}), None));
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

fn event(delta: &serde_json::Value, reason: Option<&str>) -> String {
    let chunk = json!({
        "id": "c1", "object": "chat.completion.chunk", "created": 1_760_000_000, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]
    });
    format!("data: {chunk}\n\n")
}

fn end() -> String {
    event(&json!({}), Some("stop")) + "data: [DONE]\n\n"
}

/// The program, with timeouts of a second.
fn start(service: &Service) -> Child {
    let flags = ["--idle-timeout", "1", "--first-event-timeout", "1"];
    command(&ask_args(&service.url, &flags)).spawn().unwrap()
}

/// Suspends the program for longer than its timeouts. In the meantime, the service does its work.
fn suspend(child: &Child, meanwhile: impl FnOnce()) {
    signal(child, "STOP");
    meanwhile();
    thread::sleep(Duration::from_secs(2));
    signal(child, "CONT");
}

/// Reads this text from the program's output.
#[track_caller]
fn expect(child: &mut Child, text: &str) {
    let mut read = vec![0; text.len()];
    let output = child.stdout.as_mut().unwrap();
    output.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), text);
}

#[test]
fn a_response_that_arrived_during_a_suspension_is_complete() {
    let service = Service::start();
    let mut child = start(&service);
    service.send(HEAD);
    service.text("one ");
    expect(&mut child, "one ");
    suspend(&child, || {
        service.text("two ");
        service.text("three");
        service.send(end());
    });
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout, "two three\n");
}

#[test]
fn headers_that_arrived_during_a_suspension_are_read() {
    let service = Service::start();
    let child = start(&service);
    // Time to send the request.
    thread::sleep(Duration::from_millis(500));
    suspend(&child, || {
        service.send(HEAD);
        service.text("one");
        service.send(end());
    });
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout, "one\n");
}

#[test]
fn a_suspension_in_which_nothing_arrives_is_a_timeout_that_keeps_the_text() {
    let service = Service::start();
    let mut child = start(&service);
    service.send(HEAD);
    service.text("one ");
    expect(&mut child, "one ");
    suspend(&child, || {});
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(5), "{}", run.stderr);
    assert!(run.error().contains("idle"), "{}", run.stderr);
}

#[test]
fn a_connection_that_was_lost_during_a_suspension_is_an_error_that_keeps_the_text() {
    let service = Service::start();
    let mut child = start(&service);
    service.send(HEAD);
    service.text("one ");
    expect(&mut child, "one ");
    suspend(&child, || {
        service.text("two");
        drop(service);
    });
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(6), "{}", run.stderr);
    assert_eq!(run.stdout, "two\n");
}
