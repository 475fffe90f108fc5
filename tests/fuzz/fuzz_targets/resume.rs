//! A Replicate stream that was interrupted is resumed without losing or doubling text.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use fuzz::{
    input::Input,
    outcome::Outcome,
    service::{CREATED, Service},
};
use http::{Method, Request};
use inferstream_core::{ErrorKind, Phase};
use inferstream_test::{Piece, Reply, ScriptedTransport};
use serde_json::json;

const TOKENS: &[&str] = &[
    "a", "b", "ab", "aa", "é", "\n", " a", "a\nb", "\n\n", "data: a", "",
];

/// How a service responds to a request for a stream.
#[derive(Clone, Copy, Debug)]
enum Again {
    /// Continues after `Last-Event-ID`.
    Continue,
    /// Sends everything again, with the same ids.
    Replay,
    /// Sends everything again, with other ids.
    Renumber,
    /// Has no stream any longer.
    Refuse(u16),
}

const AGAIN: &[Again] = &[
    Again::Continue,
    Again::Replay,
    Again::Renumber,
    Again::Refuse(404),
    Again::Refuse(500),
];

/// An event: its id, if it has one, and its bytes.
#[derive(Clone, Debug)]
struct Event(Option<String>, String);

/// One connection of the stream.
#[derive(Clone, Debug)]
struct Connection {
    again: Again,
    /// How many bytes are sent: all if it is more than there are.
    bytes: usize,
    is_lost: bool,
    size: usize,
}

#[derive(Debug)]
struct Script {
    events: Vec<Event>,
    connections: Vec<Connection>,
    /// How many requests for the prediction find it still processing.
    processing: usize,
    output: Vec<&'static str>,
}

fn frame(id: Option<&str>, event: &str, data: &str) -> String {
    let mut frame = format!("event: {event}\n");
    if let Some(id) = id {
        frame += &format!("id: {id}\n");
    }
    for line in data.split('\n') {
        frame += &format!("data: {line}\n");
    }
    frame + "\n"
}

impl Script {
    fn read(input: &mut Input<'_>) -> Self {
        let ids = input.below(4);
        let count = input.below(12);
        let output: Vec<_> = (0..count).map(|_| input.pick(TOKENS)).collect();
        let mut events: Vec<_> = (output.iter().enumerate())
            .map(|(at, token)| {
                let id = match ids {
                    0 | 1 => Some(format!("{at}:0")),
                    // Some events have no id of their own.
                    2 => (at % 3 == 0).then(|| format!("{at}:0")),
                    _ => None,
                };
                let bytes = frame(id.as_deref(), "output", token);
                Event(id, bytes)
            })
            .collect();
        events.push(Event(None, frame(None, "done", "{}")));
        let connections = (0..=input.below(5)).map(|_| Connection {
            again: input.pick(AGAIN),
            bytes: usize::from(input.byte()) * 4 + usize::from(input.byte() % 4),
            is_lost: input.flag(),
            size: input.below(40) + 1,
        });
        let connections = connections.collect();
        Self {
            events,
            connections,
            processing: input.below(6),
            output,
        }
    }

    fn stream(&self, nth: usize, last: Option<&str>) -> Reply {
        let Some(connection) = self.connections.get(nth) else {
            return Reply::json(404, "{}");
        };
        let whole = |renumbered: bool| {
            let event = |(at, Event(id, bytes)): (usize, &Event)| match id {
                Some(id) if renumbered => {
                    bytes.replacen(&format!("id: {id}\n"), &format!("id: new-{at}\n"), 1)
                }
                _ => bytes.clone(),
            };
            self.events
                .iter()
                .enumerate()
                .map(event)
                .collect::<String>()
        };
        let found = |last: &str| {
            let mut events = self.events.iter();
            events.position(|Event(id, _)| id.as_deref() == Some(last))
        };
        let bytes = match connection.again {
            Again::Refuse(status) if 0 < nth => return Reply::json(status, "{}"),
            Again::Continue => match last.and_then(found) {
                Some(at) => {
                    let rest = self.events[at + 1..].iter();
                    rest.map(|Event(_, bytes)| &**bytes).collect()
                }
                None => whole(false),
            },
            Again::Renumber if 0 < nth => whole(true),
            _ => whole(false),
        };
        let end = connection.bytes.min(bytes.len());
        let mut pieces = vec![Piece::Bytes(Bytes::copy_from_slice(
            &bytes.as_bytes()[..end],
        ))];
        if connection.is_lost {
            pieces.push(Piece::disconnect());
        }
        Reply::sse(pieces).split_every(connection.size)
    }

    fn prediction(&self, nth: usize) -> Reply {
        let mut document: serde_json::Value = serde_json::from_str(CREATED).expect("JSON");
        if nth < self.processing {
            document["status"] = json!("processing");
        } else {
            document["status"] = json!("succeeded");
            document["output"] = json!(self.output);
        }
        Reply::json(200, &document.to_string())
    }
}

fn is_stream(request: &Request<Bytes>) -> bool {
    request.uri().host() == Some("stream.replicate.com")
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let script = Script::read(&mut Input::new(input));
    let text = script.output.concat();
    let told = format!("{script:?}");
    let transport = ScriptedTransport::by(move |request, before| {
        if request.method() == Method::POST && request.uri().path().ends_with("/cancel") {
            return Reply::json(200, "{}");
        }
        if request.method() == Method::POST {
            return Reply::json(201, CREATED);
        }
        if is_stream(request) {
            let nth = before.iter().filter(|it| is_stream(it)).count();
            let last = request.headers().get("last-event-id");
            return script.stream(nth, last.and_then(|last| last.to_str().ok()));
        }
        let is_get = |it: &&Request<Bytes>| it.method() == Method::GET && !is_stream(it);
        script.prediction(before.iter().filter(is_get).count())
    });
    let client = Service::Replicate.client(&transport).expect("a client");
    let opened = transport.block_on(client.stream(Service::Replicate.request()));
    let outcome = Outcome::read(transport.clock(), opened);
    transport.run_detached();

    let told = || format!("{outcome:?} {told}");
    let requests = transport.requests();
    let creates = requests.iter().filter(|request| {
        request.method() == Method::POST && !request.uri().path().ends_with("/cancel")
    });
    assert_eq!(creates.count(), 1, "{}", told());
    assert!(requests.len() < 40, "{}", told());
    let elapsed = transport.clock().elapsed();
    assert!(elapsed < Duration::from_secs(600), "{elapsed:?} {}", told());
    match &outcome.end {
        Ok(()) => assert_eq!(outcome.text(), text, "{}", told()),
        Err(error) => {
            assert!(text.starts_with(outcome.text()), "{}", told());
            // The prediction has succeeded, and its document says so.
            let is_late = matches!(error.kind(), ErrorKind::Timeout(Phase::Progress));
            assert!(is_late, "{}", told());
        }
    }
});
