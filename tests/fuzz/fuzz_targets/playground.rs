//! The result of a playground response does not depend on how it is split, and no bytes cause a
//! panic.
#![no_main]

use fuzz::input::Input;
use inferstream_client::Redact;
use inferstream_cloudflare::playground::{decode::PlaygroundDecode, framer::PlaygroundFrames};
use inferstream_core::{
    protocol::{Decode, Ending, Events},
    sse::{Framer, Limits},
};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let pieces = Input::new(input).pieces();
    let pieces: Vec<Vec<u8>> = pieces.into_iter().map(<[u8]>::to_vec).collect();
    let decode = |pieces: &[Vec<u8>]| {
        let mut frames = PlaygroundFrames::new(Limits::default().line(64).frame(96).document(96));
        let mut protocol = PlaygroundDecode::new(Redact::default(), true);
        let mut events = Events::default();
        let mut told = Vec::new();
        for piece in pieces {
            frames.push(piece.clone().into());
            while let Ok(Some(frame)) = frames.next_frame() {
                told.push(format!("{:?}", (frame.event, frame.id, frame.data)));
                // An error ends a stream; further input must not panic, either.
                told.push(format!("{:?}", protocol.decode(frame, &mut events)));
            }
        }
        let over = frames.next_frame().err();
        let end = match frames.document() {
            Some(document) => Ending::Document(document),
            None => Ending::Input(frames.tail()),
        };
        told.push(format!("{over:?} {:?}", protocol.finish(end, &mut events)));
        (told, events.len())
    };
    assert_eq!(decode(&pieces), decode(&[pieces.concat()]));
});
