//! The names and descriptions of faults.

use std::{error::Error as StdError, fmt, str::FromStr};

use crate::{fault::Fault, info::FaultInfo, wire::fault::Wire};

/// Each fault of a service that has a name, with its description.
static ROWS: [(Fault, FaultInfo); 40] = [
    row(
        Fault::Aborted,
        "aborted",
        "I5",
        "predictions",
        "Creates an aborted prediction",
        "error: canceled",
    ),
    row(
        Fault::BadJson,
        "badjson",
        "D10",
        "all",
        "Sends a chunk with invalid JSON after a few tokens; of a prediction, half of the JSON that creates it",
        "error: protocol; the text is kept",
    ),
    row(
        Fault::BareDone,
        "baredone",
        "D19",
        "Workers AI",
        "Ends the stream with a line `[DONE]` without a field name",
        "complete",
    ),
    row(
        Fault::Binary,
        "binary",
        "-",
        "agents",
        "Sends the response in binary messages",
        "complete",
    ),
    row(
        Fault::Canceled,
        "canceled",
        "I5",
        "predictions",
        "Creates a canceled prediction",
        "error: canceled",
    ),
    row(
        Fault::Challenge,
        "challenge",
        "G15",
        "Workers AI, playground",
        "Sends status 403 with the page of a browser challenge",
        "error: challenge",
    ),
    row(
        Fault::CloseBeforeHead,
        "close",
        "C1 I1",
        "all",
        "Reads the request, then closes the connection",
        "error: connection; not sent again, because the request may have been processed",
    ),
    row(
        Fault::Coalesced,
        "coalesced",
        "-",
        "agents",
        "Cuts the connection, and replays each text as one chunk",
        "complete; the text is delivered once",
    ),
    row(
        Fault::ColdBoot,
        "coldboot",
        "I12",
        "predictions",
        "Creates a prediction that never starts",
        "error: timeout of the first event",
    ),
    row(
        Fault::Context,
        "context",
        "-",
        "Workers AI",
        "Sends status 413 and code 5021",
        "error: context length",
    ),
    row(
        Fault::Cut,
        "cut",
        "E6",
        "all",
        "Closes the connection inside an event after a few tokens",
        "error: truncated; the text is kept; predictions and agents resume",
    ),
    row(
        Fault::CutAll,
        "cutall",
        "I9",
        "predictions, agents",
        "Closes each connection to the stream after three events",
        "complete from the prediction, or error: truncated; no text twice",
    ),
    row(
        Fault::DoneFail,
        "donefail",
        "I6",
        "predictions",
        "Ends the stream with the reason `error`",
        "error of the service; the text is kept",
    ),
    row(
        Fault::Early,
        "early",
        "I7",
        "predictions",
        "Refuses the first two requests for the stream with status 404",
        "complete",
    ),
    row(
        Fault::Empty,
        "empty",
        "-",
        "Workers AI, playground",
        "Sends status 500 with an empty body",
        "error: the status",
    ),
    row(
        Fault::Error,
        "error",
        "D24",
        "all",
        "Sends the service's error object after a few tokens, then ends the body",
        "error of the service; the text is kept",
    ),
    row(
        Fault::Evicted,
        "evicted",
        "-",
        "agents",
        "Cuts all connections and discards the response",
        "error: truncated; the text is kept",
    ),
    row(
        Fault::EvilCancel,
        "evilcancel",
        "H4",
        "predictions",
        "Names another host, without TLS, to cancel the prediction",
        "complete; the other host gets no request",
    ),
    row(
        Fault::EvilHost,
        "evilhost",
        "H3",
        "predictions",
        "Names another host for the stream",
        "error: untrusted host; it gets no request",
    ),
    row(
        Fault::Expire,
        "expire",
        "J17",
        "playground",
        "Sends status 401 and invalidates the cookies",
        "complete after a new session, or error: challenge",
    ),
    row(
        Fault::Failed,
        "failed",
        "I5",
        "predictions",
        "Creates a failed prediction",
        "error of the service; the stream is not requested",
    ),
    row(
        Fault::Fragments,
        "fragments",
        "-",
        "agents",
        "Sends each message in three fragments with pings between them",
        "complete",
    ),
    row(
        Fault::Heartbeats,
        "heartbeats",
        "D8 F4",
        "Workers AI",
        "Sends chunks without choices without end",
        "error: timeout without progress",
    ),
    row(
        Fault::Html,
        "html",
        "C14",
        "Workers AI, playground",
        "Sends status 503 with a page of Cloudflare",
        "error: the status",
    ),
    row(
        Fault::JsonStream,
        "jsonstream",
        "C16",
        "Workers AI",
        "Sends one JSON document in place of a stream",
        "complete",
    ),
    row(
        Fault::Lost,
        "lost",
        "I1",
        "predictions",
        "Creates the prediction, then closes the connection without a response",
        "error: connection; one request creates a prediction",
    ),
    row(
        Fault::MidFinish,
        "midfinish",
        "-",
        "Workers AI",
        "Sends a finish reason in the middle of the text",
        "complete; all text is delivered",
    ),
    row(
        Fault::NoFinish,
        "nofinish",
        "E1",
        "Workers AI",
        "Ends the body after the text, without finish reason and end marker",
        "error: truncated; the text is kept",
    ),
    row(
        Fault::NoId,
        "noid",
        "-",
        "predictions",
        "Creates a prediction without an `id`",
        "error: protocol, or complete from its stream",
    ),
    row(
        Fault::NotSuccess,
        "notsuccess",
        "-",
        "Workers AI",
        "Sends status 200 with `\"success\":false`",
        "error of the service",
    ),
    row(
        Fault::NoUrl,
        "nourl",
        "I4",
        "predictions",
        "Creates a prediction without `urls.stream`",
        "complete by polling",
    ),
    row(
        Fault::Pings,
        "pings",
        "-",
        "agents",
        "Sends a ping before each chunk",
        "complete",
    ),
    row(
        Fault::Plan,
        "plan",
        "-",
        "Workers AI",
        "Sends status 403 and code 5035",
        "error: permission",
    ),
    row(
        Fault::Quota,
        "quota",
        "G9",
        "Workers AI",
        "Sends status 429 and code 4006",
        "error: quota; not sent again",
    ),
    row(
        Fault::QuotaRest,
        "quota-rest",
        "G9",
        "Workers AI",
        "Sends status 429 and code 3036",
        "error: quota; not sent again",
    ),
    row(
        Fault::Restart,
        "restart",
        "-",
        "agents",
        "Closes all connections with code 1012 and refuses the next with 503",
        "complete; the text is delivered once",
    ),
    row(
        Fault::Silence,
        "silence",
        "F1",
        "all",
        "Reads the request, and never responds",
        "error: timeout of the headers",
    ),
    row(
        Fault::Stall,
        "stall",
        "F3",
        "all",
        "Sends a few tokens, then nothing",
        "error: timeout between events; the text is kept",
    ),
    row(
        Fault::Truncate,
        "truncate",
        "E1",
        "all",
        "Ends the body after a few tokens",
        "error: truncated; the text is kept; predictions and agents resume",
    ),
    row(
        Fault::Unfinished,
        "unfinished",
        "-",
        "agents",
        "Sends a few tokens, then the end without a finish",
        "error: canceled or truncated; the text is kept",
    ),
];

const fn row(
    fault: Fault,
    name: &'static str,
    ids: &'static str,
    applies_to: &'static str,
    does: &'static str,
    expected: &'static str,
) -> (Fault, FaultInfo) {
    let info = FaultInfo {
        name,
        ids,
        applies_to,
        does,
        expected,
    };
    (fault, info)
}

impl Fault {
    /// Returns all faults that have a name: all but the statuses.
    pub fn all() -> impl Iterator<Item = Self> {
        let services = ROWS.iter().map(|(fault, _)| fault.clone());
        services.chain(Wire::ALL.iter().copied().map(Self::Wire))
    }

    /// Returns what the server does, and what must happen; `None` for a status.
    pub fn info(&self) -> Option<FaultInfo> {
        match self {
            Self::Wire(fault) | Self::Create(fault) => Some(fault.info()),
            _ => {
                let mut rows = ROWS.iter();
                rows.find(|(fault, _)| fault == self).map(|(_, info)| *info)
            }
        }
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        if let Some((fault, _)) = ROWS.iter().find(|(_, info)| info.name == name) {
            return Ok(fault.clone());
        }
        if let Some(fault) = Wire::find(name) {
            return Ok(Self::Wire(fault));
        }
        if let Some(name) = name.strip_prefix("create:") {
            let unknown = || UnknownFault(format!("create:{name}"));
            return Wire::find(name).map(Self::Create).ok_or_else(unknown);
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
        if let Some((_, info)) = ROWS.iter().find(|(fault, _)| fault == self) {
            return f.pad(info.name);
        }
        match self {
            Self::Status {
                status,
                retry_after: Some(retry_after),
            } => write!(f, "{status}:{retry_after}"),
            Self::Status { status, .. } => write!(f, "{status}"),
            Self::StreamStatus { status } => write!(f, "stream:{status}"),
            Self::Create(fault) => write!(f, "create:{fault}"),
            Self::Wire(fault) => fault.fmt(f),
            _ => fmt::Debug::fmt(self, f),
        }
    }
}

/// The error for an unknown fault name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownFault(String);

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown fault {:?}: expected one of", self.0)?;
        for fault in Fault::all() {
            write!(f, " {fault},")?;
        }
        f.write_str(
            " a status from 400 to 599 such as 429, 429:2 with Retry-After, \
             or stream:401 for a prediction's streams",
        )
    }
}

impl StdError for UnknownFault {}
