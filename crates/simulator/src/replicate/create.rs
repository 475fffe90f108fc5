//! The creation of predictions.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, StatusCode};
use tokio::time::timeout;

use crate::{
    fault::Fault,
    outcome::Outcome,
    replicate::{
        object::{self, View},
        prediction::Prediction,
        refusal,
        request::{Request, Target},
        response::limits,
        store::Replicate,
    },
    reply::Reply,
    script::Scripted,
};

pub(super) async fn answer(
    replicate: &Replicate,
    target: &Target<'_>,
    headers: &HeaderMap,
    authorized: bool,
    body: &[u8],
) -> Outcome {
    replicate.shared.counter.add(|counts| &mut counts.creates);
    let prediction = match create(replicate, target, headers, authorized, body) {
        Ok(prediction) => prediction,
        Err(outcome) => return *outcome,
    };
    if prediction.fault == Some(Fault::Lost) {
        return Outcome::Close;
    }
    let Some(wait) = prediction.request.wait else {
        return Outcome::Reply(created(replicate, &prediction, View::First));
    };
    // The response shows the state, so a timeout needs no handling.
    drop(timeout(wait, prediction.until(|state| state.ended.is_some())).await);
    let reply = created(replicate, &prediction, View::Now);
    Outcome::Reply(reply.header(HeaderName::from_static("preference-applied"), "wait"))
}

/// Creates the prediction, or returns the outcome that replaces it.
fn create(
    replicate: &Replicate,
    target: &Target<'_>,
    headers: &HeaderMap,
    authorized: bool,
    body: &[u8],
) -> Result<Arc<Prediction>, Box<Outcome>> {
    let mut script = replicate.shared.script();
    if script.raw_is_next() {
        return Err(Box::new(
            script.next_raw(|fault| fault.instead(refusal::fault)),
        ));
    }
    let refuse = |reply| Box::new(Outcome::Reply(reply));
    if !authorized {
        return Err(refuse(refusal::unauthenticated()));
    }
    let request = Request::parse(target, headers, body).map_err(|refusal| refuse(*refusal))?;
    let fault = script.next_fault();
    let instead = fault
        .as_ref()
        .and_then(|fault| fault.instead(refusal::fault));
    if let Some(outcome) = instead {
        return Err(Box::new(outcome));
    }
    let tokens = match script.next_answer() {
        Some(Scripted::Raw(reply)) => return Err(refuse(reply)),
        Some(Scripted::Tokens(tokens)) => Some(tokens),
        None => None,
    };
    let settings = &replicate.shared.settings;
    let make = |number| Prediction::new(settings, number, request, tokens, fault);
    Ok(replicate.create(make))
}

/// Returns the response for a created prediction.
fn created(replicate: &Replicate, prediction: &Prediction, view: View) -> Reply {
    let mut object = object::object(replicate, prediction, view);
    if prediction.fault == Some(Fault::NoId) {
        object.id = None;
    }
    let mut body = serde_json::to_vec(&object).unwrap_or_default();
    if prediction.fault == Some(Fault::BadJson) {
        body.truncate(body.len() / 2);
    }
    let wire = match prediction.fault {
        Some(Fault::Create(fault)) => Some(fault),
        _ => None,
    };
    limits(Reply::json(StatusCode::CREATED, body).wire(wire))
}
