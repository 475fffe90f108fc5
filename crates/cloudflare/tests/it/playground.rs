//! The playground, with its three protocols and its session.

use std::{fs, future::poll_fn, path::Path, pin::pin, task::Poll};

use bytes::Bytes;
use inferstream_cloudflare::{
    BoxFuture, ChatRequest, Cloudflare, CloudflareBuilder, End, ErrorKind, HttpTransport, Result,
    Transport, playground::session::SessionData,
};
use inferstream_simulator::{Answer, Fault, PlaygroundProtocol, Simulator, SimulatorBuilder};
use serde_json::{Value, json};

use crate::client;

const PROTOCOLS: [PlaygroundProtocol; 3] = [
    PlaygroundProtocol::V4,
    PlaygroundProtocol::V5,
    PlaygroundProtocol::Oldest,
];
const TEXT: &str = "One two\n\nthree – «é» 👋🏽 four five six seven eight nine ten eleven.";

async fn start(simulator: SimulatorBuilder) -> Simulator {
    simulator.start().await.unwrap()
}

fn playground(simulator: &Simulator) -> CloudflareBuilder {
    client(simulator)
        .playground()
        .base_url(simulator.playground_url())
}

fn written(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn every_protocol_has_the_same_text() {
    for protocol in PROTOCOLS {
        let simulator = Simulator::builder().playground(protocol);
        let simulator = start(simulator.answer(Answer::text(TEXT))).await;
        let cloudflare = playground(&simulator).build().unwrap();
        let response = cloudflare.chat("Hi").await.unwrap();
        assert_eq!(response.text(), TEXT, "{protocol:?}");
        assert_eq!(response.end, Some(End::Marker), "{protocol:?}");
        assert_eq!(simulator.counts().inferences, 1);
        let request = &simulator.requests()[0];
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["max_tokens"], 2048);
        assert_eq!(body["lora"], Value::Null);
        assert_eq!(body["messages"][0]["parts"][0]["text"], "Hi");
        assert!(!request.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn faults_are_errors_in_every_protocol() {
    for protocol in PROTOCOLS {
        for (fault, kind) in [
            (Fault::Cut, ErrorKind::Truncated),
            (Fault::Truncate, ErrorKind::Truncated),
            (Fault::Error, ErrorKind::Provider),
        ] {
            let simulator = Simulator::builder()
                .playground(protocol)
                .fault(fault.clone());
            let simulator = start(simulator.answer(Answer::text(TEXT))).await;
            let cloudflare = playground(&simulator).build().unwrap();
            let error = cloudflare.chat("Hi").await.unwrap_err();
            assert_eq!(error.kind(), kind, "{protocol:?} {fault}: {error}");
            let partial = error.partial().unwrap().text();
            assert!(TEXT.starts_with(partial) && !partial.is_empty());
        }
    }
}

#[tokio::test]
async fn a_session_is_restored_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth_Cloudflare.json");
    let simulator = start(Simulator::builder()).await;
    let cloudflare = playground(&simulator).session_file(&path).build().unwrap();
    cloudflare.chat("Hi").await.unwrap();
    let session = written(&path);
    let cookie = session["cookies"]["__cf_bm"].as_str().unwrap().to_owned();

    let other = playground(&simulator).session_file(&path).build().unwrap();
    other.chat("Hi").await.unwrap();
    let requests = simulator.requests();
    assert!(!requests[0].headers.contains_key("cookie"));
    let sent = requests[1].headers["cookie"].to_str().unwrap();
    assert_eq!(sent, format!("__cf_bm={cookie}"));
    assert!(!format!("{other:?}").contains(&cookie));
}

#[tokio::test]
async fn a_request_dropped_at_any_point_leaves_the_file_whole_and_unlocked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth_Cloudflare.json");
    let simulator = start(Simulator::builder()).await;
    let client = || playground(&simulator).session_file(&path).build().unwrap();
    let mut is_complete = false;
    for polls in 0.. {
        {
            let cloudflare = client();
            let mut asked = pin!(cloudflare.chat("Hi"));
            let mut left = polls;
            is_complete |= poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(false);
                }
                left -= 1;
                asked.as_mut().poll(cx).map(|response| response.is_ok())
            })
            .await;
        }
        // The dropped request may still read or write the file, on its thread.
        let mut stream = client().stream("Hi").await.unwrap();
        while let Some(event) = stream.next().await {
            event.unwrap();
        }
        assert_eq!(stream.meta().warnings, [""; 0], "{polls} polls");
        assert!(written(&path)["cookies"]["__cf_bm"].is_string());
        if is_complete {
            break;
        }
    }
}

#[tokio::test]
async fn a_refused_session_is_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth_Cloudflare.json");
    let session = json!({"cookies": {"cf_clearance": "old"}, "headers": {"x-own": "1"}});
    fs::write(&path, session.to_string()).unwrap();
    restrict(&path);
    let simulator = start(Simulator::builder().challenge(true)).await;
    let cloudflare = playground(&simulator).session_file(&path).build().unwrap();
    let error = cloudflare.chat("Hi").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Challenge);
    assert!(!error.to_string().contains('<'));
    let request = &simulator.requests()[0];
    assert_eq!(request.headers["x-own"], "1");
    assert!(
        request.headers["cookie"]
            .to_str()
            .unwrap()
            .contains("cf_clearance=old")
    );
    assert!(!path.exists(), "the file is deleted");
}

#[cfg(unix)]
fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[cfg(not(unix))]
fn restrict(_: &Path) {}

#[tokio::test]
async fn a_file_that_is_damaged_is_a_warning() {
    for damage in ["", "{", "\0\0", "[1,2]", "{\"cookies\":"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth_Cloudflare.json");
        fs::write(&path, damage).unwrap();
        restrict(&path);
        let simulator = start(Simulator::builder()).await;
        let cloudflare = playground(&simulator).session_file(&path).build().unwrap();
        let stream = cloudflare.stream("Hi").await.unwrap();
        assert_eq!(stream.meta().warnings.len(), 1, "{damage:?}");
        stream.finish().await.unwrap();
        written(&path);
    }
}

#[tokio::test]
async fn an_empty_400_means_an_unknown_model() {
    let simulator = start(Simulator::builder()).await;
    let cloudflare = playground(&simulator).build().unwrap();
    let request = ChatRequest::new("@cf/none/such").user("Hi");
    let error = cloudflare.stream(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("the model is unknown"));
}

#[tokio::test]
async fn models_are_names() {
    let simulator = start(Simulator::builder()).await;
    let cloudflare: Cloudflare = playground(&simulator).build().unwrap();
    let models = cloudflare.models().await.unwrap();
    assert!(models.iter().any(|model| model.id == "@cf/qwen/qwq-32b"));
    assert_eq!(cloudflare.known_models(), models);
    let error = cloudflare.search("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// Passes the page's check as a browser would: with a cookie of the response, and one that a script
/// sets.
pub(crate) async fn pass(page: String) -> Result<SessionData> {
    let transport = HttpTransport::builder().no_proxy().build()?;
    let request = http::Request::get(page).body(Bytes::new()).unwrap();
    let response = transport.send(request).await?;
    let mut session = SessionData::plain();
    for cookie in response.headers().get_all("set-cookie") {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        session.cookies.insert(name.to_owned(), value.to_owned());
    }
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(bytes) = body.data().await {
        text.extend_from_slice(&bytes?);
    }
    let text = String::from_utf8(text).unwrap();
    let (_, rest) = text.split_once("cf_clearance=").unwrap();
    let end = rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '-');
    let value = rest[..end.unwrap()].to_owned();
    session.cookies.insert("cf_clearance".to_owned(), value);
    Ok(session)
}

#[tokio::test]
async fn concurrent_requests_refresh_once() {
    let simulator = start(Simulator::builder().challenge(true)).await;
    let page = format!("{}/", simulator.playground_url());
    let cloudflare = playground(&simulator)
        .refresh(move || Box::pin(pass(page.clone())))
        .build()
        .unwrap();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        asked.spawn(cloudflare.chat("Hi"));
    }
    while let Some(outcome) = asked.join_next().await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(simulator.counts().pages, 1);
    assert_eq!(simulator.counts().inferences, 50);
}

#[tokio::test]
async fn an_expired_session_is_replaced_once() {
    let simulator = Simulator::builder().challenge(true).fault(Fault::Expire);
    let simulator = start(simulator).await;
    let page = format!("{}/", simulator.playground_url());
    let cloudflare = playground(&simulator)
        .refresh(move || Box::pin(pass(page.clone())))
        .build()
        .unwrap();
    cloudflare.chat("Hi").await.unwrap();
    assert_eq!(simulator.counts().pages, 2);
    assert_eq!(simulator.counts().inferences, 2);

    // If the session is always refused, it is replaced once per request, and then the refusal is an
    // error.
    let simulator = start(Simulator::builder().challenge(true)).await;
    let useless = || -> BoxFuture<'static, Result<SessionData>> {
        Box::pin(async { Ok(SessionData::plain()) })
    };
    let cloudflare = playground(&simulator).refresh(useless).build().unwrap();
    let error = cloudflare.chat("Hi").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Challenge);
    assert_eq!(simulator.counts().inferences, 2);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_cannot_be_written_is_a_warning() {
    let simulator = start(Simulator::builder()).await;
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link.json");
    std::os::unix::fs::symlink(folder.path().join("elsewhere.json"), &link).unwrap();
    for path in [
        Path::new("/dev/full"),
        Path::new("/proc/none/a.json"),
        &link,
    ] {
        let cloudflare = playground(&simulator).session_file(path).build().unwrap();
        let mut stream = cloudflare.stream("Hi").await.unwrap();
        while let Some(event) = stream.next().await {
            event.unwrap();
        }
        let warnings = &stream.meta().warnings;
        assert!(!warnings.is_empty(), "{}", path.display());
        assert!(!folder.path().join("elsewhere.json").exists());
    }
}
