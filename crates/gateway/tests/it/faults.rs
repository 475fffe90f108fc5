//! Every fault of the simulator through the gateway: never complete unless complete.

use std::time::Duration;

use inferstream::{ChatRequest, Timeouts};
use inferstream_gateway::Config;
use inferstream_simulator::{Answer, Fault, Simulator, Wire};

use crate::support::{PROVIDERS, Reply, STREAMED, Served, TEXT, hub, request};

/// A timeout that a fault reaches.
const SOON: Duration = Duration::from_millis(800);

fn timeouts() -> Timeouts {
    Timeouts::default()
        .tls(SOON)
        .write(SOON)
        .head(SOON)
        .first_event(SOON)
        .idle(SOON)
        .progress(2 * SOON)
}

/// Starts a simulator whose next request has a fault, and a gateway before it.
async fn start(fault: &Fault, provider: &str) -> (Simulator, Served) {
    let is_tls = match fault {
        Fault::Wire(wire) => wire.needs_tls(),
        _ => false,
    };
    let answer = Answer::text(TEXT).done_marker(provider == "openai-compat");
    let simulator = Simulator::builder()
        .tls(is_tls)
        .fault(fault.clone())
        .answer(answer.clone())
        .answer(answer)
        .start()
        .await
        .unwrap();
    let hub = hub(&simulator, timeouts());
    let served = Served::start(hub, Config::default()).await;
    (simulator, served)
}

/// Faults that change the text itself.
const CHANGED: [Fault; 2] = [Fault::Wire(Wire::NoSpace), Fault::Wire(Wire::InvalidUtf8)];

fn faults() -> impl Iterator<Item = Fault> {
    let others = ["503", "429:1", "stream:500", "500", "404"];
    let all = Fault::all().filter(|fault| !CHANGED.contains(fault));
    all.chain(others.map(|name| name.parse().unwrap()))
}

/// Runs something for each fault and provider, all at the same time.
async fn each<F>(run: impl Fn(Fault, &'static str, String) -> F)
where
    F: Future<Output = bool> + Send + 'static,
{
    let mut runs = tokio::task::JoinSet::new();
    for fault in faults() {
        for (provider, model) in PROVIDERS {
            let model = format!("{provider}/{model}");
            runs.spawn(run(fault.clone(), provider, model));
        }
    }
    let (mut complete, mut others) = (0, 0);
    while let Some(run) = runs.join_next().await {
        let count = if run.unwrap() {
            &mut complete
        } else {
            &mut others
        };
        *count += 1;
    }
    // Some faults do not apply to a provider, and all of those must be complete.
    assert!(20 < complete && 60 < others, "{complete} and {others}");
}

#[track_caller]
fn check_stream(name: &str, reply: &Reply) -> bool {
    assert!(reply.has_end, "{name}: {reply:?}");
    if reply.status != 200 {
        assert!(
            reply.json()["error"]["message"].is_string(),
            "{name}: {reply:?}"
        );
        return false;
    }
    let error = reply
        .chunks()
        .iter()
        .any(|chunk| chunk.get("error").is_some());
    if reply.is_done() {
        assert_eq!(reply.text(), TEXT, "{name}");
        assert_eq!(reply.finish_reasons(), ["stop"], "{name}");
        assert!(!error, "{name}: {reply:?}");
        return true;
    }
    assert!(error, "{name}: {reply:?}");
    assert!(!reply.body.contains("[DONE]"), "{name}: {reply:?}");
    assert!(!reply.body.contains("prompt_tokens"), "{name}: {reply:?}");
    assert_eq!(reply.finish_reasons(), ["error"], "{name}: {reply:?}");
    assert!(TEXT.starts_with(&reply.text()), "{name}: {reply:?}");
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_bytes_sees_the_end_marker_only_after_all_of_the_text() {
    each(|fault, provider, model| async move {
        let name = format!("{fault} {provider}");
        let (_simulator, served) = start(&fault, provider).await;
        let members = format!("{STREAMED},\"stream_options\":{{\"include_usage\":true}}");
        let reply = served.chat(&request(&model, &members)).await;
        check_stream(&name, &reply)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_has_all_of_the_text_or_is_an_error() {
    each(|fault, provider, model| async move {
        let name = format!("{fault} {provider}");
        let (_simulator, served) = start(&fault, provider).await;
        let reply = served.chat(&request(&model, "")).await;
        assert!(reply.has_end, "{name}: {reply:?}");
        let json = reply.json();
        if reply.status != 200 {
            assert!(json["error"]["message"].is_string(), "{name}: {reply:?}");
            return false;
        }
        let choice = &json["choices"][0];
        assert_eq!(choice["message"]["content"], TEXT, "{name}");
        assert_eq!(choice["finish_reason"], "stop", "{name}");
        true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_client_reports_the_same_ends() {
    each(|fault, provider, model| async move {
        let name = format!("{fault} {provider}");
        let (_simulator, served) = start(&fault, provider).await;
        let request = ChatRequest::new(model).user("Count!");
        let ended = match served.client().stream(request).await {
            Ok(stream) => stream.finish().await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(response) => {
                assert_eq!(response.text(), TEXT, "{name}");
                true
            }
            Err(error) => {
                let partial = error.partial().map_or("", |partial| partial.text());
                assert!(TEXT.starts_with(partial), "{name}: {error}");
                false
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_text_is_that_of_the_providers_own_stream() {
    for fault in CHANGED {
        for (provider, model) in PROVIDERS {
            let name = format!("{fault} {provider}");
            let (simulator, _served) = start(&fault, provider).await;
            let own = hub(&simulator, timeouts()).provider(provider).unwrap();
            let own = match own.stream(ChatRequest::new(model).user("Count!")).await {
                Ok(stream) => stream.finish().await,
                Err(error) => Err(error),
            };
            let (_simulator, served) = start(&fault, provider).await;
            let model = format!("{provider}/{model}");
            let reply = served.chat(&request(&model, STREAMED)).await;
            match own {
                Ok(own) => {
                    assert!(reply.is_done(), "{name}: {reply:?}");
                    assert_eq!(reply.text(), own.text(), "{name}");
                }
                Err(error) => assert!(!reply.is_done(), "{name}: {error}, but {reply:?}"),
            }
        }
    }
}
