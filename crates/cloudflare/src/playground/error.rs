//! Errors for responses whose status is not a success.

use bytes::Bytes;
use http::{Method, StatusCode};
use inferstream_client::{Refusal, error_of_head, is_challenge, is_page};
use inferstream_core::{Error, ErrorKind, Repeat};

/// Creates the error for a response whose status is not a success.
pub(super) fn error_of_status(refusal: &Refusal<'_>) -> Error {
    let Refusal {
        status,
        headers,
        body,
        now,
        ..
    } = *refusal;
    let error = error_of_head(status, headers, now);
    let text = String::from_utf8_lossy(body);
    let reason = status.canonical_reason().unwrap_or_default();
    let message = format!("the playground returned {} {reason}", status.as_str());
    let (kind, message) = if is_challenge(headers, &text) {
        let hint = "with a browser challenge: set a browser's session";
        (ErrorKind::Challenge, format!("{message} {hint}"))
    } else if is_page(&text) {
        (error.kind(), format!("{message} with an HTML page"))
    } else {
        (error.kind(), message)
    };
    let repeat = match kind {
        ErrorKind::Challenge => Repeat::Never,
        _ => error.repeat(),
    };
    Error::new(kind, message)
        .with_head(status, headers.clone())
        .with_retry_after(error.retry_after())
        .with_repeat(repeat)
        .with_body(body)
}

/// Refines an error without a message: for a request that names a model, it means that there is no
/// such model.
pub(super) fn of_model(error: Error, method: &Method, body: &Bytes) -> Error {
    let is_silent = error.status() == Some(StatusCode::BAD_REQUEST) && body.is_empty();
    if *method != Method::POST || !is_silent || error.kind() == ErrorKind::Challenge {
        return error;
    }
    error
        .with_kind(ErrorKind::NotFound)
        .map_message(|message| format!("{message}: the model is unknown"))
        .with_repeat(Repeat::Never)
}
