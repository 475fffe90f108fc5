//! Names, aliases, lists of models, and the other endpoints.

use inferstream::{ApiKey, Hub, Timeouts};
use inferstream_gateway::{Config, Gateway, KeyConfig, KeySource};
use inferstream_simulator::{Answer, Fault, Simulator};

use crate::support::{END, STREAM, STREAMED, Served, Service, TEXT, chunk, hub, request};
use tokio::io::AsyncWriteExt as _;

const TWO: [&str; 2] = ["local/first", "other/second"];

#[tokio::test]
async fn an_alias_moves_on_before_the_first_token() {
    for members in ["", STREAMED] {
        let simulator = Simulator::builder()
            .fault("503".parse().unwrap())
            .answer(Answer::text(TEXT))
            .start()
            .await
            .unwrap();
        let config = Config::default().alias(
            "fast",
            [
                "cerebras/gpt-oss-120b",
                "replicate/meta/meta-llama-3-8b-instruct",
            ],
        );
        let served = Served::start(hub(&simulator, Timeouts::default()), config).await;
        let reply = served.chat(&request("fast", members)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.body.contains("\"model\":\"fast\""), "{reply:?}");
        assert_eq!(simulator.counts().creates, 1);
        let warnings = reply.header("x-inferstream-warnings").unwrap();
        assert!(warnings.contains("`cerebras` failed"), "{warnings}");
    }
}

#[tokio::test]
async fn no_other_provider_is_asked_after_the_first_token() {
    let (first, second) = (Service::start().await, Service::start().await);
    let hub = Hub::new()
        .with_name("local", first.provider())
        .with_name("other", second.provider());
    let served = Served::start(hub, Config::default().alias("fast", TWO)).await;
    let body = request("fast", STREAMED);
    let (reply, ()) = tokio::join!(served.chat(&body), async {
        let mut connection = first.accept().await;
        let begun = format!("{STREAM}{}", chunk("one"));
        connection.write_all(begun.as_bytes()).await.unwrap();
    });
    assert_eq!(reply.text(), "one");
    assert_eq!(reply.finish_reasons(), ["error"]);
    assert!(!reply.is_done());
    assert_eq!(reply.chunks().last().unwrap()["error"]["code"], "truncated");
    // The second service got no connection, so it can still be the first of another request.
    let (reply, ()) = tokio::join!(served.chat(&body), async {
        drop(first.accept().await);
        let mut connection = second.accept().await;
        let whole = format!("{STREAM}{}{END}", chunk("two"));
        connection.write_all(whole.as_bytes()).await.unwrap();
    });
    assert_eq!(reply.text(), "two");
    assert!(reply.is_done());
}

#[tokio::test]
async fn unknown_names_and_paths_are_errors_that_list_what_there_is() {
    let simulator = Simulator::builder().start().await.unwrap();
    let config = Config::default().alias("fast", ["cerebras/gpt-oss-120b"]);
    let served = Served::start(hub(&simulator, Timeouts::default()), config).await;
    for (model, status) in [("gpt-4", 404), ("openai/gpt-4", 404), ("", 400)] {
        let reply = served.chat(&request(model, "")).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
    let reply = served.chat(&request("gpt-4", "")).await;
    let message = reply.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("fast") && message.contains("cerebras/"),
        "{message}"
    );
    let reply = served.get("/v1/embeddings").await;
    assert_eq!(reply.status, 404);
    assert!(reply.body.contains("/v1/chat/completions"), "{reply:?}");
    let reply = served.get("/v1/chat/completions").await;
    assert_eq!(
        (reply.status, reply.json()["error"]["code"].as_str()),
        (405, Some("method_not_allowed"))
    );
    assert!(simulator.requests().is_empty());
}

#[tokio::test]
async fn the_page_needs_no_key_and_may_load_nothing() {
    let simulator = Simulator::builder().start().await.unwrap();
    let source = KeySource::Value(ApiKey::new("key-of-the-client").unwrap());
    let config = Config::default().key("team", KeyConfig::new(source));
    let served = Served::start(hub(&simulator, Timeouts::default()), config).await;
    assert_eq!(served.get("/v1/models").await.status, 401);
    let reply = served.get("/").await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(reply.body.starts_with("<!doctype html>"));
    let policy = reply.header("content-security-policy").unwrap();
    for directive in [
        "default-src 'none'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(directive), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn models_are_listed_with_the_aliases_first() {
    let simulator = Simulator::builder().start().await.unwrap();
    let config = Config::default().alias("fast", ["cerebras/gpt-oss-120b"]);
    let served = Served::start(hub(&simulator, Timeouts::default()), config).await;
    let list = served.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let data = list["data"].as_array().unwrap();
    assert_eq!(data[0]["id"], "fast");
    assert!(data.iter().all(|model| model["object"] == "model"));
    assert!(
        data.iter()
            .any(|model| model["id"] == "cerebras/gpt-oss-120b")
    );
    for id in ["fast", "cerebras/gpt-oss-120b", "cerebras%2Fgpt-oss-120b"] {
        let model = served.get(&format!("/v1/models/{id}")).await.json();
        assert_eq!(model["id"], id.replace("%2F", "/"));
    }
    assert_eq!(served.get("/v1/models/none").await.status, 404);
}

#[tokio::test]
async fn an_invalid_configuration_is_refused_and_a_reload_keeps_the_old_one() {
    let hub = || Hub::new();
    for models in [vec![], vec!["cerebras"], vec!["cerebras/x"]] {
        let config = Config::default().alias("fast", models);
        let error = Gateway::new(hub(), config).unwrap_err();
        assert!(
            error.to_string().starts_with("invalid alias `fast`: "),
            "{error}"
        );
    }
    let service = Service::start().await;
    let served = Served::start(service.hub(), Config::default().alias("a", ["local/m"])).await;
    let bad = Config::default().alias("b", ["none/m"]);
    served.gateway.reload(service.hub(), bad).unwrap_err();
    let ids = async || served.get("/v1/models").await.body;
    assert!(ids().await.contains("\"a\""));
    assert!(
        served
            .get("/metrics")
            .await
            .body
            .contains("inferstream_config_ok 0")
    );
    let good = Config::default().alias("b", ["local/m"]);
    served.gateway.reload(service.hub(), good).unwrap();
    assert!(ids().await.contains("\"b\"") && !ids().await.contains("\"a\""));
    assert!(
        served
            .get("/metrics")
            .await
            .body
            .contains("inferstream_config_ok 1")
    );
}

#[tokio::test]
async fn metrics_and_records_have_counts_and_no_text() {
    let simulator = Simulator::builder()
        .fault(Fault::Truncate)
        .answer(Answer::text(TEXT))
        .answer(Answer::text(TEXT))
        .start()
        .await
        .unwrap();
    let records = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = {
        let records = records.clone();
        move |record: &inferstream_gateway::Record| {
            let line = serde_json::to_string(record).unwrap();
            records.lock().unwrap().push(line);
        }
    };
    let hub = hub(&simulator, Timeouts::default());
    let served = Served::of(Gateway::with_log(hub, Config::default(), log).unwrap()).await;
    for members in [STREAMED, STREAMED, ""] {
        served
            .chat(&request("cerebras/gpt-oss-120b", members))
            .await;
    }
    served.chat(&request("cerebras/Count! as a name", "")).await;
    served.chat(&request("Count!", "")).await;
    let metrics = served.get("/metrics").await.body;
    for expected in [
        "inferstream_requests_total{provider=\"cerebras\",model=\"cerebras/gpt-oss-120b\",status=\"200\",end=\"complete\"} 2",
        "inferstream_requests_total{provider=\"cerebras\",model=\"cerebras/gpt-oss-120b\",status=\"200\",end=\"failed\"} 1",
        "inferstream_failed_responses_total{provider=\"cerebras\",kind=\"truncated\"} 1",
        "inferstream_responses_in_flight 0",
        "inferstream_tokens_total{provider=\"cerebras\",kind=\"output\"}",
        "inferstream_time_to_first_event_seconds_count{provider=\"cerebras\"} 2",
    ] {
        assert!(
            metrics.contains(expected),
            "{expected} is missing in {metrics}"
        );
    }
    let records = records.lock().unwrap().join("\n");
    assert_eq!(records.lines().count(), 5);
    assert!(
        records.contains("\"end\":\"failed\",\"code\":\"truncated\""),
        "{records}"
    );
    for secret in ["Count!", "twelve", "key-of-the-gateway"] {
        assert!(
            !metrics.contains(secret) && !records.contains(secret),
            "{secret}: {records}"
        );
    }
}
