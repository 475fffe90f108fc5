//! Retries: which errors, how often, after which delay, and the headers that affect them.

mod attempts;
mod budget;
mod headers;
mod kinds;
mod waits;

use std::{
    future::ready,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use inferstream_client::error_of_head;
use inferstream_core::{Error, ErrorKind, RetryPolicy, protocol::RetryBudget};

use crate::support::{Script, block_on};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a policy on a request that always fails with this error. Returns the error and the delays.
fn run(policy: &RetryPolicy, total: Option<Duration>, error: &Error) -> (Error, Vec<Duration>) {
    let script = Script::new([]);
    let mut sent = 0;
    let budget = RetryBudget::default();
    let outcome = policy.run(&*script, total, &budget, |attempt| {
        sent += 1;
        assert_eq!(attempt, sent, "attempts count from 1");
        ready(Err::<(), _>(error.clone()))
    });
    let error = block_on(&script.clock, outcome).unwrap_err();
    assert_eq!(error.attempts(), sent);
    let mut sleeps = script.sleeps.lock().unwrap().clone();
    if total.is_some() {
        // The timeout of each attempt is a sleep, too.
        sleeps = sleeps.into_iter().skip(1).step_by(2).collect();
    }
    (error, sleeps)
}

/// An error after which the request certainly may be sent again.
fn busy() -> Error {
    Error::new(ErrorKind::Overloaded, "busy")
}

/// The error of a response with this status and these headers.
fn answer(status: u16, headers: &[(&'static str, &str)]) -> Error {
    let headers = header_map(headers);
    error_of_head(
        StatusCode::from_u16(status).unwrap(),
        &headers,
        SystemTime::UNIX_EPOCH,
    )
}

fn header_map(headers: &[(&'static str, &str)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect()
}
