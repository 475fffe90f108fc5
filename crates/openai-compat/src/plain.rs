//! The ends of JSON values that are read without a parser, or by a part of it.

use serde_json::value::RawValue;

/// The most digits of a plain integer: all such integers are exact as floating-point numbers.
const MAX_DIGITS: usize = 15;

/// Returns how many bytes are before the first quotation mark, backslash or control character.
#[inline]
pub(crate) fn string(bytes: &[u8]) -> usize {
    let first = |special: u64| special.trailing_zeros() as usize / 8;
    let mut rest = bytes;
    while let Some((word, more)) = rest.split_first_chunk() {
        match special(u64::from_le_bytes(*word)) {
            0 => rest = more,
            special => return bytes.len() - rest.len() + first(special),
        }
    }
    // A quotation mark behind the last bytes ends them.
    let end = ONES * u64::from(b'"');
    let append = |word, byte: &u8| (word << 8) | u64::from(*byte);
    let word = rest.iter().rev().fold(end, append);
    bytes.len() - rest.len() + first(special(word))
}

/// A word of eight bytes that are 1.
const ONES: u64 = u64::MAX / 0xff;

/// Returns a word whose lowest bit that is set is in the first byte of `word` that is a quotation
/// mark, a backslash or a control character, or 0 if there is no such byte.
fn special(word: u64) -> u64 {
    // Subtraction borrows from the highest bit of a byte that is below the number, and of bytes after
    // that one. A byte whose highest bit was already set is not one of the three.
    let below = |bytes: u64, number: u8| bytes.wrapping_sub(ONES * u64::from(number)) & !bytes;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (is(b'"') | is(b'\\') | below(word, 0x20)) & (ONES << 7)
}

/// Returns the plain integer at the start of some bytes, and its length: at most 15 digits, the first
/// of which is 0 only if it is the last.
#[inline]
pub(crate) fn integer(bytes: &[u8]) -> Option<(u64, usize)> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    let (mut integer, mut length) = (0, 0);
    for digit in digits.take(MAX_DIGITS + 1) {
        integer = integer * 10 + u64::from(digit - b'0');
        length += 1;
    }
    let is_padded = 1 < length && bytes[0] == b'0';
    let is_plain = (1..=MAX_DIGITS).contains(&length) && !is_padded;
    is_plain.then_some((integer, length))
}

/// Returns the length of the JSON value at the start of a text, or `None` if it is invalid or has an
/// escape.
pub(crate) fn value(text: &str) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let value = values.next()?.ok()?.get();
    (!value.contains('\\')).then(|| values.byte_offset())
}

#[cfg(test)]
mod tests {
    use super::string;

    #[test]
    fn a_string_ends_at_the_characters_that_must_be_escaped() {
        for special in 0..=u8::MAX {
            let is_plain = special >= 0x20 && special != b'"' && special != b'\\';
            for before in 0..20 {
                for filler in [b'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff] {
                    let mut bytes = [filler; 24];
                    bytes[before] = special;
                    let length = if is_plain { 24 } else { before };
                    assert_eq!(string(&bytes), length, "{bytes:?}");
                }
            }
        }
        assert_eq!(string(b""), 0);
        assert_eq!(string(b"a\n\"\\bcdefgh"), 1);
    }
}
