//! Workers AI, directly or through a gateway.

mod completion;
mod hybrid;
mod model;
mod native;
mod refusal;
mod request;

use std::time::Duration;

use fastrand::Rng;
use http::{HeaderMap, HeaderName, Method, StatusCode, request::Parts};

use crate::{
    auth::{is_authorized, is_key},
    body::{Beat, Repeat},
    damage,
    dice::{OFFSET, hash},
    fault::Fault,
    outcome::Outcome,
    reply::Reply,
    script::{Script, Scripted},
    shared::{Settings, Shared},
    uri,
    workers_ai::{
        completion::Completion,
        model::Kind,
        native::Manner,
        refusal::{Asker, Problem, instead},
        request::{Endpoint, Request},
    },
};

pub(crate) use self::model::{find as find_model, names as model_names, values as model_values};

/// The length of an account id in hexadecimal digits.
const ACCOUNT_ID: usize = 32;

/// The content type of a stream.
const EVENT_STREAM: &str = "text/event-stream";

/// The time between heartbeats if no rate is set.
const BEAT: Duration = Duration::from_millis(20);

/// A parsed request path.
struct Task<'a> {
    path: &'a str,
    account: &'a str,
    target: Target,
    asker: Asker,
}

/// The target of a request.
enum Target {
    Answer(Endpoint),
    Models,
    Nothing,
    Schema,
}

/// Handles a request to the API; the path is what follows its version.
pub(crate) fn answer(shared: &Shared, head: &Parts, path: &str, body: &[u8]) -> Outcome {
    let (account, rest) = split(path.strip_prefix("accounts/").unwrap_or_default());
    let target = match (&head.method, rest, rest.strip_prefix("ai/run/")) {
        (&Method::GET, "ai/models/schema", _) => Target::Schema,
        (&Method::GET, "ai/models/search", _) => Target::Models,
        (&Method::POST, "ai/v1/chat/completions", _) => Target::Answer(Endpoint::Chat),
        (&Method::POST, _, Some(model)) => Target::Answer(Endpoint::Run(uri::decode(model))),
        _ => Target::Nothing,
    };
    let task = Task {
        path,
        account,
        target,
        asker: Asker {
            gateway: false,
            id: id(&shared.settings, body),
        },
    };
    respond(shared, head, &task, body)
}

/// Handles a request to a gateway; the path is what follows its version.
pub(crate) fn gateway(shared: &Shared, head: &Parts, path: &str, body: &[u8]) -> Outcome {
    let (account, rest) = split(path);
    let (name, rest) = split(rest);
    let target = match (&head.method, rest.strip_prefix("workers-ai/")) {
        _ if name.is_empty() => Target::Nothing,
        (&Method::POST, Some("v1/chat/completions")) => Target::Answer(Endpoint::Chat),
        (&Method::POST, Some(model)) => Target::Answer(Endpoint::Run(uri::decode(model))),
        _ => Target::Nothing,
    };
    let task = Task {
        path,
        account,
        target,
        asker: Asker {
            gateway: true,
            id: id(&shared.settings, body),
        },
    };
    respond(shared, head, &task, body)
}

/// Returns the error for a request whose body is too large to read.
pub(crate) fn too_large(gateway: bool) -> Reply {
    let id = model::uuid(&mut Rng::with_seed(0));
    Problem::too_large().reply(&Asker { gateway, id })
}

fn respond(shared: &Shared, head: &Parts, task: &Task<'_>, body: &[u8]) -> Outcome {
    let asker = &task.asker;
    let outcome = match &task.target {
        Target::Answer(endpoint) => {
            shared.counter.add(|counts| &mut counts.chats);
            let mut script = shared.script();
            if script.raw_is_next() {
                return script.next_raw(|fault| instead(fault, asker));
            }
            chat(&shared.settings, &mut script, head, task, endpoint, body)
        }
        _ => look_up(&shared.settings, head, task).map(Outcome::Reply),
    };
    match outcome.unwrap_or_else(|problem| Outcome::Reply(problem.reply(asker))) {
        Outcome::Reply(reply) if asker.gateway => {
            Outcome::Reply(logged(reply, &head.headers, asker))
        }
        outcome => outcome,
    }
}

fn chat(
    settings: &Settings,
    script: &mut Script,
    head: &Parts,
    task: &Task<'_>,
    endpoint: &Endpoint,
    body: &[u8],
) -> Result<Outcome, Problem> {
    check(settings, &head.headers, task)?;
    let request = Request::parse(endpoint, &task.asker, body)?;
    let fault = script.next_fault();
    let instead = fault.as_ref().and_then(|fault| instead(fault, &task.asker));
    if let Some(outcome) = instead {
        return Ok(outcome);
    }
    let completion = match script.next_answer() {
        Some(Scripted::Raw(reply)) => return Ok(Outcome::Reply(reply)),
        Some(Scripted::Tokens(tokens)) => Completion::scripted(settings.seed, &request, &tokens),
        None => Completion::generate(settings.seed, &request),
    };
    let fault = fault.as_ref();
    let reply = encoded(settings, &task.asker, endpoint, completion, fault);
    Ok(Outcome::Reply(reply.wire(fault.and_then(Fault::wire))))
}

fn encoded(
    settings: &Settings,
    asker: &Asker,
    endpoint: &Endpoint,
    completion: Completion<'_>,
    fault: Option<&Fault>,
) -> Reply {
    let kind = completion.request.model.kind;
    let at_run = matches!(endpoint, Endpoint::Run(_));
    let manner = match kind {
        Kind::Native(calls) if at_run => Some(Manner::Plain(calls)),
        Kind::Typed if at_run => Some(Manner::Typed),
        _ => None,
    };
    let has_stream = !(at_run && matches!(kind, Kind::HybridWithoutStream(_)));
    if completion.request.stream && has_stream && fault != Some(&Fault::JsonStream) {
        return streamed(settings, asker, manner, completion, fault);
    }
    let time = settings.pace.map_or(Duration::ZERO, |pace| {
        pace.saturating_mul(u32::try_from(completion.speech.tokens()).unwrap_or(u32::MAX))
    });
    let result = match manner {
        Some(manner) => native::whole(&completion, manner),
        None => hybrid::whole(&completion),
    };
    let body = match endpoint {
        Endpoint::Chat => result.to_string().into(),
        Endpoint::Run(_) => model::wrap(result),
    };
    let refusal = || Problem::upstream().reply(asker);
    damage::whole(body.into(), fault, refusal).delay(time)
}

fn streamed(
    settings: &Settings,
    asker: &Asker,
    manner: Option<Manner>,
    mut completion: Completion<'_>,
    fault: Option<&Fault>,
) -> Reply {
    if fault == Some(&Fault::Heartbeats) {
        let repeat = Repeat {
            bytes: hybrid::heartbeat(&mut completion).bytes,
            period: settings.pace.unwrap_or(BEAT),
            state: Beat::Bytes,
        };
        return Reply::forever(EVENT_STREAM, repeat);
    }
    let (events, error) = match manner {
        Some(manner) => (
            native::stream(&mut completion, manner, fault),
            Problem::upstream().model_body(asker),
        ),
        None => (
            hybrid::stream(&mut completion, fault),
            Problem::upstream().open_ai_body(asker),
        ),
    };
    let last_words = format!("data: {error}\n\n");
    let pieces = damage::stream(events, fault, settings.pace, last_words);
    Reply::new(StatusCode::OK, EVENT_STREAM, pieces)
}

/// Handles a request that does not run a model.
fn look_up(settings: &Settings, head: &Parts, task: &Task<'_>) -> Result<Reply, Problem> {
    check(settings, &head.headers, task)?;
    let query = head.uri.query();
    match task.target {
        Target::Models => Ok(model::search(query)),
        Target::Schema => model::schema(&task.asker, query),
        Target::Answer(_) | Target::Nothing => Err(Problem::no_such_route(&task.asker)),
    }
}

/// Checks the key and the account.
fn check(settings: &Settings, headers: &HeaderMap, task: &Task<'_>) -> Result<(), Problem> {
    let asker = &task.asker;
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let is_legacy = header("x-auth-email").is_some() && is_key(settings, header("x-auth-key"));
    // A gateway may store the key of the account.
    let for_gateway = header("cf-aig-authorization").filter(|_| asker.gateway);
    let for_gateway = for_gateway.and_then(|value| value.strip_prefix("Bearer "));
    let has_token = is_authorized(settings, headers, &["Bearer "]);
    if !(has_token || is_legacy || is_key(settings, for_gateway)) {
        return Err(Problem::unauthorized(asker));
    }
    let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    let is_known = match &settings.account_id {
        Some(account) => account == task.account,
        None => task.account.len() == ACCOUNT_ID && task.account.chars().all(is_digit),
    };
    if !is_known {
        return Err(Problem::no_such_account(asker, task.path));
    }
    Ok(())
}

/// Adds the headers that a gateway adds to every response.
fn logged(reply: Reply, headers: &HeaderMap, asker: &Asker) -> Reply {
    let skips = headers.get("cf-aig-skip-cache");
    let status = match skips {
        Some(value) if value == "true" => "BYPASS",
        _ => "MISS",
    };
    let log_id = asker.id.replace('-', "").to_uppercase();
    reply
        .header(
            HeaderName::from_static("cf-aig-log-id"),
            &format!("01{}", &log_id[..24]),
        )
        .header(HeaderName::from_static("cf-aig-cache-status"), status)
}

/// Returns the id of a request; the same bytes have the same id.
fn id(settings: &Settings, body: &[u8]) -> String {
    let seed = hash(&settings.seed.to_le_bytes(), OFFSET);
    model::uuid(&mut Rng::with_seed(hash(body, seed)))
}

/// Splits a path after its first segment.
fn split(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}
