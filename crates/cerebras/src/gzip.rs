//! A request's body in, the same in fewer bytes out.

use bytes::Bytes;

/// Compresses a body (RFC 1952), or returns `None` where that makes nothing smaller.
#[cfg(feature = "gzip")]
pub(crate) fn compress(body: &[u8]) -> Option<Bytes> {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    // The fastest level: it takes most of what there is to be had of text.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < body.len()).then(|| Bytes::from(compressed))
}

/// Nobody can ask for it.
#[cfg(not(feature = "gzip"))]
pub(crate) fn compress(_: &[u8]) -> Option<Bytes> {
    None
}

#[cfg(all(test, feature = "gzip"))]
mod tests {
    use super::compress;

    #[test]
    fn what_gets_no_smaller_is_left() {
        // Less than the head and the checksum of what would be made of it.
        assert_eq!(compress(br#"{"model":"m"}"#), None);
        assert!(compress(&[b' '; 100]).is_some_and(|small| small.len() < 100));
    }
}
