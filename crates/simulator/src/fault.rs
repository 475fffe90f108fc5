//! The faults that the simulator can produce, and their names.

use crate::{
    outcome::{Outcome, Refuse},
    wire::fault::Wire,
};

/// One fault of one chat request or one prediction.
///
/// "A few tokens" are the first eight tokens of the text, or all if there are fewer; the reasoning
/// before them is sent completely. Fragments of a tool call count as tokens if the call is sent in
/// fragments. A chat response that is not streamed breaks in the middle. A fault of a prediction's
/// stream applies to the first connection to it unless stated otherwise; later connections are
/// served completely.
///
/// A fault of a connection to an agent of the playground applies to the connection that requested
/// the response unless stated otherwise; the response continues and can be resumed. A fault that
/// replaces the response replaces the response to the connection request as long as the agent has
/// no conversation.
///
/// A fault of another protocol has no effect on a request: it is taken from the queue, and the
/// response is complete.
///
/// A fault has a name, which [`FromStr`](std::str::FromStr) parses and
/// [`Display`](std::fmt::Display) writes:
///
/// - for all `badjson`, `close`, `cut`, `error`, `silence`, `stall`, `truncate`;
/// - for predictions only `aborted`, `canceled`, `coldboot`, `donefail`, `early`, `evilcancel`,
///   `evilhost`, `failed`, `lost`, `noid`, `nourl`;
/// - for predictions and agents only `cutall`;
/// - for Workers AI only `baredone`, `context`, `heartbeats`, `jsonstream`, `midfinish`, `nofinish`,
///   `notsuccess`, `plan`, `quota`, `quota-rest`;
/// - for Workers AI and the playground only `challenge`, `empty`, `html`;
/// - for the playground only `expire`;
/// - for its agents only `binary`, `coalesced`, `evicted`, `fragments`, `pings`, `restart`,
///   `unfinished`.
///
/// The faults of the bytes on a connection have the names of [`Wire`]; with `create:` before the name
/// they apply to the response that creates a prediction.
///
/// A status from 400 to 599 is written as its number, with the value of `Retry-After` after a colon:
/// `429`, `429:2`. The status of a prediction's streams is written as `stream:401`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Predictions only: it is `aborted` at creation.
    Aborted,
    /// A few tokens, then a chunk with invalid JSON, then the rest of the response.
    ///
    /// The response that creates a prediction has half of its JSON; the stream is complete.
    BadJson,
    /// Workers AI only: the stream ends with a line `[DONE]` without a field name.
    BareDone,
    /// Agents only: the response is sent in binary messages.
    Binary,
    /// Predictions only: it is `canceled` at creation.
    Canceled,
    /// Workers AI and the playground only: status 403 with the page of a browser challenge.
    ///
    /// The playground sends it regardless of the cookies, which stay valid.
    Challenge,
    /// The request is read, then the connection is closed without a response.
    ///
    /// No prediction is created.
    CloseBeforeHead,
    /// Agents only: as [`Cut`](Self::Cut), and a replay has each text as one chunk.
    Coalesced,
    /// Predictions only: the fault of the bytes is in the response that creates the prediction, which
    /// runs.
    Create(Wire),
    /// Predictions only: it stays `starting` until it is canceled or reaches its deadline.
    ColdBoot,
    /// Workers AI only: status 413 and code 5021, as for a prompt that exceeds the context window.
    Context,
    /// A few tokens and half an event, then the connection is closed: the body is truncated.
    ///
    /// An agent sends half a WebSocket frame.
    Cut,
    /// Predictions and agents only: each connection to the stream is closed after three events.
    ///
    /// For an agent, after three chunks, including replayed ones, and half a frame.
    CutAll,
    /// Predictions only: a few tokens, then a `done` event with the reason `error`, without an
    /// `error` event; the prediction is `failed` and has an error.
    DoneFail,
    /// Predictions only: the first two requests for the stream get status 404.
    Early,
    /// Workers AI and the playground only: status 500 with an empty body.
    Empty,
    /// A few tokens, then the service's error object in the stream, then a clean end.
    ///
    /// Without streaming, the status is 500. The stream of a prediction has an `error` event and a
    /// `done` event with the reason `error` on each connection, and the prediction is `failed`. The
    /// playground's stream ends normally with the finish reason `error`; its agents send the error
    /// as text that is not JSON in the last message of the response.
    Error,
    /// Agents only: as [`Cut`](Self::Cut) on all connections, and the agent discards the response.
    Evicted,
    /// Predictions only: `urls.cancel` points to another host, without TLS.
    EvilCancel,
    /// Predictions only: `urls.stream` points to another host, whose name starts like the
    /// service's.
    EvilHost,
    /// Playground only: status 401, and the cookies of this request become invalid.
    Expire,
    /// Predictions only: it is `failed` at creation and has an error.
    Failed,
    /// Agents only: each message of the response is sent in three fragments, with pings between
    /// them.
    Fragments,
    /// Workers AI only: an endless stream of heartbeats, which are chunks without choices.
    Heartbeats,
    /// Workers AI and the playground only: status 503 with the page of Cloudflare's error 1102.
    Html,
    /// Workers AI only: a request for a stream gets one JSON document.
    JsonStream,
    /// Predictions only: it is created, then the connection is closed without a response.
    Lost,
    /// Workers AI only: the finish reason `length` after a few tokens, then the rest of the
    /// response.
    MidFinish,
    /// Workers AI only: the complete text, then a clean end without finish reason, usage and end
    /// marker.
    NoFinish,
    /// Predictions only: the response to the request that creates it has no `id`.
    NoId,
    /// Workers AI only: status 200 with a JSON document that contains `"success":false`.
    NotSuccess,
    /// Predictions only: it runs without `urls.stream`.
    NoUrl,
    /// Agents only: a ping before each chunk.
    Pings,
    /// Workers AI only: status 403 and code 5035, as for a model that needs a paid plan.
    Plan,
    /// Workers AI only: status 429 and code 4006 in the flat form, after the daily neurons are used
    /// up.
    Quota,
    /// Workers AI only: status 429 and code 3036 in the API's form, after the daily neurons are
    /// used up.
    QuotaRest,
    /// Agents only: a few tokens, then all connections are closed with code 1012, and the next one
    /// is refused with 503; the response continues.
    Restart,
    /// The request is read, and no response is ever sent.
    ///
    /// No prediction is created.
    Silence,
    /// A few tokens, then nothing more; the connection stays open.
    Stall,
    /// An error status with the service's body for it.
    ///
    /// No prediction is created.
    Status {
        /// The status, from 400 to 599.
        status: u16,
        /// The value of the header `Retry-After`; it need not be valid.
        retry_after: Option<String>,
    },
    /// Predictions only: each request for the stream gets an error status.
    StreamStatus {
        /// The status, from 400 to 599.
        status: u16,
    },
    /// A few tokens, then a clean end of the body without finish reason and end marker.
    ///
    /// The stream of a prediction has no `done` event. A connection to an agent is closed with code
    /// 1001.
    Truncate,
    /// Agents only: a few tokens, then the end without a finish chunk, as after a cancellation in
    /// another tab.
    Unfinished,
    /// The bytes of the response are changed, or its connection.
    Wire(Wire),
}

impl Fault {
    /// Returns true if the fault occurs within a chat response.
    pub(crate) fn breaks_answer(&self) -> bool {
        matches!(
            self,
            Self::BadJson | Self::Cut | Self::Error | Self::Stall | Self::Truncate
        )
    }

    /// Returns the fault of the bytes of a response.
    pub(crate) fn wire(&self) -> Option<Wire> {
        match self {
            Self::Wire(wire) => Some(*wire),
            _ => None,
        }
    }

    /// Returns the outcome of a fault that replaces the response.
    pub(crate) fn instead(&self, refuse: Refuse) -> Option<Outcome> {
        match self {
            Self::CloseBeforeHead => Some(Outcome::Close),
            Self::Silence => Some(Outcome::Silence),
            Self::Status {
                status,
                retry_after,
            } => Some(Outcome::Reply(refuse(*status, retry_after.as_deref()))),
            _ => None,
        }
    }
}
