//! The end of a stream: completes its error, warns, and drains its connection for reuse.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    error::{Error, ErrorKind, Repeat},
    response::{ChatResponse, Choice},
    sse::{Frame, OwnedFrame},
    transport::{Body, Transport},
};

/// Adds to an error what the stream knows of the response.
pub(super) fn complete(error: Error, partial: &ChatResponse) -> Error {
    let meta = &partial.meta;
    // Whatever the protocol says about the error, a response had started.
    let error = match error.repeat() {
        Repeat::Safe => error.with_repeat(Repeat::Ambiguous),
        _ => error,
    };
    let error = error
        .with_attempts(meta.attempts)
        .with_partial(partial.clone());
    if error.headers().is_some() {
        return error;
    }
    let own = error.status();
    let error = error.with_head(meta.status, meta.headers.clone());
    match own {
        None => error,
        Some(status) => error.with_status(status),
    }
}

/// Returns a warning for a response that is complete but empty, which a caller might mistake for an
/// intended result.
pub(super) fn empty_warning(response: &ChatResponse, others: &[String]) -> Option<String> {
    let is_empty = |choice: &Choice| {
        choice.text.is_empty() && choice.reasoning.is_empty() && choice.tool_calls.is_empty()
    };
    if !response.choices.iter().all(is_empty) {
        return None;
    }
    let others: Vec<_> = others.iter().map(|name| format!("`{name}`")).collect();
    let carried = match &*others.join(", ") {
        "" => String::new(),
        others => format!("; it contained {others}, which is not supported"),
    };
    Some(format!(
        "the response is empty: it has no text, reasoning, tool call or refusal{carried}"
    ))
}

/// Returns a warning for invalid UTF-8 that was replaced, in a number of places.
pub(super) fn replaced_warning(places: usize) -> Option<String> {
    let places = match places {
        0 => return None,
        1 => "1 place".to_owned(),
        count => format!("{count} places"),
    };
    Some(format!(
        "the response had invalid UTF-8, replaced by U+FFFD in {places}"
    ))
}

/// Returns the beginning of an event without data.
pub(super) fn no_data() -> OwnedFrame {
    Frame::new("", &Bytes::new()).into()
}

/// Returns a frame without its buffer, so that text is copied from it.
pub(super) fn lend<'a>(frame: &'a OwnedFrame, empty: &'a Bytes) -> Frame<'a> {
    Frame {
        event: &frame.event,
        id: &frame.id,
        ..Frame::new(&frame.data, empty)
    }
}

/// Maps an error in the body to `Truncated`: the response started but did not finish.
pub(super) fn cut_off(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Disconnected | ErrorKind::Truncated => {
            let message = "the connection was lost before the end of the response";
            Error::new(ErrorKind::Truncated, message).with_source(error)
        }
        _ => error,
    }
}

/// How long, and how far, a body is read after the end of the response so that its connection can be
/// reused: what is left is at most the end of the HTTP message.
const DRAIN: (Duration, usize) = (Duration::from_millis(50), 64 << 10);

/// Reads the rest of a body, in the background if it has not arrived yet.
pub(super) fn drain(transport: &Arc<dyn Transport>, mut body: Body) {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    if let Poll::Ready(None | Some(Err(_))) = body.poll_data(&mut cx) {
        return;
    }
    let (limit, mut left) = DRAIN;
    let mut sleep = transport.sleep(limit);
    transport.detach(Box::pin(std::future::poll_fn(move |cx| {
        loop {
            if sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            match std::task::ready!(body.poll_data(cx)) {
                Some(Ok(bytes)) if bytes.len() <= left => left -= bytes.len(),
                _ => return Poll::Ready(()),
            }
        }
    })));
}
