//! The decoding of compressed request bodies.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_ENCODING};

use crate::{chat::refusal::refuse, reply::Reply};

/// The maximum length of a decompressed body in bytes.
const MAX_DECODED: u64 = 16 << 20;

/// Decodes a body by its `Content-Encoding`, or returns the error response.
pub(crate) fn decode(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, Box<Reply>> {
    let refusal = |status, message| Err(Box::new(refuse(status, message, None)));
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => return Ok(body.to_vec()),
        Some(b"gzip") => {}
        Some(_) => {
            let message = "Content-Encoding: only gzip is supported";
            return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
        }
    }
    let mut decoded = Vec::new();
    let mut reader = MultiGzDecoder::new(body).take(MAX_DECODED + 1);
    if reader.read_to_end(&mut decoded).is_err() {
        return refusal(StatusCode::BAD_REQUEST, "The body is not gzip");
    }
    if MAX_DECODED < decoded.len() as u64 {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large");
    }
    Ok(decoded)
}
