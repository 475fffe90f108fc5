//! A chat request in, what the server does about it out.

mod completion;
mod damage;
mod encode;
mod request;
mod sample;

use std::time::Duration;

use http::{HeaderName, StatusCode};

use crate::{
    chat::{completion::Completion, request::ChatRequest},
    fault::Fault,
    reply::{self, Outcome, Reply, wrong_key},
    script::{Script, Scripted},
    server::Settings,
};

pub(crate) fn answer(
    settings: &Settings,
    script: &mut Script,
    authorized: bool,
    body: &[u8],
) -> Outcome {
    if script.raw_is_next() {
        return script.next_raw(reply::fault);
    }
    if !authorized {
        return Outcome::Reply(wrong_key());
    }
    let request = match ChatRequest::parse(body) {
        Ok(request) => request,
        Err(refusal) => return Outcome::Reply(*refusal),
    };
    let fault = script.next_fault();
    if let Some(outcome) = fault.as_ref().and_then(|fault| fault.instead(reply::fault)) {
        return outcome;
    }
    let completion = match script.next_answer() {
        Some(Scripted::Raw(reply)) => return Outcome::Reply(reply),
        Some(Scripted::Tokens(tokens)) => Completion::scripted(settings.seed, &request, &tokens),
        None => Completion::generate(settings.seed, &request),
    };
    Outcome::Reply(encoded(
        &completion,
        request.stream,
        fault.as_ref(),
        settings.pace,
    ))
}

fn encoded(
    completion: &Completion,
    stream: bool,
    fault: Option<&Fault>,
    pace: Option<Duration>,
) -> Reply {
    let reply = if stream {
        Reply::new(
            StatusCode::OK,
            "text/event-stream; charset=utf-8",
            damage::stream(encode::stream(completion), fault, pace),
        )
    } else {
        let time = pace.map_or(Duration::ZERO, |pace| {
            pace.saturating_mul(u32::try_from(completion.tokens()).unwrap_or(u32::MAX))
        });
        damage::whole(encode::whole(completion), fault).delay(time)
    };
    reply
        .rate_limits()
        .header(HeaderName::from_static("inference-id"), &completion.id)
}
