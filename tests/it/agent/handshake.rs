//! Responses to the handshake that do not open a WebSocket.

use inferstream_cloudflare::{ErrorKind, RetryPolicy};

use super::{CHUNKS, PROMPT, TEXT, builder, plan, plan::Plan, run};
use crate::support::block_on;

/// Checks that the handshake fails, and that nothing was sent to the agent.
#[track_caller]
fn check_refused(plan: Plan, kinds: &[ErrorKind]) {
    let agent = plan.serve();
    let client = builder(&agent).retry(RetryPolicy::never()).build().unwrap();
    let error = block_on(&agent.clock, client.chat(PROMPT)).unwrap_err();
    assert!(kinds.contains(&error.kind()), "{error:?}");
    assert_eq!(agent.count("use_chat_request"), 0, "{error}");
    assert_eq!(agent.connections(), 1, "{error}");
    assert!(error.partial().is_none_or(|partial| partial.text() == ""));
}

#[test]
fn only_status_101_opens_a_connection() {
    for status in 200..=599 {
        let body = if status % 2 == 0 {
            ""
        } else {
            "<html>no</html>"
        };
        let kinds: &[ErrorKind] = match status {
            200..=299 => &[ErrorKind::Protocol],
            300..=399 => &[
                ErrorKind::Protocol,
                ErrorKind::Redirect,
                ErrorKind::InvalidRequest,
            ],
            400 => &[ErrorKind::InvalidRequest],
            401 => &[ErrorKind::Auth],
            403 => &[ErrorKind::Permission, ErrorKind::Challenge],
            402 => &[ErrorKind::Quota],
            404 => &[ErrorKind::NotFound],
            429 => &[ErrorKind::RateLimited],
            _ => &[
                ErrorKind::Auth,
                ErrorKind::Challenge,
                ErrorKind::InvalidRequest,
                ErrorKind::NotFound,
                ErrorKind::Overloaded,
                ErrorKind::Server,
                ErrorKind::TooLarge,
            ],
        };
        check_refused(
            Plan {
                status: (status, body),
                ..plan()
            },
            kinds,
        );
    }
}

#[test]
fn the_headers_must_be_those_of_our_handshake() {
    let wrong = [
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-accept", ""),
        ("sec-websocket-accept", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("upgrade", ""),
        ("upgrade", "h2c"),
        ("upgrade", "websocket, h2c"),
        // An extension and a protocol that were not requested (RFC 6455, section 4.1).
        ("sec-websocket-extensions", "permessage-deflate"),
        ("sec-websocket-protocol", "chat"),
    ];
    for header in wrong {
        let headers = vec![header];
        check_refused(Plan { headers, ..plan() }, &[ErrorKind::Protocol]);
    }
}

#[test]
fn the_case_of_the_upgrade_does_not_matter() {
    let (outcome, _) = run(Plan {
        headers: vec![("upgrade", "WebSocket"), ("connection", "upgrade")],
        ..Plan::new(&CHUNKS)
    });
    assert_eq!(outcome.text(), TEXT);
    assert_eq!(outcome.kind(), None);
}
