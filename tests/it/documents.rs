//! Documents instead of a stream, with a protocol that returns its ending as text.

use std::sync::Arc;

use http::{HeaderValue, Response, header::CONTENT_TYPE};
use inferstream_client::stream_or_document;
use inferstream_core::{
    ChatEvent, End, ErrorKind, Result, Timeouts, Transport,
    protocol::{Decode, Ending, Events, Finish, Flow, Started, read_stream},
    sse::{Decoder, Frame, Limits},
};

use crate::support::{Piece, Script, block_on, body};

/// A protocol that treats any frame and any ending as part of the text.
struct Echo;

impl Decode for Echo {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        let text = format!("({})", frame.data);
        events.push(ChatEvent::text(0, text));
        Ok(Flow::Continue)
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        let text = match ending {
            Ending::Document(document) => format!("document {}", document.as_str()),
            Ending::Input(Some(tail)) => format!("tail {}", tail.data),
            Ending::Input(None) => "end".to_owned(),
            ending => format!("{ending:?}"),
        };
        events.push(ChatEvent::text(0, text));
        Ok(Finish::Whole(End::Marker))
    }
}

/// Reads a response with a document limit of 8 bytes: its text, or the kind of its error.
fn read(content_type: &'static str, pieces: Vec<Piece>) -> Result<String, ErrorKind> {
    let script = Script::new([]);
    let (body, _) = body(&script.clock, pieces);
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    let transport: Arc<dyn Transport> = script.clone();
    let at = transport.now();
    let started = Started::new(transport, at, Timeouts::none(), response);
    let decoder = Decoder::new(Limits::default().document(8)).marker("[DONE]");
    let framer = stream_or_document(decoder, &started.meta.headers);
    let stream = read_stream(started, framer, Echo);
    match block_on(&script.clock, stream.finish()) {
        Ok(response) => Ok(response.text().to_owned()),
        Err(error) => Err(error.kind()),
    }
}

/// Checks the text of a response that arrives at once, and of the same byte by byte.
#[track_caller]
fn check(content_type: &'static str, bytes: &'static str, text: &str) {
    let whole = read(content_type, vec![bytes.into()]);
    assert_eq!(whole.as_deref(), Ok(text), "{content_type} {bytes:?}");
    let single = bytes.as_bytes().chunks(1);
    let single = single.map(|byte| Piece::Bytes(bytes::Bytes::from_static(byte)));
    let cut = read(content_type, single.collect());
    assert_eq!(cut, whole, "byte by byte: {content_type} {bytes:?}");
}

const EVENTS: &str = "text/event-stream";
const JSON: &str = "Application/JSON; charset=utf-8";

#[test]
fn a_document_is_recognized_whatever_its_content_type() {
    for content_type in [EVENTS, JSON, ""] {
        check(content_type, "{}", "document {}");
        check(content_type, "\u{feff} \n{} ", "document {} ");
        check(content_type, "<p>", "document <p>");
        check(content_type, "[1]", "document [1]");
        check(content_type, "{\n\n}", "document {\n\n}");
    }
}

#[test]
fn other_json_is_a_document_if_the_content_type_is_json() {
    check(JSON, "null", "document null");
    check(JSON, "[DONE]", "document [DONE]");
    check(EVENTS, "null", "end");
    check(EVENTS, "[DONE]\n", "tail [DONE]");
}

#[test]
fn a_stream_has_no_document() {
    for content_type in [EVENTS, JSON, ""] {
        check(content_type, "data: {}\n\n", "({})end");
        check(content_type, "event: document\ndata: {}", "tail {}");
        check(content_type, ": {}\n\n", "end");
        check(content_type, "data: 1\n\n{}", "(1)end");
        check(content_type, "", "end");
    }
}

#[test]
fn the_limit_of_documents_does_not_apply_to_events() {
    check(EVENTS, "{123456}", "document {123456}");
    let longer = read(EVENTS, vec!["{1234567}".into()]);
    assert_eq!(longer, Err(ErrorKind::TooLarge));
    let cut = read(EVENTS, vec!["{1234".into(), "567}".into()]);
    assert_eq!(cut, Err(ErrorKind::TooLarge));
    check(EVENTS, "data: 123456789\n\n", "(123456789)end");
}
