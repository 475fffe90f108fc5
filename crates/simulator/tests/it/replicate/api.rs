//! Keys, refusals, models, and everything else that is not a prediction.

use inferstream_simulator::Simulator;
use serde_json::{Value, json};

use super::{MODEL, call, get, input};
use crate::client::send;

async fn start() -> Simulator {
    Simulator::builder().start().await.unwrap()
}

#[tokio::test]
async fn the_complete_api_requires_a_key() {
    let simulator = Simulator::builder().api_key("right").start().await.unwrap();
    for path in [
        "account",
        "models",
        "predictions",
        "predictions/x",
        "nothing",
    ] {
        for key in [
            "",
            "authorization: Bearer wrong\r\n",
            "authorization: right\r\n",
        ] {
            let request = format!(
                "GET /replicate/v1/{path} HTTP/1.1\r\nhost: x\r\n{key}connection: close\r\n\r\n"
            );
            let response = send(&simulator, &request).await;
            assert_eq!(response.status(), 401, "{path} {key}");
            assert_eq!(
                response.text(),
                r#"{"title":"Unauthenticated","detail":"You did not pass a valid authentication token","status":401}"#
            );
        }
    }
    for scheme in ["Bearer", "Token"] {
        let request = format!(
            "GET /replicate/v1/account HTTP/1.1\r\nhost: x\r\nauthorization: {scheme} right\r\nconnection: close\r\n\r\n"
        );
        let response = send(&simulator, &request).await;
        assert_eq!(response.status(), 200, "{scheme}");
        assert_eq!(response.header("ratelimit-remaining"), Some("599"));
        assert_eq!(response.json()["type"], "organization");
    }
    let refused = call(&simulator, "POST", MODEL, "", &input("Hi")).await;
    assert_eq!(refused.status(), 401);
}

#[tokio::test]
async fn missing_resources_are_not_found() {
    let simulator = start().await;
    for (method, path) in [
        ("POST", "models/meta/unknown/predictions"),
        ("POST", "models/replicate/vicuna-13b/predictions"),
        ("GET", "models/meta/unknown"),
        ("GET", "models/meta/unknown/versions"),
        ("GET", "models/replicate/vicuna-13b/versions/x"),
        ("GET", "models?cursor=cp_8"),
        ("GET", "predictions/x"),
        ("GET", "collections/x"),
        ("DELETE", "predictions"),
        ("GET", ""),
    ] {
        let response = call(&simulator, method, path, "", &input("Hi")).await;
        assert_eq!(response.status(), 404, "{method} {path}");
        let problem = Some("application/problem+json");
        assert_eq!(response.header("content-type"), problem);
        assert_eq!(
            response.text(),
            r#"{"detail":"The requested resource could not be found.","status":404}"#
        );
    }
}

#[track_caller]
fn check_field(problem: &Value, kind: &str, field: &str, description: &str) {
    assert_eq!(problem["title"], "Input validation failed");
    let expected = json!([{"type": kind, "field": field, "description": description}]);
    assert_eq!(problem["invalid_fields"], expected);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.ends_with(&format!("{description}\n")), "{detail}");
}

#[tokio::test]
async fn an_invalid_request_is_refused() {
    let simulator = start().await;
    let llama = MODEL;
    let gpt = "models/openai/gpt-5/predictions";
    let claude = "models/anthropic/claude-4-sonnet/predictions";
    let additional = "additional_property_not_allowed";
    for (path, body, kind, field, description) in [
        (
            llama,
            r#"{"input":{"prompt":"a"},"model":"x"}"#,
            additional,
            "",
            "Additional property model is not allowed",
        ),
        (
            llama,
            r#"{"input":{"prompt":"a"},"version":"x"}"#,
            additional,
            "",
            "Additional property version is not allowed",
        ),
        (llama, "{}", "required", "", "input is required"),
        (
            llama,
            r#"{"input":[]}"#,
            "invalid_type",
            "input",
            "Invalid type. Expected: object",
        ),
        (
            llama,
            r#"{"input":{}}"#,
            "required",
            "input",
            "prompt is required",
        ),
        (
            llama,
            r#"{"input":{"prompt":""}}"#,
            "required",
            "input",
            "prompt is required",
        ),
        (
            llama,
            r#"{"input":{"prompt":1}}"#,
            "invalid_type",
            "input.prompt",
            "Invalid type. Expected: string",
        ),
        (
            llama,
            r#"{"input":{"messages":[{}]}}"#,
            "required",
            "input",
            "prompt is required",
        ),
        (
            gpt,
            r#"{"input":{"messages":[]}}"#,
            "required",
            "input",
            "prompt is required",
        ),
        (
            claude,
            r#"{"input":{"prompt":"a","max_tokens":1023}}"#,
            "number_gte",
            "input.max_tokens",
            "Must be greater than or equal to 1024",
        ),
        (
            "predictions",
            r#"{"input":{"prompt":"a"}}"#,
            "required",
            "",
            "version is required",
        ),
    ] {
        let response = call(&simulator, "POST", path, "", body).await;
        assert_eq!(response.status(), 422, "{body}");
        check_field(&response.json(), kind, field, description);
    }
}

#[tokio::test]
async fn an_unreadable_request_is_refused() {
    let simulator = start().await;
    let response = call(
        &simulator,
        "POST",
        MODEL,
        "cancel-after: soon\r\n",
        &input("a"),
    )
    .await;
    assert_eq!(response.status(), 422);
    for body in ["", "[]", "{"] {
        let response = call(&simulator, "POST", MODEL, "", body).await;
        assert_eq!(response.status(), 400, "{body}");
    }
    for version in ["abc", "a/b/c", "a/b:c", "/b", "a/"] {
        let body = json!({"version": version, "input": {"prompt": "a"}}).to_string();
        let response = call(&simulator, "POST", "predictions", "", &body).await;
        assert_eq!(response.status(), 422, "{version}");
        let title = &response.json()["title"];
        assert_eq!(title, "Invalid version or not permitted");
    }
}

#[tokio::test]
async fn all_documented_fields_are_accepted() {
    let simulator = start().await;
    let gpt = "models/openai/gpt-5/predictions";
    let claude = "models/anthropic/claude-4-sonnet/predictions";
    for (path, body) in [
        (
            MODEL,
            r#"{"input":{"prompt":"a","top_k":1},"stream":true,"webhook":"https://x","webhook_events_filter":["start"]}"#,
        ),
        (
            gpt,
            r#"{"input":{"messages":[{"role":"user","content":"a"}]}}"#,
        ),
        (gpt, r#"{"input":{"messages":"[{}]"}}"#),
        (claude, r#"{"input":{"prompt":"a","max_tokens":1024}}"#),
    ] {
        let response = call(&simulator, "POST", path, "", body).await;
        assert_eq!(response.status(), 201, "{body}");
        let sent: Value = serde_json::from_str(body).unwrap();
        assert_eq!(response.json()["input"], sent["input"]);
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let simulator = start().await;
    let len = (16 << 20) + 1;
    let head = format!(
        "POST /replicate/v1/predictions HTTP/1.1\r\nhost: x\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n"
    );
    let response = send(&simulator, &head).await;
    assert_eq!(response.status(), 413);
    assert_eq!(response.json()["status"], 413);
}

fn names(models: &Value) -> Vec<&str> {
    let models = models.as_array().unwrap();
    models
        .iter()
        .map(|model| model["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn models_are_listed_page_by_page() {
    let simulator = start().await;
    let url = format!("{}/", simulator.replicate_url());
    let mut path = "models".to_owned();
    let mut sizes = Vec::new();
    let mut pages = Vec::new();
    loop {
        let page = get(&simulator, &path).await.json();
        sizes.push(page["results"].as_array().unwrap().len());
        pages.push(page);
        let Some(next) = pages[pages.len() - 1]["next"].as_str() else {
            break;
        };
        next.strip_prefix(&url).unwrap().clone_into(&mut path);
    }
    assert_eq!(sizes, [5, 3]);
    assert!(pages[0]["previous"].is_null());
    assert_eq!(
        pages[1]["previous"],
        simulator.replicate_url().to_owned() + "/models"
    );
    assert_eq!(pages[0]["results"][0]["owner"], "meta");
}

#[tokio::test]
async fn models_are_searched() {
    let simulator = start().await;
    let llamas = ["meta-llama-3-70b-instruct", "llama-2-70b-chat"];
    for text in ["Llama 70B", "\"llama 70b\""] {
        let found = call(&simulator, "QUERY", "models", "", text).await.json();
        assert_eq!(names(&found["results"]), llamas);
    }
    let found = get(&simulator, "search?query=llama%2070b").await.json();
    assert_eq!(found["query"], "llama 70b");
    let models: Value = found["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["model"].clone())
        .collect();
    assert_eq!(names(&models), llamas);
    assert_eq!(get(&simulator, "search").await.status(), 400);
}

#[tokio::test]
async fn a_model_lists_its_versions() {
    let simulator = start().await;
    let path = "models/meta/meta-llama-3-8b-instruct";
    let model = get(&simulator, path).await.json();
    let version = &model["latest_version"];
    let id = version["id"].as_str().unwrap();
    assert_eq!(id.len(), 64);
    let output = &version["openapi_schema"]["components"]["schemas"]["Output"];
    assert_eq!(output["type"], "array");
    assert_eq!(output["items"]["type"], "string");
    assert_eq!(output["x-cog-array-type"], "iterator");
    assert_eq!(output["x-cog-array-display"], "concatenate");

    let versions = get(&simulator, &format!("{path}/versions")).await.json();
    assert_eq!(versions["results"], json!([version]));
    let one = get(&simulator, &format!("{path}/versions/{id}"))
        .await
        .json();
    assert_eq!(one, *version);
}

#[tokio::test]
async fn a_collection_has_its_models() {
    let simulator = start().await;
    let collection = get(&simulator, "collections/language-models").await.json();
    assert_eq!(collection["slug"], "language-models");
    assert_eq!(names(&collection["models"]).len(), 8);
    let all = get(&simulator, "collections").await.json();
    assert_eq!(all["results"][0]["name"], collection["name"]);
}
