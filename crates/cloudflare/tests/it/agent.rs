//! The playground's agent over real sockets, against the simulator.

use std::time::Duration;

use inferstream_cloudflare::{
    ChatRequest, Cloudflare, CloudflareBuilder, ErrorKind, HttpTransport,
};
use inferstream_simulator::{Answer, Fault, Simulator, SimulatorBuilder};

use crate::{client, playground::pass};

const TEXT: &str = "One two\n\nthree – «é» 👋🏽 four five six seven eight nine ten eleven.";

async fn start(simulator: SimulatorBuilder) -> Simulator {
    simulator.answer(Answer::text(TEXT)).start().await.unwrap()
}

fn agent(simulator: &Simulator) -> CloudflareBuilder {
    client(simulator)
        .playground_agent()
        .base_url(simulator.playground_url())
}

/// Waits until the simulator has counted requests of a background task. The timeout of a minute
/// only ends a failing test.
async fn wait_for(is_there: impl Fn() -> bool) {
    let wait = async {
        while !is_there() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    waited.expect("the response never arrived");
}

#[tokio::test]
async fn a_response_is_complete() {
    let simulator = start(Simulator::builder()).await;
    let client = agent(&simulator).build().unwrap();
    let response = client.chat("Hi").await.unwrap();
    assert_eq!(response.text(), TEXT);
    assert_eq!(response.finish_reason().unwrap().as_str(), "stop");
    let counts = simulator.counts();
    assert_eq!((counts.agent_connections, counts.agent_turns), (1, 1));
    assert_eq!((counts.agent_cancels, counts.agent_resumes), (0, 0));
}

#[tokio::test]
async fn a_response_is_complete_over_tls() {
    let simulator = start(Simulator::builder().tls(true)).await;
    let pem = simulator.certificate_pem().unwrap();
    let transport = HttpTransport::builder().no_proxy().certificate_pem(pem);
    let client = Cloudflare::builder()
        .playground_agent()
        .base_url(simulator.playground_url())
        .transport(transport.build().unwrap());
    let response = client.build().unwrap().chat("Hi").await.unwrap();
    assert_eq!(response.text(), TEXT);
}

#[tokio::test]
async fn responses_are_complete_despite_faults() {
    let faults = [
        Fault::Cut,
        Fault::Truncate,
        Fault::Restart,
        Fault::Coalesced,
        Fault::Binary,
        Fault::Fragments,
        Fault::Pings,
    ];
    for fault in faults {
        let resumes = usize::from(!matches!(
            fault,
            Fault::Binary | Fault::Fragments | Fault::Pings
        ));
        let simulator = start(Simulator::builder().fault(fault.clone())).await;
        let client = agent(&simulator).build().unwrap();
        let response = client.chat("Hi").await.unwrap();
        assert_eq!(response.text(), TEXT, "{fault}");
        let counts = simulator.counts();
        assert_eq!(counts.agent_resumes, resumes, "{fault}");
        assert_eq!(
            (counts.agent_turns, counts.agent_cancels),
            (1, 0),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn errors_keep_the_partial_response() {
    let faults = [
        (Fault::Evicted, ErrorKind::Truncated),
        (Fault::Unfinished, ErrorKind::Truncated),
        (Fault::Error, ErrorKind::Provider),
        (Fault::BadJson, ErrorKind::Protocol),
    ];
    for (fault, kind) in faults {
        let simulator = start(Simulator::builder().fault(fault.clone())).await;
        let client = agent(&simulator).build().unwrap();
        let error = client.chat("Hi").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault}: {error}");
        let partial = error.partial().unwrap().text();
        assert!(!partial.is_empty() && TEXT.starts_with(partial), "{fault}");
        assert_eq!(simulator.counts().agent_turns, 1, "{fault}");
    }
}

#[tokio::test]
async fn an_unknown_model_is_an_error() {
    let simulator = start(Simulator::builder()).await;
    let client = agent(&simulator).build().unwrap();
    let error = client
        .chat(ChatRequest::new("@cf/no/model").user("Hi"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Provider);
}

#[tokio::test]
async fn a_challenge_is_passed_with_a_session() {
    let simulator = start(Simulator::builder().challenge(true)).await;
    let client = agent(&simulator).build().unwrap();
    let error = client.chat("Hi").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Challenge);
    assert_eq!(simulator.counts().agent_turns, 0);

    let page = format!("{}/", simulator.playground_url());
    let refreshed = agent(&simulator).refresh(move || Box::pin(pass(page.clone())));
    let client = refreshed.build().unwrap();
    assert_eq!(client.chat("Hi").await.unwrap().text(), TEXT);
}

#[tokio::test]
async fn dropping_a_stream_cancels_it() {
    let simulator = start(Simulator::builder().tokens_per_second(200.0)).await;
    let client = agent(&simulator).build().unwrap();
    let mut stream = client.stream("Hi").await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    wait_for(|| simulator.counts().agent_cancels == 1).await;

    let mut stream = client.stream("Hi").await.unwrap();
    stream.next().await.unwrap().unwrap();
    let partial = stream.cancel().await.unwrap();
    assert!(!partial.text().is_empty());
    wait_for(|| simulator.counts().agent_cancels == 2).await;
}

#[tokio::test]
async fn models_are_listed() {
    let simulator = start(Simulator::builder()).await;
    let client = agent(&simulator).build().unwrap();
    let models = client.models().await.unwrap();
    assert!(models.iter().any(|model| model.id == "@cf/qwen/qwq-32b"));
    assert_eq!(client.known_models(), models);
}

#[tokio::test]
async fn concurrent_turns_do_not_mix() {
    let simulator = Simulator::builder().tokens_per_second(5000.0);
    let simulator = simulator.start().await.unwrap();
    let client = agent(&simulator).build().unwrap();
    let turns: Vec<_> = (0..30)
        .map(|number| {
            let turn = client.chat(format!("Tell me of number {number}"));
            tokio::spawn(turn)
        })
        .collect();
    for (number, turn) in turns.into_iter().enumerate() {
        let response = turn.await.unwrap().unwrap();
        let alone = client.chat(format!("Tell me of number {number}")).await;
        assert_eq!(response.text(), alone.unwrap().text());
    }
    let counts = simulator.counts();
    assert_eq!((counts.agent_connections, counts.agent_turns), (60, 60));
}
