//! Responses that continue in another body, over a toy protocol.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use http::Response;
use inferstream_core::{
    Body, BoxFuture, ChatEvent, ChatStream, End, Error, ErrorKind, Phase, Result, Timeouts,
    Transport,
    protocol::{Decode, Ending, Events, Finish, Flow, Started, read_stream},
    sse::{Decoder, Frame},
};

use crate::support::{Piece, Script, block_on, body, seconds};

/// A protocol whose data is text. It ends at `[DONE]`, and requests another body at any other end.
struct Toy {
    after: Duration,
    more: VecDeque<BoxFuture<'static, Result<Body>>>,
    canceled: Arc<AtomicBool>,
}

impl Decode for Toy {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        match frame.data {
            "[DONE]" => return Ok(Flow::End),
            "fin" => return Ok(Flow::Settle),
            "log" => events.logs.push_str("line\n"),
            text => events.push(ChatEvent::text(0, text)),
        }
        Ok(Flow::Continue)
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        match ending {
            Ending::Announced => return Ok(Finish::Whole(End::Marker)),
            Ending::Settled => return Ok(Finish::Whole(End::FinishReason)),
            Ending::Lost(error) => events.warnings.push(error.to_string()),
            _ => {}
        }
        match (self.more.pop_front(), ending) {
            (Some(more), _) => Ok(Finish::More(self.after, more)),
            (None, Ending::Lost(error)) => Err(error.clone()),
            (None, _) => Err(Error::new(ErrorKind::Truncated, "nothing is left")),
        }
    }

    fn cancel(&mut self) -> BoxFuture<'static, Result<()>> {
        self.canceled.store(true, SeqCst);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What is returned instead of a body.
#[derive(Clone)]
enum Next {
    Pieces(Vec<Piece>),
    Error(Error),
    Hang,
}

struct Opened {
    script: Arc<Script>,
    stream: ChatStream,
    canceled: Arc<AtomicBool>,
}

/// Opens a stream with this first body; the others are requested in turn.
fn open(first: Vec<Piece>, others: impl IntoIterator<Item = Next>) -> Opened {
    open_after(Duration::ZERO, first, others)
}

/// The same, with a delay before each of the others.
fn open_after(
    after: Duration,
    first: Vec<Piece>,
    others: impl IntoIterator<Item = Next>,
) -> Opened {
    let script = Script::new([]);
    let more = others.into_iter().map(|next| -> BoxFuture<'static, _> {
        match next {
            Next::Pieces(pieces) => {
                let (body, _) = body(&script.clock, pieces);
                Box::pin(std::future::ready(Ok(body)))
            }
            Next::Error(error) => Box::pin(std::future::ready(Err(error))),
            Next::Hang => Box::pin(std::future::pending()),
        }
    });
    let canceled = Arc::new(AtomicBool::new(false));
    let toy = Toy {
        after,
        more: more.collect(),
        canceled: Arc::clone(&canceled),
    };
    let (body, _) = body(&script.clock, first);
    let transport: Arc<dyn Transport> = script.clone();
    let at = transport.now();
    let started = Started::new(transport, at, Timeouts::default(), Response::new(body));
    Opened {
        script,
        stream: read_stream(started, Decoder::default(), toy),
        canceled,
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Disconnected, "reset")
}

/// Reads to the end: the text, and the error if there is one.
fn read(opened: &mut Opened) -> (String, Option<Error>) {
    let mut text = String::new();
    let clock = opened.script.clock.clone();
    while let Some(event) = block_on(&clock, opened.stream.next()) {
        match event {
            Ok(ChatEvent::Text { text: piece, .. }) => text.push_str(&piece),
            Ok(_) => {}
            Err(error) => return (text, Some(error)),
        }
    }
    (text, None)
}

#[test]
fn a_response_continues_in_another_body() {
    let first = vec!["data: a\n\ndata: lost with its conn".into()];
    let second = Next::Pieces(vec!["data: b\n\ndata: [DONE]\n\n".into()]);
    let mut opened = open(first, [second]);
    let (text, error) = read(&mut opened);
    assert_eq!(text, "ab");
    assert!(error.is_none());
    assert_eq!(opened.stream.partial().text(), "ab");
    assert_eq!(opened.stream.partial().end, Some(End::Marker));
}

#[test]
fn a_lost_connection_may_be_resumed() {
    let first = vec!["data: a\n\ndat".into(), broken().into()];
    let second = Next::Pieces(vec!["data: b\n\n".into(), broken().into()]);
    let third = Next::Pieces(vec!["data: c\n\ndata: [DONE]\n\n".into()]);
    let mut opened = open(first, [second, third]);
    assert_eq!(read(&mut opened).0, "abc");
    assert_eq!(opened.stream.meta().warnings.len(), 2);
}

#[test]
fn an_error_that_is_not_a_lost_connection_is_not_resumed() {
    let first = vec!["data: a\n\n".into(), Error::protocol("chunk size").into()];
    let second = Next::Pieces(vec!["data: b\n\ndata: [DONE]\n\n".into()]);
    let mut opened = open(first, [second]);
    let (text, error) = read(&mut opened);
    assert_eq!(text, "a");
    assert_eq!(error.unwrap().kind(), ErrorKind::Protocol);
    assert!(opened.stream.meta().warnings.is_empty());
}

#[test]
fn a_failed_continuation_may_be_requested_again() {
    let others = [
        Next::Error(broken()),
        Next::Pieces(vec!["data: b\n\ndata: [DONE]\n\n".into()]),
    ];
    let mut opened = open(vec!["data: a\n\n".into()], others);
    assert_eq!(read(&mut opened).0, "ab");
    assert_eq!(opened.stream.meta().warnings, ["reset"]);
}

#[test]
fn the_last_error_has_the_partial_response() {
    let mut opened = open(vec!["data: a\n\n".into()], [Next::Error(broken())]);
    let (text, error) = read(&mut opened);
    let error = error.unwrap();
    assert_eq!(text, "a");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert_eq!(error.partial().unwrap().text(), "a");
}

#[test]
fn the_timeouts_apply_while_the_rest_is_requested() {
    let mut opened = open(vec!["data: a\n\n".into()], [Next::Hang]);
    let (_, error) = read(&mut opened);
    assert_eq!(error.unwrap().kind(), ErrorKind::Timeout(Phase::Idle));
    assert_eq!(opened.script.clock.elapsed(), seconds(120));

    let mut opened = open(vec![], [Next::Hang]);
    let (_, error) = read(&mut opened);
    assert_eq!(error.unwrap().kind(), ErrorKind::Timeout(Phase::FirstEvent));
}

#[test]
fn a_delay_of_the_client_does_not_count_as_idle() {
    let second = Next::Pieces(vec!["data: b\n\ndata: [DONE]\n\n".into()]);
    let mut opened = open_after(seconds(200), vec!["data: a\n\n".into()], [second]);
    assert_eq!(read(&mut opened).0, "ab");
    assert_eq!(opened.script.clock.elapsed(), seconds(200));

    // The timeouts between events still apply.
    let mut opened = open_after(seconds(400), vec!["data: a\n\n".into()], [Next::Hang]);
    let (_, error) = read(&mut opened);
    assert_eq!(error.unwrap().kind(), ErrorKind::Timeout(Phase::Progress));
    assert_eq!(opened.script.clock.elapsed(), seconds(300));
}

#[test]
fn a_finished_response_waits_two_seconds_for_the_rest() {
    let mut opened = open(vec!["data: a\n\ndata: fin\n\n".into()], [Next::Hang]);
    assert_eq!(read(&mut opened).0, "a");
    assert_eq!(opened.script.clock.elapsed(), seconds(2));
    assert_eq!(opened.stream.partial().end, Some(End::FinishReason));
}

#[test]
fn canceling_calls_the_protocol() {
    let opened = open(vec!["data: a\n\n".into()], []);
    let response = block_on(&opened.script.clock, opened.stream.cancel()).unwrap();
    assert_eq!(response.text(), "");
    assert!(opened.canceled.load(SeqCst));
}

#[test]
fn logs_are_kept_in_the_metadata() {
    let log = "data: log\n\n".repeat(20_000);
    let first = vec![log.as_str().into(), "data: [DONE]\n\n".into()];
    let mut opened = open(first, []);
    assert_eq!(read(&mut opened).0, "");
    let logs = &opened.stream.meta().logs;
    assert!(logs.ends_with("line\n") && logs.len() <= 64 << 10);
    assert!(60 << 10 < logs.len());
}
