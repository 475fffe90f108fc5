//! Replicate's API.

mod create;
mod event;
mod model;
mod object;
mod prediction;
mod refusal;
mod request;
mod response;
mod resume;
mod store;
mod stream;
mod time;

use http::request::Parts;
use serde_json::json;

use crate::{
    auth::is_authorized,
    outcome::Outcome,
    replicate::{object::View, request::Target, response::ok},
    reply::Reply,
};

pub use self::resume::Resume;
pub(crate) use self::{refusal::too_large, store::Replicate, stream::answer as stream};

/// Handles a request to the API; the path is what follows its version.
pub(crate) async fn answer(
    replicate: &Replicate,
    head: &Parts,
    path: &str,
    body: &[u8],
) -> Outcome {
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
    let authorized = is_authorized(
        &replicate.shared.settings,
        &head.headers,
        &["Bearer ", "Token "],
    );
    match target {
        Some(target) => create::answer(replicate, &target, &head.headers, authorized, body).await,
        None => Outcome::Reply(look_up(replicate, head, &segments, authorized, body)),
    }
}

/// Handles a request that creates nothing.
fn look_up(
    replicate: &Replicate,
    head: &Parts,
    segments: &[&str],
    authorized: bool,
    body: &[u8],
) -> Reply {
    let counter = &replicate.shared.counter;
    let method = head.method.as_str();
    match (method, segments) {
        ("GET", ["predictions", _]) => counter.add(|counts| &mut counts.gets),
        ("POST", ["predictions", _, "cancel"]) => {
            counter.add(|counts| &mut counts.cancels);
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
    let predictions = replicate.all();
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
