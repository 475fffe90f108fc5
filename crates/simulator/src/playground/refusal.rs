//! The playground's challenge and its error responses.

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

/// Returns the outcome of a fault that replaces the response.
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

/// Returns the challenge page, with the cookie that its script sets.
pub(super) fn challenge(playground: &Playground) -> Reply {
    ticketed(
        playground,
        page::challenge(&playground.sessions.clearance()),
    )
}

/// Adds a new `__cf_bm` cookie, which scripts cannot read.
pub(super) fn ticketed(playground: &Playground, reply: Reply) -> Reply {
    reply.header(SET_COOKIE, &playground.sessions.ticket())
}

/// Returns the playground's error response: a short text or an empty body.
pub(super) fn status(code: u16) -> Reply {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = match code {
        400 => return Reply::empty(status),
        404 => "Not found",
        _ => status.canonical_reason().unwrap_or_default(),
    };
    Reply::text(status, "text/plain;charset=UTF-8", text)
}
