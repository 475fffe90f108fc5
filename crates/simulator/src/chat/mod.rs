//! The chat completions service.

mod completion;
mod encode;
pub(crate) mod refusal;
mod request;
mod schema;

use std::time::Duration;

use http::{HeaderName, StatusCode};

pub(crate) use self::request::Taste;
use crate::{
    chat::{completion::Completion, refusal::wrong_key, request::ChatRequest},
    damage,
    fault::Fault,
    outcome::Outcome,
    reply::Reply,
    script::{Script, Scripted},
    shared::Settings,
};

/// The error event that ends a failed stream.
const ERROR: &str = "data: {\"error\":{\"message\":\"Encountered a server error, please try again.\",\"type\":\"server_error\",\"param\":\"\",\"code\":\"server_error\",\"id\":\"\"},\"status_code\":500}\n\n";

pub(crate) fn answer(
    settings: &Settings,
    script: &mut Script,
    authorized: bool,
    taste: Taste,
    body: &[u8],
) -> Outcome {
    if script.raw_is_next() {
        return script.next_raw(|fault| fault.instead(refusal::fault));
    }
    if !authorized {
        return Outcome::Reply(wrong_key());
    }
    let request = match ChatRequest::parse(body, taste) {
        Ok(request) => request,
        Err(refusal) => return Outcome::Reply(*refusal),
    };
    let fault = script.next_fault();
    if let Some(outcome) = fault
        .as_ref()
        .and_then(|fault| fault.instead(refusal::fault))
    {
        return outcome;
    }
    let completion = match script.next_answer() {
        Some(Scripted::Raw(reply)) => return Outcome::Reply(reply),
        Some(Scripted::Tokens(tokens)) => Completion::scripted(settings.seed, &request, &tokens),
        None => Completion::generate(settings.seed, &request),
    };
    Outcome::Reply(encoded(
        &completion,
        &request,
        fault.as_ref(),
        settings.pace,
    ))
}

fn encoded(
    completion: &Completion,
    request: &ChatRequest,
    fault: Option<&Fault>,
    pace: Option<Duration>,
) -> Reply {
    let reply = if request.stream {
        Reply::new(
            StatusCode::OK,
            "text/event-stream; charset=utf-8",
            damage::stream(
                encode::stream(completion, request.taste),
                fault,
                pace,
                ERROR,
            ),
        )
    } else {
        let time = pace.map_or(Duration::ZERO, |pace| {
            pace.saturating_mul(u32::try_from(completion.tokens()).unwrap_or(u32::MAX))
        });
        let refusal = || refusal::fault(500, None);
        damage::whole(encode::whole(completion), fault, refusal).delay(time)
    };
    reply
        .wire(fault.and_then(Fault::wire))
        .rate_limits()
        .header(HeaderName::from_static("inference-id"), &completion.id)
}
