//! JSON strings, written in the styles of several servers.

use fastrand::Rng;

use crate::text::{INVALID, choice};

/// Which characters are escaped that need not be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Escape {
    /// None.
    Least,
    /// All but ASCII.
    Ascii,
    /// Some, at random.
    Some,
}

/// Invalid sequences that decoders replace by one U+FFFD.
const SEQUENCES: [&[u8]; 5] = [b"\xff", b"\x80", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"];

/// Writes the inside of a JSON string.
pub(crate) fn json(out: &mut Vec<u8>, text: &str, escape: Escape, rng: &mut Rng) {
    for character in text.chars() {
        let is_escaped = match escape {
            Escape::Least => false,
            Escape::Ascii => !character.is_ascii(),
            Escape::Some => rng.u8(..8) == 0,
        };
        match character {
            INVALID => invalid(out, rng),
            '"' => out.extend(b"\\\""),
            '\\' => out.extend(b"\\\\"),
            '\n' => out.extend(b"\\n"),
            '\r' => out.extend(b"\\r"),
            '\t' => out.extend(b"\\t"),
            '/' if is_escaped => out.extend(b"\\/"),
            character if is_escaped || character < ' ' => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.extend(format!("\\u{unit:04x}").as_bytes());
                }
            }
            character => plain(out, character),
        }
    }
}

/// Writes text as it is.
pub(crate) fn text(out: &mut Vec<u8>, text: &str, rng: &mut Rng) {
    for character in text.chars() {
        match character {
            INVALID => invalid(out, rng),
            character => plain(out, character),
        }
    }
}

fn plain(out: &mut Vec<u8>, character: char) {
    out.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn invalid(out: &mut Vec<u8>, rng: &mut Rng) {
    out.extend(*choice(rng, &SEQUENCES));
}
