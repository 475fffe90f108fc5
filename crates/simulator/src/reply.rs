//! A response before it is sent, and the service's bodies for what it refuses.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
};
use serde::Serialize;

use crate::{
    answer::{Piece, Raw},
    body::{Body, Repeat},
    playground::Agent,
    script::invalid,
};

/// The limits that every answer of the service tells: `x-ratelimit-{what}`, value.
const RATE_LIMITS: [(&str, &str); 6] = [
    ("x-ratelimit-limit-requests-day", "14400"),
    ("x-ratelimit-remaining-requests-day", "14399"),
    ("x-ratelimit-reset-requests-day", "33011.382867"),
    ("x-ratelimit-limit-tokens-minute", "60000"),
    ("x-ratelimit-remaining-tokens-minute", "58211"),
    ("x-ratelimit-reset-tokens-minute", "11.382867"),
];

/// A service's answer with a status that says no, and with a value of `Retry-After`.
pub(crate) type Refuse = fn(u16, Option<&str>) -> Reply;

/// What the server does about a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Answers, and gives the connection to an agent of the playground.
    Agent(Reply, Arc<Agent>),
    /// Closes the connection.
    Close,
    /// Answers with a body that is not known yet.
    Live(Response<Body>),
    /// Answers.
    Reply(Reply),
    /// Waits for ever.
    Silence,
}

/// Status, headers and the pieces of the body.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    pieces: Vec<Piece>,
    /// What is sent without an end in the place of the pieces.
    repeat: Option<Repeat>,
    /// How long the service thinks before it sends the head.
    delay: Duration,
}

impl Reply {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, pieces: Vec<Piece>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self {
            status,
            headers,
            pieces,
            repeat: None,
            delay: Duration::ZERO,
        }
    }

    /// Creates a reply without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::bare(status).content_length(0)
    }

    /// Creates a reply that has no headers, and says nothing of a body.
    pub(crate) fn bare(status: StatusCode) -> Self {
        let mut reply = Self::new(status, "", Vec::new());
        reply.headers.remove(CONTENT_TYPE);
        reply
    }

    /// Creates a reply with a whole body of text.
    pub(crate) fn text(
        status: StatusCode,
        content_type: &'static str,
        text: impl Into<Bytes>,
    ) -> Self {
        let text = text.into();
        let len = text.len();
        Self::new(status, content_type, vec![Piece::Bytes(text)]).content_length(len)
    }

    /// Creates a reply whose body never ends.
    pub(crate) fn forever(content_type: &'static str, repeat: Repeat) -> Self {
        let reply = Self::new(StatusCode::OK, content_type, Vec::new());
        Self {
            repeat: Some(repeat),
            ..reply
        }
    }

    /// Creates a reply with a whole JSON body.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::text(status, "application/json", body)
    }

    pub(crate) fn from_raw(raw: Raw) -> io::Result<Self> {
        let status = StatusCode::from_u16(raw.status)
            .ok()
            // hyper cannot send 101 and its kind as answers.
            .filter(|status| !status.is_informational())
            .ok_or_else(|| invalid("an answer's status is not from 200 to 999"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in raw.headers {
            let name = HeaderName::try_from(name)
                .map_err(|_| invalid("an answer's header has an illegal name"))?;
            let value = HeaderValue::try_from(value)
                .map_err(|_| invalid("an answer's header has an illegal value"))?;
            headers.append(name, value);
        }
        Ok(Self {
            status,
            headers,
            pieces: raw.pieces,
            repeat: None,
            delay: Duration::ZERO,
        })
    }

    /// Creates a reply with a whole JSON body of this value.
    pub(crate) fn value(status: StatusCode, value: &impl Serialize) -> Self {
        Self::json(status, serde_json::to_vec(value).unwrap_or_default())
    }

    pub(crate) fn content_length(mut self, len: usize) -> Self {
        self.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        self
    }

    pub(crate) fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(crate) fn rate_limits(mut self) -> Self {
        for (name, value) in RATE_LIMITS {
            let value = HeaderValue::from_static(value);
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Waits as long as the service would, and returns the response.
    pub(crate) async fn into_response(self) -> Response<Body> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let body = match self.repeat {
            Some(repeat) => Body::new(repeat),
            None => Body::new(self.pieces.into_iter()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// The service's body for what it refuses: flat, without an `error` around it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refusal<'a> {
    pub(crate) message: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) param: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
}

impl Refusal<'_> {
    pub(crate) fn reply(&self, status: StatusCode) -> Reply {
        Reply::value(status, self).rate_limits()
    }
}

/// Refuses a request that is wrong in itself.
pub(crate) fn refuse(status: StatusCode, message: &str, param: Option<&str>) -> Reply {
    Refusal {
        message,
        kind: "invalid_request_error",
        param,
        code: Some("invalid_request_error"),
    }
    .reply(status)
}

pub(crate) fn wrong_key() -> Reply {
    Refusal {
        message: "Wrong API Key",
        kind: "invalid_request_error",
        param: Some("api_key"),
        code: Some("wrong_api_key"),
    }
    .reply(StatusCode::UNAUTHORIZED)
}

pub(crate) fn not_found() -> Reply {
    Refusal {
        message: "Not found",
        kind: "not_found_error",
        param: None,
        code: None,
    }
    .reply(StatusCode::NOT_FOUND)
}

/// Answers with a status that says no, as the service words it.
pub(crate) fn fault(status: u16, retry_after: Option<&str>) -> Reply {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reply = match status {
        401 => wrong_key(),
        // The service has been seen to refuse unknown fields without a word.
        422 => Reply::json(code, "").rate_limits(),
        _ => wording(code).reply(code),
    };
    let reply = match status {
        429 => reply.header(
            HeaderName::from_static("x-ratelimit-remaining-tokens-minute"),
            "0",
        ),
        _ => reply,
    };
    match retry_after {
        Some(value) => reply.header(RETRY_AFTER, value),
        None => reply,
    }
}

fn wording(status: StatusCode) -> Refusal<'static> {
    let (message, kind, param, code) = match status.as_u16() {
        402 => (
            "Payment required.",
            "payment_required_error",
            None,
            "payment_required",
        ),
        403 => (
            "Permission denied.",
            "permission_denied_error",
            None,
            "permission_denied",
        ),
        404 => (
            "Model does not exist or you do not have access to it.",
            "not_found_error",
            Some("model"),
            "model_not_found",
        ),
        408 => (
            "Request timed out.",
            "timeout_error",
            None,
            "request_timeout",
        ),
        429 => (
            "Tokens per minute limit exceeded - too many tokens processed.",
            "too_many_tokens_error",
            Some("quota"),
            "token_quota_exceeded",
        ),
        500.. => (
            "Encountered a server error, please try again.",
            "server_error",
            None,
            "server_error",
        ),
        _ => (
            "The request is invalid.",
            "invalid_request_error",
            None,
            "invalid_request_error",
        ),
    };
    Refusal {
        message,
        kind,
        param,
        code: Some(code),
    }
}
