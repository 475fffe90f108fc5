//! A list of models as services send it in; ours out.

use std::{future::poll_fn, task::Poll};

use bytes::Bytes;
use inferstream_core::{Error, ErrorKind, Model, Phase, Result, Started};

use crate::wire;

/// Reads a list of models: at most 4 MiB, with the limit `idle` on each read.
pub(crate) async fn read(started: &mut Started) -> Result<Bytes> {
    const LIMIT: usize = 4 << 20;
    let mut read = Vec::new();
    while let Some(bytes) = next_within(started).await {
        let bytes = bytes?;
        if LIMIT < read.len() + bytes.len() {
            let message = format!("the list of models is over the limit of {LIMIT} bytes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        read.extend_from_slice(&bytes);
    }
    Ok(Bytes::from(read))
}

async fn next_within(started: &mut Started) -> Option<Result<Bytes>> {
    let Started {
        transport,
        timeouts,
        body,
        ..
    } = started;
    let mut limit = timeouts.idle.map(|idle| (idle, transport.sleep(idle)));
    poll_fn(|cx| {
        if let Poll::Ready(bytes) = body.poll_data(cx) {
            return Poll::Ready(bytes);
        }
        match &mut limit {
            None => Poll::Pending,
            Some((idle, sleep)) => sleep
                .as_mut()
                .poll(cx)
                .map(|()| Some(Err(Error::timeout(Phase::Idle, *idle)))),
        }
    })
    .await
}

/// Reads `{"data":[…]}`, `{"models":[…]}` or a bare list, of objects or of names.
pub(crate) fn decode(provider: &str, body: &str) -> Result<Vec<Model>> {
    let broken = || Error::protocol(format!("{provider}'s list of models cannot be read"));
    let body = body.trim();
    let list = if body.starts_with('[') {
        body
    } else {
        let object = wire::parse::<wire::Models<'_>>(body).map_err(|_| broken())?;
        object
            .data
            .text()
            .or(object.models.text())
            .ok_or_else(broken)?
    };
    let list = wire::parse::<Vec<wire::Raw<'_>>>(list).map_err(|_| broken())?;
    Ok(list
        .iter()
        .filter_map(wire::Raw::text)
        .filter_map(model)
        .collect())
}

fn model(text: &str) -> Option<Model> {
    if text.starts_with('"') {
        return wire::parse::<wire::Lax<'_>>(text)
            .ok()?
            .some()
            .map(Model::new);
    }
    let wire = wire::parse::<wire::Model<'_>>(text).ok()?;
    let mut model = Model::new(wire.id.some().or(wire.name.some())?);
    model.owned_by = wire.owned_by.some().map(str::to_owned);
    model.created = wire.created.count();
    let lengths = [
        wire.context_length,
        wire.max_context_length,
        wire.context_window,
    ];
    model.context_length = lengths.into_iter().find_map(wire::Number::count);
    Some(model)
}
