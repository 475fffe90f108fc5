//! A decoder for model lists.

use inferstream_core::{Error, Model, Result};

use crate::{
    lenient::{self, Lax, Number, Raw},
    wire,
};

/// The largest model list, in bytes.
pub(crate) const MAX_LIST: usize = 4 << 20;

/// Decodes `{"data":[…]}`, `{"models":[…]}` or a list, whose items are objects or names. Items
/// without a name are skipped.
pub(crate) fn decode(provider: &str, body: &str) -> Result<Vec<Model>> {
    let broken = || {
        Error::protocol(format!(
            "invalid model list from {provider}: expected a JSON list of models"
        ))
    };
    let body = body.trim();
    let list = if body.starts_with('[') {
        body
    } else {
        let object = lenient::parse::<wire::Models<'_>>(body).map_err(|_| broken())?;
        object
            .data
            .text()
            .or(object.models.text())
            .ok_or_else(broken)?
    };
    let list = lenient::parse::<Vec<Raw<'_>>>(list).map_err(|_| broken())?;
    Ok(list
        .iter()
        .filter_map(Raw::text)
        .filter_map(model)
        .collect())
}

fn model(text: &str) -> Option<Model> {
    if text.starts_with('"') {
        return lenient::parse::<Lax<'_>>(text).ok()?.some().map(Model::new);
    }
    let wire = lenient::parse::<wire::Model<'_>>(text).ok()?;
    let mut model = Model::new(wire.id.some().or(wire.name.some())?);
    model.owned_by = wire.owned_by.some().map(str::to_owned);
    model.created = wire.created.count();
    let lengths = [
        wire.context_length,
        wire.max_context_length,
        wire.context_window,
    ];
    model.context_length = lengths.into_iter().find_map(Number::count);
    Some(model)
}
