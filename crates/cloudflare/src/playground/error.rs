//! Errors for responses whose status is not a success.

use bytes::Bytes;
use http::{Method, StatusCode};
use inferstream_client::Refusal;
use inferstream_core::{Error, ErrorKind, Repeat};

/// Creates the error for a response whose status is not a success.
pub(super) fn error_of_status(refusal: &Refusal<'_>) -> Error {
    let error = refusal.error("the playground", None);
    if error.kind() == ErrorKind::Challenge {
        error.map_message(|line| format!("{line}: set a browser's session"))
    } else {
        error
    }
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
