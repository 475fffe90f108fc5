//! Buffers for bytes that cannot be a slice of a read, whose memory is used again.

use bytes::{Bytes, BytesMut};

/// The smallest allocation: room for a chunk of a stream, which is a few hundred bytes long.
const SMALL: usize = 512;

/// The largest allocation that is used again: an image or a schema in one frame.
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
        // From now on the block counts its handles, or else each `freeze` would allocate the count.
        drop(block.split());
    }
}

/// Takes back a block that was lent, emptied, unless a part of it is still in use.
///
/// One that is large beside what it contained is released, so that neither a stream which waits
/// nor a text which is kept holds more memory than the last frames needed.
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
