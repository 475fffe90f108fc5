//! What goes wrong, and its name at a prompt.

use std::{error::Error as StdError, fmt, str::FromStr};

use crate::outcome::{Outcome, Refuse};

/// The names that [`Fault::from_str`] knows beside the statuses.
const NAMES: [(&str, Fault); 40] = [
    ("aborted", Fault::Aborted),
    ("badjson", Fault::BadJson),
    ("baredone", Fault::BareDone),
    ("binary", Fault::Binary),
    ("canceled", Fault::Canceled),
    ("challenge", Fault::Challenge),
    ("close", Fault::CloseBeforeHead),
    ("coalesced", Fault::Coalesced),
    ("coldboot", Fault::ColdBoot),
    ("context", Fault::Context),
    ("cut", Fault::Cut),
    ("cutall", Fault::CutAll),
    ("donefail", Fault::DoneFail),
    ("early", Fault::Early),
    ("empty", Fault::Empty),
    ("error", Fault::Error),
    ("evicted", Fault::Evicted),
    ("evilcancel", Fault::EvilCancel),
    ("evilhost", Fault::EvilHost),
    ("expire", Fault::Expire),
    ("failed", Fault::Failed),
    ("fragments", Fault::Fragments),
    ("heartbeats", Fault::Heartbeats),
    ("html", Fault::Html),
    ("jsonstream", Fault::JsonStream),
    ("lost", Fault::Lost),
    ("midfinish", Fault::MidFinish),
    ("nofinish", Fault::NoFinish),
    ("noid", Fault::NoId),
    ("notsuccess", Fault::NotSuccess),
    ("nourl", Fault::NoUrl),
    ("pings", Fault::Pings),
    ("plan", Fault::Plan),
    ("quota", Fault::Quota),
    ("quota-rest", Fault::QuotaRest),
    ("restart", Fault::Restart),
    ("silence", Fault::Silence),
    ("stall", Fault::Stall),
    ("truncate", Fault::Truncate),
    ("unfinished", Fault::Unfinished),
];

/// One thing that goes wrong with one chat request, or with one prediction.
///
/// Where a fault comes after a few tokens, those are the first eight of the answer's text, or all
/// where there are fewer; the reasoning before them is sent whole. The pieces of a tool call count,
/// where it comes in pieces. A chat answer that is not a stream breaks in its middle. What breaks the
/// stream of a prediction is done to the first connection to it, unless it says otherwise: the others
/// are served whole.
///
/// What breaks a connection to an agent of the playground is done to the one that asked for the
/// answer, unless it says otherwise; the answer goes on without it, and is there to be resumed. What
/// comes in the place of an answer comes in the place of such a connection, as long as its agent has
/// no conversation.
///
/// A fault that is only another protocol's does nothing to a request: it is taken from the queue, and
/// the answer is whole.
///
/// A fault has a name, which [`FromStr`] reads and [`Display`](fmt::Display) writes:
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
/// A status from 400 to 599 has its number, with the value of `Retry-After` behind a colon: `429`,
/// `429:2`; one of a prediction's streams is `stream:401`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Predictions only: it is created as one that is `aborted` already.
    Aborted,
    /// A few tokens, then a chunk whose JSON is broken, then the rest of the answer.
    ///
    /// Where a prediction is created, half of its JSON; the stream is whole.
    BadJson,
    /// Workers AI only: the stream ends with a line `[DONE]` that has no field name.
    BareDone,
    /// Agents only: what belongs to the answer comes in binary messages.
    Binary,
    /// Predictions only: it is created as one that is `canceled` already.
    Canceled,
    /// Workers AI and the playground only: status 403, and the page of a browser challenge.
    ///
    /// The playground answers with it whatever the cookies are, and leaves them valid.
    Challenge,
    /// The request is read, then the connection is closed without an answer.
    ///
    /// No prediction is created.
    CloseBeforeHead,
    /// Agents only: as [`Cut`](Self::Cut), and the texts of a replay are joined to one chunk each.
    Coalesced,
    /// Predictions only: it is `starting` for ever, unless it is canceled or has a deadline.
    ColdBoot,
    /// Workers AI only: status 413 and code 5021, as for a prompt that the model has no room for.
    Context,
    /// A few tokens and half an event, then the connection is closed: the body has no end.
    ///
    /// At an agent, half a WebSocket frame.
    Cut,
    /// Predictions and agents only: each connection to the stream is closed after three events.
    ///
    /// At an agent, after three chunks and half a frame, those of a replay among them.
    CutAll,
    /// Predictions only: a few tokens, then a `done` event with the reason `error`, without an `error`
    /// event; the prediction is `failed`, and tells why.
    DoneFail,
    /// Predictions only: the first two requests for the stream are answered with 404.
    Early,
    /// Workers AI and the playground only: status 500, and a body of no bytes.
    Empty,
    /// A few tokens, then the service's error object in the stream, then a clean end.
    ///
    /// Where no stream was asked for, the status is 500. The stream of a prediction has an `error`
    /// event and a `done` event with the reason `error`, on each connection: it is `failed`. The
    /// playground's stream ends as a whole one does, with the finish reason `error`; its agents say it
    /// in words that are no JSON, in the message that ends the answer.
    Error,
    /// Agents only: as [`Cut`](Self::Cut), on all connections, and the agent forgets the answer.
    Evicted,
    /// Predictions only: `urls.cancel` leads to another host, and without TLS.
    EvilCancel,
    /// Predictions only: `urls.stream` leads to another host, whose name begins like the service's.
    EvilHost,
    /// Playground only: status 401, and the cookies of this request are valid no more.
    Expire,
    /// Predictions only: it is created as one that is `failed` already, and tells why.
    Failed,
    /// Agents only: what belongs to the answer comes in three fragments, with pings between them.
    Fragments,
    /// Workers AI only: a stream of heartbeats, chunks without choices, for ever.
    Heartbeats,
    /// Workers AI and the playground only: status 503, and a page with Cloudflare's error 1102.
    Html,
    /// Workers AI only: a request for a stream is answered with one JSON document.
    JsonStream,
    /// Predictions only: it is created, then the connection is closed without an answer.
    Lost,
    /// Workers AI only: the finish reason `length` after a few tokens, then the rest of the answer.
    MidFinish,
    /// Workers AI only: all of the text, then a clean end without finish reason, usage and end marker.
    NoFinish,
    /// Predictions only: the answer to the request that creates it has no `id`.
    NoId,
    /// Workers AI only: status 200, and a JSON document that says `"success":false`.
    NotSuccess,
    /// Predictions only: it has no `urls.stream`, and runs.
    NoUrl,
    /// Agents only: a ping before each chunk.
    Pings,
    /// Workers AI only: status 403 and code 5035, as for a model that needs a paid plan.
    Plan,
    /// Workers AI only: status 429 and code 4006, in the flat form: the day's neurons are used up.
    Quota,
    /// Workers AI only: status 429 and code 3036, in the API's form: the day's neurons are used up.
    QuotaRest,
    /// Agents only: a few tokens, then all connections are closed with code 1012, and the next one is
    /// refused with 503; the answer goes on.
    Restart,
    /// The request is read and never answered.
    ///
    /// No prediction is created.
    Silence,
    /// A few tokens, then nothing more, with the connection open.
    Stall,
    /// A status that says no, with the service's body for it.
    ///
    /// No prediction is created.
    Status {
        /// The status, from 400 to 599.
        status: u16,
        /// The value of the header `Retry-After`, sensible or not.
        retry_after: Option<String>,
    },
    /// Predictions only: each request for the stream is answered with a status that says no.
    StreamStatus {
        /// The status, from 400 to 599.
        status: u16,
    },
    /// A few tokens, then a clean end of the body, without finish reason and end marker.
    ///
    /// The stream of a prediction lacks its `done` event. A connection to an agent is closed with code
    /// 1001.
    Truncate,
    /// Agents only: a few tokens, then the end without a finish chunk, as when another tab cancels.
    Unfinished,
}

impl Fault {
    /// Returns true if the fault comes within an answer to a chat request.
    pub(crate) fn breaks_answer(&self) -> bool {
        matches!(
            self,
            Self::BadJson | Self::Cut | Self::Error | Self::Stall | Self::Truncate
        )
    }

    /// Returns what the server does about a fault in the place of an answer.
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

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        if let Some((_, fault)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(fault.clone());
        }
        if let Some(status) = name.strip_prefix("stream:") {
            return match status.parse() {
                Ok(status @ 400..=599) => Ok(Self::StreamStatus { status }),
                _ => Err(UnknownFault(name.to_owned())),
            };
        }
        let (status, retry_after) = match name.split_once(':') {
            Some((status, retry_after)) => (status, Some(retry_after.to_owned())),
            None => (name, None),
        };
        match status.parse() {
            Ok(status @ 400..=599) => Ok(Self::Status {
                status,
                retry_after,
            }),
            _ => Err(UnknownFault(name.to_owned())),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = NAMES.iter().find(|(_, fault)| fault == self) {
            return f.pad(name);
        }
        match self {
            Self::Status {
                status,
                retry_after: Some(retry_after),
            } => write!(f, "{status}:{retry_after}"),
            Self::Status { status, .. } => write!(f, "{status}"),
            Self::StreamStatus { status } => write!(f, "stream:{status}"),
            _ => fmt::Debug::fmt(self, f),
        }
    }
}

/// A name that is no fault's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownFault(String);

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown fault {:?}; known are", self.0)?;
        for (name, _) in NAMES {
            write!(f, " {name},")?;
        }
        f.write_str(
            " a status from 400 to 599 such as 429, 429:2 for one with Retry-After, \
             and stream:401 for one of a prediction's streams",
        )
    }
}

impl StdError for UnknownFault {}
