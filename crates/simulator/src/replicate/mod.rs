//! A request to Replicate in, what the server does about it out.

mod create;
mod event;
mod model;
mod object;
mod prediction;
mod refusal;
mod request;
mod stream;
mod time;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{StatusCode, request::Parts};
use serde_json::json;

use crate::{
    replicate::{object::View, prediction::Prediction, request::Target},
    reply::{Outcome, Reply},
    route::is_authorized,
    server::Shared,
};

pub use self::stream::Resume;
pub(crate) use self::{refusal::too_large, stream::answer as stream};

/// The most predictions that are kept.
///
/// Tests create dozens; a server that runs for days must not grow with each.
const MAX_PREDICTIONS: usize = 1000;

/// What all connections know of the predictions.
#[derive(Debug)]
pub(crate) struct Replicate {
    /// The URL of the API.
    pub(crate) url: String,
    /// The URL of all streams.
    streams_url: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many predictions there were.
    created: u64,
    /// The last of them, oldest first.
    predictions: VecDeque<Arc<Prediction>>,
}

impl Replicate {
    pub(crate) fn new(scheme: &str, address: SocketAddr, stream_address: SocketAddr) -> Self {
        Self {
            url: format!("{scheme}://{address}/replicate/v1"),
            streams_url: format!("{scheme}://{stream_address}/v1/streams"),
            state: Mutex::default(),
        }
    }

    /// Keeps the prediction that is made for the next number.
    fn create(&self, make: impl FnOnce(u64) -> Prediction) -> Arc<Prediction> {
        let mut state = self.state();
        let prediction = Arc::new(make(state.created));
        state.created += 1;
        if state.predictions.len() == MAX_PREDICTIONS {
            state.predictions.pop_front();
        }
        state.predictions.push_back(prediction.clone());
        prediction
    }

    fn find(&self, is_it: impl Fn(&Prediction) -> bool) -> Option<Arc<Prediction>> {
        let state = self.state();
        let mut predictions = state.predictions.iter();
        predictions.find(|prediction| is_it(prediction)).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a request to the API; the path is what follows its version.
pub(crate) async fn answer(shared: &Shared, head: &Parts, path: &str, body: &[u8]) -> Outcome {
    let segments: Vec<_> = path.split('/').collect();
    let method = head.method.as_str();
    let target = match (method, &segments[..]) {
        ("POST", ["models", owner, name, "predictions"]) => Some(Target::Model(owner, name)),
        ("POST", ["deployments", owner, name, "predictions"]) => {
            Some(Target::Deployment(owner, name))
        }
        ("POST", ["predictions"]) => Some(Target::Version),
        _ => None,
    };
    let authorized = is_authorized(&shared.settings, &head.headers, &["Bearer ", "Token "]);
    match target {
        Some(target) => create::answer(shared, &target, &head.headers, authorized, body).await,
        None => Outcome::Reply(look_up(shared, head, &segments, authorized, body)),
    }
}

/// Answers a request that creates nothing.
fn look_up(
    shared: &Shared,
    head: &Parts,
    segments: &[&str],
    authorized: bool,
    body: &[u8],
) -> Reply {
    let replicate = &shared.replicate;
    let method = head.method.as_str();
    match (method, segments) {
        ("GET", ["predictions", _]) => shared.counter.add(|counts| &mut counts.gets),
        ("POST", ["predictions", _, "cancel"]) => {
            shared.counter.add(|counts| &mut counts.cancels);
        }
        _ => {}
    }
    if !authorized {
        return refusal::unauthenticated();
    }
    let url = &replicate.url;
    match (method, segments) {
        ("GET", ["predictions"]) => list(replicate),
        ("GET", ["predictions", id]) => match replicate.find(|known| known.id == *id) {
            Some(prediction) => object::reply(replicate, &prediction, View::Now),
            None => refusal::not_found(),
        },
        ("POST", ["predictions", id, "cancel"]) => match replicate.find(|known| known.id == *id) {
            Some(prediction) => {
                prediction.cancel();
                object::reply(replicate, &prediction, View::Now)
            }
            None => refusal::not_found(),
        },
        ("GET", ["models"]) => model::list(url, head.uri.query()),
        ("QUERY", ["models"]) => model::asked(body),
        ("GET", ["search"]) => model::search(head.uri.query()),
        ("GET", ["models", owner, name]) => model::one(owner, name),
        ("GET", ["models", owner, name, "versions"]) => model::versions(owner, name),
        ("GET", ["models", owner, name, "versions", id]) => model::version(owner, name, id),
        ("GET", ["collections"]) => model::collections(),
        ("GET", ["collections", slug]) => model::collection(slug),
        ("GET", ["account"]) => account(),
        _ => refusal::not_found(),
    }
}

/// Lists the predictions, newest first.
fn list(replicate: &Replicate) -> Reply {
    let predictions: Vec<_> = replicate.state().predictions.iter().cloned().collect();
    let results = predictions.iter().rev();
    let results = results.map(|prediction| object::value(replicate, prediction, View::Now));
    let results: Vec<_> = results.collect();
    ok(&json!({"previous": null, "next": null, "results": results}))
}

fn account() -> Reply {
    ok(&json!({
        "type": "organization",
        "username": "simulated",
        "name": "Simulated",
        "avatar_url": null,
        "github_url": null,
    }))
}

/// Answers with JSON, and with the limits that every answer of the API tells.
fn ok(value: &impl serde::Serialize) -> Reply {
    refusal::limits(Reply::value(StatusCode::OK, value))
}
