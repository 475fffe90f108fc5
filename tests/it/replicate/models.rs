//! Models, versions and schemas; further pages are requested only from the service's own host.

use inferstream_core::ErrorKind;
use inferstream_replicate::Replicate;
use serde_json::{Value, json};

use super::{Answer, HOST, KEY, MODEL, Scene, Service, builder, client, document, scene};
use crate::support::{block_on, problem};

fn model(owner: &str, name: &str) -> Value {
    json!({
        "owner": owner,
        "name": name,
        "description": "…",
        "visibility": "public",
        "run_count": 7,
        "latest_version": {"id": "v9", "created_at": "2026-01-01T00:00:00Z",
            "openapi_schema": {"openapi": "3.0.2"}},
    })
}

fn page(results: &[Value], next: &Value) -> Answer {
    document(&json!({"results": results, "next": next, "previous": null}))
}

/// A service with these responses to all other requests, in turn.
fn others(answers: impl IntoIterator<Item = Answer>) -> Service {
    let scene: Scene = scene("");
    scene.other(answers).serve()
}

fn names(models: &[inferstream_core::Model]) -> Vec<&str> {
    models.iter().map(|model| model.id.as_str()).collect()
}

#[test]
fn the_language_models_are_a_collection() {
    let body = json!({
        "name": "Language models",
        "slug": "language-models",
        "models": [model("meta", "llama-3"), model("acme", "x"), {"owner": 7}, null, "x"],
    });
    let service = others([document(&body)]);
    let client = client(&service);
    let models = block_on(&service.clock, client.models()).unwrap();
    assert_eq!(names(&models), ["meta/llama-3", "acme/x"]);
    assert_eq!(models[0].owned_by.as_deref(), Some("meta"));
    let asked = &service.all()[0];
    assert_eq!(asked.request.method(), "GET");
    assert_eq!(
        asked.uri(),
        format!("https://{HOST}/v1/collections/language-models")
    );
    assert!(asked.has_key());
    assert_eq!(service.all().len(), 1);
    // The requested models are known from then on, to clones as well.
    assert_eq!(
        names(&client.clone().known_models()),
        ["meta/llama-3", "acme/x"]
    );
}

#[test]
fn the_default_model_is_known_without_a_request() {
    let service = others([super::trouble()]);
    let client = client(&service);
    assert_eq!(names(&client.known_models()), [MODEL]);
    let info = client.info();
    assert_eq!(info.default_model(), Some(MODEL));
    assert_eq!(info.id, "replicate");
    assert_eq!(
        info.login_url.as_deref(),
        Some("https://replicate.com/account/api-tokens")
    );
    assert_eq!(info.resolve("meta-llama/Meta-Llama-3-70B-Instruct"), MODEL);
    assert!(client.capabilities(MODEL).supports_stream);
    assert!(!client.capabilities(MODEL).supports_tools);
    assert!(client.capabilities("openai/gpt-5").supports_images);
    assert!(!client.capabilities(MODEL).supports_images);
    assert_eq!(service.all().len(), 0);
}

#[test]
fn a_search_requests_page_after_page() {
    let next = format!("https://{HOST}/v1/models?cursor=2");
    let service = others([
        page(&[model("a", "1")], &json!(next)),
        page(&[model("a", "2")], &json!(null)),
    ]);
    let models = block_on(&service.clock, client(&service).search("llama \"x\"\né")).unwrap();
    assert_eq!(names(&models), ["a/1", "a/2"]);
    let all = service.all();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].request.method(), "QUERY");
    assert_eq!(all[0].uri(), format!("https://{HOST}/v1/models"));
    assert_eq!(all[0].header("content-type"), Some("text/plain"));
    assert_eq!(&all[0].request.body()[..], "llama \"x\"\né".as_bytes());
    assert_eq!(all[1].uri(), next);
}

#[test]
fn versions_are_requested_page_after_page() {
    let version = |id: &str| {
        json!({"id": id, "created_at": "2026-01-01T00:00:00Z",
        "cog_version": "0.9", "openapi_schema": {"openapi": "3.0.2"}})
    };
    let next = format!("https://{HOST}/v1/models/a/b/versions?cursor=x");
    let service = others([
        page(&[version("v3"), version("v2")], &json!(next)),
        page(
            &[version("v1"), json!(7), json!({"id": null})],
            &json!(null),
        ),
    ]);
    let versions = block_on(&service.clock, client(&service).versions("a/b")).unwrap();
    let ids: Vec<_> = versions.iter().map(|version| version.id.as_str()).collect();
    assert_eq!(ids, ["v3", "v2", "v1"]);
    assert_eq!(
        versions[0].created_at.as_deref(),
        Some("2026-01-01T00:00:00Z")
    );
    let schema = versions[0].schema.as_ref().unwrap().as_str();
    assert_eq!(schema, r#"{"openapi":"3.0.2"}"#);
    let all = service.all();
    assert_eq!(
        all[0].uri(),
        format!("https://{HOST}/v1/models/a/b/versions")
    );
    assert_eq!(all[1].uri(), next);
}

#[test]
fn a_list_is_not_continued_at_a_foreign_host() {
    for next in [
        "https://evil.example/v1/models?cursor=2",
        "http://api.replicate.com/v1/models?cursor=2",
        "https://api.replicate.com@evil.example/",
        "https://api.replicate.com.evil.example/",
        "https://api.replicate.com:444/v1/models",
        "//evil.example/",
        "file:///etc/passwd",
    ] {
        let calls: [fn(&Replicate, &Service) -> inferstream_core::Result<usize>; 2] = [
            |client, service| {
                let models = block_on(&service.clock, client.search("x"));
                models.map(|list| list.len())
            },
            |client, service| {
                let versions = block_on(&service.clock, client.versions("a/b"));
                versions.map(|list| list.len())
            },
        ];
        for call in calls {
            let service = others([page(&[model("a", "1")], &json!(next))]);
            let error = call(&client(&service), &service).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UntrustedHost, "{next}");
            assert_eq!(service.all().len(), 1, "{next}");
            assert!(!super::shown(&error).contains("cursor"), "{error:?}");
        }
    }
}

#[test]
fn an_endless_list_is_limited() {
    let next = format!("https://{HOST}/v1/models?cursor=2");
    let service = others([page(&[model("a", "1")], &json!(next))]);
    let models = block_on(&service.clock, client(&service).search("x")).unwrap();
    assert_eq!(models.len(), 10, "ten pages");
    assert_eq!(service.all().len(), 10);
}

#[test]
fn the_end_of_a_list_has_several_forms() {
    for next in [json!(null), json!(""), json!(7), json!({})] {
        let service = others([page(&[model("a", "1")], &next)]);
        let models = block_on(&service.clock, client(&service).search("x")).unwrap();
        assert_eq!(models.len(), 1, "{next}");
    }
    let service = others([document(&json!({"results": []}))]);
    let models = block_on(&service.clock, client(&service).search("x")).unwrap();
    assert!(models.is_empty());
}

#[test]
fn a_schema_is_of_the_latest_or_a_given_version() {
    let service = others([document(&model("a", "b"))]);
    let schema = block_on(&service.clock, client(&service).schema("a/b")).unwrap();
    assert_eq!(schema.as_str(), r#"{"openapi":"3.0.2"}"#);
    assert_eq!(
        service.all()[0].uri(),
        format!("https://{HOST}/v1/models/a/b")
    );

    let one = json!({"id": "v1", "openapi_schema": {"x": 1}});
    let service = others([document(&one)]);
    let schema = block_on(&service.clock, client(&service).schema("a/b:v1")).unwrap();
    assert_eq!(schema.as_str(), r#"{"x":1}"#);
    let expected = format!("https://{HOST}/v1/models/a/b/versions/v1");
    assert_eq!(service.all()[0].uri(), expected);
}

#[test]
fn a_missing_schema_is_a_protocol_error() {
    for body in [
        json!({"owner": "a", "name": "b", "latest_version": null}),
        json!({"owner": "a", "name": "b"}),
        json!({"latest_version": {"id": "v", "openapi_schema": null}}),
        json!([]),
        json!(null),
    ] {
        let service = others([document(&body)]);
        let error = block_on(&service.clock, client(&service).schema("a/b")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
    }
}

#[test]
fn invalid_names_are_rejected() {
    let service = others([document(&model("a", "b"))]);
    let client = client(&service);
    for name in [
        "", "a", "a/b/c/d", "../x", "a/b?c", "a/b#c", "a b/c", "%2e/x",
    ] {
        for error in [
            block_on(&service.clock, client.versions(name)).unwrap_err(),
            block_on(&service.clock, client.schema(name)).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Config, "{name}");
        }
    }
    for slug in ["", "a/b", "../x", "a?b", "a b"] {
        let error = block_on(&service.clock, client.collection(slug)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{slug}");
    }
    assert_eq!(service.all().len(), 0);
}

#[test]
fn invalid_lists_are_protocol_errors() {
    for body in [
        "",
        "no JSON",
        "[]",
        "{}",
        "null",
        r#"{"results":7,"models":7}"#,
        "<html>",
    ] {
        let service = others([Answer::json(200, body)]);
        let client = client(&service);
        let errors = [
            block_on(&service.clock, client.models()).unwrap_err(),
            block_on(&service.clock, client.search("x")).unwrap_err(),
            block_on(&service.clock, client.versions("a/b")).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
        }
    }
}

#[test]
fn requests_that_only_read_are_retried() {
    let good = document(&json!({"models": [model("a", "1")]}));
    for failure in [
        super::trouble(),
        problem(503, "{}"),
        problem(429, r#"{"retry_after":1}"#),
        Answer::error(super::lost(inferstream_core::Sent::Maybe)),
    ] {
        let service = others([failure.clone(), good.clone()]);
        let models = block_on(&service.clock, client(&service).models()).unwrap();
        assert_eq!(names(&models), ["a/1"], "{failure:?}");
        assert_eq!(service.all().len(), 2);
    }
    for (status, kind) in [
        (401, ErrorKind::Auth),
        (403, ErrorKind::Permission),
        (404, ErrorKind::NotFound),
    ] {
        let service = others([problem(status, r#"{"detail":"no"}"#)]);
        let error = block_on(&service.clock, client(&service).models()).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(service.all().len(), 1);
    }
}

#[test]
fn a_list_requires_a_key() {
    let service = others([super::trouble()]);
    let keyless = Replicate::builder()
        .transport(service.clone())
        .build()
        .unwrap();
    let error = block_on(&service.clock, keyless.models()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(service.all().len(), 0);
    let with_key = builder(&service).build().unwrap();
    assert!(!format!("{with_key:?}").contains(KEY));
}
