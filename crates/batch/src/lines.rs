//! The lines of results: the format of OpenAI's batch API.

use std::io::{self, Write};

use inferstream_chat_json::{Identity, random_id, write_response};
use inferstream_core::ChatResponse;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{failure::Failure, hash, row::Row, sink::Sink};

/// A sink that writes each result as a line at once: responses, and rows that failed.
#[derive(Debug)]
pub struct Lines<W> {
    writer: W,
}

impl<W: Write> Lines<W> {
    /// Creates a sink that writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self { writer }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.writer.write_all(line.as_bytes())?;
        self.writer.flush()
    }
}

impl<W: Write> Sink for Lines<W> {
    fn complete(&mut self, row: &Row, response: &ChatResponse) -> io::Result<()> {
        self.write(&complete_line(row, response)?)
    }

    fn failed(&mut self, row: &Row, failure: &Failure) -> io::Result<()> {
        self.write(&failed_line(row, failure))
    }
}

/// The first member of a line.
pub(crate) const ID: &str = "batch_req_";

#[derive(Serialize)]
struct Head<'a> {
    id: String,
    custom_id: &'a str,
    request_hash: String,
}

impl<'a> Head<'a> {
    fn new(row: &'a Row) -> Self {
        Self {
            id: format!("{ID}{}", random_id()),
            custom_id: &row.id,
            request_hash: hash::hex(row.hash),
        }
    }
}

#[derive(Serialize)]
struct Complete<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    response: Response<'a>,
    error: (),
}

#[derive(Serialize)]
struct Response<'a> {
    status_code: u16,
    request_id: Option<&'a str>,
    body: Box<RawValue>,
}

#[derive(Serialize)]
struct Failed<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(flatten)]
    request: Request<'a>,
    response: Option<Response<'a>>,
    error: WireError<'a>,
}

/// The request, so that the line is an input again.
#[derive(Serialize)]
#[serde(untagged)]
enum Request<'a> {
    Valid {
        method: &'static str,
        url: &'static str,
        body: &'a RawValue,
    },
    Invalid {
        line: &'a str,
    },
}

#[derive(Serialize)]
struct WireError<'a> {
    code: &'a str,
    message: &'a str,
}

/// Returns the line of a complete response.
///
/// # Errors
///
/// Fails if a choice of the response has no finish reason.
pub(crate) fn complete_line(row: &Row, response: &ChatResponse) -> io::Result<String> {
    let requested = row.request.as_ref().ok();
    let requested = requested.and_then(|request| request.model.clone());
    let model = response.model.clone().or(requested);
    let mut identity = Identity::new(model.unwrap_or_default());
    if let Some(id) = &response.id {
        identity.id.clone_from(id);
    }
    let body = write_response(&identity, response);
    let body = body.map_err(|error| io::Error::other(error.message))?;
    let mut line = serde_json::to_string(&Complete {
        head: Head::new(row),
        response: Response {
            status_code: 200,
            request_id: response.meta.request_id(),
            body: RawValue::from_string(body)?,
        },
        error: (),
    })?;
    line.push('\n');
    Ok(line)
}

/// Returns the line of a row that failed.
pub(crate) fn failed_line(row: &Row, failure: &Failure) -> String {
    let error = WireError {
        code: &failure.code,
        message: &failure.message,
    };
    let response = failure.status.and_then(|status_code| {
        let body = serde_json::json!({ "error": &error });
        Some(Response {
            status_code,
            request_id: failure.request_id.as_deref(),
            body: serde_json::value::to_raw_value(&body).ok()?,
        })
    });
    let request = match serde_json::from_str(&row.body) {
        Ok(body) if row.has_body => Request::Valid {
            method: "POST",
            url: "/v1/chat/completions",
            body,
        },
        _ => Request::Invalid { line: &row.body },
    };
    let line = serde_json::to_string(&Failed {
        head: Head::new(row),
        request,
        response,
        error,
    });
    line.map(|line| line + "\n").unwrap_or_default()
}
