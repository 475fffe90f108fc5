//! Workers AI and the playground over real sockets, against the simulator.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

#[cfg(feature = "playground-agent")]
mod agent;
#[cfg(all(feature = "browser", unix))]
mod browser;
#[cfg(feature = "playground")]
mod playground;
#[cfg(all(feature = "playground", unix))] // with the file
mod session;

use std::sync::LazyLock;

use inferstream_cloudflare::{
    ChatRequest, Cloudflare, CloudflareBuilder, Endpoint, ErrorKind, FinishReason, HttpTransport,
    Json, RetryPolicy, Tool,
};
use inferstream_simulator::{Answer, Fault, Simulator, SimulatorBuilder};

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// One model for each format in which the service streams.
const MODELS: [&str; 7] = [
    "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
    "@cf/meta/llama-3.1-8b-instruct-fp8",
    "@cf/meta/llama-2-7b-chat-int8",
    "@cf/google/gemma-4-26b-a4b-it",
    "@cf/openai/gpt-oss-120b",
    "@cf/qwen/qwq-32b",
    "@cf/moonshotai/kimi-k2.6",
];

async fn start(simulator: SimulatorBuilder) -> Simulator {
    simulator.account_id(ACCOUNT).start().await.unwrap()
}

fn client(simulator: &Simulator) -> CloudflareBuilder {
    // Loading the system's certificates takes longer than most tests.
    static PLAIN: LazyLock<HttpTransport> =
        LazyLock::new(|| HttpTransport::builder().no_proxy().build().unwrap());
    Cloudflare::builder()
        .account_id(ACCOUNT)
        .api_token("token")
        .base_url(simulator.cloudflare_url())
        .transport(PLAIN.clone())
}

#[tokio::test]
async fn every_format_has_the_same_text_on_both_paths() {
    let text = "Count to 12, true or false: 3.50 – «é» 👋🏽 null.";
    for endpoint in [Endpoint::ByModel, Endpoint::OpenAi, Endpoint::Native] {
        for model in MODELS {
            let answers = Simulator::builder()
                .answer(Answer::text(text))
                .answer(Answer::text(text));
            let simulator = start(answers).await;
            let cloudflare = client(&simulator).endpoint(endpoint).build().unwrap();
            let request = ChatRequest::new(model).user("Hi");
            let stream = cloudflare.stream(request.clone()).await.unwrap();
            let streamed = stream.finish().await.unwrap();
            let whole = cloudflare.chat(request).await.unwrap();
            for response in [&streamed, &whole] {
                // The service loses the word `null` when it parses tokens.
                let parses = model.contains("qwq") && endpoint != Endpoint::OpenAi;
                if !parses {
                    assert_eq!(response.text(), text, "{model} {endpoint:?}");
                }
                assert_eq!(response.finish_reason(), Some(&FinishReason::Stop));
                let usage = response.usage.unwrap();
                let sum = usage.input_tokens.unwrap() + usage.output_tokens.unwrap();
                assert_eq!(usage.total_tokens, Some(sum), "{model} {endpoint:?}");
                assert!(10 < usage.output_tokens.unwrap());
            }
            assert_eq!(simulator.counts().chats, 2);
        }
    }
}

#[tokio::test]
async fn every_format_reports_the_token_limit() {
    for endpoint in [Endpoint::OpenAi, Endpoint::Native] {
        for model in MODELS {
            let simulator = start(Simulator::builder()).await;
            let cloudflare = client(&simulator).endpoint(endpoint).build().unwrap();
            let request = ChatRequest::new(model).user("Hi").max_tokens(6);
            for response in [
                cloudflare
                    .stream(request.clone())
                    .await
                    .unwrap()
                    .finish()
                    .await,
                cloudflare.chat(request).await,
            ] {
                let response = response.unwrap();
                let reason = response.finish_reason();
                assert_eq!(reason, Some(&FinishReason::Length), "{model} {endpoint:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_format_calls_tools() {
    for endpoint in [Endpoint::OpenAi, Endpoint::Native] {
        for model in MODELS {
            let arguments = r#"{"city":"Paris","days":3}"#;
            let call = || {
                Answer::text("")
                    .tool_call("weather", arguments)
                    .tool_call("time", "{}")
            };
            let simulator = start(Simulator::builder().answer(call()).answer(call())).await;
            let cloudflare = client(&simulator).endpoint(endpoint).build().unwrap();
            let schema = Json::from_text(r#"{"type":"object"}"#);
            let request = ChatRequest::new(model)
                .user("Hi")
                .tool(Tool::new("weather", schema.clone()))
                .tool(Tool::new("time", schema));
            for response in [
                cloudflare
                    .stream(request.clone())
                    .await
                    .unwrap()
                    .finish()
                    .await,
                cloudflare.chat(request).await,
            ] {
                let response = response.unwrap();
                let calls = response.tool_calls();
                assert_eq!(calls.len(), 2, "{model} {endpoint:?}: {calls:?}");
                assert_eq!(calls[0].name, "weather");
                assert_eq!(calls[0].arguments, arguments, "{model} {endpoint:?}");
                assert_eq!(calls[1].name, "time");
                assert_eq!(response.finish_reason(), Some(&FinishReason::ToolCalls));
            }
        }
    }
}

/// Checks the error that a fault causes, and the number of requests.
async fn check(fault: &str, kind: ErrorKind, code: Option<&str>, chats: usize) {
    let fault: Fault = fault.parse().unwrap();
    let simulator = start(Simulator::builder().every_fault(fault.clone())).await;
    let retry = RetryPolicy::default().base_delay(std::time::Duration::ZERO);
    let cloudflare = client(&simulator).retry(retry).build().unwrap();
    let error = cloudflare.stream("Hi").await.unwrap_err();
    assert_eq!(error.kind(), kind, "{fault}: {error}");
    assert_eq!(error.code(), code, "{fault}");
    assert!(!error.to_string().contains("AiError"), "{error}");
    assert!(!error.to_string().contains('<'), "{error}");
    assert_eq!(simulator.counts().chats, chats, "{fault}");
}

#[tokio::test]
async fn refusals_are_classified() {
    check("429", ErrorKind::RateLimited, Some("3040"), 3).await;
    check("quota", ErrorKind::Quota, Some("4006"), 1).await;
    check("quota-rest", ErrorKind::Quota, Some("3036"), 1).await;
    check("context", ErrorKind::ContextLength, Some("5021"), 1).await;
    check("plan", ErrorKind::Permission, Some("5035"), 1).await;
    check("challenge", ErrorKind::Challenge, None, 1).await;
    check("html", ErrorKind::Overloaded, None, 3).await;
    check("empty", ErrorKind::Server, None, 3).await;
    check("401", ErrorKind::Auth, Some("10000"), 1).await;
}

#[tokio::test]
async fn a_failed_response_with_status_200_is_an_error() {
    let simulator = start(Simulator::builder().fault(Fault::NotSuccess)).await;
    let cloudflare = client(&simulator).build().unwrap();
    let stream = cloudflare.stream("Hi").await.unwrap();
    let error = stream.finish().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Provider);
    assert_eq!(error.code(), Some("7009"));
}

#[tokio::test]
async fn ends_and_truncations_are_distinguished() {
    for (fault, kind) in [
        (Fault::MidFinish, None),
        (Fault::BareDone, None),
        (Fault::JsonStream, None),
        (Fault::NoFinish, Some(ErrorKind::Truncated)),
        (Fault::Truncate, Some(ErrorKind::Truncated)),
        (Fault::Cut, Some(ErrorKind::Truncated)),
        (Fault::Error, Some(ErrorKind::Provider)),
    ] {
        let text = "One two three four five six seven eight nine ten eleven twelve.";
        for model in ["llama-3.3-70b", "llama-2-7b"] {
            let answer = Simulator::builder().answer(Answer::text(text));
            let simulator = start(answer.fault(fault.clone())).await;
            let cloudflare = client(&simulator).build().unwrap();
            let request = ChatRequest::new(model).user("Hi");
            let outcome = cloudflare.stream(request).await.unwrap().finish().await;
            match outcome {
                Ok(response) => {
                    assert_eq!(kind, None, "{fault} {model}");
                    assert_eq!(response.text(), text, "{fault} {model}");
                }
                Err(error) => {
                    assert_eq!(Some(error.kind()), kind, "{fault} {model}: {error}");
                    let partial = error.partial().unwrap().text();
                    assert!(!partial.is_empty() && text.starts_with(partial));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_gateway_has_its_own_paths() {
    for endpoint in [Endpoint::OpenAi, Endpoint::Native] {
        let simulator = start(Simulator::builder()).await;
        let cloudflare = client(&simulator)
            .base_url(simulator.gateway_url())
            .gateway("my-gateway")
            .gateway_token("other")
            .endpoint(endpoint)
            .build()
            .unwrap();
        let stream = cloudflare.stream("Hi").await.unwrap();
        assert!(stream.meta().headers.contains_key("cf-aig-log-id"));
        stream.finish().await.unwrap();
        let error = cloudflare.models().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let request = &simulator.requests()[0];
        assert!(request.path.contains("/my-gateway/workers-ai/"));
        assert!(request.headers.contains_key("cf-aig-authorization"));
    }
}

#[tokio::test]
async fn models_are_listed_and_kept() {
    let simulator = start(Simulator::builder()).await;
    let cloudflare = client(&simulator).build().unwrap();
    let built_in = cloudflare.known_models();
    let models = cloudflare.models().await.unwrap();
    assert_eq!(cloudflare.known_models(), models);
    assert_ne!(models, built_in);
    assert!(models.iter().any(|model| model.id == MODELS[0]));
    let found = cloudflare.search("gemma").await.unwrap();
    assert_eq!(found[0].id, "@cf/google/gemma-4-26b-a4b-it");
    let schema = cloudflare.schema("llama-3.3-70b").await.unwrap();
    assert!(schema.as_str().starts_with('{'));
    // If requesting the list fails, the known one is kept.
    drop(simulator);
    cloudflare.models().await.unwrap_err();
    assert_eq!(cloudflare.known_models(), models);
}

#[tokio::test]
async fn email_and_global_key_are_accepted() {
    let simulator = start(Simulator::builder()).await;
    let cloudflare = client(&simulator)
        .api_key("me@example.com", "key")
        .build()
        .unwrap();
    cloudflare.chat("Hi").await.unwrap();
    let request = &simulator.requests()[0];
    assert!(request.headers.contains_key("x-auth-key"));
    assert!(!request.headers.contains_key("authorization"));
    assert!(!format!("{cloudflare:?}").contains("me@example.com"));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let simulator = start(Simulator::builder()).await;
    let cloudflare = Cloudflare::builder()
        .account_id(ACCOUNT)
        .base_url(simulator.cloudflare_url())
        .build()
        .unwrap();
    let error = cloudflare.stream("Hi").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.to_string().contains("CLOUDFLARE_API_TOKEN"));
    assert!(simulator.requests().is_empty());
    let error = Cloudflare::builder().api_token("x").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("CLOUDFLARE_ACCOUNT_ID"));
}
