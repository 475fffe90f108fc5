//! Buffers for what cannot be a slice of a read, several to one allocation.

use std::mem;

use bytes::{Bytes, BytesMut};

/// The smallest allocation. A chunk of a stream is a few hundred bytes long, so several that a read
/// cuts share one; text of one of them keeps no more than this alive.
const SIZE: usize = 2 << 10;

/// Appends to what has not been taken.
pub(super) fn append(block: &mut BytesMut, part: &[u8]) {
    if block.capacity() - block.len() < part.len() {
        block.reserve(part.len().max(SIZE));
    }
    block.extend_from_slice(part);
}

/// Takes what was appended. The space behind it stays, but for that of something large.
pub(super) fn take(block: &mut BytesMut) -> Bytes {
    if block.len() < SIZE {
        block.split().freeze()
    } else {
        mem::take(block).freeze()
    }
}
