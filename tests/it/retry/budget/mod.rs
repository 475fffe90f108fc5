//! The retry budget: what costs and returns tokens, and which calls share them.

mod clients;
mod laws;
mod outage;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use inferstream_core::{ChatRequest, Error, ErrorKind, RetryPolicy};
use inferstream_openai_compat::Compatible;
use inferstream_test::{Reply, ScriptedTransport};

const DOCUMENT: &str =
    r#"{"choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;

fn hi() -> ChatRequest {
    ChatRequest::new("m").user("Hi")
}

fn down() -> Reply {
    Reply::json(503, r#"{"error":{"message":"down for maintenance"}}"#)
}

/// A refusal whose hint does not lengthen the wait.
fn asked() -> Reply {
    Reply::json(429, "{}").header("retry-after", "0")
}

fn up() -> Reply {
    Reply::json(200, DOCUMENT)
}

/// A policy without waits, so that no time passes.
fn policy() -> RetryPolicy {
    RetryPolicy::default().base_delay(Duration::ZERO)
}

/// A service with a queue of responses.
struct Service {
    transport: ScriptedTransport,
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

impl Service {
    fn new() -> Self {
        let replies: Arc<Mutex<VecDeque<Reply>>> = Arc::default();
        let queue = Arc::clone(&replies);
        let next = move || queue.lock().unwrap().pop_front().unwrap();
        let transport = ScriptedTransport::by(move |_, _| next());
        Self { transport, replies }
    }

    fn push(&self, replies: impl IntoIterator<Item = Reply>) {
        self.replies.lock().unwrap().extend(replies);
    }

    fn clear(&self) {
        self.replies.lock().unwrap().clear();
    }

    fn count(&self) -> usize {
        self.transport.requests().len()
    }
}

fn client(service: &Service, policy: RetryPolicy) -> Compatible {
    let builder = Compatible::new("http://a.test/v1").transport(service.transport.clone());
    builder.retry(policy).build().unwrap()
}

/// Makes a call whose attempts all fail with this refusal. Returns the error.
#[track_caller]
fn fail(service: &Service, client: &Compatible, refusal: &Reply) -> Error {
    service.push(std::iter::repeat_n(refusal.clone(), 3));
    let before = service.count();
    let error = service.transport.block_on(client.chat(hi())).unwrap_err();
    service.clear();
    assert_eq!(error.attempts() as usize, service.count() - before);
    error
}

/// Makes a call that succeeds at once.
#[track_caller]
fn succeed(service: &Service, client: &Compatible) {
    service.push([up()]);
    service.transport.block_on(client.chat(hi())).unwrap();
}

/// Makes calls until one is not sent again. Returns the number of retries.
#[track_caller]
fn exhaust(service: &Service, client: &Compatible, refusal: &Reply) -> u32 {
    let mut retries = 0;
    loop {
        let error = fail(service, client, refusal);
        retries += error.attempts() - 1;
        if error.is_retry_budget_exhausted() {
            return retries;
        }
    }
}

#[test]
fn ten_calls_in_a_row_may_fail_after_three_attempts() {
    let service = Service::new();
    let client = client(&service, policy());
    for _ in 0..10 {
        let error = fail(&service, &client, &down());
        assert_eq!(error.attempts(), 3);
        assert!(!error.is_retry_budget_exhausted());
    }
    let error = fail(&service, &client, &down());
    assert_eq!(error.attempts(), 1);
    assert!(error.is_retry_budget_exhausted());
}

#[test]
fn a_retry_that_the_service_asked_for_costs_a_fifth() {
    let retries = |refusal| {
        let service = Service::new();
        exhaust(&service, &client(&service, policy()), &refusal)
    };
    assert_eq!(retries(down()), 20);
    assert_eq!(retries(Reply::empty(429)), 20);
    assert_eq!(retries(asked()), 100);
    assert_eq!(retries(down().header("retry-after", "0")), 100);
    assert_eq!(retries(down().header("retry-after", "soon")), 20);
}

#[test]
fn a_success_returns_one_token() {
    let service = Service::new();
    let client = client(&service, policy());
    exhaust(&service, &client, &down());
    for _ in 0..4 {
        succeed(&service, &client);
    }
    assert_eq!(exhaust(&service, &client, &down()), 0);
    succeed(&service, &client);
    assert_eq!(exhaust(&service, &client, &down()), 1);
    // An error that is not retried returns none.
    for _ in 0..10 {
        fail(&service, &client, &Reply::json(400, "{}"));
    }
    assert_eq!(exhaust(&service, &client, &down()), 0);
}

#[test]
fn a_second_returns_one_token() {
    let service = Service::new();
    let client = client(&service, policy());
    exhaust(&service, &client, &down());
    service
        .transport
        .clock()
        .advance(Duration::from_millis(4999));
    assert_eq!(exhaust(&service, &client, &down()), 0);
    service.transport.clock().advance(Duration::from_millis(1));
    assert_eq!(exhaust(&service, &client, &down()), 1);
}

#[test]
fn a_full_budget_does_not_grow() {
    let service = Service::new();
    let client = client(&service, policy());
    for _ in 0..50 {
        succeed(&service, &client);
    }
    service.transport.clock().advance(Duration::from_secs(1000));
    assert_eq!(exhaust(&service, &client, &down()), 20);
}

#[test]
fn calls_at_a_rate_limit_may_wait_without_end() {
    let service = Service::new();
    let client = client(&service, policy());
    for _ in 0..1000 {
        service.push([asked(), up()]);
        let response = service.transport.block_on(client.chat(hi())).unwrap();
        assert_eq!(response.meta.attempts, 2);
    }
}

#[test]
fn the_error_of_an_exhausted_budget_is_the_last_one() {
    let service = Service::new();
    let client = client(&service, policy().budget(Some(1)));
    let refusal = down().header("retry-after", "0");
    let error = fail(&service, &client, &refusal);
    let expected = error.clone();
    assert_eq!(error.attempts(), 2);
    assert_eq!(error.status().unwrap().as_u16(), 503);
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(error.provider_message(), Some("down for maintenance"));
    assert_eq!(error.retry_after(), Some(Duration::ZERO));
    assert!(error.is_retryable());
    assert_eq!(
        error.to_string(),
        "openai-compat returned 503 Service Unavailable: down for maintenance; not sent again: the \
         client's retry budget is exhausted"
    );
    // Whatever wraps the message keeps the reason.
    let wrapped = expected.map_message(|_| "other".to_owned()).context("a");
    assert_eq!(
        wrapped.to_string(),
        "a: other; not sent again: the client's retry budget is exhausted"
    );
    assert!(wrapped.is_retry_budget_exhausted());
    // The omitted retry is not announced.
    assert_eq!(service.transport.retries().len(), 1);
}

#[test]
fn only_an_omitted_retry_exhausts_a_budget() {
    let service = Service::new();
    let client = client(&service, policy().budget(Some(0)));
    for refusal in [Reply::json(400, "{}"), Reply::json(401, "{}")] {
        assert!(!fail(&service, &client, &refusal).is_retry_budget_exhausted());
    }
    let too_long = Reply::empty(429).header("retry-after", "86400");
    assert!(!fail(&service, &client, &too_long).is_retry_budget_exhausted());
    let error = fail(&service, &client, &down());
    assert!(error.is_retry_budget_exhausted());
    assert_eq!(error.attempts(), 1);
}

#[test]
fn a_budget_can_be_sized_and_turned_off() {
    for (size, retries) in [(0, 0), (4, 0), (5, 1), (500, 100)] {
        let service = Service::new();
        let client = client(&service, policy().budget(Some(size)));
        assert_eq!(
            exhaust(&service, &client, &down()),
            retries,
            "{size} tokens"
        );
    }
    let service = Service::new();
    let client = client(&service, policy().budget(None));
    for _ in 0..300 {
        assert_eq!(fail(&service, &client, &down()).attempts(), 3);
    }
}

#[test]
fn a_request_may_have_a_larger_budget() {
    let service = Service::new();
    let client = client(&service, policy());
    exhaust(&service, &client, &down());
    let attempts = |policy| {
        service.push(std::iter::repeat_n(down(), 3));
        let error = service.transport.block_on(client.chat(hi().retry(policy)));
        service.clear();
        error.unwrap_err().attempts()
    };
    assert_eq!(attempts(policy().budget(Some(105))), 2);
    assert_eq!(attempts(policy()), 1);
    // It uses no tokens.
    for _ in 0..10 {
        assert_eq!(attempts(policy().budget(None)), 3);
    }
    service.transport.clock().advance(Duration::from_secs(10));
    assert_eq!(exhaust(&service, &client, &down()), 1);
}
