//! The memory that hostile responses and slow callers take.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::PoisonError,
    thread,
    time::Duration,
};

use bytes::Bytes;
use inferstream_core::{ChatEvent, ErrorKind, Phase, Provider, Result, Timeouts};
use inferstream_openai_compat::Compatible;
use inferstream_transport::HttpTransport;
use tokio::runtime::Builder;

use super::{ALONE, CONSTANT, MEMORY, clients_of};
use crate::wire::{Answer, Wire};

/// What an event above its limit of 4 MiB may take: a buffer that grows is copied.
const EVENT: usize = 8 << 20;

/// What a line above its limit of 1 MiB may take.
const LINE: usize = 2 << 20;

/// Returns an endless stream of the same bytes, 64 KiB at a time, at an interval of seconds.
fn endless(first: &'static str, bytes: &str, interval: u64) -> Wire {
    let bytes = bytes.repeat((64 << 10) / bytes.len());
    let interval = Duration::from_secs(interval);
    Wire::new(Answer::Endless(first, Bytes::from(bytes), interval))
}

/// Reads a stream to its end.
async fn read(provider: &dyn Provider) -> Result<()> {
    let mut stream = provider.stream("Count!".into()).await?;
    while let Some(event) = stream.next().await {
        drop(event?);
    }
    Ok(())
}

/// Checks how an endless stream ends at each provider, and the memory that it takes until then.
#[track_caller]
fn check_stream(wire: &Wire, kind: ErrorKind, most: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, client) in clients_of(wire) {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let error = wire.clock.block_on(read(&*client)).unwrap_err();
        let peak = MEMORY.peak_usage() - before;
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(peak <= most, "{name}: {error}: {peak} bytes");
    }
}

#[test]
fn an_endless_line_takes_twice_its_limit() {
    check_stream(&endless("data: ", "x", 1), ErrorKind::TooLarge, LINE);
}

#[test]
fn an_endless_event_takes_twice_its_limit() {
    let lines = endless("", "data: a line that is one of many lines\n", 1);
    check_stream(&lines, ErrorKind::TooLarge, EVENT);
}

#[test]
fn endless_comments_take_constant_memory() {
    let timeout = ErrorKind::Timeout(Phase::FirstEvent);
    check_stream(&endless("", ": still here\n\n", 10), timeout, CONSTANT);
    check_stream(&endless("", "\n", 10), timeout, CONSTANT);
    check_stream(&endless(": ", "x", 10), timeout, CONSTANT);
}

#[test]
fn a_slow_caller_takes_the_memory_of_the_text() {
    const EVENTS: usize = 20_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let chunk = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a word \"}}]}\n\n";
    let wire = endless("", chunk, 0);
    let (_, client) = &clients_of(&wire)[0];
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut stream = wire.clock.block_on(client.stream("Count!".into())).unwrap();
    for _ in 0..EVENTS {
        // More than all timeouts of a stream.
        wire.clock.advance(Duration::from_secs(3600));
        let event = wire.clock.block_on(stream.next()).unwrap().unwrap();
        assert!(matches!(event, ChatEvent::Text { .. }), "{event:?}");
    }
    let peak = MEMORY.peak_usage() - before;
    // The text so far, whose buffer grows by copies.
    let most = 3 * "a word ".len() * EVENTS + CONSTANT;
    assert!(peak <= most, "{peak} bytes");
    assert_eq!(stream.partial().text().len(), "a word ".len() * EVENTS);
}

/// Starts a server that sends the first bytes in response to a request, and then the others until the
/// connection is closed. Returns its URL. It allocates nothing after that.
fn serve(first: String, rest: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let rest = rest.repeat((64 << 10) / rest.len());
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).unwrap();
        let mut sent = socket.write_all(first.as_bytes());
        while sent.is_ok() {
            sent = socket.write_all(rest.as_bytes());
        }
    });
    url
}

#[test]
fn an_endless_response_takes_at_most_a_mebibyte() {
    const MOST: usize = 1 << 20;
    let head = |status: &str, headers: &str| format!("HTTP/1.1 {status}\r\n{headers}\r\n");
    let stream = "content-type: text/event-stream\r\n";
    let chunked = format!("{stream}transfer-encoding: chunked\r\n");
    let encoded = format!("{stream}content-encoding: gzip\r\n");
    let html = "content-type: text/html\r\n";
    let cases = [
        (
            String::new(),
            "HTTP/1.1 103 Early Hints\r\n\r\n",
            ErrorKind::Timeout(Phase::Head),
        ),
        (
            "HTTP/1.1 200 OK\r\nx: ".to_owned(),
            "x",
            ErrorKind::TooLarge,
        ),
        (
            "HTTP/1.1 200 OK\r\n".to_owned(),
            "x: y\r\n",
            ErrorKind::TooLarge,
        ),
        (head("200 OK", &encoded), "\0", ErrorKind::Protocol),
        (head("200 OK", html), "<p>", ErrorKind::Protocol),
        (head("200 OK", &chunked) + "5;", "x", ErrorKind::Protocol),
        (
            head("200 OK", &chunked) + "0\r\n",
            "x: y\r\n",
            ErrorKind::Protocol,
        ),
        (
            head("400 Bad Request", html),
            "<p>",
            ErrorKind::InvalidRequest,
        ),
        (
            head("400 Bad Request", "content-type: application/json\r\n"),
            "[",
            ErrorKind::InvalidRequest,
        ),
    ];
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let limits = Timeouts::default().head(Duration::from_millis(500));
    let transport = HttpTransport::builder().no_proxy().timeouts(limits);
    for (first, rest, kind) in cases {
        let name = format!("{first:?} {rest:?}");
        let client = Compatible::new(serve(first, rest)).default_model("any");
        let client = client.transport(transport.clone().build().unwrap());
        let client = client.timeouts(limits).build().unwrap();
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let error = runtime.block_on(read(&client)).unwrap_err();
        let peak = MEMORY.peak_usage() - before;
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(peak <= MOST, "{name}: {error}: {peak} bytes");
    }
}
