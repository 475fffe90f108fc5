//! The playground's agents: their handshake and their conversations.

mod connection;
mod message;
mod plan;
mod room;
mod socket;
pub(super) mod store;
mod stream;
mod turn;

use http::{
    HeaderMap, HeaderName, Method, StatusCode, Version,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
    request::Parts,
};
use serde_json::Value;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{
    outcome::{Outcome, Upgrade},
    playground::{
        refusal::{challenge, instead, is_refused, status, ticketed},
        session::Cookies,
        store::Playground,
    },
    reply::Reply,
    uri,
};

/// The version of RFC 6455.
const VERSION: &str = "13";

/// Handles a request; the path is the agent's name and what follows it.
pub(super) fn answer(
    playground: &Playground,
    head: &Parts,
    cookies: &Cookies,
    path: &str,
) -> Outcome {
    let (name, rest) = match path.split_once('/') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    if head.method != Method::GET || name.is_empty() {
        return Outcome::Reply(status(404));
    }
    let name = uri::decode(name);
    match rest {
        None if is_upgrade(&head.headers) => connect(playground, head, cookies, &name),
        Some("get-messages") if is_refused(playground, cookies) => {
            Outcome::Reply(challenge(playground))
        }
        Some("get-messages") => {
            let agent = playground.agents.find(&name);
            let messages = agent.map_or(Value::Array(Vec::new()), |agent| {
                agent.room().messages().into()
            });
            let reply = Reply::value(StatusCode::OK, &messages);
            Outcome::Reply(ticketed(playground, reply))
        }
        _ if is_refused(playground, cookies) => Outcome::Reply(challenge(playground)),
        _ => Outcome::Reply(status(404)),
    }
}

/// Handles a request for a WebSocket.
fn connect(playground: &Playground, head: &Parts, cookies: &Cookies, name: &str) -> Outcome {
    playground
        .shared
        .counter
        .add(|counts| &mut counts.agent_connections);
    let known = playground.agents.find(name);
    let has_conversation = known
        .as_ref()
        .is_some_and(|agent| agent.room().has_conversation());
    if !has_conversation {
        let mut script = playground.shared.script();
        if script.raw_is_next() {
            return script.next_raw(|fault| instead(playground, cookies, fault));
        }
    }
    if is_refused(playground, cookies) {
        return Outcome::Reply(challenge(playground));
    }
    if known.is_some_and(|agent| agent.room().takes_refusal()) {
        return Outcome::Reply(ticketed(playground, status(503)));
    }
    let key = match handshake(head) {
        Ok(key) => key,
        Err(code) => {
            let refusal = status(code).header(SEC_WEBSOCKET_VERSION, VERSION);
            return Outcome::Reply(ticketed(playground, refusal));
        }
    };
    if !has_conversation {
        let mut script = playground.shared.script();
        match script.next_instead(|fault| instead(playground, cookies, fault)) {
            Some(Outcome::Reply(reply)) => return Outcome::Reply(ticketed(playground, reply)),
            Some(outcome) => return outcome,
            None => {}
        }
    }
    let agent = playground.agents.open(name);
    if let Some(model) = uri::find(head.uri.query(), "model").filter(|model| !model.is_empty()) {
        agent.room().set_model(&model);
    }
    let reply = Reply::bare(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key));
    let reply = ticketed(playground, reply);
    let shared = playground.shared.clone();
    let serve = |connection| socket::serve(shared, agent, connection);
    Outcome::Upgrade(reply, Upgrade::new(serve))
}

/// Returns the WebSocket key of a valid handshake, or the status that refuses it.
fn handshake(head: &Parts) -> Result<&[u8], u16> {
    let header = |name| head.headers.get(name).map(http::HeaderValue::as_bytes);
    if head.version != Version::HTTP_11 {
        return Err(404);
    }
    if header(SEC_WEBSOCKET_VERSION) != Some(VERSION.as_bytes()) {
        return Err(426);
    }
    header(SEC_WEBSOCKET_KEY)
        .filter(|key| !key.is_empty())
        .ok_or(400)
}

/// Returns true if the request asks for a WebSocket.
fn is_upgrade(headers: &HeaderMap) -> bool {
    let has = |name: HeaderName, token: &str| {
        let lines = headers.get_all(name).into_iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        let mut tokens = lines.flat_map(|line| line.split(','));
        tokens.any(|found| found.trim().eq_ignore_ascii_case(token))
    };
    has(UPGRADE, "websocket") && has(CONNECTION, "upgrade")
}
