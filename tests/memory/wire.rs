//! A transport that answers each request at once, and whose streams do not end.

use std::{
    iter::{once, repeat},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response, header::CONTENT_TYPE};
use inferstream_core::{Body, BoxFuture, Result, Timer, Transport};
use inferstream_test::{Clock, Piece, body};

/// What the service answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// The head of a stream, and nothing yet.
    Stream,
    /// A stream that begins with the first bytes and continues with the others, at this interval.
    Endless(&'static str, Bytes, Duration),
    /// An error that quotes the request.
    Refusal(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Wire {
    answer: Answer,
    pub(crate) clock: Clock,
}

impl Wire {
    pub(crate) fn new(answer: Answer) -> Self {
        Self {
            answer,
            clock: Clock::new(),
        }
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
        let (status, content_type, body) = match &self.answer {
            Answer::Refusal(quoted) => {
                let quoted = quoted.replace('\n', "\\n").replace('"', "\\\"");
                let message = format!("bad prompt: {quoted}");
                let body = format!(
                    r#"{{"detail":"{message}","message":"{message}","errors":[{{"message":"{message}"}}]}}"#
                );
                (400, "application/json", Body::from(Bytes::from(body)))
            }
            _ if is_prediction => (201, "application/json", Body::from(PREDICTION)),
            Answer::Stream => {
                let body = body(&self.clock, [Piece::Hang]).0;
                (200, "text/event-stream", body)
            }
            Answer::Endless(first, rest, interval) => {
                let rest = repeat(Piece::from(rest.clone()));
                let pass = Piece::Pass(*interval);
                let rest = rest.flat_map(move |piece| [pass.clone(), piece]);
                let body = body(&self.clock, once(Piece::from(*first)).chain(rest)).0;
                (200, "text/event-stream", body)
            }
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
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        self.clock.system_time()
    }
}
