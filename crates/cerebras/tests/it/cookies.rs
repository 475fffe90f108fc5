//! Tests of cookies, their session and the chat over real sockets, against the simulator.

use inferstream_cerebras::{Cerebras, CerebrasBuilder, Cookies, ErrorKind, HttpTransport};
use inferstream_simulator::{CerebrasSession, Simulator, SimulatorBuilder};

/// A `cookies.txt` with a session, and with cookies of other hosts.
const FILE: &str = "# Netscape HTTP Cookie File\n\
    #HttpOnly_127.0.0.1\tFALSE\t/\tTRUE\t4102444800\t__Secure-session-token\tc4nary-0f-the-file\n\
    .cerebras.ai\tTRUE\t/\tTRUE\t4102444800\tother\tc4nary-0f-another\n";

async fn start(builder: SimulatorBuilder) -> Simulator {
    builder.tls(true).api_key("csk-own").start().await.unwrap()
}

fn client(simulator: &Simulator) -> Cerebras {
    let pem = simulator.certificate_pem().unwrap();
    let transport = HttpTransport::builder().certificate_pem(pem).no_proxy();
    builder(simulator)
        .transport(transport.build().unwrap())
        .build()
        .unwrap()
}

fn builder(simulator: &Simulator) -> CerebrasBuilder {
    Cerebras::builder()
        .base_url(simulator.base_url())
        .session_url(simulator.cerebras_session_url())
        .cookies(Cookies::from_text(FILE).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_concurrent_streams_share_one_key() {
    let simulator = start(Simulator::builder()).await;
    let client = client(&simulator);
    let asked: Vec<_> = (0..50).map(|_| tokio::spawn(client.chat("Hi"))).collect();
    for asked in asked {
        assert!(!asked.await.unwrap().unwrap().text().is_empty());
    }
    assert_eq!(simulator.counts().sessions, 1);
    for request in simulator.requests() {
        let is_session = request.path == "/cerebras-session/api/auth/session";
        assert_eq!(request.headers.contains_key("cookie"), is_session);
        assert_eq!(request.headers.contains_key("authorization"), !is_session);
        if is_session {
            let sent = "__Secure-session-token=c4nary-0f-the-file";
            assert_eq!(request.headers["cookie"], sent);
        }
    }
}

#[cfg(feature = "gzip")]
#[tokio::test]
async fn a_large_prompt_is_compressed() {
    let simulator = start(Simulator::builder()).await;
    let client = builder(&simulator).gzip_from(64 << 10);
    let pem = simulator.certificate_pem().unwrap();
    let transport = HttpTransport::builder().certificate_pem(pem).no_proxy();
    let client = client
        .transport(transport.build().unwrap())
        .build()
        .unwrap();
    let prompt = "Tell me about the sea. ".repeat(1 << 16);
    let compressed = client.chat(prompt.as_str()).await.unwrap();
    let plain = self::client(&simulator).chat(prompt).await.unwrap();
    assert_eq!(compressed.text(), plain.text());
    assert_eq!(compressed.usage, plain.usage);
    let requests = simulator.requests();
    let sent = |index: usize| requests[index].body.len();
    assert!(sent(1) * 50 < sent(3), "{} of {}", sent(1), sent(3));
}

#[tokio::test]
async fn a_key_that_has_expired_is_replaced() {
    let builder = Simulator::builder().cerebras_session(CerebrasSession::ExpiredKey);
    let simulator = start(builder).await;
    let client = client(&simulator);
    for _ in 0..2 {
        let stream = client.stream("Hi").await.unwrap();
        assert!(!stream.finish().await.unwrap().text().is_empty());
    }
    assert_eq!(simulator.counts().sessions, 2);
    assert_eq!(simulator.requests().len(), 5);
    assert!(!client.models().await.unwrap().is_empty());
}

#[tokio::test]
async fn cookies_of_the_session_are_sent_back() {
    let builder = Simulator::builder()
        .cerebras_session(CerebrasSession::SignedIn)
        .cerebras_session(CerebrasSession::ExpiredKey);
    let simulator = start(builder.fault("401".parse().unwrap())).await;
    client(&simulator).stream("Hi").await.unwrap_err();
    let requests = simulator.requests();
    let sessions = requests
        .iter()
        .filter(|request| request.headers.contains_key("cookie"));
    let sent = sessions.map(|request| request.headers["cookie"].to_str().unwrap());
    assert_eq!(
        sent.collect::<Vec<_>>(),
        [
            "__Secure-session-token=c4nary-0f-the-file",
            "__Secure-session-token=c4nary-0f-the-file; session-token=simulated-session-1",
        ]
    );
}

#[tokio::test]
async fn each_state_has_a_remedy() {
    let sign_in = "sign in at https://inference.cerebras.ai and export the cookies again";
    let make_key = "create a key at https://cloud.cerebras.ai";
    for (state, kind, remedy) in [
        (CerebrasSession::Null, ErrorKind::Auth, sign_in),
        (CerebrasSession::Empty, ErrorKind::Auth, sign_in),
        (CerebrasSession::NoDemoKey, ErrorKind::Auth, make_key),
        (CerebrasSession::Html, ErrorKind::Protocol, make_key),
        (CerebrasSession::Forbidden, ErrorKind::Permission, sign_in),
        (CerebrasSession::Challenge, ErrorKind::Challenge, make_key),
    ] {
        let simulator = start(Simulator::builder().cerebras_session(state)).await;
        let error = client(&simulator).stream("Hi").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{state:?}");
        assert!(error.to_string().ends_with(remedy), "{state:?}: {error}");
        assert!(!format!("{error:?}").contains("c4nary"), "{error:?}");
        assert_eq!(simulator.requests().len(), 1, "{state:?}");
    }
}

#[tokio::test]
async fn with_an_api_key_the_session_is_never_requested() {
    let simulator = start(Simulator::builder()).await;
    let pem = simulator.certificate_pem().unwrap();
    let transport = HttpTransport::builder().certificate_pem(pem).no_proxy();
    let client = builder(&simulator)
        .api_key("csk-own")
        .transport(transport.build().unwrap())
        .build()
        .unwrap();
    client.chat("Hi").await.unwrap();
    assert_eq!(simulator.counts().sessions, 0);
}
