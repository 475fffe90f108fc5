//! The paginated list of models, and a model's schema.

use http::Method;
use inferstream_cloudflare::{Cloudflare, ErrorKind, Model};
use serde_json::{Value, json};

use super::{ACCOUNT, Answer, TOKEN, Wire, builder, client};
use crate::support::block_on;

/// A model in the format of the service's list.
fn entry(number: usize) -> Value {
    json!({
        "id": format!("{number:08x}-aaaa-bbbb-cccc-000000000000"),
        "source": 1,
        "name": format!("@cf/made/model-{number}"),
        "description": "makes text",
        "task": { "id": "c329", "name": "Text Generation", "description": "d" },
        "created_at": "2025-11-25 15:12:31.190",
        "tags": [],
        "properties": [{ "property_id": "beta", "value": "true" }],
    })
}

/// One page of a list.
fn page(number: usize, per_page: usize, total: usize) -> Answer {
    let first = (number - 1) * per_page;
    let result: Vec<_> = (first..total.min(first + per_page)).map(entry).collect();
    let body = json!({
        "success": true,
        "errors": [],
        "messages": [],
        "result_info": {
            "count": result.len(),
            "page": number,
            "per_page": per_page,
            "total_count": total,
            "total_pages": total.div_ceil(per_page),
        },
        "result": result,
    });
    Answer::json(200, &body.to_string())
}

fn pages(per_page: usize, total: usize) -> Vec<Answer> {
    let count = total.div_ceil(per_page).max(1);
    (1..=count)
        .map(|number| page(number, per_page, total))
        .collect()
}

fn ids(models: &[Model]) -> Vec<&str> {
    models.iter().map(|model| model.id.as_str()).collect()
}

fn names(total: usize) -> Vec<String> {
    (0..total)
        .map(|number| format!("@cf/made/model-{number}"))
        .collect()
}

#[test]
fn all_pages_are_requested() {
    // All pages are read even if the service returns smaller pages than requested.
    for (per_page, total) in [
        (100, 0),
        (100, 1),
        (100, 100),
        (100, 101),
        (100, 250),
        (20, 45),
    ] {
        let wire = Wire::new(pages(per_page, total));
        let models = block_on(&wire.clock, client(&wire).models()).unwrap();
        assert_eq!(ids(&models), names(total), "{total} by {per_page}");
        assert_eq!(
            wire.count(),
            total.div_ceil(per_page).max(1),
            "{total} by {per_page}"
        );
        for (number, request) in wire.all().iter().enumerate() {
            let url = request.uri().to_string();
            let path = format!(
                "https://api.cloudflare.com/client/v4/accounts/{ACCOUNT}/ai/models/search?"
            );
            assert!(url.starts_with(&path), "{url}");
            assert!(url.contains(&format!("page={}", number + 1)), "{url}");
            assert_eq!(request.method(), Method::GET);
            assert_eq!(
                request.headers()["authorization"],
                format!("Bearer {TOKEN}")
            );
        }
    }
}

#[test]
fn an_endless_list_is_limited() {
    let body = json!({
        "success": true,
        "result": (0..100).map(entry).collect::<Vec<_>>(),
        "result_info": { "count": 100, "page": 1, "per_page": 100, "total_count": 1e18, "total_pages": 1e16 },
    });
    let wire = Wire::new([Answer::json(200, &body.to_string())]);
    // The result is a success or an error, but the request ends.
    drop(block_on(&wire.clock, client(&wire).models()));
    assert!(wire.count() <= 1000, "{}", wire.count());
}

#[test]
fn a_list_without_page_counts_is_valid() {
    for info in [
        json!(null),
        json!({}),
        json!("x"),
        json!({ "total_count": null }),
        json!({ "total_pages": "x" }),
    ] {
        let body = json!({ "success": true, "result": [entry(0), entry(1)], "result_info": info });
        let wire = Wire::new([
            Answer::json(200, &body.to_string()),
            Answer::json(
                200,
                r#"{"success":true,"result":[],"errors":[],"messages":[]}"#,
            ),
        ]);
        let models = block_on(&wire.clock, client(&wire).models()).unwrap();
        assert_eq!(ids(&models), names(2), "{info}");
    }
}

#[test]
fn known_models_are_those_of_the_last_list() {
    let wire = Wire::new([page(1, 100, 2), page(1, 100, 3)]);
    let client = client(&wire);
    let built_in = client.known_models();
    assert!(!built_in.is_empty());
    let twin = client.clone();
    block_on(&wire.clock, client.models()).unwrap();
    assert_eq!(ids(&client.known_models()), names(2));
    assert_eq!(ids(&twin.known_models()), names(2), "clones share it");
    block_on(&wire.clock, twin.models()).unwrap();
    assert_eq!(ids(&client.known_models()), names(3));
}

#[test]
fn a_failed_request_keeps_the_known_models() {
    let failures = [
        Answer::json(
            401,
            r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}"#,
        ),
        Answer::json(
            200,
            r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}"#,
        ),
        Answer::json(
            200,
            r#"{"success":true,"errors":[],"messages":[],"result":null}"#,
        ),
        Answer::json(200, r#"{"success":true,"result":{}}"#),
        Answer::json(200, r#"{"success":true,"result":[{"na"#),
        Answer::json(200, "<!DOCTYPE html><html></html>").header("content-type", "text/html"),
        Answer::json(200, ""),
        Answer::json(403, "").header("cf-mitigated", "challenge"),
        Answer::json(500, ""),
    ];
    for failure in failures {
        let wire = Wire::new([failure.clone()]);
        let fresh = client(&wire);
        let built_in = fresh.known_models();
        let error = block_on(&wire.clock, fresh.models());
        assert!(error.is_err(), "{failure:?}: {error:?}");
        assert_eq!(fresh.known_models(), built_in, "{failure:?}");

        // The second page fails: an incomplete list is an error.
        let wire = Wire::new([page(1, 100, 2), page(1, 100, 150), failure.clone()]);
        let client = client(&wire);
        block_on(&wire.clock, client.models()).unwrap();
        block_on(&wire.clock, client.models()).unwrap_err();
        assert_eq!(ids(&client.known_models()), names(2), "{failure:?}");
    }
}

#[test]
fn a_refused_list_has_the_reason() {
    let body = r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}"#;
    for status in [200, 401, 403] {
        let wire = Wire::new([Answer::json(status, body)]);
        let error = block_on(&wire.clock, client(&wire).models()).unwrap_err();
        assert_eq!(error.code(), Some("10000"), "{status}");
        let kind = error.kind();
        assert!(
            kind == ErrorKind::Auth || status == 200 && kind == ErrorKind::Provider,
            "{status}: {kind:?}"
        );
        assert_eq!(wire.count(), 1);
    }
    let busy = r#"{"success":false,"errors":[{"code":3040,"message":"busy"}]}"#;
    let wire = Wire::new([Answer::json(429, busy), page(1, 100, 2)]);
    let models = block_on(&wire.clock, client(&wire).models()).unwrap();
    assert_eq!(ids(&models), names(2));
    assert_eq!(wire.count(), 2);
}

#[test]
fn entries_of_unexpected_types_are_skipped() {
    let odd = [
        json!(null),
        json!(7),
        json!("x"),
        json!({}),
        json!({ "name": null }),
        json!({ "name": 7 }),
        json!({ "name": "" }),
    ];
    for value in odd {
        let body = json!({ "success": true, "result": [value, entry(0)] });
        let wire = Wire::new([
            Answer::json(200, &body.to_string()),
            Answer::json(200, r#"{"success":true,"result":[]}"#),
        ]);
        // The result is an error or the valid models, but never a model without a name.
        if let Ok(models) = block_on(&wire.clock, client(&wire).models()) {
            assert_eq!(ids(&models), names(1), "{value}");
        }
    }
    for (name, value) in [
        ("id", json!(7)),
        ("source", json!("x")),
        ("description", json!(null)),
        ("task", json!(null)),
        ("tags", json!(7)),
        ("properties", json!(null)),
        (
            "properties",
            json!([null, 7, { "property_id": 7, "value": [] }]),
        ),
        (
            "properties",
            json!([{ "property_id": "context_window", "value": 8192 }]),
        ),
        (
            "properties",
            json!([{ "property_id": "price", "value": [{ "unit": "x" }] }]),
        ),
        ("created_at", json!(7)),
        ("created_at", json!("yesterday")),
    ] {
        let mut odd = entry(0);
        odd[name] = value;
        let body = json!({ "success": true, "result": [odd], "result_info": { "total_count": 1, "count": 1, "page": 1, "per_page": 100 } });
        let wire = Wire::new([Answer::json(200, &body.to_string())]);
        let models = block_on(&wire.clock, client(&wire).models()).unwrap();
        assert_eq!(ids(&models), names(1), "{body}");
    }
}

#[test]
fn a_search_does_not_change_the_known_models() {
    let wire = Wire::new([page(1, 100, 1)]);
    let client = client(&wire);
    let built_in = client.known_models();
    let models = block_on(&wire.clock, client.search("llama 3&page=9/é#?%")).unwrap();
    assert_eq!(ids(&models), names(1));
    let url = wire.request().uri().to_string();
    assert!(
        url.contains("search=llama%203%26page%3D9%2F%C3%A9%23%3F%25"),
        "{url}"
    );
    assert_eq!(
        client.known_models(),
        built_in,
        "search results do not replace the model list"
    );
}

#[test]
fn a_schema_is_returned_unchanged() {
    let schema = json!({ "input": { "type": "object" }, "output": { "oneOf": [] } });
    let body = json!({ "success": true, "errors": [], "messages": [], "result": schema });
    let wire = Wire::new([Answer::json(200, &body.to_string())]);
    let found = block_on(&wire.clock, client(&wire).schema("llama-3.3-70b")).unwrap();
    let found: Value = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(found, schema);
    let url = wire.request().uri().to_string();
    let start =
        format!("https://api.cloudflare.com/client/v4/accounts/{ACCOUNT}/ai/models/schema?model=");
    let model = url.strip_prefix(&start).unwrap();
    let model = model.replace("%40", "@").replace("%2F", "/");
    assert_eq!(model, "@cf/meta/llama-3.3-70b-instruct-fp8-fast");
}

#[test]
fn the_schema_of_a_missing_model_is_not_found() {
    for (status, code) in [(404, 5007), (400, 5007), (404, 3042)] {
        let body = format!(
            r#"{{"success":false,"errors":[{{"code":{code},"message":"No such model x or task"}}],"messages":[],"result":null}}"#
        );
        let wire = Wire::new([Answer::json(status, &body)]);
        let error = block_on(&wire.clock, client(&wire).schema("@cf/x/y")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{status} {body}");
        assert_eq!(wire.count(), 1);
    }
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "<html>",
        r#"{"success":true,"result":null}"#,
        r#"{"success":false,"errors":[{"code":5007,"message":"No such model"}],"result":{"input":{}}}"#,
    ] {
        let wire = Wire::new([Answer::json(200, body)]);
        let result = block_on(&wire.clock, client(&wire).schema("@cf/x/y"));
        assert!(result.is_err(), "{body}");
    }
}

#[test]
fn a_gateway_has_no_list() {
    let wire = Wire::new([page(1, 100, 1)]);
    let client: Cloudflare = builder(&wire).gateway("g").build().unwrap();
    for error in [
        block_on(&wire.clock, client.models()).unwrap_err(),
        block_on(&wire.clock, client.search("x")).unwrap_err(),
        block_on(&wire.clock, client.schema("x")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    assert_eq!(wire.count(), 0);
    assert!(!client.known_models().is_empty());
}
