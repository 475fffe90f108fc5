//! Streamed responses over a toy protocol: events, endings and cancellation.

mod callers;
mod combinators;
mod connection;
mod document;
mod ends;
mod properties;
mod timeouts;

use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode};
use inferstream_core::{
    ChatEvent, ChatResponse, ChatStream, End, Error, ErrorKind, FinishReason, Result, Timeouts,
    Timer, Transport, Usage,
    protocol::{Decode, Ending, Events, Finish, Flow, Started, read_stream},
    sse::{Decoder, Frame, Limits},
};

use crate::support::{Piece, Script, Watch, block_on, body, seconds};

/// A protocol whose words are events: `fin` finishes, `[DONE]` ends, `err` fails, `void` is an
/// empty chunk, `late:x` is emitted at the end, `a+b` is two texts, and `a+err` fails after one.
#[derive(Default)]
struct Toy {
    finished: bool,
    late: Option<String>,
}

impl Decode for Toy {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        for word in frame.data.split('+') {
            match word {
                "void" => {}
                "[DONE]" => return Ok(Flow::End),
                "err" => return Err(Error::protocol("the word is `err`")),
                "reason" => events.push(ChatEvent::reasoning(0, word)),
                "other" => events.push(ChatEvent::text(1, word)),
                "usage" => events.push(ChatEvent::usage(Usage::default())),
                "model" => events.model = Some(word.to_owned()),
                "fin" => {
                    self.finished = true;
                    events.push(ChatEvent::finish(0, FinishReason::Stop));
                    return Ok(Flow::Settle);
                }
                _ => match word.strip_prefix("late:") {
                    Some(late) => self.late = Some(late.to_owned()),
                    None => events.push(ChatEvent::text(0, word)),
                },
            }
        }
        Ok(Flow::Continue)
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        if let Some(late) = self.late.take() {
            events.push(ChatEvent::text(0, late));
        }
        match ending {
            Ending::Announced => Ok(Finish::Whole(End::Marker)),
            Ending::Input(Some(tail)) if tail.data == "[DONE]" => Ok(Finish::Whole(End::Marker)),
            Ending::Lost(error) => Err(error.clone()),
            _ if self.finished => Ok(Finish::Whole(End::FinishReason)),
            _ => Err(Error::new(ErrorKind::Truncated, "the response was cut off")),
        }
    }

    fn release(&mut self, events: &mut Events) {
        if let Some(late) = self.late.take() {
            events.push(ChatEvent::text(0, late));
        }
    }
}

/// The words of a stream, one frame each.
fn frames(words: &str) -> Piece {
    let frames: String = words
        .split_whitespace()
        .flat_map(|word| ["data: ", word, "\n\n"])
        .collect();
    Piece::Bytes(frames.into())
}

fn comment() -> Piece {
    ": still here\n\n".into()
}

fn wait(time: u64) -> Piece {
    Piece::Wait(seconds(time))
}

fn lost() -> Piece {
    Error::new(ErrorKind::Disconnected, "the connection was lost").into()
}

/// The fragments, repeated.
fn again(count: usize, pieces: &[Piece]) -> Vec<Piece> {
    pieces
        .iter()
        .cloned()
        .cycle()
        .take(count * pieces.len())
        .collect()
}

/// A stream and its scripted transport.
struct Opened {
    stream: ChatStream,
    script: Arc<Script>,
    watch: Watch,
}

fn open<I>(timeouts: Timeouts, pieces: I) -> Opened
where
    I: IntoIterator<Item = Piece>,
    I::IntoIter: Send + 'static,
{
    let script = Script::new([]);
    let (body, watch) = body(&script.clock, pieces);
    let mut response = Response::new(body);
    let id = HeaderValue::from_static("r-1");
    response.headers_mut().insert("x-request-id", id);
    let transport: Arc<dyn Transport> = Arc::clone(&script) as _;
    let mut started = Started::new(transport, script.now(), timeouts, response);
    started.meta.attempts = 2;
    Opened {
        stream: read_stream(
            started,
            Decoder::new(Limits::default().line(64)),
            Toy::default(),
        ),
        script,
        watch,
    }
}

impl Opened {
    fn next(&mut self) -> Option<Result<ChatEvent>> {
        block_on(&self.script.clock, self.stream.next())
    }

    /// Takes an event, which must be this word.
    #[track_caller]
    fn expect(&mut self, word: &str) {
        assert_eq!(show(&self.next().unwrap().unwrap()), word);
    }
}

fn show(event: &ChatEvent) -> String {
    match event {
        ChatEvent::Text { text, .. } | ChatEvent::Reasoning { text, .. } => text.to_string(),
        ChatEvent::Finish { .. } => "fin".to_owned(),
        ChatEvent::Usage { .. } => "usage".to_owned(),
        other => panic!("a toy makes no {other:?}"),
    }
}

fn show_error(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Timeout(phase) => format!("!timeout/{phase}"),
        kind => format!("!{kind}"),
    }
}

/// Checks the events of a stream, how it ends, and when, in seconds of the clock.
#[track_caller]
fn check_with(timeouts: Timeouts, pieces: Vec<Piece>, expected: &str, at: u64) {
    let mut opened = open(timeouts, pieces);
    let mut seen = Vec::new();
    let mut sum = ChatResponse::default();
    let end = loop {
        match opened.next() {
            None => {
                let end = opened.stream.partial().end;
                break format!("{:?}", end.expect("the reason of the end"));
            }
            Some(Ok(event)) => {
                seen.push(show(&event));
                sum.add(&event);
                assert_eq!(opened.stream.partial().choices, sum.choices);
            }
            Some(Err(error)) => {
                assert_eq!(error.partial().unwrap().choices, sum.choices);
                assert_eq!(error.attempts(), 2);
                assert_eq!(error.status(), Some(StatusCode::OK));
                assert_eq!(error.request_id(), Some("r-1"));
                assert!(opened.watch.dropped(), "an error closes the connection");
                assert_eq!(opened.stream.partial().end, None);
                break show_error(&error);
            }
        }
    };
    seen.push(end);
    assert_eq!(seen.join(" "), expected);
    assert_eq!(
        opened.script.clock.elapsed(),
        seconds(at),
        "the time of the end"
    );
    for _ in 0..3 {
        assert!(opened.next().is_none(), "nothing follows the end");
    }
    assert_eq!(opened.stream.partial().choices, sum.choices);
}

#[track_caller]
fn check<const N: usize>(pieces: [Piece; N], expected: &str, at: u64) {
    check_with(Timeouts::default(), pieces.into(), expected, at);
}
