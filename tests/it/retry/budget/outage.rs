//! A total outage under load: how many requests it costs, and how it ends.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use inferstream_core::{Error, ErrorKind, RetryPolicy, Timer as _};
use inferstream_openai_compat::Compatible;
use inferstream_test::{Clock, Reply, ScriptedTransport};

use super::{down, hi, up};
use crate::{retry::millis, support::seconds};

/// The number of calls per second.
const RATE: u32 = 200;

/// What a service and its callers saw.
struct Load {
    /// When each request arrived.
    requests: Vec<Duration>,
    /// When each call began and ended, and whether it succeeded.
    calls: Vec<(Duration, Duration, bool)>,
}

impl Load {
    /// Returns the number of requests from one time to another.
    fn requests(&self, from: Duration, to: Duration) -> usize {
        let within = |time: &&Duration| from <= **time && **time < to;
        self.requests.iter().filter(within).count()
    }
}

/// Makes 200 calls per second, for 6 s longer than an outage with these refusals lasts. The refusal
/// may depend on the rest of the outage.
fn load(outage: Duration, refusal: impl Fn(Duration) -> Reply + Send + Sync + 'static) -> Load {
    let clock = Clock::new();
    let requests: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let (time, log) = (clock.clone(), Arc::clone(&requests));
    let transport = ScriptedTransport::by(move |_, _| {
        let now = time.elapsed();
        log.lock().unwrap().push(now);
        match outage.checked_sub(now) {
            None | Some(Duration::ZERO) => up(),
            Some(rest) => refusal(rest),
        }
    });
    let builder = Compatible::new("http://a.test/v1").transport(transport.with_clock(&clock));
    // 100 calls wait at once for a hint of 60 s, and none may end for another reason.
    let client = builder.retry(RetryPolicy::default().max_elapsed(seconds(600)));
    let client = client.build().unwrap();
    let end = outage + seconds(6);
    let interval = seconds(1) / RATE;
    let begin = |index: u32| {
        let (clock, client) = (clock.clone(), client.clone());
        async move {
            let at = interval * index;
            clock.sleep(at).await;
            let outcome = client.chat(hi()).await;
            (at, clock.elapsed(), outcome.is_ok())
        }
    };
    let count = u32::try_from(end.as_secs()).unwrap() * RATE;
    let calls = clock.block_on(join_all((0..count).map(begin)));
    let requests = std::mem::take(&mut *requests.lock().unwrap());
    Load { requests, calls }
}

/// Checks the limits for an outage.
#[track_caller]
fn check(
    name: &str,
    outage: Duration,
    refusal: impl Fn(Duration) -> Reply + Send + Sync + 'static,
) {
    let load = load(outage, refusal);
    let calls = load.calls.iter().filter(|(at, ..)| *at < outage).count();
    let requests = load.requests(Duration::ZERO, outage);
    assert!(calls <= requests, "{name}");
    assert!(
        requests * 10 <= calls * 12,
        "{name}: {requests} requests for {calls} calls"
    );
    let successes = load.calls.iter().filter(|(.., succeeded)| *succeeded);
    let first = successes.map(|(_, end, _)| *end).min().unwrap();
    assert!(first <= outage + seconds(2), "{name}: {first:?}");
    for (at, _, succeeded) in &load.calls {
        assert!(
            *at < outage || *succeeded,
            "{name}: a call at {at:?} failed"
        );
    }
    // Any second after the end.
    for start in (0..5000).step_by(50) {
        let from = outage + millis(start);
        let count = load.requests(from, from + seconds(1));
        let most = RATE as usize * 3 / 2;
        assert!(count <= most, "{name}: {count} requests from {from:?}");
    }
}

#[test]
fn an_outage_of_a_minute_costs_few_requests() {
    check("503", seconds(60), |_| down());
    check("503 with a hint", seconds(60), |_| {
        down().header("retry-after", "5")
    });
    check("no connection", seconds(60), |_| {
        Reply::error(Error::new(ErrorKind::Connect, "refused"))
    });
}

#[test]
fn calls_that_wait_for_the_end_of_an_outage_do_not_come_at_once() {
    for outage in [20, 30, 60] {
        let until = |rest: Duration| {
            let rest = rest.as_secs_f64().to_string();
            Reply::json(429, "{}").header("retry-after", rest)
        };
        check("429 until the end", seconds(outage), until);
    }
}

#[test]
fn a_short_outage_costs_at_most_the_full_budget() {
    let retries = |refusal: fn() -> Reply| {
        let load = load(seconds(1), move |_| refusal());
        load.requests.len() - load.calls.len()
    };
    // More by the tokens that return within the second.
    assert!((20..=22).contains(&retries(down)));
    let asked = || Reply::json(429, "{}").header("retry-after", "1");
    assert!((100..=102).contains(&retries(asked)));
}
