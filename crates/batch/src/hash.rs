//! The hashes of ids and requests. They are written to files, so they must never change.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Returns the hash of an id.
pub(crate) fn of_id(id: &str) -> u128 {
    xxh3_128(id.as_bytes())
}

/// Returns the hash of a request: of the model that replaces the request's own, and of the text of
/// its body.
pub(crate) fn of_request(model: Option<&str>, body: &str) -> u128 {
    of_pair(model.unwrap_or_default(), body)
}

/// Returns the hash of a row, for the header `Idempotency-Key`.
pub(crate) fn of_row(id: &str, request: u128) -> u128 {
    of_pair(id, &hex(request))
}

/// Returns a hash as 32 hexadecimal digits.
pub(crate) fn hex(hash: u128) -> String {
    format!("{hash:032x}")
}

/// Parses 32 hexadecimal digits.
pub(crate) fn from_hex(text: &str) -> Option<u128> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok())?
}

fn of_pair(first: &str, second: &str) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(first.as_bytes());
    hasher.update(&[0]);
    hasher.update(second.as_bytes());
    hasher.digest128()
}

#[cfg(test)]
mod tests {
    use super::{from_hex, hex, of_id, of_request, of_row};

    /// A change of these values would make every file of an earlier version unusable.
    #[test]
    fn hashes_never_change() {
        let request = of_request(None, r#"{"messages":[]}"#);
        for (hash, expected) in [
            (of_id("r1"), "0843045e54ea1b1cc082ff223c116753"),
            (request, "af94f48b7967c540e07a4dac326f144c"),
            (
                of_request(Some("m"), "{}"),
                "d63382b0347dbf0404437efa4a32b4f6",
            ),
            (of_row("r1", request), "99645b792aa41c818ffed5937fae7e77"),
        ] {
            assert_eq!(hex(hash), expected);
            assert_eq!(from_hex(expected), Some(hash));
        }
    }

    #[test]
    fn the_model_and_the_body_do_not_run_together() {
        assert_ne!(of_request(Some("ab"), "c"), of_request(Some("a"), "bc"));
        assert_ne!(of_request(None, "c"), of_request(Some("c"), ""));
    }

    #[test]
    fn other_text_is_not_a_hash() {
        let sign = format!("+{}", "0".repeat(31));
        for text in ["", "0", sign.as_str(), &"g".repeat(32), &"0".repeat(33)] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
