//! Keys, accounts, models, gateways, and everything else that is not a chat.

use inferstream_simulator::{Answer, Piece, Simulator};
use serde_json::{Value, json};

use super::{ACCOUNT, GEMMA, LLAMA_2, LLAMA_3_1, body, call, call_at, chat, events, said, start};
use crate::client::{Response, send};

const KEY: &str = "authorization: Bearer right\r\n";

/// Sends a request through a gateway with these header lines.
async fn through(simulator: &Simulator, path: &str, headers: &str, body: &str) -> Response {
    let path = format!("/gateway/v1/{ACCOUNT}/main/{path}");
    call_at(simulator, "POST", &path, headers, body).await
}

#[tokio::test]
async fn urls_are_those_of_the_server() {
    let simulator = start([]).await;
    let address = simulator.address();
    let urls = [
        (simulator.cloudflare_url(), "client/v4"),
        (simulator.gateway_url(), "gateway/v1"),
        (simulator.playground_url(), "playground"),
    ];
    for (url, path) in urls {
        assert_eq!(url, format!("http://{address}/{path}"));
    }
    let simulator = Simulator::builder().tls(true).start().await.unwrap();
    assert!(simulator.cloudflare_url().starts_with("https://127.0.0.1:"));
}

#[tokio::test]
async fn the_complete_api_requires_a_key() {
    let simulator = Simulator::builder().api_key("right").start().await.unwrap();
    for (method, path) in [
        ("GET", "models/search"),
        ("GET", "models/schema"),
        ("GET", "nothing"),
        ("POST", "v1/chat/completions"),
        ("POST", &format!("run/{LLAMA_2}")),
    ] {
        let path = format!("/client/v4/accounts/{ACCOUNT}/ai/{path}");
        for headers in [
            "",
            "authorization: Bearer wrong\r\n",
            "authorization: right\r\n",
            "x-auth-key: right\r\n",
            "x-auth-email: a@b.c\r\nx-auth-key: wrong\r\n",
            "cf-aig-authorization: Bearer right\r\n",
        ] {
            let response = call_at(&simulator, method, &path, headers, "").await;
            assert_eq!(response.status(), 401, "{path} {headers}");
            assert_eq!(
                response.text(),
                r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}"#
            );
        }
        for headers in [KEY, "x-auth-email: a@b.c\r\nx-auth-key: right\r\n"] {
            let response = call_at(&simulator, method, &path, headers, "").await;
            assert_ne!(response.status(), 401, "{path} {headers}");
        }
    }
}

#[tokio::test]
async fn keys_are_not_shown() {
    let simulator = start([]).await;
    let headers = "x-auth-key: secret\r\ncf-aig-authorization: secret\r\ncookie: a=secret\r\n";
    call_at(&simulator, "GET", "/client/v4/x", headers, "").await;
    assert!(!format!("{:?}", simulator.requests()).contains("secret"));
}

#[tokio::test]
async fn an_account_is_32_digits_or_the_configured_one() {
    let free = start([]).await;
    let set = Simulator::builder().account_id("me").start().await.unwrap();
    for (simulator, account, status) in [
        (&free, ACCOUNT, 200),
        (&free, "0123", 404),
        (&free, "0123456789ABCDEF0123456789ABCDEF", 404),
        (&free, "me", 404),
        (&set, "me", 200),
        (&set, ACCOUNT, 404),
    ] {
        let path = format!("/client/v4/accounts/{account}/ai/run/{LLAMA_2}");
        let response = call_at(simulator, "POST", &path, KEY, &body("Hi", "")).await;
        assert_eq!(response.status(), status, "{account}");
        if status == 404 {
            let refusal = response.json();
            assert_eq!(refusal["errors"][0]["code"], 7003);
            let message = refusal["errors"][0]["message"].as_str().unwrap();
            assert!(message.starts_with("Could not route to /client/v4/accounts/"));
        }
    }
}

#[tokio::test]
async fn missing_resources_are_not_found() {
    let simulator = start([]).await;
    for (method, path) in [
        ("GET", "run/@cf/meta/llama-2-7b-chat-int8"),
        ("GET", "v1/chat/completions"),
        ("POST", "models/search"),
        ("GET", ""),
    ] {
        let response = call(&simulator, method, path, "").await;
        assert_eq!(response.status(), 404, "{method} {path}");
        assert_eq!(response.json()["errors"][0]["code"], 7000);
    }
    assert_eq!(simulator.counts().chats, 0);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let simulator = start([]).await;
    let len = (16 << 20) + 1;
    for path in ["client/v4/x", "gateway/v1/x", "playground/api/inference"] {
        let head = format!(
            "POST /{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n"
        );
        let response = send(&simulator, &head).await;
        assert_eq!(response.status(), 413, "{path}");
        let code = match path {
            "client/v4/x" => response.json()["errors"][0]["code"].clone(),
            "gateway/v1/x" => response.json()["internalCode"].clone(),
            _ => 3006.into(),
        };
        assert_eq!(code, 3006, "{path}");
    }
}

/// Lists the models that match a query.
async fn search(simulator: &Simulator, query: &str) -> Value {
    let response = call(simulator, "GET", &format!("models/search{query}"), "").await;
    assert_eq!(response.status(), 200);
    response.json()
}

#[tokio::test]
async fn models_are_listed_page_by_page() {
    let simulator = start([]).await;
    let all = search(&simulator, "").await;
    assert_eq!(all["success"], true);
    assert_eq!(all["result"].as_array().unwrap().len(), 9);
    assert_eq!(
        all["result_info"],
        json!({"count": 9, "page": 1, "per_page": 50, "total_count": 9, "total_pages": 1})
    );
    let first = &all["result"][0];
    assert_eq!(first["name"], "@cf/meta/llama-3.3-70b-instruct-fp8-fast");
    assert_eq!(first["task"]["name"], "Text Generation");
    assert_eq!(first["id"].as_str().unwrap().len(), 36);
    for (page, count) in [(1, 4), (2, 4), (3, 1), (4, 0)] {
        let query = format!("?per_page=4&page={page}&hide_experimental=true");
        let listed = search(&simulator, &query).await;
        assert_eq!(listed["result"].as_array().unwrap().len(), count);
        assert_eq!(
            listed["result_info"],
            json!({"count": count, "page": page, "per_page": 4, "total_count": 9, "total_pages": 3})
        );
    }
}

#[tokio::test]
async fn models_are_searched() {
    let simulator = start([]).await;
    for (query, count) in [
        ("?search=LLAMA", 3),
        ("?search=llama&author=google", 0),
        ("?author=meta", 3),
        ("?task=Text%20Generation", 9),
        ("?task=Text+Generation&search=kimi", 1),
        ("?task=Translation", 0),
        ("?search=", 9),
    ] {
        let listed = search(&simulator, query).await;
        assert_eq!(listed["result"].as_array().unwrap().len(), count, "{query}");
    }
}

#[tokio::test]
async fn a_model_has_a_schema() {
    let simulator = start([]).await;
    for (model, output) in [(LLAMA_2, "response"), (GEMMA, "choices")] {
        let model = model.replace('@', "%40").replace('/', "%2F");
        let path = format!("models/schema?model={model}");
        let schema = call(&simulator, "GET", &path, "").await.json();
        assert_eq!(schema["success"], true);
        assert_eq!(schema["result"]["input"]["type"], "object");
        assert!(schema["result"]["output"]["properties"][output].is_object());
    }
    let unknown = call(&simulator, "GET", "models/schema?model=x", "").await;
    assert_eq!(unknown.json()["errors"][0]["code"], 5007);
}

#[tokio::test]
async fn a_gateway_forwards_chats() {
    let simulator = start((0..3).map(|_| Answer::text("Hello."))).await;
    let run = format!("workers-ai/{LLAMA_3_1}");
    let streamed = through(&simulator, &run, KEY, &body("Hi", r#""stream":true"#)).await;
    assert_eq!(said(&events(&streamed)), "Hello.");
    let whole = through(&simulator, &run, KEY, &body("Hi", "")).await;
    assert_eq!(whole.json()["result"]["response"], "Hello.");
    let chat = crate::client::request(GEMMA, "Hi", "");
    let path = "workers-ai/v1/chat/completions";
    let skip = format!("{KEY}cf-aig-skip-cache: true\r\n");
    let bare = through(&simulator, path, &skip, &chat).await;
    assert_eq!(bare.json()["choices"][0]["message"]["content"], "Hello.");
    for (response, status) in [(streamed, "MISS"), (whole, "MISS"), (bare, "BYPASS")] {
        assert_eq!(response.header("cf-aig-cache-status"), Some(status));
        assert_eq!(response.header("cf-aig-log-id").unwrap().len(), 26);
    }
    assert_eq!(simulator.counts().chats, 3);
}

#[tokio::test]
async fn a_gateway_accepts_its_own_key() {
    let simulator = Simulator::builder().api_key("right").start().await.unwrap();
    let path = format!("workers-ai/{LLAMA_2}");
    for (headers, status) in [
        ("", 401),
        ("cf-aig-authorization: Bearer wrong\r\n", 401),
        ("cf-aig-authorization: Bearer right\r\n", 200),
        (KEY, 200),
    ] {
        let response = through(&simulator, &path, headers, &body("Hi", "")).await;
        assert_eq!(response.status(), status, "{headers}");
        if status == 401 {
            assert_eq!(
                response.text(),
                r#"{"success":false,"result":[],"messages":[],"error":[{"code":2009,"message":"Unauthorized"}],"name":"AiGatewayError","httpCode":401,"internalCode":2009,"message":"Unauthorized","description":"Unauthorized"}"#
            );
            assert!(response.header("cf-aig-log-id").is_some());
        }
    }
}

#[tokio::test]
async fn a_gateway_has_its_own_error_messages() {
    let simulator = start([]).await;
    for (path, code) in [
        ("workers-ai/@cf/x/y", 2008),
        ("openai/chat/completions", 2001),
    ] {
        let response = through(&simulator, path, KEY, &body("Hi", "")).await;
        assert_eq!(response.status(), 400, "{path}");
        let refusal = response.json();
        assert_eq!(refusal["name"], "AiGatewayError");
        assert_eq!(refusal["error"][0]["code"], code, "{path}");
    }
    let path = format!("/gateway/v1/me/main/workers-ai/{LLAMA_2}");
    let unknown = call_at(&simulator, "POST", &path, KEY, &body("Hi", "")).await;
    assert_eq!(unknown.json()["internalCode"], 2001);
    let path = format!("workers-ai/{LLAMA_2}");
    let wrong = through(&simulator, &path, KEY, "{}").await;
    assert_eq!(wrong.status(), 400);
    let refusal = wrong.json();
    assert_eq!(refusal["name"], "AiError");
    assert_eq!(refusal["internalCode"], 5006);
    assert_eq!(refusal["requestId"].as_str().unwrap().len(), 36);
}

#[tokio::test]
async fn a_raw_answer_is_sent_byte_for_byte() {
    let answers = (0..2).map(|_| Answer::raw(299, &[("x-a", "1")], [Piece::from("da")]));
    let simulator = start(answers).await;
    let path = format!("/client/v4/accounts/none/ai/run/{LLAMA_2}");
    for path in [path.as_str(), "/gateway/v1/none/main/workers-ai/x"] {
        let response = call_at(&simulator, "POST", path, "", "not even JSON").await;
        assert_eq!(response.status(), 299);
        assert_eq!(response.header("cf-aig-log-id"), None);
        assert_eq!(response.chunks(), (vec!["da".to_owned()], true));
    }
}

#[tokio::test]
async fn chats_are_counted() {
    let simulator = start([]).await;
    chat(&simulator, GEMMA, "").await;
    chat(&simulator, "unknown", "").await;
    search(&simulator, "").await;
    assert_eq!(simulator.counts().chats, 2);
    assert_eq!(simulator.counts().creates, 0);
}
