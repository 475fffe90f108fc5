//! A kept response as a line of a file: a row of OpenAI's batch output, with one member of ours.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    id::{Fingerprint, Id},
    store::{Document, Entry},
};

/// The beginning of every line.
const BEGIN: &[u8] = b"{\"id\":\"";

#[derive(Deserialize, Serialize)]
struct Row<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow)]
    response: Response<'a>,
    error: (),
    #[serde(borrow)]
    kept: Own<'a>,
}

#[derive(Deserialize, Serialize)]
struct Response<'a> {
    status_code: u16,
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// What a row of OpenAI has no place for.
#[derive(Deserialize, Serialize)]
struct Own<'a> {
    /// The name of the client's key.
    #[serde(borrow)]
    client: Option<Cow<'a, str>>,
    /// In seconds since 1970.
    time: u64,
    #[serde(borrow)]
    request_hash: Cow<'a, str>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    warnings: Cow<'a, str>,
}

/// Encodes a response as a line with its line break; `None` if its document is not JSON.
pub(super) fn encode(entry: &Entry) -> Option<Vec<u8>> {
    let document = &entry.document;
    let row = Row {
        id: entry.request_id.as_str().into(),
        custom_id: entry.id.key.as_str().into(),
        response: Response {
            status_code: 200,
            request_id: entry.request_id.as_str().into(),
            body: serde_json::from_slice(&document.json).ok()?,
        },
        error: (),
        kept: Own {
            client: entry.id.client.as_deref().map(Cow::from),
            time: entry.time,
            request_hash: format!("{:?}", entry.fingerprint).into(),
            model: document.model.as_deref().map(Cow::from),
            warnings: document.warnings.as_str().into(),
        },
    };
    let mut line = serde_json::to_vec(&row).ok()?;
    line.push(b'\n');
    Some(line)
}

/// What a line is.
#[derive(Debug)]
pub(super) enum Line {
    Entry(Box<Entry>),
    /// Not a line of such a file.
    Foreign,
    /// The beginning of a line whose end was not written.
    Torn,
}

/// Parses a line with its line break.
pub(super) fn parse(line: &[u8]) -> Line {
    let has_end = line.ends_with(b"\n");
    if let Ok(row) = serde_json::from_slice::<Row<'_>>(line) {
        return match Fingerprint::parse(&row.kept.request_hash) {
            // Complete but for its line break: another line must not follow it directly.
            Some(_) if !has_end => Line::Torn,
            Some(fingerprint) => Line::Entry(Box::new(entry(row, fingerprint))),
            None => Line::Foreign,
        };
    }
    let begin = &line[..line.len().min(BEGIN.len())];
    // After a loss of power, some file systems have zeros where data was not written.
    let is_ours = BEGIN.starts_with(begin) || line.contains(&0);
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
    if is_ours && !is_json {
        Line::Torn
    } else {
        Line::Foreign
    }
}

fn entry(row: Row<'_>, fingerprint: Fingerprint) -> Entry {
    Entry {
        id: Id {
            client: row.kept.client.map(Cow::into_owned),
            key: row.custom_id.into_owned(),
        },
        fingerprint,
        request_id: row.response.request_id.into_owned(),
        time: row.kept.time,
        document: Arc::new(Document {
            json: Bytes::copy_from_slice(row.response.body.get().as_bytes()),
            model: row.kept.model.map(Cow::into_owned),
            warnings: row.kept.warnings.into_owned(),
        }),
    }
}
