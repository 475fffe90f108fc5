//! The calls that share a budget: those of a client and its clones, for one host.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use inferstream_cablyai::CablyAi;
use inferstream_cerebras::{Cerebras, Cookies};
use inferstream_client::{Call, Refusal, RetryBudgets};
use inferstream_cloudflare::Cloudflare;
use inferstream_core::{ChatRequest, Error, Provider, Timeouts};
use inferstream_openai_compat::Compatible;
use inferstream_replicate::Replicate;
use inferstream_test::ScriptedTransport;

use super::{Service, asked, client, down, exhaust, fail, policy};

#[test]
fn clones_share_a_budget_and_other_clients_do_not() {
    let service = Service::new();
    let first = client(&service, policy());
    let other = client(&service, policy());
    exhaust(&service, &first, &down());
    assert_eq!(fail(&service, &first.clone(), &down()).attempts(), 1);
    assert_eq!(fail(&service, &other, &down()).attempts(), 3);
}

/// Returns the number of attempts at a URL.
fn attempts(transport: &ScriptedTransport, budgets: &RetryBudgets, url: &str) -> u32 {
    let call = Call::new(
        Arc::new(transport.clone()),
        Timeouts::default(),
        policy(),
        budgets.clone(),
    );
    let request = call.request_to(Method::GET, url.parse().unwrap(), Bytes::new());
    let judge = |refusal: Refusal<'_>| refusal.error("test", None);
    let sent = transport.block_on(call.send(request, &judge));
    sent.err().unwrap().attempts()
}

#[test]
fn each_host_and_port_has_its_own_budget() {
    let transport = ScriptedTransport::by(|_, _| down());
    let budgets = RetryBudgets::default();
    while attempts(&transport, &budgets, "http://a.test/x") == 3 {}
    for (url, count) in [
        ("http://a.test/y?z", 1),
        ("http://A.test/x", 1),
        ("http://b.test/x", 3),
        ("http://a.test:81/x", 3),
        ("http://a.test/x", 1),
    ] {
        assert_eq!(attempts(&transport, &budgets, url), count, "{url}");
    }
}

#[test]
fn the_hosts_that_were_used_last_are_kept() {
    let transport = ScriptedTransport::by(|_, _| down());
    let budgets = RetryBudgets::default();
    while attempts(&transport, &budgets, "http://a.test/x") == 3 {}
    for host in 0..100 {
        let url = format!("http://{host}.test/x");
        assert_eq!(attempts(&transport, &budgets, &url), 3);
        assert_eq!(attempts(&transport, &budgets, "http://a.test/x"), 1);
    }
    for host in 0..16 {
        attempts(&transport, &budgets, &format!("http://{host}.test/x"));
    }
    // It was forgotten, so that a service cannot fill the memory with hosts.
    assert_eq!(attempts(&transport, &budgets, "http://a.test/x"), 3);
}

/// Every provider, with every way in which it gets a key or a session.
fn clients(transport: &ScriptedTransport) -> Vec<(&'static str, Box<dyn Provider>)> {
    let policy = policy().budget(Some(4));
    let cookies = Cookies::from_text("__Secure-session-token=a-secret-of-the-test").unwrap();
    macro_rules! build {
        ($builder:expr) => {
            Box::new(
                $builder
                    .transport(transport.clone())
                    .retry(policy)
                    .build()
                    .unwrap(),
            )
        };
    }
    vec![
        ("compatible", build!(Compatible::new("http://a.test/v1"))),
        ("cablyai", build!(CablyAi::builder().api_key("a-key"))),
        ("cerebras", build!(Cerebras::builder().api_key("a-key"))),
        (
            "cerebras with cookies",
            build!(Cerebras::builder().cookies(cookies)),
        ),
        (
            "workers ai",
            build!(
                Cloudflare::builder()
                    .account_id("0123456789abcdef0123456789abcdef")
                    .api_token("a-token")
            ),
        ),
        ("playground", build!(Cloudflare::builder().playground())),
        ("agent", build!(Cloudflare::builder().playground_agent())),
        ("replicate", build!(Replicate::builder().api_key("a-key"))),
    ]
}

#[test]
fn the_calls_of_every_client_share_a_budget() {
    let transport = ScriptedTransport::by(|_, _| asked());
    for (name, client) in clients(&transport) {
        let call = || -> Error {
            let model = match name {
                "replicate" => "meta/meta-llama-3-70b-instruct",
                _ => "m",
            };
            let request = ChatRequest::new(model).user("Hi");
            transport.block_on(client.chat(request)).unwrap_err()
        };
        for attempts in [3, 3, 1, 1] {
            let before = transport.requests().len();
            let error = call();
            assert_eq!(error.attempts(), attempts, "{name}: {error}");
            let sent = transport.requests().len() - before;
            assert_eq!(sent, attempts as usize, "{name}");
            assert_eq!(error.is_retry_budget_exhausted(), attempts == 1, "{name}");
        }
    }
}
