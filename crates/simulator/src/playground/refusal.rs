//! What the playground answers in the place of what was asked for.

use http::{
    StatusCode,
    header::{RETRY_AFTER, SET_COOKIE},
};

use crate::{
    fault::Fault,
    outcome::Outcome,
    page,
    playground::{session::Cookies, store::Playground},
    reply::Reply,
};

/// Returns what the server does about a fault in the place of an answer.
pub(super) fn instead(
    playground: &Playground,
    cookies: &Cookies,
    fault: &Fault,
) -> Option<Outcome> {
    let reply = match fault {
        Fault::Challenge => challenge(playground),
        Fault::Empty => Reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Expire => {
            playground.sessions.expire(cookies);
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

pub(super) fn is_refused(playground: &Playground, cookies: &Cookies) -> bool {
    playground.challenge && !playground.sessions.is_valid(cookies)
}

/// Answers with the challenge, and with the cookie of a script that passes it.
pub(super) fn challenge(playground: &Playground) -> Reply {
    ticketed(
        playground,
        page::challenge(&playground.sessions.clearance()),
    )
}

/// Gives a new cookie of those that scripts cannot read.
pub(super) fn ticketed(playground: &Playground, reply: Reply) -> Reply {
    reply.header(SET_COOKIE, &playground.sessions.ticket())
}

/// Answers with a status that says no, as the playground does: in a few words, or in none.
pub(super) fn status(code: u16) -> Reply {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = match code {
        400 => return Reply::empty(status),
        404 => "Not found",
        _ => status.canonical_reason().unwrap_or_default(),
    };
    Reply::text(status, "text/plain;charset=UTF-8", text)
}
