//! Templates: the bytes that the chunks of one stream have in common.
//!
//! A service writes the chunks of a stream with one program, so they differ in a few values:
//!
//! ```text
//! {"id":"c1","created":7,"choices":[{"delta":{"content":" quick"}}],"obfuscation":"t8Vw"}
//! {"id":"c1","created":8,"choices":[{"delta":{"content":" fox"}}],"obfuscation":"Xo0fQ2"}
//! ```
//!
//! The JSON parser reads the first of them. It reports where in these bytes it found the text, and
//! which values it skipped because they belong to members that the protocol does not have. A
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
//! A value that is skipped need not be a string. A parser reads from left to right, so up to such a
//! value it does the same in both chunks, and then it looks for the end of the value with a function
//! that depends on nothing else. The template calls the same function at the same position
//! (`RawValue`), so both find the same end, or both find no value. After it, the bytes are compared
//! again. A value with a backslash is refused, because surrogates are replaced before a chunk is parsed.
//!
//! The parser also reports from which numbers it read the token counts. Such a number may differ if it
//! is a plain integer in both chunks: digits that do not begin with an unnecessary 0, at most 15 of
//! them. The parser reads each such number as a count, and as the exact one, because it is below 2^53.
//! What follows must be what followed the first number, so the digits are all of the number. Other
//! numbers, with a sign, a fraction or an exponent, are refused.
//!
//! [`Template::text`] compares every byte outside of these values, and looks for these characters in
//! every byte within strings. It compares bytes and knows no names: a member that occurs twice, a member
//! of an unusual type, escapes in other strings and white space are bytes like others. Where a string
//! ends is found by the first quotation mark, and a string that contains a backslash before it is
//! refused. Everything that is refused goes to the parser, so what a service sends can make decoding
//! slower, but not different.
//!
//! What a decoder does with the values depends on its state too. So it must learn only chunks whose
//! repetition with other such values changes nothing but these: see `known` for how
//! [`ChatDecode`](crate::ChatDecode) ensures that.
//!
//! # Which values may differ
//!
//! Most values that the parser skips are the same in each chunk, such as `"object"`. It takes less
//! time to compare them than to search for their ends. So such a value may differ only after it
//! has differed between two chunks that were learned one after the other. This is a matter of speed:
//! any selection of these values is correct.

use std::ops::Range;

use crate::{
    lenient::{Count, inside},
    plain,
};

/// A chunk, and the positions of its values that may differ in other chunks.
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
    /// The values that were reported, in the order of their positions.
    values: Vec<Slot>,
    /// Those of them that may differ.
    varying: Vec<Slot>,
}

/// The most bytes of a chunk that is learned. Chunks of a text have some hundred; the limit bounds the
/// memory of a stream.
const MAX_CHUNK: usize = 16 << 10;

/// The position of a value, for a string without its quotation marks.
#[derive(Clone, Copy, Debug)]
struct Slot {
    start: usize,
    end: usize,
    is_string: bool,
    role: Role,
    varies: bool,
}

/// What the parser did with a value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    /// It read the text from this string.
    Text,
    /// It read the token count with this place in a list from this number.
    Count(usize),
    /// It skipped the value.
    Passed,
}

impl Template {
    /// Replaces the learned chunk, and returns true if the new one has a usable text. If it
    /// returns false, the template is unchanged.
    ///
    /// `text` is the content of a JSON string, and `passed` are values that have no effect, as they are
    /// written: strings with their quotation marks. A parser must have borrowed them from `chunk`, each
    /// value as a `RawValue`. Chunks of more than 16 KiB are not learned.
    pub fn learn(&mut self, chunk: &str, text: &str, passed: &[&str]) -> bool {
        self.learn_with_counts(chunk, text, &[], passed)
    }

    /// Learns a chunk that may also have token counts, which were read from these numbers.
    pub(crate) fn learn_with_counts(
        &mut self,
        chunk: &str,
        text: &str,
        counts: &[Count<'_>],
        passed: &[&str],
    ) -> bool {
        let Some(text) = Slot::of_string(chunk, text, Role::Text) else {
            return false;
        };
        let mut values = Vec::with_capacity(1 + counts.len() + passed.len());
        let passed = passed.iter();
        let passed = passed.filter_map(|value| Slot::of(chunk, value, Role::Passed));
        let counts = counts.iter().enumerate();
        let counts = counts.filter_map(|(at, count)| {
            let (_, length) = plain::integer(count.json.as_bytes())?;
            let slot = Slot::of(chunk, count.json, Role::Count(at));
            slot.filter(|slot| slot.start + length == slot.end)
        });
        values.extend(passed.chain(counts).chain([text]));
        values.sort_unstable_by_key(|slot| slot.start);
        // Values do not overlap. A caller that passes the text twice gets no template.
        let overlap = values.windows(2).any(|pair| pair[1].start <= pair[0].end);
        if overlap || MAX_CHUNK < chunk.len() {
            return false;
        }
        if values.len() == self.values.len() {
            for (new, old) in values.iter_mut().zip(&self.values) {
                let is_same = chunk[new.start..new.end] == self.chunk[old.start..old.end];
                new.varies |= old.varies || !is_same;
            }
        }
        self.varying.clear();
        self.varying
            .extend(values.iter().filter(|slot| slot.varies));
        self.values = values;
        self.chunk.clear();
        self.chunk.push_str(chunk);
        true
    }

    /// Returns the text of a chunk that differs from the learned one in its text and in values that
    /// have no effect, or `None` if it differs in more, or if its text is empty or has escapes.
    pub fn text<'a>(&self, chunk: &'a str) -> Option<&'a str> {
        self.text_and_counts(chunk, &mut [])
    }

    /// Returns the text of a chunk as [`text`](Self::text) does, and replaces the counts that may
    /// differ from those of the learned chunk. If it returns `None`, the counts have no meaning.
    pub(crate) fn text_and_counts<'a>(
        &self,
        chunk: &'a str,
        counts: &mut [Option<u64>],
    ) -> Option<&'a str> {
        let known = self.chunk.as_bytes();
        let (mut rest, mut from) = (chunk.as_bytes(), 0);
        let mut text = "";
        for slot in &self.varying {
            rest = rest.strip_prefix(&known[from..slot.start])?;
            let start = chunk.len() - rest.len();
            let length = match slot.role {
                // What follows must be the quotation mark that ends the string.
                _ if slot.is_string => plain::string(rest),
                Role::Count(at) => {
                    let (count, length) = plain::integer(rest)?;
                    *counts.get_mut(at)? = Some(count);
                    length
                }
                _ => plain::value(chunk.get(start..)?)?,
            };
            if slot.role == Role::Text {
                text = chunk.get(start..start + length)?;
            }
            (rest, from) = (&rest[length..], slot.end);
        }
        (!text.is_empty() && rest == &known[from..]).then_some(text)
    }
}

impl Slot {
    /// Returns the position of a value that is a slice of a chunk.
    fn of(chunk: &str, value: &str, role: Role) -> Option<Self> {
        if let Some(string) = inside(value) {
            return Self::of_string(chunk, string, role);
        }
        let Range { start, end } = range(chunk, value)?;
        Some(Self {
            start,
            end,
            is_string: false,
            role,
            varies: false,
        })
    }

    /// Returns the position of a slice of a chunk, if it is between quotation marks.
    fn of_string(chunk: &str, string: &str, role: Role) -> Option<Self> {
        let Range { start, end } = range(chunk, string)?;
        let quoted = chunk.get(start.checked_sub(1)?..=end)?;
        inside(quoted).map(|_| Self {
            start,
            end,
            is_string: true,
            role,
            varies: role == Role::Text,
        })
    }
}

/// Returns where a slice of a chunk is, or `None` if it is not one.
fn range(chunk: &str, part: &str) -> Option<Range<usize>> {
    let start = (part.as_ptr() as usize).checked_sub(chunk.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (chunk.get(start..end)? == part).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::{Count, Template};

    /// Learns a chunk; `«` and `»` are around its text, and `‹` and `›` around values without effect.
    #[track_caller]
    fn learn(template: &mut Template, marked: &str) {
        let chunk = marked.replace(['«', '»', '‹', '›'], "");
        let find = |open, close| {
            let inside = |part: &str| part.split(close).next().unwrap().to_owned();
            marked.split(open).skip(1).map(inside).collect::<Vec<_>>()
        };
        let slice = |part: &str| {
            let start = chunk.find(part).unwrap();
            &chunk[start..start + part.len()]
        };
        let passed = find('‹', '›');
        let passed: Vec<_> = passed.iter().map(|value| slice(value)).collect();
        let text = format!("\"{}\"", find('«', '»')[0]);
        let text = slice(&text).trim_matches('"');
        assert!(template.learn(&chunk, text, &passed));
    }

    #[track_caller]
    fn check(template: &Template, chunk: &str, text: Option<&str>) {
        assert_eq!(template.text(chunk), text, "{chunk}");
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
        learn(&mut template, r#"{"o":‹"c"›,"a":"«x»","p":‹"1"›}"#);
        check(&template, r#"{"o":"c","a":"y","p":"1"}"#, Some("y"));
        check(&template, r#"{"o":"c","a":"y","p":"22"}"#, None);
        learn(&mut template, r#"{"o":‹"c"›,"a":"«y»","p":‹"22"›}"#);
        check(&template, r#"{"o":"c","a":"z","p":"333"}"#, Some("z"));
        check(&template, r#"{"o":"c","a":"z","p":""}"#, Some("z"));
        check(&template, r#"{"o":"d","a":"z","p":"1"}"#, None);
        check(&template, r#"{"o":"c","a":"z","p":"3\""}"#, None);
        check(&template, r#"{"o":"c","a":"z\","p":"3"}"#, None);
        check(&template, r#"{"o":"c","a":"z","p":"3","p":"4"}"#, None);
        // It stays known while the strings are as many.
        learn(&mut template, r#"{"o":‹"c"›,"a":"«y»","p":‹"22"›}"#);
        check(&template, r#"{"o":"c","a":"z","p":"333"}"#, Some("z"));
        // The text is behind it.
        learn(&mut template, r#"{"p":‹"5"›,"o":‹"c"›,"a":"«x»"}"#);
        learn(&mut template, r#"{"p":‹"6"›,"o":‹"c"›,"a":"«x»"}"#);
        check(&template, r#"{"p":"7","o":"c","a":"y"}"#, Some("y"));
    }

    #[test]
    fn a_value_without_effect_may_differ_once_it_has() {
        let mut template = Template::default();
        learn(&mut template, r#"{"p":‹11›,"a":"«x»","o":‹[1]›}"#);
        learn(&mut template, r#"{"p":‹12›,"a":"«x»","o":‹[1]›}"#);
        for value in ["7", "-1.5e400", "null", "\"s\"", " {\"a\":[\"]\"]}"] {
            let chunk = format!(r#"{{"p":{value},"a":"y","o":[1]}}"#);
            check(&template, &chunk, Some("y"));
        }
        for value in [
            "",
            "01",
            "+1",
            "1.",
            "-",
            "NaN",
            "[1",
            "1 ",
            "1,",
            "\"\\n\"",
            "1,\"q\":1",
        ] {
            let chunk = format!(r#"{{"p":{value},"a":"y","o":[1]}}"#);
            check(&template, &chunk, None);
        }
        check(&template, r#"{"p":7,"a":"y","o":[2]}"#, None);
        check(&template, r#"{"p":7"#, None);
        check(&template, r#"{"p":"#, None);
    }

    #[test]
    fn a_token_count_may_differ_once_it_has() {
        let learn = |template: &mut Template, chunk: &str, counts: &[(usize, usize)]| {
            let count = |(start, end): &(usize, usize)| Count {
                value: Some(0),
                json: &chunk[*start..*end],
            };
            let counts: Vec<_> = counts.iter().map(count).collect();
            assert!(template.learn_with_counts(chunk, &chunk[6..7], &counts, &[]));
        };
        let mut template = Template::default();
        learn(
            &mut template,
            r#"{"a":"x","b":1,"c":1.5}"#,
            &[(13, 14), (19, 22)],
        );
        learn(
            &mut template,
            r#"{"a":"x","b":2,"c":1.5}"#,
            &[(13, 14), (19, 22)],
        );
        let read = |chunk: &str| {
            let mut counts = [None; 2];
            let text = template.text_and_counts(chunk, &mut counts)?;
            Some((text.to_owned(), counts))
        };
        let most = 999_999_999_999_999;
        for count in [0, 9, 10, most] {
            let chunk = format!(r#"{{"a":"y","b":{count},"c":1.5}}"#);
            assert_eq!(read(&chunk), Some(("y".to_owned(), [Some(count), None])));
        }
        let beyond = (most + 1).to_string();
        for count in [
            "", "-1", "01", "1.0", "1e1", "1 ", " 1", "\"1\"", "null", &*beyond,
        ] {
            let chunk = format!(r#"{{"a":"y","b":{count},"c":1.5}}"#);
            assert_eq!(read(&chunk), None, "{chunk}");
        }
        assert_eq!(read(r#"{"a":"y","b":1,"c":2.5}"#), None);
        assert_eq!(read(r#"{"a":"y","b":1"#), None);
        // The caller asks for the text alone, so the counts must not differ.
        check(&template, r#"{"a":"y","b":2,"c":1.5}"#, None);
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
