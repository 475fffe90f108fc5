//! Connections that a server closes when they are idle.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use inferstream_replicate::{HttpTransport, Replicate};

const IDLE: Duration = Duration::from_millis(5);

/// A server whose predictions have succeeded when they are created. It closes a connection 5 ms
/// after a response.
fn serve(created: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    thread::spawn(move || {
        for socket in listener.incoming() {
            let created = Arc::clone(&created);
            thread::spawn(move || respond(&socket.unwrap(), &created));
        }
    });
    url
}

fn respond(socket: &TcpStream, created: &AtomicUsize) {
    let mut reader = BufReader::new(socket);
    while let Some((line, body)) = read_request(&mut reader) {
        let status = if line.starts_with("POST ") {
            assert!(body.contains("prompt"), "{body}");
            created.fetch_add(1, SeqCst);
            "201 Created"
        } else {
            "200 OK"
        };
        let prediction = r#"{"id":"abc","status":"succeeded","output":["Hello"],"urls":{}}"#;
        let length = prediction.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut socket = socket;
        // The client may have closed the connection.
        let _ = socket.write_all((head + prediction).as_bytes());
        socket.set_read_timeout(Some(IDLE)).unwrap();
        if reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
            socket.set_read_timeout(None).unwrap();
        } else {
            return;
        }
    }
}

/// Reads a request, and returns its first line and its body.
fn read_request(reader: &mut impl std::io::BufRead) -> Option<(String, String)> {
    let mut lines = reader.lines().map_while(Result::ok);
    let first = lines.next()?;
    let headers: HashMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_lowercase(), value.to_owned()))
        })
        .collect();
    let length = headers.get("content-length");
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some((first, String::from_utf8(body).unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_create_is_ambiguous_if_the_server_closes_idle_connections() {
    let created = Arc::new(AtomicUsize::new(0));
    let replicate = Replicate::builder()
        .api_key("r8_test")
        .base_url(serve(Arc::clone(&created)))
        .transport(HttpTransport::builder().no_proxy().build().unwrap())
        .build()
        .unwrap();
    for number in 0..200_u64 {
        let response = replicate.chat("Hi").await;
        let response = response.unwrap_or_else(|error| panic!("create {number}: {error:?}"));
        assert_eq!(response.text(), "Hello");
        // The next create is sent when the server closes the connection, or shortly before.
        let early = Duration::from_micros(number * 37 % 1500);
        tokio::time::sleep(IDLE.saturating_sub(early)).await;
    }
    assert_eq!(created.load(SeqCst), 200);
}
