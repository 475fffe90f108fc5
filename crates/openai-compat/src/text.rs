//! One text of a choice (its content or its reasoning), of which services send copies.

use std::{borrow::Cow, mem};

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
/// Services repeat a text in three ways: under a second name in the same chunk, whole in a last
/// chunk, and in every chunk. The field that carried the first part is the carrier. Beside it, other
/// fields of a chunk are copies. A `message` that comes after deltas is the whole text, of which only
/// what is new is taken. Deltas that each begin with the one before are snapshots, see [`Growth`].
#[derive(Debug, Default)]
pub(crate) struct Channel {
    half: Half,
    carrier: Option<Field>,
    said: Fingerprint,
    growth: Growth,
    /// A part was the same as all text before it.
    is_repeated: bool,
}

/// How a text grows from chunk to chunk.
///
/// `DashScope` (QwenLM/qwen-code#3896) and `MiniMax` (can1357/oh-my-pi#2434) have sent the text so far
/// in each delta. That cannot be told from one chunk: parts of a text may begin alike. So a second part
/// that begins with the first is held back until the next one decides.
#[derive(Debug, Default)]
enum Growth {
    /// At most one part came.
    #[default]
    Unknown,
    /// Every part so far began with the one before. Holds the parts after the first, and where the last
    /// of them begins.
    Held(String, usize),
    /// Each part is the text so far.
    Snapshots,
    /// Each part is the next part.
    Parts,
}

impl Growth {
    /// Snapshots of fewer bytes prove nothing: `1`, `12` and `123` may be parts of a number.
    const PROOF: usize = 8;
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
        if stood_in || self.half.is_held() {
            return self.append(part, stood_in);
        }
        match mem::take(&mut self.growth) {
            Growth::Unknown if self.said.len == 0 => self.append_part(part, false),
            Growth::Unknown if self.may_be_snapshot(part) => {
                self.growth = Growth::Held(part.to_owned(), 0);
                None
            }
            Growth::Held(mut held, last) if extends(part, &held[last..]) => {
                if held.len() - last < Growth::PROOF {
                    let last = held.len();
                    held.push_str(part);
                    self.growth = Growth::Held(held, last);
                    return None;
                }
                self.growth = Growth::Snapshots;
                self.new_of(Cow::Borrowed(part))
            }
            Growth::Snapshots => {
                self.growth = Growth::Snapshots;
                if self.said.begins(part) {
                    self.new_of(Cow::Borrowed(part))
                } else {
                    self.append_part(part, false)
                }
            }
            other => {
                self.growth = other;
                self.append(part, false)
            }
        }
    }

    /// Appends a part, and returns it as it is to be delivered.
    pub(crate) fn append<'a>(&mut self, part: &'a str, stood_in: bool) -> Option<Cow<'a, str>> {
        let held = self.release();
        self.growth = Growth::Parts;
        self.is_repeated |=
            Self::MUCH <= part.len() && self.said.len == part.len() && self.said.begins(part);
        let part = self.append_part(part, stood_in);
        match (held, part) {
            (Some(held), Some(part)) => Some(Cow::Owned(held + &part)),
            (held, part) => held.map(Cow::Owned).or(part),
        }
    }

    /// A repetition of fewer bytes than these is a part of the text like any other.
    const MUCH: usize = 16;

    fn append_part<'a>(&mut self, part: &'a str, stood_in: bool) -> Option<Cow<'a, str>> {
        let part = self.half.mend(part, stood_in);
        self.said.add(&part);
        (!part.is_empty()).then_some(part)
    }

    /// Returns true if a part may be the text so far and more.
    ///
    /// Text that repeats itself from its first word on, as `ha` and `haha`, is no snapshot, and neither
    /// are lines that begin alike: a loss would be worse than a copy.
    fn may_be_snapshot(&self, part: &str) -> bool {
        if part.len() <= self.said.len || !self.said.begins(part) {
            return false;
        }
        let (before, new) = part.split_at(self.said.len);
        let is_periodic = new.starts_with(before) || before.starts_with(new);
        !is_periodic && !before.starts_with(char::is_whitespace)
    }

    /// Gives back the parts that were held, as parts of the text.
    pub(crate) fn release(&mut self) -> Option<String> {
        match mem::take(&mut self.growth) {
            Growth::Held(held, _) => {
                self.growth = Growth::Parts;
                self.said.add(&held);
                Some(held)
            }
            other => {
                self.growth = other;
                None
            }
        }
    }

    /// Takes what is new of a text that begins with all that was said.
    fn new_of<'a>(&mut self, whole: Cow<'a, str>) -> Option<Cow<'a, str>> {
        let start = self.said.len;
        self.said.add(&whole[start..]);
        let rest = match whole {
            Cow::Borrowed(whole) => Cow::Borrowed(&whole[start..]),
            Cow::Owned(mut whole) => Cow::Owned(whole.split_off(start)),
        };
        (!rest.is_empty()).then_some(rest)
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
        if let Growth::Held(held, last) = &self.growth {
            // The whole text shows which of the two the parts were.
            if !whole
                .get(self.said.len..)
                .is_some_and(|rest| rest.starts_with(&**held))
            {
                if !whole.starts_with(&held[*last..]) {
                    return Err(Differs);
                }
                self.growth = Growth::Snapshots;
            }
        }
        let held = self.release().map(Cow::Owned);
        if !self.said.begins(&whole) {
            return held.map(Some).ok_or(Differs);
        }
        let rest = self.new_of(whole);
        Ok(match (held, rest) {
            (Some(held), Some(rest)) => Some(held + rest),
            (held, rest) => held.or(rest),
        })
    }

    /// Gives what is still held when the text is over: parts, and what stands for half a character.
    pub(crate) fn finish(&mut self) -> Option<String> {
        let held = self.release();
        self.is_repeated |= held.is_some();
        let half = self.half.finish();
        match (held, half) {
            (Some(held), half) => Some(held + half.unwrap_or_default()),
            (None, half) => half.map(str::to_owned),
        }
    }

    /// Returns what the user is to know of the copies in this text, which is called `what`.
    pub(crate) fn warning(&self, what: &str) -> Option<String> {
        match self.growth {
            Growth::Snapshots => Some(format!(
                "each chunk repeated the {what} before it: only the new part of each was kept"
            )),
            _ if self.is_repeated => Some(format!(
                "a chunk repeated all {what} before it: the response may hold the same {what} twice"
            )),
            _ => None,
        }
    }
}

/// Returns true if a text is another one and more.
fn extends(text: &str, before: &str) -> bool {
    before.len() < text.len() && text.starts_with(before)
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
