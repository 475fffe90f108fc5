//! The text of streams: pieces that parsers may mistake for something else.

use fastrand::Rng;

/// Stands for invalid UTF-8 in a piece. No other text contains this character.
pub(crate) const INVALID: char = '\u{f8ff}';

const WORDS: [&str; 8] = [
    "the", " quick", " brown", " fox", "jumps ", "over", " a", " dog.",
];

const WIDE: [&str; 10] = [
    "é",
    "ß",
    "Ж",
    "\u{a0}",
    "中",
    "€",
    "\u{2028}",
    "🦀",
    "👩‍🚀",
    "\u{10ffff}",
];

/// Text that resembles the syntax of a protocol.
const SYNTAX: [&str; 28] = [
    "[DONE]",
    "data: [DONE]",
    "\n\ndata: [DONE]\n\n",
    "\"[DONE]\"",
    "event: done\ndata: {}\n\n",
    "d:{\"finishReason\":\"stop\"}\n",
    "0:\"x\"",
    "3:\"error\"",
    "id: 1",
    ": comment",
    "retry: 1",
    "\"",
    "\\",
    "\\\"",
    "\\u0041",
    "\\n",
    "{\"error\":{\"message\":\"no\"}}",
    "\"finish_reason\":\"stop\"",
    "\"},\"finish_reason\":\"stop\"}]}",
    "{",
    "}]}",
    "null",
    "true",
    "\t",
    "\u{0}",
    "\u{1b}[31m",
    "<think>",
    "\u{feff}",
];

const BREAKS: [&str; 5] = ["\n", "\n\n", " \n", "\r\n", "\r"];

/// Returns a piece of text, which is not empty. `has_returns` allows carriage returns.
pub(crate) fn piece(rng: &mut Rng, has_returns: bool) -> String {
    let mut piece = String::new();
    for _ in 0..=rng.usize(..3) {
        let part = match rng.u8(..10) {
            0..5 => *choice(rng, &WORDS),
            5..7 => *choice(rng, &WIDE),
            7 => *choice(rng, if has_returns { &BREAKS } else { &BREAKS[..3] }),
            8 => *choice(rng, &SYNTAX),
            _ => {
                piece.push_str(&rng.u32(..2_000).to_string());
                continue;
            }
        };
        piece.push_str(part);
    }
    piece
}

/// Inserts a character at a random position.
pub(crate) fn insert(rng: &mut Rng, piece: &mut String, inserted: char) {
    let places: Vec<usize> = piece.char_indices().map(|(at, _)| at).collect();
    piece.insert(*choice(rng, &places), inserted);
}

/// Returns one of a list that is not empty.
pub(crate) fn choice<'a, T>(rng: &mut Rng, list: &'a [T]) -> &'a T {
    &list[rng.usize(..list.len())]
}
