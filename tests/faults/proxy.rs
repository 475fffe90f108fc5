//! Faults of a proxy: each against a client that reaches a service over TLS through it.

use futures_util::future::join_all;
use inferstream::{
    ErrorKind::{self, Proxy as Refused, Timeout, Tls, Truncated},
    Phase, Timeouts,
    transport::HttpTransport,
};
use inferstream_simulator::{Answer, Proxy, ProxyFault, Simulator};

use crate::run::{Protocol, SOON, Seen, TEXT, ask_with};

/// A kind of proxy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Http,
    Socks,
}

async fn run(fault: Option<ProxyFault>, way: Way, timeouts: Timeouts) -> (Seen, Proxy) {
    let simulator = Simulator::builder().tls(true).answer(Answer::text(TEXT));
    let simulator = simulator.start().await.unwrap();
    let proxy = Proxy::start(fault).await.unwrap();
    let url = match way {
        Way::Http => proxy.http_url(),
        Way::Socks => proxy.socks_url(),
    };
    let transport = HttpTransport::builder().proxy(url);
    let seen = ask_with(&simulator, Protocol::Unmarked, transport, timeouts).await;
    (seen, proxy)
}

/// Returns the kinds of error that are right, none for a complete response, and the number of requests
/// that the proxy reads.
fn expected(fault: ProxyFault, way: Way) -> (&'static [ErrorKind], usize) {
    const PROXY: &[ErrorKind] = &[Refused];
    match (fault, way) {
        // Nothing reached the service, so the tunnel is requested three times.
        (
            ProxyFault::Close
            | ProxyFault::Reset
            | ProxyFault::Silence
            | ProxyFault::HalfReply
            | ProxyFault::Refused,
            _,
        )
        | (ProxyFault::Html | ProxyFault::Redirect | ProxyFault::HugeHead, Way::Http) => (PROXY, 3),
        (ProxyFault::AuthRequired | ProxyFault::Garbage, Way::Http) => (PROXY, 1),
        // They fail before the target is named.
        (ProxyFault::AuthRequired | ProxyFault::Garbage, Way::Socks) => (PROXY, 0),
        (ProxyFault::Body, Way::Http) => (&[Tls], 1),
        (ProxyFault::Cut, _) => (&[Truncated], 1),
        (ProxyFault::Stall, _) => (&[Timeout(Phase::Idle)], 1),
        // Faults of HTTP.
        (_, Way::Socks) => (&[], 1),
        _ => unreachable!("{fault} has no expectation in tests/faults/proxy.rs"),
    }
}

#[tokio::test]
async fn every_fault_of_a_proxy_is_an_error_of_its_kind() {
    let ways = ProxyFault::ALL
        .iter()
        .flat_map(|fault| [(*fault, Way::Http), (*fault, Way::Socks)]);
    let runs = ways.map(async |(fault, way)| {
        let (kinds, requests) = expected(fault, way);
        let timeouts = Timeouts::default();
        let timeouts = match fault {
            ProxyFault::Silence | ProxyFault::HalfReply => timeouts.connect(SOON),
            ProxyFault::Stall => timeouts.idle(SOON),
            _ => timeouts,
        };
        let (seen, proxy) = run(Some(fault), way, timeouts).await;
        let context = format!("{fault} {way:?}: {seen:?}");
        match seen.kind() {
            None => assert!(kinds.is_empty() && seen.text == TEXT, "{context}"),
            Some(kind) => assert!(kinds.contains(&kind), "{context}"),
        }
        assert!(TEXT.starts_with(&seen.text), "{context}");
        let is_inside = matches!(fault, ProxyFault::Cut | ProxyFault::Stall);
        assert_eq!(
            is_inside || kinds.is_empty(),
            !seen.text.is_empty(),
            "{context}"
        );
        assert_eq!(proxy.requests().len(), requests, "{context}");
        assert_eq!(seen.works, usize::from(!seen.text.is_empty()), "{context}");
    });
    join_all(runs).await;
}

#[tokio::test]
async fn a_proxy_without_a_fault_changes_nothing() {
    for way in [Way::Http, Way::Socks] {
        let (seen, proxy) = run(None, way, Timeouts::default()).await;
        assert_eq!((seen.kind(), seen.text.as_str()), (None, TEXT), "{way:?}");
        // The key is for the service only: it is inside TLS.
        let requests = proxy.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert!(
            !requests[0].to_lowercase().contains("\r\nauthorization"),
            "{requests:?}"
        );
    }
}

#[tokio::test]
async fn debug_output_shows_no_request() {
    let (_, proxy) = run(None, Way::Http, Timeouts::default()).await;
    let shown = format!("{proxy:?}");
    assert!(!shown.contains("CONNECT"), "{shown}");
}
