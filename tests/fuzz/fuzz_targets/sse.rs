//! Where a stream is cut does not matter, and no bytes panic.
#![no_main]

use inferstream_core::sse::{Decoder, Limits};

libfuzzer_sys::fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let decode = |pieces: &[Vec<u8>]| {
        let mut decoder = Decoder::new(Limits::default().line(64).frame(96));
        let mut items = Vec::new();
        for piece in pieces {
            decoder.push(piece.clone().into());
            while let Ok(Some(item)) = decoder.next_item() {
                items.push(format!("{item:?}"));
            }
        }
        (items, decoder.next_item().err())
    };
    assert_eq!(decode(&pieces), decode(&[pieces.concat()]));
});
