//! Requests to paths below the base URL.

use bytes::Bytes;
use http::{Method, Request, Uri};
use inferstream_client::Call;
use inferstream_core::{Error, Result};

/// The most that a document may hold: it repeats the input, which may be as long as a request, and
/// tells the output, which may be as long as an answer.
pub(crate) const MAX_DOCUMENT: usize = 32 << 20;

/// Returns the URL of a path below the base URL, whose parts are safe in a path.
pub(crate) fn url(call: &Call, path: &str) -> Result<Uri> {
    let url = format!("{}/{path}", call.base);
    url.parse()
        .map_err(|_| Error::config("invalid URL: the base URL and the path do not make one"))
}

/// Creates a request that reads from a path below the base URL.
pub(crate) fn get(call: &Call, path: &str) -> Result<Request<Bytes>> {
    Ok(call.request_to(Method::GET, url(call, path)?, Bytes::new()))
}
