//! HTML pages instead of a response: recognized, and never shown.

use inferstream_cloudflare::{Endpoint, ErrorKind};

use super::{Answer, ENDPOINTS, errors::refuse};
use crate::support::Refusal;

#[track_caller]
fn page(endpoint: Endpoint, status: u16, body: &str) -> Refusal {
    let answer = Answer::json(status, body).header("content-type", "text/html; charset=UTF-8");
    refuse(endpoint, [answer])
}

/// Parts of a browser challenge.
const MARKS: [&str; 5] = [
    "<p id=\"cf-spinner-please-wait\">",
    "<title>Attention Required! | Cloudflare</title>",
    "<div id=\"cf-please-wait\">",
    "<title>Just a moment...</title>",
    "id=\"challenge-error-text\"",
];

#[test]
fn a_challenge_is_recognized_by_its_header() {
    for body in ["", "<!DOCTYPE html><html></html>", "{}"] {
        for status in [403, 429, 503] {
            for endpoint in ENDPOINTS {
                let answer = Answer::json(status, body)
                    .header("content-type", "text/html")
                    .header("cf-mitigated", "challenge");
                let refusal = refuse(endpoint, [answer]);
                assert_eq!(
                    refusal.error.kind(),
                    ErrorKind::Challenge,
                    "{status} {body}"
                );
                assert_eq!(refusal.attempts, 1, "{status} {body}");
                assert!(!refusal.error.is_retryable());
            }
        }
    }
}

#[test]
fn a_challenge_is_recognized_by_its_text() {
    let mut unknown = Vec::new();
    for mark in MARKS {
        let body = format!(
            "<!DOCTYPE html><html lang=\"en-US\"><head>{mark}</head><body>secret words</body></html>"
        );
        for endpoint in ENDPOINTS {
            let refusal = page(endpoint, 403, &body);
            assert_eq!(refusal.attempts, 1);
            assert_eq!(refusal.error.provider_message(), None);
            assert!(!refusal.error.to_string().contains("secret words"));
            if refusal.error.kind() != ErrorKind::Challenge {
                unknown.push((mark, refusal.error.kind()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn a_challenge_with_status_200_is_an_error() {
    for mark in MARKS {
        let body = format!("<!DOCTYPE html><html><head>{mark}</head></html>");
        for content_type in ["text/html", "text/event-stream", "application/json"] {
            let answer = Answer::json(200, &body).header("content-type", content_type);
            let refusal = refuse(Endpoint::OpenAi, [answer]);
            let kind = refusal.error.kind();
            assert!(
                matches!(
                    kind,
                    ErrorKind::Challenge | ErrorKind::Protocol | ErrorKind::Truncated
                ),
                "{kind:?}"
            );
        }
    }
}

#[test]
fn pages_are_classified_by_their_status_and_not_shown() {
    let body = "<!DOCTYPE html><html><head><title>Worker exceeded resource limits | x | Cloudflare</title></head><body><div id=\"cf-cloudflare-status\">Error 1102 Ray ID: 8f secret words</body></html>";
    for (status, kind, attempts) in [
        (400, ErrorKind::InvalidRequest, 1),
        (403, ErrorKind::Permission, 1),
        (404, ErrorKind::NotFound, 1),
        (429, ErrorKind::RateLimited, 3),
        (500, ErrorKind::Server, 3),
        (502, ErrorKind::Server, 3),
        (503, ErrorKind::Overloaded, 3),
        (520, ErrorKind::Server, 1),
        (521, ErrorKind::Server, 3),
        (522, ErrorKind::Server, 3),
        (523, ErrorKind::Server, 3),
        (524, ErrorKind::Server, 1),
        (525, ErrorKind::Server, 3),
        (530, ErrorKind::Server, 3),
    ] {
        for endpoint in ENDPOINTS {
            let refusal = page(endpoint, status, body);
            assert_eq!(refusal.error.kind(), kind, "{status}");
            assert_eq!(refusal.attempts, attempts, "{status}");
            let line = refusal.error.to_string();
            assert!(
                !line.contains("secret words") && !line.contains('<'),
                "{line}"
            );
            assert_eq!(refusal.error.provider_message(), None, "{status}");
            // The same without a body.
            let refusal = page(endpoint, status, "");
            assert_eq!(refusal.error.kind(), kind, "{status}");
            assert_eq!(refusal.attempts, attempts, "{status}");
        }
    }
}

#[test]
fn debug_output_does_not_show_a_page() {
    let body = format!("<!DOCTYPE html><html>{}</html>", "page ".repeat(20_000));
    let refusal = page(Endpoint::Native, 500, &body);
    let shown = format!("{:?}", refusal.error);
    assert!(!shown.contains("page page"), "{} bytes", shown.len());
}

#[test]
fn a_redirect_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let answer = Answer::empty(status).header("location", "https://else.test/?key=h1dden");
        let refusal = refuse(Endpoint::Native, [answer]);
        assert_eq!(refusal.error.kind(), ErrorKind::Redirect);
        assert_eq!(refusal.attempts, 1);
        assert!(!format!("{0} {0:?}", refusal.error).contains("h1dden"));
    }
}
