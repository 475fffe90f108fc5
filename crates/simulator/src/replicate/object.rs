//! The JSON of a prediction, with keys in the recorded order.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::{
    fault::Fault,
    replicate::{
        prediction::{Prediction, State, Status},
        response::ok,
        store::Replicate,
        time,
    },
    reply::Reply,
};

/// The state of a prediction to show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum View {
    /// The state at creation.
    First,
    /// The current state.
    Now,
}

#[derive(Serialize)]
pub(super) struct Object<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    model: &'a str,
    version: &'a str,
    input: &'a Value,
    logs: &'a str,
    output: Option<&'a [String]>,
    error: Option<&'a str>,
    status: Status,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<&'a str>,
    data_removed: bool,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Metrics>,
    urls: Urls,
}

#[derive(Serialize)]
struct Metrics {
    predict_time: f64,
    total_time: f64,
    input_token_count: usize,
    output_token_count: usize,
    time_to_first_token: f64,
    tokens_per_second: f64,
}

#[derive(Serialize)]
struct Urls {
    cancel: String,
    get: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    web: String,
}

pub(super) fn reply(replicate: &Replicate, prediction: &Prediction, view: View) -> Reply {
    ok(&object(replicate, prediction, view))
}

pub(super) fn value(replicate: &Replicate, prediction: &Prediction, view: View) -> Value {
    serde_json::to_value(object(replicate, prediction, view)).unwrap_or_default()
}

pub(super) fn object<'a>(
    replicate: &Replicate,
    prediction: &'a Prediction,
    view: View,
) -> Object<'a> {
    let state = match view {
        View::First => prediction.first_state(),
        View::Now => prediction.state(),
    };
    let request = &prediction.request;
    let stamp = |after: Duration| time::stamp(prediction.seconds, after);
    let tokens = prediction.tokens.get(..state.tokens).unwrap_or_default();
    let has_output = !tokens.is_empty() || state.status == Status::Succeeded;
    Object {
        id: Some(&prediction.id),
        model: &request.model,
        version: &request.version,
        input: &request.input,
        logs: match state.started {
            Some(_) => &prediction.logs,
            None => "",
        },
        output: has_output.then_some(tokens),
        error: prediction.error(&state),
        status: state.status,
        created_at: stamp(Duration::ZERO),
        started_at: state.started.map(stamp),
        completed_at: state.ended.map(stamp),
        deadline: request.deadline.map(stamp),
        deployment: request.deployment.as_deref(),
        data_removed: false,
        source: "api",
        metrics: metrics(prediction, &state),
        urls: urls(replicate, prediction),
    }
}

fn metrics(prediction: &Prediction, state: &State) -> Option<Metrics> {
    let run = prediction.run_time(state)?;
    let boot = state.started.unwrap_or_default();
    let tokens = u32::try_from(state.tokens).unwrap_or(u32::MAX);
    let predict_time = run.as_secs_f64();
    Some(Metrics {
        predict_time,
        total_time: boot.saturating_add(run).as_secs_f64(),
        input_token_count: prediction.request.prompt_tokens,
        output_token_count: state.tokens,
        time_to_first_token: prediction.first_token_time().as_secs_f64(),
        tokens_per_second: match tokens {
            0 => 0.0,
            tokens => f64::from(tokens) / predict_time,
        },
    })
}

fn urls(replicate: &Replicate, prediction: &Prediction) -> Urls {
    let (id, token) = (&prediction.id, &prediction.token);
    let url = format!("{}/predictions/{id}", replicate.url);
    Urls {
        cancel: match prediction.fault {
            Some(Fault::EvilCancel) => {
                format!("http://api.replicate.com.evil.example/v1/predictions/{id}/cancel")
            }
            _ => format!("{url}/cancel"),
        },
        get: url,
        stream: match prediction.fault {
            _ if !prediction.request.streams => None,
            Some(Fault::NoUrl) => None,
            Some(Fault::EvilHost) => Some(format!(
                "https://stream.replicate.com.evil.example/v1/streams/{token}"
            )),
            _ => Some(format!("{}/{token}", replicate.streams_url)),
        },
        web: format!("https://replicate.com/p/{id}"),
    }
}
