//! A request to the playground in, what the server does about it out.

mod agent;
mod data_stream;
mod oldest;
mod request;
mod session;
mod ui_stream;

use std::sync::PoisonError;

use fastrand::Rng;
use http::{
    HeaderName, Method, StatusCode,
    header::{CONTENT_ENCODING, RETRY_AFTER, SET_COOKIE},
    request::Parts,
};
use serde_json::json;

use crate::{
    answer::Tokens,
    damage,
    dice::{OFFSET, hash},
    fault::Fault,
    page,
    playground::{request::Request, session::Cookies},
    reply::{Outcome, Reply},
    script::{Script, Scripted},
    server::Shared,
    speech::Speech,
    workers_ai::model_names,
};

pub(crate) use self::{
    agent::{Agent, Agents, serve as serve_agent},
    session::Sessions,
};

/// What the paths of agents begin with.
const AGENTS: &str = "agents/playground/";

/// The type of all answers but the oldest, which says nothing.
const UNKNOWN: &str = "text/x-unknown";

/// The page of those who passed the challenge.
const APP: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Workers AI LLM Playground (simulated)</title></head>\n<body>\n<h1>Simulated playground</h1>\n<p>No model runs here.</p>\n</body>\n</html>\n";

/// The protocol of the playground's answers, as it had one after the other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum PlaygroundProtocol {
    /// Events with `response`, as Workers AI has them, until March 2025.
    Oldest,
    /// The data stream of version 4 of Vercel's AI SDK, until August 2025.
    #[default]
    V4,
    /// The UI message stream of its version 5, until October 2025.
    V5,
}

/// Everything that the wire tells of one answer.
#[derive(Debug)]
struct Inference {
    id: String,
    prompt_tokens: usize,
    /// One after the other; there is one at least.
    steps: Vec<Speech>,
}

/// Answers a request; the path is what follows the playground's own.
pub(crate) fn answer(shared: &Shared, head: &Parts, path: &str, body: &[u8]) -> Outcome {
    let cookies = Cookies::read(&head.headers);
    if let Some(path) = path.strip_prefix(AGENTS) {
        return agent::answer(shared, head, &cookies, path);
    }
    match (&head.method, path) {
        (&Method::GET, "") => {
            shared.counter.add(|counts| &mut counts.pages);
            Outcome::Reply(if shared.sessions.is_valid(&cookies) {
                ticketed(shared, Reply::text(StatusCode::OK, page::HTML, APP))
            } else {
                challenge(shared)
            })
        }
        (&Method::GET, "api/models") if is_refused(shared, &cookies) => {
            Outcome::Reply(challenge(shared))
        }
        (&Method::GET, "api/models") => {
            let models: Vec<_> = model_names().map(|name| json!({"name": name})).collect();
            let reply = Reply::value(StatusCode::OK, &json!({"models": models}));
            Outcome::Reply(ticketed(shared, reply))
        }
        (&Method::POST, "api/inference") => infer(shared, &cookies, body),
        _ => Outcome::Reply(status(404)),
    }
}

fn infer(shared: &Shared, cookies: &Cookies, body: &[u8]) -> Outcome {
    shared.counter.add(|counts| &mut counts.inferences);
    let mut script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
    if script.raw_is_next() {
        return script.next_raw(|fault| instead(shared, cookies, fault));
    }
    if is_refused(shared, cookies) {
        return Outcome::Reply(challenge(shared));
    }
    match inferred(shared, &mut script, cookies, body) {
        Outcome::Reply(reply) => Outcome::Reply(ticketed(shared, reply)),
        outcome => outcome,
    }
}

fn inferred(shared: &Shared, script: &mut Script, cookies: &Cookies, body: &[u8]) -> Outcome {
    let Some(request) = Request::parse(body) else {
        return Outcome::Reply(status(400));
    };
    let fault = script.next_fault();
    let instead = fault
        .as_ref()
        .and_then(|fault| instead(shared, cookies, fault));
    if let Some(outcome) = instead {
        return outcome;
    }
    let tokens = match script.next_answer() {
        Some(Scripted::Raw(reply)) => return Outcome::Reply(reply),
        Some(Scripted::Tokens(tokens)) => Some(tokens),
        None => None,
    };
    let settings = &shared.settings;
    let inference = Inference::new(settings.seed, &request, tokens.as_ref());
    let stream = |events, error| damage::stream(events, fault.as_ref(), settings.pace, error);
    let reply =
        |pieces| Reply::new(StatusCode::OK, UNKNOWN, pieces).header(CONTENT_ENCODING, "identity");
    Outcome::Reply(match settings.playground {
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
    })
}

impl Inference {
    fn new(seed: u64, request: &Request, script: Option<&Tokens>) -> Self {
        let seed = hash(&seed.to_le_bytes(), OFFSET);
        let mut rng = Rng::with_seed(hash(request.input_json.as_bytes(), seed));
        let mut steps = match script {
            Some(_) => Vec::new(),
            None => vec![Speech::generate(&mut rng, request.wish())],
        };
        let mut next = script;
        while let Some(tokens) = next {
            steps.push(Speech::scripted(&mut rng, tokens));
            next = tokens.next.as_deref();
        }
        for step in &mut steps {
            step.limit(request.limit);
        }
        Self {
            id: format!("msg-{:016x}", rng.u64(..)),
            prompt_tokens: request.prompt_tokens,
            steps,
        }
    }
}

/// Returns what the server does about a fault in the place of an answer.
fn instead(shared: &Shared, cookies: &Cookies, fault: &Fault) -> Option<Outcome> {
    let reply = match fault {
        Fault::Challenge => challenge(shared),
        Fault::Empty => Reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Expire => {
            shared.sessions.expire(cookies);
            status(401)
        }
        Fault::Html => page::unavailable(),
        Fault::Status {
            status: code,
            retry_after,
        } => match retry_after {
            Some(value) => status(*code).header(RETRY_AFTER, value),
            None => status(*code),
        },
        fault => return fault.instead(|code, _| status(code)),
    };
    Some(Outcome::Reply(reply))
}

fn is_refused(shared: &Shared, cookies: &Cookies) -> bool {
    shared.settings.challenge && !shared.sessions.is_valid(cookies)
}

/// Answers with the challenge, and with the cookie of a script that passes it.
fn challenge(shared: &Shared) -> Reply {
    ticketed(shared, page::challenge(&shared.sessions.clearance()))
}

/// Gives a new cookie of those that scripts cannot read.
fn ticketed(shared: &Shared, reply: Reply) -> Reply {
    reply.header(SET_COOKIE, &shared.sessions.ticket())
}

/// Answers with a status that says no, as the playground does: in a few words, or in none.
fn status(code: u16) -> Reply {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = match code {
        400 => return Reply::empty(status),
        404 => "Not found",
        _ => status.canonical_reason().unwrap_or_default(),
    };
    Reply::text(status, "text/plain;charset=UTF-8", text)
}
