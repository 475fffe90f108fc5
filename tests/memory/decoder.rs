//! The memory that a decoder keeps from frame to frame.

use std::sync::PoisonError;

use bytes::Bytes;
use inferstream_core::{Text, sse::Decoder};

use super::{ALONE, CONSTANT, MEMORY};

/// The text of a frame of this size, which arrives in two reads.
fn read(decoder: &mut Decoder, size: usize) -> Text {
    let frame = format!("data: {}\n\n", "x".repeat(size));
    let (begin, end) = frame.split_at(frame.len() / 2);
    decoder.push(Bytes::copy_from_slice(begin.as_bytes()));
    assert_eq!(decoder.next_frame(), Ok(None));
    decoder.push(Bytes::copy_from_slice(end.as_bytes()));
    let frame = decoder.next_frame().unwrap().unwrap();
    assert_eq!(frame.data.len(), size);
    Text::slice_of(frame.buffer, frame.data)
}

#[test]
fn the_next_frame_releases_a_large_one() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = MEMORY.current_usage();
    let mut decoder = Decoder::default();
    drop(read(&mut decoder, 1 << 19));
    drop(read(&mut decoder, 100));
    let held = MEMORY.current_usage() - before;
    // A buffer of 64 KiB is kept, and the test's own threads allocate too.
    assert!(held < 2 * CONSTANT, "{held} bytes");
}

#[test]
fn a_text_holds_no_more_than_the_frames_before_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = MEMORY.current_usage();
    let mut decoder = Decoder::default();
    drop(read(&mut decoder, 100 << 10));
    drop(read(&mut decoder, 100));
    let text = read(&mut decoder, 100);
    drop(decoder);
    let held = MEMORY.current_usage() - before;
    assert!(held < 4 << 10, "{held} bytes for {}", text.len());
}
