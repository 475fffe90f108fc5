//! File descriptors: they are closed at once, and a process that has used them all recovers.
//!
//! Limits apply to processes, so these tests run themselves again in child processes.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use inferstream_core::{Repeat, RetryPolicy, protocol::RetryBudget};
use inferstream_transport::{Body, Error, ErrorKind, HttpTransport, Roots, Sent, Transport as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Runtime,
    task::JoinSet,
};

use crate::{
    server::{builder, check_error, fetch, listen, post, read_request, repeatable, transport},
    tls::authority,
};

/// The environment variables by which a child process knows its part.
const ROLE: &str = "INFERSTREAM_TEST_ROLE";
const URL: &str = "INFERSTREAM_TEST_URL";
const TLS_URL: &str = "INFERSTREAM_TEST_TLS_URL";

/// Returns this test in a child process, with at most this many open files.
fn child(test: &str, role: &str, limit: Option<usize>) -> Command {
    let limit = limit.map_or_else(String::new, |limit| format!("ulimit -n {limit}; "));
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{limit}exec \"$0\" \"$@\"")])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, role);
    command
}

#[track_caller]
fn check_child(output: &Output) {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// Starts a server that begins a response to `/open`, sends nothing for `/silent`, and completes the
/// others. Returns its URL.
async fn serve() -> String {
    let port = listen(|mut socket| async move {
        while let Some(request) = read_request(&mut socket).await {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n";
            let answer = match request.split_whitespace().nth(1) {
                Some("/open") => head.to_owned(),
                Some("/silent") => String::new(),
                _ => format!("{head}0\r\n\r\n"),
            };
            if socket.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            if !answer.ends_with("\r\n\r\n") {
                // Until the client closes the connection.
                let _ = socket.read(&mut [0]).await;
                return;
            }
        }
    })
    .await;
    format!("http://127.0.0.1:{port}")
}

/// Opens a stream and reads its first bytes.
async fn open(transport: &HttpTransport, url: &str) -> Result<Body, Error> {
    let response = transport.send(post(&format!("{url}/open"))).await?;
    let mut body = response.into_body();
    assert_eq!(body.data().await.unwrap()?, "ok");
    Ok(body)
}

/// Opens streams until one fails.
async fn exhaust(transport: &HttpTransport, url: &str) -> (Vec<Body>, Error) {
    let mut bodies = Vec::new();
    loop {
        match open(transport, url).await {
            Ok(body) => bodies.push(body),
            Err(error) => return (bodies, error),
        }
        assert!(bodies.len() < 32, "the limit has no effect");
    }
}

#[track_caller]
fn check_exhausted(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:?}");
    assert_eq!(error.sent(), Some(Sent::No));
    assert_eq!(error.repeat(), Repeat::Safe);
    let message = error.to_string();
    assert!(message.contains("too many open files"), "{message}");
}

#[test]
fn a_process_without_descriptors_recovers() {
    let runtime = Runtime::new().unwrap();
    if role().is_some() {
        let url = env::var(URL).unwrap();
        runtime.block_on(run_out(&url));
        return;
    }
    let url = runtime.block_on(serve());
    let test = "descriptors::a_process_without_descriptors_recovers";
    let mut child = child(test, "client", Some(32));
    check_child(&child.env(URL, url).output().unwrap());
}

async fn run_out(url: &str) {
    let transport = transport();
    let (mut bodies, error) = exhaust(&transport, url).await;
    check_exhausted(&error);

    // The policy decides how often it is tried, and nothing else tries.
    let policy = RetryPolicy::default().base_delay(Duration::from_millis(1));
    let mut attempts = 0;
    let budget = RetryBudget::default();
    let tried = policy.run(&transport, None, &budget, |_| {
        attempts += 1;
        open(&transport, url)
    });
    check_exhausted(&tried.await.unwrap_err());
    assert_eq!(attempts, 3);

    for _ in 0..3 {
        drop(bodies.pop());
        let text = fetch(&transport, repeatable(&format!("{url}/"))).await;
        assert_eq!(text.unwrap(), "ok");
    }
    drop(bodies);
    let (bodies, _) = exhaust(&transport, url).await;
    assert!(4 < bodies.len(), "{} streams", bodies.len());
}

#[test]
fn certificates_that_cannot_be_read_for_lack_of_descriptors_are_read_later() {
    let runtime = Runtime::new().unwrap();
    if role().is_some() {
        let (url, tls_url) = (env::var(URL).unwrap(), env::var(TLS_URL).unwrap());
        runtime.block_on(run_out_of_certificates(&url, &tls_url));
        return;
    }
    let (pem, acceptor) = authority("127.0.0.1");
    let server = crate::server::Server::start_tls(acceptor, &[crate::server::HELLO]);
    let (url, server) = runtime.block_on(async { (serve().await, server.await) });
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("descriptors.pem");
    fs::write(&file, pem).unwrap();
    let test =
        "descriptors::certificates_that_cannot_be_read_for_lack_of_descriptors_are_read_later";
    let mut child = child(test, "client", Some(32));
    let child = child
        .env(URL, url)
        .env(TLS_URL, format!("https://127.0.0.1:{}/", server.port))
        .env("SSL_CERT_FILE", &file)
        .env_remove("SSL_CERT_DIR");
    check_child(&child.output().unwrap());
}

async fn run_out_of_certificates(url: &str, tls_url: &str) {
    for roots in [Roots::All, Roots::System] {
        let transport = builder().roots(roots).build().unwrap();
        let (mut bodies, _) = exhaust(&transport, url).await;
        // One for the socket, and none for the file.
        drop(bodies.pop());
        let error = fetch(&transport, post(tls_url)).await;
        let error = check_error(error, ErrorKind::Connect, "too many open files");
        check_exhausted(&error);
        drop(bodies);
        assert_eq!(fetch(&transport, post(tls_url)).await.unwrap(), "hello");
    }
}

#[test]
fn a_mass_drop_closes_every_descriptor() {
    let runtime = Runtime::new().unwrap();
    match role().as_deref() {
        Some("server") => runtime.block_on(async {
            println!("\n{}", serve().await);
            std::future::pending::<()>().await;
        }),
        Some(_) => {
            let url = env::var(URL).unwrap();
            return runtime.block_on(drop_all(&url));
        }
        None => {}
    }
    // The server has a process of its own, because it needs as many descriptors.
    let test = "descriptors::a_mass_drop_closes_every_descriptor";
    let mut server = child(test, "server", None);
    let mut server = Server(server.stdout(Stdio::piped()).spawn().unwrap());
    let output = BufReader::new(server.0.stdout.take().unwrap());
    let mut lines = output.lines().map_while(Result::ok);
    let url = lines.find(|line| line.starts_with("http")).unwrap();
    let mut client = child(test, "client", None);
    check_child(&client.env(URL, url).output().unwrap());
}

/// A child process that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn drop_all(url: &str) {
    // Some are needed for the runtime and the standard streams.
    let count = open_files_limit().min(4096 + 64) - 64;
    let transport = transport();
    fetch(&transport, post(&format!("{url}/"))).await.unwrap();
    // With the one connection that is kept.
    let before = open_files();
    let mut bodies = Vec::new();
    let mut requests = JoinSet::new();
    for number in 0..count {
        if number % 4 == 0 {
            requests.spawn(transport.send(post(&format!("{url}/silent"))));
        } else {
            bodies.push(open(&transport, url).await.unwrap());
        }
    }
    wait_until(|| before + count <= open_files()).await;
    requests.abort_all();
    drop(bodies);
    wait_until(|| open_files() <= before).await;
    fetch(&transport, post(&format!("{url}/"))).await.unwrap();
}

/// Waits for at most 2 s.
async fn wait_until(done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        let open = open_files();
        assert!(begin.elapsed() < Duration::from_secs(2), "{open} are open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn open_files_limit() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = soft.and_then(|values| values.split_whitespace().next());
    soft.unwrap().parse().unwrap_or(usize::MAX)
}
