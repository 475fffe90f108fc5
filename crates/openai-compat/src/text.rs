//! One text of a choice (its content or its reasoning), of which services send copies.

use std::borrow::Cow;

use crate::surrogates::Half;

/// The member of a chunk that carries a text.
///
/// The order is the order of preference where the first chunk that has any text has several.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Field {
    /// `content` of a delta or a message.
    Content,
    /// `text` of a choice: the older completions protocol, which Together AI sends beside the delta
    /// (BerriAI/litellm#8675).
    Text,
    Reasoning,
    ReasoningContent,
    ReasoningText,
    ReasoningDetails,
    Thinking,
    /// Parts of the content that are of the type `thinking`.
    ThinkingParts,
}

/// A text as it is put together from chunks, each part of it once.
///
/// Services repeat a text in two ways: under a second name in the same chunk, and whole in a last
/// chunk. The field that carried the first part is the carrier. Beside it, other fields of a chunk
/// are copies. A `message` that comes after deltas is the whole text, of which only what is new is
/// taken.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    half: Half,
    carrier: Option<Field>,
    said: Fingerprint,
}

impl Channel {
    /// Returns the part of the text that a chunk brings; `copies` are the fields that may hold it.
    ///
    /// `stood_in` is true if the chunk had stand-ins for halves of surrogate pairs.
    pub(crate) fn take<'a>(
        &mut self,
        copies: &[(Field, Option<&'a str>)],
        stood_in: bool,
    ) -> Option<Cow<'a, str>> {
        let present = |(field, text): &(Field, Option<&'a str>)| text.map(|text| (*field, text));
        let carried = copies
            .iter()
            .filter_map(present)
            .find(|(field, _)| Some(*field) == self.carrier);
        let (field, part) = carried.or_else(|| copies.iter().find_map(present))?;
        self.carrier.get_or_insert(field);
        self.append(part, stood_in)
    }

    /// Appends a part, and returns it as it is to be delivered.
    pub(crate) fn append<'a>(&mut self, part: &'a str, stood_in: bool) -> Option<Cow<'a, str>> {
        let part = self.half.mend(part, stood_in);
        self.said.add(&part);
        (!part.is_empty()).then_some(part)
    }

    /// Returns what is new in a copy of the whole text that comes after its parts.
    ///
    /// # Errors
    ///
    /// `Differs` if the copy is of another text: the parts win.
    pub(crate) fn rest<'a>(
        &mut self,
        whole: &'a str,
        stood_in: bool,
    ) -> Result<Option<Cow<'a, str>>, Differs> {
        if self.said.len == 0 {
            return Ok(self.append(whole, stood_in));
        }
        let whole = Half::default().mend(whole, stood_in);
        let start = self.said.len;
        if !self.said.begins(&whole) {
            return Err(Differs);
        }
        self.said.add(&whole[start..]);
        let rest = match whole {
            Cow::Borrowed(whole) => Cow::Borrowed(&whole[start..]),
            Cow::Owned(mut whole) => Cow::Owned(whole.split_off(start)),
        };
        Ok((!rest.is_empty()).then_some(rest))
    }

    /// Returns what stands for half a character that is still held when the text is over.
    pub(crate) fn finish(&mut self) -> Option<&'static str> {
        self.half.finish()
    }
}

/// A copy of the whole text is of another text.
#[derive(Debug)]
pub(crate) struct Differs;

/// The length and a hash of a text, by which a copy of it is recognised without keeping it.
///
/// The hash is FNV-1a of 64 bits. A service that forged a collision would hide its own words only.
#[derive(Debug)]
struct Fingerprint {
    len: usize,
    hash: u64,
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self {
            len: 0,
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }
}

impl Fingerprint {
    fn add(&mut self, part: &str) {
        self.len += part.len();
        for byte in part.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Returns true if `whole` begins with the text.
    fn begins(&self, whole: &str) -> bool {
        whole.get(..self.len).is_some_and(|beginning| {
            let mut other = Self::default();
            other.add(beginning);
            other.hash == self.hash
        })
    }
}
