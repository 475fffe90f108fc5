//! Templates: the bytes that the chunks of one stream have in common.
//!
//! A service writes the chunks of a stream with one program, so they differ in a string or two:
//!
//! ```text
//! {"id":"c1","choices":[{"index":0,"delta":{"content":" quick"}}],"obfuscation":"t8Vw"}
//! {"id":"c1","choices":[{"index":0,"delta":{"content":" fox"}}],"obfuscation":"Xo0fQ2"}
//! ```
//!
//! The JSON parser reads the first of them. It reports where in these bytes it found the text, and
//! which strings it skipped because they belong to members that the protocol does not have. A
//! [`Template`] keeps the chunk and these positions. A later chunk that has the same bytes
//! everywhere else needs no parser: its text is the one at that position.
//!
//! # Why the result is that of the parser
//!
//! RFC 8259, section 7: "All Unicode characters may be placed within the quotation marks, except for
//! the characters that MUST be escaped: quotation mark, reverse solidus, and the control characters
//! (U+0000 through U+001F)."
//!
//! Take a chunk that the parser has read, and replace what is between the quotation marks of one of
//! its strings. If the new text has none of these characters, it ends at the same quotation mark as
//! before, and is read literally, because only a backslash begins an escape. All other bytes, and
//! therefore all other tokens, are those of the first chunk. So the parser would read the second chunk
//! as the same values, except for this one string. If the string is one that it skips, it would read
//! exactly the same values.
//!
//! [`Template::text`] compares every byte outside of the strings, and looks for these characters in
//! every byte within them. It compares bytes and knows no names: a member that occurs twice, a member
//! of an unusual type, escapes in other strings and white space are bytes like others. Where a string
//! ends is found by the first quotation mark, and a string that contains a backslash before it is
//! refused. Everything that is refused goes to the parser, so what a service sends can make decoding
//! slower, but not different.
//!
//! What a decoder does with the values depends on its state too. So it must learn only chunks whose
//! repetition with another text changes nothing but this text: see `known` for how
//! [`ChatDecode`](crate::ChatDecode) ensures that.
//!
//! # Which strings may differ
//!
//! Most strings that the parser skips are the same in each chunk, such as `"object"`. It takes less
//! time to compare them than to search for their ends. So such a string may differ only after it
//! has differed between two chunks that were learned one after the other. This is a matter of speed:
//! any selection of these strings is correct.

/// A chunk, and the positions of its strings that may differ in other chunks.
///
/// Decoders use it to get the text of a chunk without a JSON parser, with the result of the parser.
///
/// ```
/// use inferstream_openai_compat::Template;
///
/// let mut template = Template::default();
/// let chunk = r#"{"response":"Hello"}"#;
/// // The parser borrowed the text from the chunk.
/// assert!(template.learn(chunk, &chunk[13..18], &[]));
/// assert_eq!(template.text(r#"{"response":" world"}"#), Some(" world"));
/// assert_eq!(template.text(r#"{"response":"\n"}"#), None);
/// assert_eq!(template.text(r#"{"response":"!","usage":{}}"#), None);
/// ```
#[derive(Debug, Default)]
pub struct Template {
    chunk: String,
    /// The strings that were reported, in the order of their positions.
    strings: Vec<Slot>,
    /// Those of them that may differ.
    varying: Vec<Slot>,
}

/// The most bytes of a chunk that is learned. Chunks of a text have some hundred; the limit bounds the
/// memory of a stream.
const MAX_CHUNK: usize = 16 << 10;

/// The position of a string, without its quotation marks.
#[derive(Clone, Copy, Debug)]
struct Slot {
    start: usize,
    end: usize,
    is_text: bool,
    varies: bool,
}

impl Template {
    /// Replaces the learned chunk, and returns true if the new one has a usable text. If it
    /// returns false, the template is unchanged.
    ///
    /// `text` is the content of a JSON string, and `passed` are the contents of strings that have no
    /// effect, all of them as they are written. A parser must have borrowed them from `chunk`: each is
    /// a slice of it, between the quotation marks of its string. Chunks of more than 16 KiB are not
    /// learned.
    pub fn learn(&mut self, chunk: &str, text: &str, passed: &[&str]) -> bool {
        let Some(text) = Slot::of(chunk, text, true) else {
            return false;
        };
        let passed = passed.iter();
        let passed = passed.filter_map(|string| Slot::of(chunk, string, false));
        let mut strings: Vec<Slot> = passed.chain([text]).collect();
        strings.sort_unstable_by_key(|slot| slot.start);
        // Strings do not overlap. A caller that passes the text twice gets no template.
        let overlap = strings.windows(2).any(|pair| pair[1].start <= pair[0].end);
        if overlap || MAX_CHUNK < chunk.len() {
            return false;
        }
        if strings.len() == self.strings.len() {
            for (new, old) in strings.iter_mut().zip(&self.strings) {
                let is_same = chunk[new.start..new.end] == self.chunk[old.start..old.end];
                new.varies |= old.varies || !is_same;
            }
        }
        self.varying.clear();
        self.varying
            .extend(strings.iter().filter(|slot| slot.varies));
        self.strings = strings;
        self.chunk.clear();
        self.chunk.push_str(chunk);
        true
    }

    /// Returns the text of a chunk that differs from the learned one in its text and in strings that
    /// have no effect, or `None` if it differs in more, or if its text is empty or has escapes.
    pub fn text<'a>(&self, chunk: &'a str) -> Option<&'a str> {
        let known = self.chunk.as_bytes();
        let (mut rest, mut from) = (chunk.as_bytes(), 0);
        let mut text = None;
        for slot in &self.varying {
            rest = rest.strip_prefix(&known[from..slot.start])?;
            let length = plain_length(rest);
            if slot.is_text {
                let start = chunk.len() - rest.len();
                text = chunk.get(start..start + length);
            }
            // What follows must be the quotation mark that ends the string.
            (rest, from) = (&rest[length..], slot.end);
        }
        text.filter(|text| !text.is_empty() && rest == &known[from..])
    }
}

impl Slot {
    /// Returns the position of a slice of a chunk, if it is between quotation marks.
    fn of(chunk: &str, string: &str, is_text: bool) -> Option<Self> {
        let start = (string.as_ptr() as usize).checked_sub(chunk.as_ptr() as usize)?;
        let end = start.checked_add(string.len())?;
        let quoted = chunk.get(start.checked_sub(1)?..=end)?;
        let inside = quoted.strip_prefix('"')?.strip_suffix('"')?;
        (inside == string).then_some(Self {
            start,
            end,
            is_text,
            varies: is_text,
        })
    }
}

/// Returns how many bytes are before the first quotation mark, backslash or control character.
fn plain_length(bytes: &[u8]) -> usize {
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

#[cfg(test)]
mod tests {
    use super::{Template, plain_length};

    /// Learns a chunk; `«` and `»` are around its text, and `‹` and `›` around other strings.
    #[track_caller]
    fn learn(template: &mut Template, marked: &str) {
        let chunk = marked.replace(['«', '»', '‹', '›'], "");
        let find = |open, close| {
            let inside = |part: &str| part.split(close).next().unwrap().to_owned();
            marked.split(open).skip(1).map(inside).collect::<Vec<_>>()
        };
        let slice = |string: &String| {
            let start = chunk.find(&format!("\"{string}\"")).unwrap() + 1;
            &chunk[start..start + string.len()]
        };
        let passed = find('‹', '›');
        let passed: Vec<_> = passed.iter().map(slice).collect();
        assert!(template.learn(&chunk, slice(&find('«', '»')[0]), &passed));
    }

    #[track_caller]
    fn check(template: &Template, chunk: &str, text: Option<&str>) {
        assert_eq!(template.text(chunk), text, "{chunk}");
    }

    #[test]
    fn plain_text_ends_at_the_characters_that_must_be_escaped() {
        for special in 0..=u8::MAX {
            let is_plain = special >= 0x20 && special != b'"' && special != b'\\';
            for before in 0..20 {
                for filler in [b'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff] {
                    let mut bytes = [filler; 24];
                    bytes[before] = special;
                    let length = if is_plain { 24 } else { before };
                    assert_eq!(plain_length(&bytes), length, "{bytes:?}");
                }
            }
        }
        assert_eq!(plain_length(b""), 0);
        assert_eq!(plain_length(b"a\n\"\\bcdefgh"), 1);
    }

    #[test]
    fn only_the_text_may_differ() {
        let mut template = Template::default();
        check(&template, "", None);
        learn(&mut template, r#"{"a":"«x»","b":"c"}"#);
        check(&template, r#"{"a":"x","b":"c"}"#, Some("x"));
        check(&template, r#"{"a":"yé😀","b":"c"}"#, Some("yé😀"));
        check(
            &template,
            "{\"a\":\"\u{7f}\u{2028}\",\"b\":\"c\"}",
            Some("\u{7f}\u{2028}"),
        );
        for other in [
            "",
            "{",
            r#"{"a":""#,
            r#"{"a":"","b":"c"}"#,
            r#"{"a":"x","b":"d"}"#,
            r#"{"a":"x","b":"c"} "#,
            r#" {"a":"x","b":"c"}"#,
            r#"{"a":"x","b":"c""#,
            r#"{"a":"x","a":"y","b":"c"}"#,
            r#"{"a":"x\"","b":"c"}"#,
            r#"{"a":"\\","b":"c"}"#,
            r#"{"a":"\u0041","b":"c"}"#,
            "{\"a\":\"x\ny\",\"b\":\"c\"}",
            "{\"a\":\"\0\",\"b\":\"c\"}",
            r#"{"a":","b":"c"}"#,
        ] {
            check(&template, other, None);
        }
    }

    #[test]
    fn a_string_without_effect_may_differ_once_it_has() {
        let mut template = Template::default();
        learn(&mut template, r#"{"o":"‹c›","a":"«x»","p":"‹1›"}"#);
        check(&template, r#"{"o":"c","a":"y","p":"1"}"#, Some("y"));
        check(&template, r#"{"o":"c","a":"y","p":"22"}"#, None);
        learn(&mut template, r#"{"o":"‹c›","a":"«y»","p":"‹22›"}"#);
        check(&template, r#"{"o":"c","a":"z","p":"333"}"#, Some("z"));
        check(&template, r#"{"o":"c","a":"z","p":""}"#, Some("z"));
        check(&template, r#"{"o":"d","a":"z","p":"1"}"#, None);
        check(&template, r#"{"o":"c","a":"z","p":"3\""}"#, None);
        check(&template, r#"{"o":"c","a":"z\","p":"3"}"#, None);
        check(&template, r#"{"o":"c","a":"z","p":"3","p":"4"}"#, None);
        // It stays known while the strings are as many.
        learn(&mut template, r#"{"o":"‹c›","a":"«y»","p":"‹22›"}"#);
        check(&template, r#"{"o":"c","a":"z","p":"333"}"#, Some("z"));
        // The text is behind it.
        learn(&mut template, r#"{"p":"‹5›","o":"‹c›","a":"«x»"}"#);
        learn(&mut template, r#"{"p":"‹6›","o":"‹c›","a":"«x»"}"#);
        check(&template, r#"{"p":"7","o":"c","a":"y"}"#, Some("y"));
    }

    #[test]
    fn a_slice_of_another_text_is_not_learned() {
        let mut template = Template::default();
        let chunk = r#"{"a":"x","b":1}"#;
        assert!(!template.learn(chunk, "x", &[]));
        assert!(!template.learn(chunk, &chunk[12..13], &[]));
        assert!(!template.learn(chunk, &chunk[..1], &[]));
        assert!(!template.learn(chunk, &chunk[6..7], &[&chunk[6..7]]));
        let long = format!(r#"{{"a":"x","b":"{}"}}"#, "y".repeat(16 << 10));
        assert!(!template.learn(&long, &long[6..7], &[]));
        check(&template, chunk, None);
        assert!(template.learn(chunk, &chunk[6..7], &["x"]));
        check(&template, chunk, Some("x"));
    }
}
