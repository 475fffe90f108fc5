//! Gzip compression of requests.

use bytes::Bytes;

/// Compresses a body (RFC 1952), or returns `None` if that does not make it smaller.
#[cfg(feature = "gzip")]
pub(crate) fn compress(body: &[u8]) -> Option<Bytes> {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    // For text, the fastest level is almost as good as the others.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < body.len()).then(|| Bytes::from(compressed))
}

/// Returns `None`: without the feature there is no setting to compress requests.
#[cfg(not(feature = "gzip"))]
pub(crate) fn compress(_: &[u8]) -> Option<Bytes> {
    None
}

#[cfg(all(test, feature = "gzip"))]
mod tests {
    use super::compress;

    #[test]
    fn a_body_that_does_not_get_smaller_is_unchanged() {
        // Shorter than the header and the checksum of a gzip file.
        assert_eq!(compress(br#"{"model":"m"}"#), None);
        assert!(compress(&[b' '; 100]).is_some_and(|small| small.len() < 100));
    }
}
