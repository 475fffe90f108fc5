//! Recovery of surrogate pairs that a service split between two chunks.
//!
//! A service that splits its tokens in UTF-16 sends `"\ud83d"` in one chunk and `"\ude00"` in the
//! next. JSON can express a lone surrogate, but a Rust string cannot contain one, so the parser
//! would refuse both chunks. Each lone surrogate is therefore replaced by a private-use character
//! before its chunk is parsed. [`Half`] then joins the two halves, or puts U+FFFD for a half that
//! stays alone.

use std::borrow::Cow;

/// The first stand-in, in plane 15, which is reserved for private use. The 2,048 stand-ins keep the
/// order of the surrogates.
const STAND_IN: u32 = 0xF_0000;
/// The first high surrogate, which begins a pair.
const HIGH: u32 = 0xD800;
/// The first low surrogate, which ends a pair.
const LOW: u32 = 0xDC00;
/// The first code point after the surrogates.
const END: u32 = 0xE000;

/// Returns the JSON with each lone surrogate replaced by its stand-in. The text is borrowed if it
/// has no surrogate escapes.
pub(crate) fn stand_in(json: &str) -> Cow<'_, str> {
    let Some(escapes) = json.find('\\').map(|first| &json[first..]) else {
        return Cow::Borrowed(json);
    };
    if !escapes.contains("\\ud") && !escapes.contains("\\uD") {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match (half(rest), rest.get(6..).and_then(half)) {
            // A complete pair of two escapes of 6 bytes each: the parser can read it.
            (Some(HIGH..LOW), Some(LOW..END)) => {
                text.push_str(&rest[..12]);
                12
            }
            (Some(half), _) => {
                text.extend(char::from_u32(STAND_IN + half - HIGH));
                6
            }
            // Another escape. Its second character may be a backslash, which must not be read as
            // the start of the next escape.
            (None, _) => {
                let end = rest
                    .char_indices()
                    .nth(2)
                    .map_or(rest.len(), |(end, _)| end);
                text.push_str(&rest[..end]);
                end
            }
        };
        rest = &rest[taken..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Returns the surrogate whose escape the text begins with.
fn half(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let digits = digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then_some(digits)?;
    u32::from_str_radix(digits, 16)
        .ok()
        .filter(|half| (HIGH..END).contains(half))
}

/// A high surrogate at the end of the text so far, whose low surrogate may be in the next chunk.
#[derive(Debug, Default)]
pub(crate) struct Half(Option<u32>);

impl Half {
    /// Returns a fragment of the text with its pairs joined, and holds back a high surrogate at its
    /// end.
    ///
    /// `stood_in` is true if the chunk of the fragment had surrogates replaced. Without that,
    /// characters of plane 15 are the model's own and stay.
    #[inline]
    pub(crate) fn mend<'a>(&mut self, piece: &'a str, stood_in: bool) -> Cow<'a, str> {
        if self.0.is_none() && !stood_in {
            return Cow::Borrowed(piece);
        }
        Cow::Owned(self.join(piece, stood_in))
    }

    fn join(&mut self, piece: &str, stood_in: bool) -> String {
        let mut text = String::with_capacity(piece.len() + 4);
        for char in piece.chars() {
            let half = u32::from(char).wrapping_sub(STAND_IN).saturating_add(HIGH);
            let half = Some(half).filter(|half| stood_in && (HIGH..END).contains(half));
            match (self.0.take(), half) {
                (Some(high), Some(low @ LOW..END)) => {
                    text.extend(char::from_u32(
                        0x1_0000 + ((high - HIGH) << 10) + (low - LOW),
                    ));
                    continue;
                }
                // The held half is not followed by its other half.
                (Some(_), _) => text.push(char::REPLACEMENT_CHARACTER),
                (None, _) => {}
            }
            match half {
                Some(high @ HIGH..LOW) => self.0 = Some(high),
                Some(_) => text.push(char::REPLACEMENT_CHARACTER),
                None => text.push(char),
            }
        }
        text
    }

    /// Returns true if a high surrogate is held back.
    pub(crate) fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// Returns U+FFFD if a half is still held at the end of the text.
    pub(crate) fn finish(&mut self) -> Option<&'static str> {
        self.0.take().map(|_| "\u{fffd}")
    }
}
