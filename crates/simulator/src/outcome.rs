//! What the server does about a request.

use std::sync::Arc;

use http::Response;

use crate::{body::Body, playground::Agent, reply::Reply};

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
