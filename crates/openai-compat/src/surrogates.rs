//! Halves of surrogate pairs, which JSON can say and text cannot: mended where they belong together.
//!
//! A service that cuts its tokens in UTF-16 sends `"\ud83d"` in one chunk and `"\ude00"` in the
//! next. The JSON parser takes neither, so each lone half stands as a character for private use
//! while its chunk is parsed; [`Half`] then joins the two, or puts U+FFFD for one that stays alone.

use std::borrow::Cow;

/// Where the stand-ins begin: in plane 15, which is for private use.
const STAND_IN: u32 = 0xF_0000;
const HIGH: u32 = 0xD800;
const LOW: u32 = 0xDC00;
const END: u32 = 0xE000;

/// Returns the JSON with each lone half of a pair replaced by its stand-in.
pub(crate) fn stand_in(json: &str) -> Cow<'_, str> {
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match (half(rest), rest.get(6..).and_then(half)) {
            (Some(HIGH..LOW), Some(LOW..END)) => {
                text.push_str(&rest[..12]);
                12
            }
            (Some(half), _) => {
                text.extend(char::from_u32(STAND_IN + half - HIGH));
                6
            }
            // The escaped character may be a backslash or a quote.
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

/// Returns the half of a pair that the text begins with as an escape.
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

/// The first half of a pair at the end of what one text has brought so far.
#[derive(Debug, Default)]
pub(crate) struct Half(Option<u32>);

impl Half {
    /// Returns a piece of the text with its pairs joined, and holds back a first half at its end.
    ///
    /// `stood_in` is true if the piece's chunk had stand-ins.
    pub(crate) fn mend<'a>(&mut self, piece: &'a str, stood_in: bool) -> Cow<'a, str> {
        if self.0.is_none() && !stood_in {
            return Cow::Borrowed(piece);
        }
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
                (Some(_), _) => text.push(char::REPLACEMENT_CHARACTER),
                (None, _) => {}
            }
            match half {
                Some(high @ HIGH..LOW) => self.0 = Some(high),
                Some(_) => text.push(char::REPLACEMENT_CHARACTER),
                None => text.push(char),
            }
        }
        Cow::Owned(text)
    }

    /// Returns true if a first half waits for its second.
    pub(crate) fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// Returns what stands for a half that is still held when the text is over.
    pub(crate) fn finish(&mut self) -> Option<&'static str> {
        self.0.take().map(|_| "\u{fffd}")
    }
}
