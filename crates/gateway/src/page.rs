//! The page at `/`: one request by hand, and the gateway's counts.

use axum::response::{Html, IntoResponse};
use http::header;

/// The page. It loads nothing but models, responses and metrics of this gateway.
const PAGE: &str = include_str!("page.html");

/// The policy that the browser applies to the page. Its one script and its one style are named by
/// their hashes, so nothing that a model returns can run, and nothing is sent to other hosts.
const POLICY: &str = "default-src 'none'; \
     script-src 'sha256-JK36MG3cmmDzySQELAaZwlMi0gSsYcknSpPppFmXnJY='; \
     style-src 'sha256-DyceSX1qnoJhfohNKOmb47M2Q+cHrqCr4BDsg6ZaZMA='; \
     img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// `GET /`.
pub(crate) async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // For browsers that do not know `frame-ancestors`.
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, Html(PAGE))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use ring::digest::{SHA256, digest};

    use super::{PAGE, POLICY};
    use crate::metrics::{Failures, Metrics, Requests, Tokens};

    /// Returns what is between two texts, each of which the page contains once.
    fn between(begin: &str, end: &str) -> &'static str {
        let (before, rest) = PAGE.split_once(begin).unwrap();
        let (inside, after) = rest.split_once(end).unwrap();
        for outside in [before, after] {
            assert!(!outside.contains(begin), "two of {begin}");
        }
        inside
    }

    #[test]
    fn the_policy_has_the_hashes_of_the_script_and_of_the_style() {
        for (directive, begin, end) in [
            ("script-src", "<script>", "</script>"),
            ("style-src", "<style>", "</style>"),
        ] {
            let hash = digest(&SHA256, between(begin, end).as_bytes());
            let expected = format!("{directive} 'sha256-{}';", STANDARD.encode(hash));
            assert!(POLICY.contains(&expected), "expected {expected}");
        }
    }

    #[test]
    fn the_page_loads_nothing_and_creates_no_markup_from_text() {
        for text in [
            "://",
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "Storage",
        ] {
            // The names of XML namespaces are no addresses.
            let found = PAGE.matches(text).count();
            let namespaces = PAGE.matches("http://www.w3.org/2000/svg").count();
            let expected = if text == "://" { namespaces } else { 0 };
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn the_metrics_that_the_page_shows_exist() {
        let metrics = Metrics::new();
        // A family without a sample is not in the text.
        let _ = metrics.requests.get_or_create(&Requests {
            provider: String::new(),
            model: String::new(),
            status: 200,
            end: "complete",
        });
        let _ = metrics.failures.get_or_create(&Failures {
            provider: String::new(),
            kind: "truncated".to_owned(),
        });
        let _ = metrics.tokens.get_or_create(&Tokens {
            provider: String::new(),
            kind: "output",
        });
        let text = metrics.encode();
        let names = PAGE
            .split('\'')
            .filter(|name| name.starts_with("inferstream_"));
        assert_eq!(names.clone().count(), 4);
        for name in names {
            let name = name.trim_end_matches("_total");
            assert!(
                text.contains(&format!("# TYPE {name} ")),
                "{name} in {text}"
            );
        }
    }
}
