//! Reusable buffers for bytes that cannot be a slice of a read.

use bytes::{Bytes, BytesMut};

/// The smallest allocation: room for a chunk of a stream, which is a few hundred bytes long.
const SMALL: usize = 512;

/// The largest allocation that is reused: an image or a schema in one frame.
const LARGE: usize = 128 << 10;

/// Appends to a block.
#[inline]
pub(super) fn append(block: &mut BytesMut, part: &[u8]) {
    if block.capacity() - block.len() < part.len() {
        grow(block, part.len());
    }
    block.extend_from_slice(part);
}

#[cold]
fn grow(block: &mut BytesMut, more: usize) {
    block.reserve(more.max(SMALL));
    if block.is_empty() {
        // Makes the block reference-counted now; otherwise each `freeze` would allocate a counter.
        drop(block.split());
    }
}

/// Takes back a block that was lent, emptied, unless a part of it is still in use.
///
/// A block that is much larger than its contents is released, so that neither a waiting stream nor a
/// kept text holds more memory than the last frames needed.
pub(super) fn reuse(lent: Bytes) -> BytesMut {
    let used = lent.len();
    match lent.try_into_mut() {
        Ok(mut block) if block.capacity() <= LARGE.min(4 * used.max(SMALL)) => {
            block.clear();
            block
        }
        _ => BytesMut::new(),
    }
}
