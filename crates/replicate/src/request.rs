//! Requests to paths below the base URL.

use bytes::Bytes;
use http::{Method, Request, Uri};
use inferstream_client::Call;
use inferstream_core::{Error, Result};

/// The maximum size of a document, in bytes. It contains the input, which may be as long as a
/// request, and the output, which may be as long as a response.
pub(crate) const MAX_DOCUMENT: usize = 32 << 20;

/// Returns the URL of a path below the base URL. The path must not need encoding.
pub(crate) fn url(call: &Call, path: &str) -> Result<Uri> {
    let url = format!("{}/{path}", call.base);
    url.parse().map_err(|_| {
        Error::config("invalid base URL: appending a path to it does not give a valid URL")
    })
}

/// Creates a GET request for a path below the base URL.
pub(crate) fn get(call: &Call, path: &str) -> Result<Request<Bytes>> {
    Ok(call.request_to(Method::GET, url(call, path)?, Bytes::new()))
}
