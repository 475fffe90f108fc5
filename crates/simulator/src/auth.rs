//! The check of a request's key.

use http::{HeaderMap, header::AUTHORIZATION};

use crate::shared::Settings;

/// Returns true if the request has the configured key, or any key if none is configured.
pub(crate) fn is_authorized(settings: &Settings, headers: &HeaderMap, schemes: &[&str]) -> bool {
    let key = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| schemes.iter().find_map(|scheme| value.strip_prefix(scheme)));
    is_key(settings, key)
}

/// Returns true if this is the configured key, or any key if none is configured.
pub(crate) fn is_key(settings: &Settings, key: Option<&str>) -> bool {
    let key = key.filter(|key| !key.is_empty());
    match (&settings.api_key, key) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(expected), Some(key)) => expected == key,
    }
}
