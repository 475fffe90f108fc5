//! The decoder returns the same as a naive one, however the stream is split and whatever its
//! limits.
#![no_main]

use std::time::Duration;

use fuzz::input::Input;
use inferstream_core::sse::{Decoder, Item, Limits};

#[path = "../../it/sse/naive.rs"]
mod naive;

/// An owned item.
#[derive(Debug, PartialEq)]
enum Seen {
    Frame(String, String, String),
    Retry(Duration),
}

fn decode(mut decoder: Decoder, pieces: &[Vec<u8>]) -> (Vec<Seen>, bool, Decoder) {
    let mut items = Vec::new();
    for piece in pieces {
        decoder.push(piece.clone().into());
        while let Ok(Some(item)) = decoder.next_item() {
            items.push(match item {
                Item::Frame(frame) => {
                    Seen::Frame(frame.event.into(), frame.data.into(), frame.id.into())
                }
                Item::Retry(time) => Seen::Retry(time),
                other => panic!("a new item: {other:?}"),
            });
        }
    }
    let failed = decoder.next_item().is_err();
    (items, failed, decoder)
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let extended = input.flag();
    let pieces: Vec<Vec<u8>> = input.pieces().into_iter().map(<[u8]>::to_vec).collect();
    let whole = [pieces.concat()];
    let expected = naive::decode(&whole[0]);
    let (items, failed, decoder) = decode(Decoder::default(), &pieces);
    assert_eq!((items, failed), (expected.items, false));
    assert_eq!(decoder.last_event_id(), expected.last_event_id);
    assert_eq!(decoder.retry(), expected.retry);

    // The naive decoder does not know limits, or the lines that services send outside of fields.
    let limited = || {
        let decoder = Decoder::new(Limits::default().line(64).frame(96));
        match extended {
            false => decoder,
            true => decoder.marker("[DONE]").error_lines().end_event("done"),
        }
    };
    let (cut_items, cut_failed, mut cut) = decode(limited(), &pieces);
    let (items, failed, mut decoder) = decode(limited(), &whole);
    assert_eq!((cut_items, cut_failed), (items, failed));
    assert_eq!(cut.last_event_id(), decoder.last_event_id());
    assert_eq!(cut.replaced(), decoder.replaced());
    assert_eq!(cut.is_cut(), decoder.is_cut());
    assert_eq!(cut.tail(), decoder.tail());
});
