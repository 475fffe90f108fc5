//! The content or the reasoning of a choice, with the copies removed that services send.

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

/// A text that is assembled from chunks, with each part delivered once.
///
/// Services repeat a text in three ways:
///
/// - In a second field of the same chunk. The field that carried the first part is the carrier; in
///   a chunk that has it, the other fields are copies.
/// - As a complete `message` after the deltas. Only the part that the deltas did not bring is new.
/// - As the text so far in each delta. See [`Growth`].
#[derive(Debug, Default)]
pub(crate) struct Channel {
    half: Half,
    carrier: Option<Field>,
    said: Fingerprint,
    growth: Growth,
    /// A part was equal to all text before it.
    is_repeated: bool,
    /// The finish reason has come, so no part is held back anymore.
    is_finished: bool,
}

/// How a text grows from chunk to chunk.
///
/// `DashScope` (QwenLM/qwen-code#3896) and `MiniMax` (can1357/oh-my-pi#2434) have sent the text so
/// far in each delta: snapshots. One chunk does not prove that, because parts of a text may begin
/// alike (`a`, `an`). So a second part that begins with the first is held back until a later one
/// decides.
#[derive(Debug, Default)]
enum Growth {
    /// At most one part has come.
    #[default]
    Unknown,
    /// Every part so far began with the part before it. Contains the parts after the first, one
    /// after another, and the position at which the last of them begins.
    Held(String, usize),
    /// Each part is the text so far.
    Snapshots,
    /// Each part continues the text.
    Parts,
}

impl Growth {
    /// The least bytes of the part before for a proof of snapshots: `1`, `12` and `123` may be the
    /// parts of a number.
    const PROOF: usize = 8;
}

impl Channel {
    /// Returns the new part of the text in a chunk; `copies` are the fields that may contain it.
    ///
    /// `stood_in` is true if the chunk had stand-ins for surrogates.
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
        // The hash covers the text as it is delivered. Parts with half characters differ from that,
        // so they cannot be recognized as snapshots.
        if stood_in || self.half.is_held() {
            return self.append(part, stood_in);
        }
        if matches!(self.growth, Growth::Parts) {
            return self.append(part, false);
        }
        match mem::take(&mut self.growth) {
            Growth::Unknown if self.said.len == 0 => self.append_part(part, false),
            Growth::Unknown if !self.is_finished && self.may_be_snapshot(part) => {
                self.growth = Growth::Held(part.to_owned(), 0);
                None
            }
            Growth::Held(mut held, last) if extends(part, &held[last..]) => {
                // Another part that extends the one before: proof only if that one was long enough.
                if held.len() - last < Growth::PROOF {
                    if self.is_finished {
                        self.growth = Growth::Held(held, last);
                        return self.append(part, false);
                    }
                    let last = held.len();
                    held.push_str(part);
                    self.growth = Growth::Held(held, last);
                    return None;
                }
                self.growth = Growth::Snapshots;
                self.new_of(Cow::Borrowed(part))
            }
            Growth::Snapshots => {
                // A part that does not begin with the text so far is delivered as it is, because
                // losing text is worse than repeating it.
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

    /// Records that the finish reason has come: text after it may be the last, so it is delivered at
    /// once. It then extends the wait for the end, and an event that is cut off after it counts.
    pub(crate) fn set_finished(&mut self) {
        self.is_finished = true;
    }

    /// Appends a part that continues the text, and returns what to deliver, held parts included.
    pub(crate) fn append<'a>(&mut self, part: &'a str, stood_in: bool) -> Option<Cow<'a, str>> {
        let held = match self.growth {
            Growth::Parts => None,
            _ => self.release(),
        };
        self.growth = Growth::Parts;
        self.is_repeated |=
            Self::MUCH <= part.len() && self.said.len == part.len() && self.said.begins(part);
        let part = self.append_part(part, stood_in);
        match (held, part) {
            (Some(held), Some(part)) => Some(Cow::Owned(held + &part)),
            (held, part) => held.map(Cow::Owned).or(part),
        }
    }

    /// The least bytes of a repetition that is worth a warning; shorter ones occur in ordinary
    /// text.
    const MUCH: usize = 16;

    fn append_part<'a>(&mut self, part: &'a str, stood_in: bool) -> Option<Cow<'a, str>> {
        let part = self.half.mend(part, stood_in);
        self.said.add(&part);
        (!part.is_empty()).then_some(part)
    }

    /// Returns true if a part may be a snapshot: the text so far and more.
    ///
    /// Text that repeats itself from its beginning, such as `ha` followed by `haha`, does not
    /// count, and neither do parts that begin with white space, such as lines with the same
    /// indentation. Losing text is worse than repeating it.
    fn may_be_snapshot(&self, part: &str) -> bool {
        if part.len() <= self.said.len || !self.said.begins(part) {
            return false;
        }
        let (before, new) = part.split_at(self.said.len);
        let is_periodic = new.starts_with(before) || before.starts_with(new);
        !is_periodic && !before.starts_with(char::is_whitespace)
    }

    /// Returns the held parts, which turned out to continue the text.
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

    /// Returns the new part of a text that begins with the text so far.
    fn new_of<'a>(&mut self, whole: Cow<'a, str>) -> Option<Cow<'a, str>> {
        let start = self.said.len;
        self.said.add(&whole[start..]);
        let rest = match whole {
            Cow::Borrowed(whole) => Cow::Borrowed(&whole[start..]),
            Cow::Owned(mut whole) => Cow::Owned(whole.split_off(start)),
        };
        (!rest.is_empty()).then_some(rest)
    }

    /// Returns the new part of a copy of the complete text that comes after its parts.
    ///
    /// # Errors
    ///
    /// `Differs` if the copy does not begin with the text so far, which was already delivered and
    /// stays.
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
            // The complete text decides the open question: if it does not continue with the held
            // parts one after another, but begins with the last of them, they were snapshots.
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

    /// Returns what is still held at the end of the text: parts, and U+FFFD for half a character.
    pub(crate) fn finish(&mut self) -> Option<String> {
        let held = self.release();
        self.is_repeated |= held.is_some();
        let half = self.half.finish();
        match (held, half) {
            (Some(held), half) => Some(held + half.unwrap_or_default()),
            (None, half) => half.map(str::to_owned),
        }
    }

    /// Returns the warning about repetitions in this text, which the warning calls `what`.
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

/// Returns true if a text begins with another one and is longer.
fn extends(text: &str, before: &str) -> bool {
    before.len() < text.len() && text.starts_with(before)
}

/// A copy of the complete text is not the text that was streamed.
#[derive(Debug)]
pub(crate) struct Differs;

/// The length and a hash of a text, to recognize a copy of it without keeping the text in memory.
///
/// The hash is 64-bit FNV-1a, which is not collision-resistant. It does not need to be: a service
/// that forged a collision could only hide its own text.
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
