//! The streams of predictions, which send each event as soon as it exists.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
    request::Parts,
};

use crate::{
    answer::Piece,
    body::{Body, Source},
    fault::Fault,
    outcome::Outcome,
    replicate::{
        event::{self, Part, Telling},
        prediction::{Prediction, TOKENS},
        refusal,
        resume::Resume,
        store::Replicate,
    },
    reply::Reply,
};

/// The content type of a stream.
const EVENT_STREAM: &str = "text/event-stream";

/// The number of requests that come too early.
const EARLY: usize = 2;

/// The number of events that each connection gets before it is cut.
const BEFORE_CUT: usize = 3;

/// Handles a request to the origin of the streams.
pub(crate) fn answer(replicate: &Replicate, head: &Parts) -> Outcome {
    let token = head.uri.path().strip_prefix("/v1/streams/");
    let Some(token) = token.filter(|_| head.method == Method::GET) else {
        return Outcome::Reply(refusal::not_found());
    };
    replicate.shared.counter.add(|counts| &mut counts.streams);
    let Some(prediction) = replicate.find(|known| known.token == token) else {
        return Outcome::Reply(refusal::not_found());
    };
    let number = prediction.next_stream();
    let refusal = match prediction.fault {
        Some(Fault::Early) if number < EARLY => Some(refusal::not_found()),
        Some(Fault::StreamStatus { status }) => Some(refusal::fault(status, None)),
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Outcome::Reply(refusal);
    }
    // Requests that came too early did not get a stream.
    let number = match prediction.fault {
        Some(Fault::Early) => number - EARLY,
        _ => number,
    };
    if let Some(pieces) = prediction.events.as_ref().filter(|_| number == 0) {
        return Outcome::Reply(Reply::new(StatusCode::OK, EVENT_STREAM, pieces.clone()));
    }
    let first_fault = prediction.fault.clone().filter(|_| number == 0);
    let reader = Reader::new(prediction, number, replicate.resume, &head.headers);
    let mut response = Response::new(Body::new(Live::new(reader)));
    let event_stream = HeaderValue::from_static(EVENT_STREAM);
    response.headers_mut().insert(CONTENT_TYPE, event_stream);
    // The events of a prediction contain text, not JSON.
    let wire = first_fault.as_ref().and_then(Fault::wire);
    if let Some(fault) = wire.filter(|fault| !fault.needs_json()) {
        response.extensions_mut().insert(fault);
    }
    Outcome::Live(response)
}

/// One connection to a stream.
struct Reader {
    prediction: Arc<Prediction>,
    /// The fault of this connection.
    fault: Option<Fault>,
    text: Text,
    /// The prefix of its event ids.
    seconds: u64,
    /// The index of the next event.
    next: usize,
    /// The number of events sent, and of tokens among them.
    sent: usize,
    tokens: usize,
    state: State,
}

/// The text that a connection sends.
enum Text {
    Other,
    Own,
}

/// The next action of a connection.
enum State {
    Abort,
    End,
    Open,
    Tell,
}

impl Reader {
    fn new(
        prediction: Arc<Prediction>,
        number: usize,
        resume: Resume,
        headers: &HeaderMap,
    ) -> Self {
        let last = headers.get("last-event-id");
        let last = last.map(|id| id.to_str().unwrap_or_default());
        let resume = last.map(|_| resume);
        let seconds = match resume {
            Some(Resume::Differ | Resume::Renumber) => u64::try_from(number).unwrap_or(u64::MAX),
            _ => 0,
        };
        let next = match (resume, last) {
            (Some(Resume::Continue), Some(id)) => after(&prediction, id),
            _ => 0,
        };
        Self {
            fault: prediction.fault.clone().filter(|fault| match fault {
                Fault::Cut | Fault::Stall | Fault::Truncate => number == 0,
                fault => *fault == Fault::CutAll,
            }),
            text: match resume {
                Some(Resume::Differ) => Text::Other,
                _ => Text::Own,
            },
            seconds: prediction.seconds.saturating_add(seconds),
            next,
            sent: 0,
            tokens: 0,
            state: State::Open,
            prediction,
        }
    }

    /// Returns the next piece, or `None` at the end.
    async fn next(&mut self) -> Option<Piece> {
        match self.state {
            State::Abort => return Some(Piece::Abort),
            State::End => return None,
            State::Open => {
                self.state = State::Tell;
                return Some(Piece::from(": hi\n\n"));
            }
            State::Tell => {}
        }
        if self.fault == Some(Fault::CutAll) && self.sent == BEFORE_CUT {
            return Some(Piece::Abort);
        }
        let event = self.next_event().await?;
        if event.part == Part::Closing || self.tokens == TOKENS {
            match self.fault {
                Some(Fault::Cut) => {
                    self.state = State::Abort;
                    return Some(Piece::Bytes(half(&event.bytes)));
                }
                Some(Fault::Stall) => return Some(Piece::Hang),
                Some(Fault::Truncate) => {
                    self.state = State::End;
                    return None;
                }
                _ => {}
            }
        }
        self.next += 1;
        self.sent += 1;
        self.tokens += usize::from(event.part == Part::Text);
        Some(Piece::Bytes(event.bytes))
    }

    /// Waits for the next event, unless the stream has ended.
    async fn next_event(&self) -> Option<event::Event> {
        let prediction = &self.prediction;
        let is_there = |state: &_| self.next < event::count(prediction, state);
        let state = prediction
            .until(|state| is_there(state) || state.ended.is_some())
            .await;
        let tokens = match self.text {
            Text::Other => &prediction.others,
            Text::Own => &prediction.tokens,
        };
        let telling = Telling {
            tokens,
            seconds: self.seconds,
        };
        event::find(prediction, &state, telling, self.next)
    }
}

/// Returns the index after the event with this id, or 0 if the id is unknown.
fn after(prediction: &Prediction, id: &str) -> usize {
    let index = id
        .strip_prefix(&format!("{}:", prediction.seconds))
        .and_then(|index| index.parse().ok())
        .filter(|index| *index < event::count(prediction, &prediction.state()));
    index.map_or(0, |index: usize| index + 1)
}

fn half(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}

/// The pieces of a reader as a body source.
struct Live {
    step: Pin<Box<dyn Future<Output = (Option<Piece>, Reader)> + Send>>,
}

impl Live {
    fn new(reader: Reader) -> Self {
        Self {
            step: Box::pin(step(reader)),
        }
    }
}

async fn step(mut reader: Reader) -> (Option<Piece>, Reader) {
    (reader.next().await, reader)
}

impl Source for Live {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        let (piece, reader) = ready!(self.step.as_mut().poll(cx));
        self.step = Box::pin(step(reader));
        Poll::Ready(piece)
    }
}
