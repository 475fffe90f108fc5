//! A transport that answers each request at once, and whose streams do not end.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response, header::CONTENT_TYPE};
use http_body::{Body as HttpBody, Frame};
use inferstream_core::{Body, BoxFuture, Error, Result, Timer, Transport};

/// What the service answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// The head of a stream, and nothing yet.
    Stream,
    /// An error that quotes the request.
    Refusal(&'static str),
}

#[derive(Debug)]
pub(crate) struct Wire(Answer);

impl Wire {
    pub(crate) fn new(answer: Answer) -> Self {
        Self(answer)
    }
}

/// A prediction of Replicate's, without the input that the service repeats.
const PREDICTION: &str = r#"{"id":"4awn473bsrztjzlx2b6ufoxkkm","status":"starting","urls":{
    "get":"https://api.replicate.com/v1/predictions/4awn473bsrztjzlx2b6ufoxkkm",
    "cancel":"https://api.replicate.com/v1/predictions/4awn473bsrztjzlx2b6ufoxkkm/cancel",
    "stream":"https://stream.replicate.com/v1/predictions/4awn473bsrztjzlx2b6ufoxkkm"}}"#;

impl Transport for Wire {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        let is_prediction =
            request.method() == Method::POST && request.uri().path().ends_with("/predictions");
        let (status, content_type, body) = match self.0 {
            Answer::Refusal(quoted) => {
                let quoted = quoted.replace('\n', "\\n").replace('"', "\\\"");
                let message = format!("bad prompt: {quoted}");
                let body = format!(
                    r#"{{"detail":"{message}","message":"{message}","errors":[{{"message":"{message}"}}]}}"#
                );
                (400, "application/json", Body::from(Bytes::from(body)))
            }
            Answer::Stream if is_prediction => (201, "application/json", Body::from(PREDICTION)),
            Answer::Stream => (200, "text/event-stream", Body::new(Endless)),
        };
        // The request has been sent.
        drop(request);
        let response = Response::builder().status(status);
        let response = response.header(CONTENT_TYPE, content_type).body(body);
        Box::pin(std::future::ready(Ok(response.expect("a valid response"))))
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        drop(task);
    }
}

impl Timer for Wire {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// A body that has not begun.
struct Endless;

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        Poll::Pending
    }
}
