//! Responses that are one document, and empty ones.

use inferstream_core::ErrorKind;

use super::{broken, piece, run, whole};

#[track_caller]
fn check(reply: &str, kind: ErrorKind, line: &str) {
    for reply in [reply.to_owned(), format!("\r\n \u{feff}{reply}\n")] {
        let outcome = whole(&reply);
        assert_eq!(outcome.kind(), Some(kind), "{reply}");
        assert_eq!(outcome.error().to_string(), line, "{reply}");
        assert!(outcome.events.is_empty());
    }
}

#[test]
fn a_json_error_may_have_any_format() {
    let shapes = [
        r#"{"error":"m"}"#,
        r#"{"error":{"message":"m"}}"#,
        r#"{"error":{"error":{"message":"m"}}}"#,
        r#"{"errors":[{"message":"m"}],"success":false}"#,
        r#"{"errors":["m"]}"#,
        r#"{"message":"m"}"#,
        r#"{"detail":"m"}"#,
        r#"{"type":"error","errorText":"m"}"#,
        r#"[{"message":"m"}]"#,
        r#"{ "error" : { "msg" : "m" } }"#,
    ];
    for shape in shapes {
        check(
            shape,
            ErrorKind::Provider,
            "the playground reported an error: m",
        );
    }
    let line = "the playground reported an error without a message";
    check(r#"{"error":true}"#, ErrorKind::Provider, line);
    check(
        r#"{"error":{"error":{"error":{"error":{"error":"deep"}}}}}"#,
        ErrorKind::Provider,
        line,
    );
}

#[test]
fn an_error_has_its_code() {
    let outcome = whole(r#"{"errors":[{"message":"No such model","code":5007}]}"#);
    assert_eq!(outcome.error().code(), Some("5007"));
    assert_eq!(outcome.error().provider_message(), Some("No such model"));
}

#[test]
fn other_json_is_an_error() {
    let line = "invalid response from the playground: expected a stream, not one JSON document";
    for json in [
        "{}",
        "[]",
        r#"{"response":"a"}"#,
        r#"{"error":null}"#,
        "[[[]]]",
    ] {
        check(json, ErrorKind::Protocol, line);
    }
}

#[test]
fn json_that_is_cut_off_is_truncated() {
    for json in ["{", "[", r#"{"error":{"mess"#, r#"{"error":"m""#] {
        let line = "the playground's response is incomplete: its JSON is truncated";
        check(json, ErrorKind::Truncated, line);
    }
}

#[test]
fn a_challenge_is_distinguished_from_other_pages() {
    let line = "the playground returned a browser challenge instead of a response";
    for page in [
        "<!DOCTYPE html><title>Just a moment...</title>",
        "<html><script>window._cf_chl_opt={}</script><div class=\"cf-chl-widget\">",
        "<html><title>Attention Required! | Cloudflare</title>",
    ] {
        check(page, ErrorKind::Challenge, line);
    }
    let line = "the playground returned an HTML page instead of a response";
    for page in [
        "<html><h1>Bad gateway</h1></html>",
        "<html><div id=\"cf-cloudflare-status\"></div><script src=\"/cdn-cgi/challenge-platform/scripts/jsd/main.js\">",
    ] {
        check(page, ErrorKind::Protocol, line);
    }
}

#[test]
fn other_text_is_an_error_and_not_shown() {
    let line = "invalid document from the playground: expected JSON";
    for text in ["Not found", "error code: 1020", "{x}", "0:oops", "[DONE]"] {
        check(text, ErrorKind::Protocol, line);
    }
}

#[test]
fn an_empty_response_is_truncated() {
    for reply in [
        "",
        " \r\n",
        "\u{feff}",
        "d",
        "0:",
        "dat",
        ": ping\n\n",
        "data:\n\n",
    ] {
        let outcome = whole(reply);
        let line = "the playground's response is incomplete: it has no content";
        assert_eq!(outcome.error().to_string(), line, "{reply:?}");
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
    }
}

#[test]
fn a_lost_connection_is_not_a_document() {
    let outcome = run([piece(b"{\"error\":\"m\"}"), broken()]);
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
}

#[test]
fn the_size_of_a_document_is_limited() {
    let outcome = whole("<".repeat((4 << 20) + 1));
    assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge));
}
