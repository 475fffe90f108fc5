//! The AI playground.

mod agent;
mod data_stream;
mod inference;
mod oldest;
mod protocol;
mod refusal;
mod request;
mod session;
mod store;
mod ui_stream;

use http::{HeaderName, Method, StatusCode, header::CONTENT_ENCODING, request::Parts};
use serde_json::json;

use crate::{
    damage,
    fault::Fault,
    outcome::Outcome,
    page,
    playground::{
        inference::Inference,
        refusal::{challenge, instead, is_refused, status, ticketed},
        request::Request,
        session::Cookies,
    },
    reply::Reply,
    script::{Script, Scripted},
    workers_ai::model_names,
};

pub use self::protocol::PlaygroundProtocol;
pub(crate) use self::store::Playground;

/// The path prefix of agents.
const AGENTS: &str = "agents/playground/";

/// The content type of all protocols but the oldest.
const UNKNOWN: &str = "text/x-unknown";

/// The page after the challenge was passed.
const APP: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Workers AI LLM Playground (simulated)</title></head>\n<body>\n<h1>Simulated playground</h1>\n<p>No model runs here.</p>\n</body>\n</html>\n";

/// Handles a request; the path is relative to the playground's.
pub(crate) fn answer(playground: &Playground, head: &Parts, path: &str, body: &[u8]) -> Outcome {
    let cookies = Cookies::read(&head.headers);
    if let Some(path) = path.strip_prefix(AGENTS) {
        return agent::answer(playground, head, &cookies, path);
    }
    match (&head.method, path) {
        (&Method::GET, "") => {
            playground.shared.counter.add(|counts| &mut counts.pages);
            Outcome::Reply(if playground.sessions.is_valid(&cookies) {
                ticketed(playground, Reply::text(StatusCode::OK, page::HTML, APP))
            } else {
                challenge(playground)
            })
        }
        (&Method::GET, "api/models") if is_refused(playground, &cookies) => {
            Outcome::Reply(challenge(playground))
        }
        (&Method::GET, "api/models") => {
            let models: Vec<_> = model_names().map(|name| json!({"name": name})).collect();
            let reply = Reply::value(StatusCode::OK, &json!({"models": models}));
            Outcome::Reply(ticketed(playground, reply))
        }
        (&Method::POST, "api/inference") => infer(playground, &cookies, body),
        _ => Outcome::Reply(status(404)),
    }
}

fn infer(playground: &Playground, cookies: &Cookies, body: &[u8]) -> Outcome {
    playground
        .shared
        .counter
        .add(|counts| &mut counts.inferences);
    let mut script = playground.shared.script();
    if script.raw_is_next() {
        return script.next_raw(|fault| instead(playground, cookies, fault));
    }
    if is_refused(playground, cookies) {
        return Outcome::Reply(challenge(playground));
    }
    match inferred(playground, &mut script, cookies, body) {
        Outcome::Reply(reply) => Outcome::Reply(ticketed(playground, reply)),
        outcome => outcome,
    }
}

fn inferred(
    playground: &Playground,
    script: &mut Script,
    cookies: &Cookies,
    body: &[u8],
) -> Outcome {
    let Some(request) = Request::parse(body) else {
        return Outcome::Reply(status(400));
    };
    let fault = script.next_fault();
    let instead = fault
        .as_ref()
        .and_then(|fault| instead(playground, cookies, fault));
    if let Some(outcome) = instead {
        return outcome;
    }
    let tokens = match script.next_answer() {
        Some(Scripted::Raw(reply)) => return Outcome::Reply(reply),
        Some(Scripted::Tokens(tokens)) => Some(tokens),
        None => None,
    };
    let settings = &playground.shared.settings;
    let inference = Inference::new(settings.seed, &request, tokens.as_ref());
    let stream = |events, error| damage::stream(events, fault.as_ref(), settings.pace, error);
    let reply =
        |pieces| Reply::new(StatusCode::OK, UNKNOWN, pieces).header(CONTENT_ENCODING, "identity");
    let reply = match playground.protocol {
        PlaygroundProtocol::Oldest => Reply::new(
            StatusCode::OK,
            "text/event-stream",
            stream(oldest::stream(&inference), oldest::ERROR),
        ),
        PlaygroundProtocol::V4 => {
            reply(stream(data_stream::stream(&inference), data_stream::ERROR))
                .header(HeaderName::from_static("x-vercel-ai-data-stream"), "v1")
        }
        PlaygroundProtocol::V5 => reply(stream(ui_stream::stream(&inference), ui_stream::ERROR))
            .header(
                HeaderName::from_static("x-vercel-ai-ui-message-stream"),
                "v1",
            ),
    };
    Outcome::Reply(reply.wire(fault.as_ref().and_then(Fault::wire)))
}
