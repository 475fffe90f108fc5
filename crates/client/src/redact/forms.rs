//! The forms in which a service may repeat a secret, and the search for them in a text.

use std::fmt::Write;

use inferstream_core::Json;

/// The fewest characters of a secret's beginning that are recognized.
const SHOWN: usize = 24;

/// Texts of a service, which are searched for secrets.
pub(super) struct Searched {
    pairs: Pairs,
    length: usize,
}

impl Searched {
    pub(super) fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut searched = Self {
            pairs: Pairs::default(),
            length: 0,
        };
        for text in texts {
            let text = text.as_ref();
            searched.pairs.add(text);
            searched.length += text.len();
        }
        searched
    }

    /// Returns the forms of the secrets that may occur in the texts, in full or by their beginning.
    ///
    /// Forms of fewer than `least` bytes are omitted, and forms that are longer than the texts are cut
    /// to one that is still longer. Most secrets are excluded by [`Pairs`], which takes a few steps for
    /// each of them.
    pub(super) fn forms<'a>(
        &self,
        secrets: impl Iterator<Item = &'a str>,
        least: usize,
    ) -> Vec<String> {
        let secrets = secrets.filter(|secret| self.pairs.may_begin(secret));
        let forms = secrets.flat_map(|secret| forms(secret, self.length));
        forms.filter(|form| least <= form.len()).collect()
    }
}

/// Returns the forms of a secret: as it is, on one line, and as JSON with and without characters
/// beyond ASCII. Forms of more than `limit` bytes are cut, to more than `limit` bytes.
fn forms(secret: &str, limit: usize) -> Vec<String> {
    let line = line(secret, limit);
    // No character is shorter in JSON, so both forms as JSON are as long as this beginning, or longer.
    let start = beginning(secret, limit);
    let json = Json::from(start);
    let json = json.as_str();
    let json = json.get(1..json.len() - 1).unwrap_or_default().to_owned();
    let mut ascii = String::with_capacity(json.len());
    for char in json.chars() {
        if char.is_ascii() {
            ascii.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` cannot fail.
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    let mut forms = vec![start.to_owned(), line, json, ascii];
    forms.dedup();
    forms
}

/// Returns a text, or a beginning of it that is a little longer than `limit` bytes.
fn beginning(text: &str, limit: usize) -> &str {
    let mut ends = limit.saturating_add(1)..text.len();
    let end = ends.find(|end| text.is_char_boundary(*end));
    end.map_or(text, |end| &text[..end])
}

/// Returns a text with one space in place of each white space, cut where it exceeds `limit` bytes.
fn line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut space = false;
    for char in text.trim_start().chars() {
        if limit < line.len() {
            break;
        }
        if char.is_whitespace() {
            space = true;
            continue;
        }
        if std::mem::take(&mut space) {
            line.push(' ');
        }
        line.push(char);
    }
    line
}

/// Returns true if a text contains a secret in full.
pub(super) fn is_among(secrets: &[String], text: &str) -> bool {
    secrets.iter().any(|secret| text.contains(secret.as_str()))
}

/// Replaces secrets in a text, and their beginnings of at least 24 characters, because services
/// quote secrets in part.
///
/// Everything that any of the secrets covers is replaced: one may be a part of another, or begin
/// like another.
pub(super) fn blotted(text: &str, secrets: &[String]) -> String {
    let mut ranges = Vec::new();
    for secret in secrets {
        let beginning = secret.char_indices().nth(SHOWN);
        let beginning = beginning.map_or(&**secret, |(end, _)| &secret[..end]);
        let mut from = 0;
        while let Some(at) = text[from..].find(beginning) {
            let start = from + at;
            let same = text[start..].chars().zip(secret.chars());
            let same = same.take_while(|(one, other)| one == other);
            from = start + same.map(|(char, _)| char.len_utf8()).sum::<usize>();
            ranges.push(start..from);
        }
    }
    ranges.sort_by_key(|range| range.start);
    let mut shown = String::with_capacity(text.len());
    let mut end = 0;
    for range in ranges {
        if end <= range.start {
            shown.push_str(&text[end..range.start]);
            shown.push('…');
        }
        end = end.max(range.end);
    }
    shown + &text[end..]
}

/// The pairs of adjacent bytes in a text, of each byte the lower bits.
///
/// A secret whose pairs are not all among them is not in the text. Letters and digits that are
/// adjacent in a secret are adjacent in all its forms, and the bytes of a character beyond ASCII are
/// in all of them but the one that escapes it.
struct Pairs([u64; 128]);

impl Default for Pairs {
    fn default() -> Self {
        Self([0; 128])
    }
}

impl Pairs {
    fn add(&mut self, text: &str) {
        for pair in text.as_bytes().windows(2) {
            let (at, bit) = place(pair[0], pair[1]);
            self.0[at] |= bit;
        }
    }

    fn contains(&self, first: u8, second: u8) -> bool {
        let (at, bit) = place(first, second);
        self.0[at] & bit != 0
    }

    /// Returns false if no form of a secret is in the text, in full or by its beginning.
    fn may_begin(&self, secret: &str) -> bool {
        // The beginning's characters in the form in which it has the fewest of them.
        let mut width = 0;
        let mut before = None;
        for char in secret.chars() {
            width += match char {
                '"' | '\\' => 2,
                ' '..='~' => 1,
                // `\uXXXX`, or two of them.
                _ => 6 * char.len_utf16(),
            };
            if SHOWN < width {
                break;
            }
            let byte = u8::try_from(char).ok().filter(u8::is_ascii_alphanumeric);
            let is_in = match (before, byte) {
                (Some(before), Some(byte)) => self.contains(before, byte),
                _ if char.is_ascii() || char.is_whitespace() => true,
                _ => {
                    let mut bytes = [0; 4];
                    char.encode_utf8(&mut bytes);
                    self.contains(bytes[0], bytes[1]) || self.contains(b'\\', b'u')
                }
            };
            if !is_in {
                return false;
            }
            before = byte;
        }
        true
    }
}

/// Returns where a pair is in the set: a word, and a bit of it.
fn place(first: u8, second: u8) -> (usize, u64) {
    // Of letters and digits, only `p` to `y` and `0` to `9` have the same six bits.
    let first = usize::from(first % 64);
    let pair = first << 7 | usize::from(second % 128);
    (pair / 64, 1 << (pair % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: [&str; 8] = [
        "Please go on with the story.",
        "Why is the sky blue at noon, and red at night?",
        "  \n\tindented\n\n\n    and in lines\r\n",
        "Почему небо синее? Расскажи подробно.",
        "どうして空は青いのですか、詳しく教えてください",
        "🦀🦀 crabs \"quoted\" \\ and \u{1}\u{2} controls",
        "\u{3000}\u{a0}wide\u{3000}spaces\u{a0}of two kinds",
        "- - - - - - - - - - - - - - -",
    ];

    #[test]
    fn a_secret_in_any_form_is_found() {
        for secret in SECRETS {
            for form in forms(secret, usize::MAX) {
                let start = form.chars().take(SHOWN).collect::<String>();
                for said in [form, start] {
                    let text = format!("the service said: {said}!");
                    let forms = Searched::new([&text]).forms(SECRETS.into_iter(), 1);
                    let shown = blotted(&text, &forms);
                    assert_eq!(shown, "the service said: …!", "{said:?}");
                }
            }
        }
    }

    #[test]
    fn a_secret_that_is_not_in_a_text_has_no_forms() {
        let text = "Unknown field: `reasoning_format`";
        let pairs = Searched::new([text]).pairs;
        let found = SECRETS.into_iter().filter(|secret| pairs.may_begin(secret));
        assert_eq!(found.collect::<Vec<_>>(), ["- - - - - - - - - - - - - - -"]);
    }

    #[test]
    fn the_forms_of_a_long_secret_are_as_long_as_the_text() {
        let secret = "The treasure lies\nunder the third oak, é. ".repeat(1 << 12);
        let said = format!("bad: {}", &secret[..999]);
        let forms = Searched::new([&said]).forms([&*secret].into_iter(), 12);
        assert_eq!(forms.len(), 4);
        for form in &forms {
            let range = said.len() + 1..said.len() * 2;
            assert!(range.contains(&form.len()), "{} bytes", form.len());
        }
        assert_eq!(blotted(&said, &forms), "bad: …");
    }

    #[test]
    fn what_any_secret_covers_is_replaced() {
        let secrets = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let start = "You are a helpful assistant";
        for (list, text, shown) in [
            // The longer one begins like the other, of which more is quoted.
            (
                secrets(&[
                    &format!("{start} of the bank, and you know nothing else."),
                    &format!("{start} who knows 4711"),
                ]),
                format!("bad: {start} who knows 47"),
                "bad: …",
            ),
            (secrets(&["abcd", "cdef"]), "abcdef".to_owned(), "…"),
            (secrets(&["abc"]), "abcabc-abc".to_owned(), "……-…"),
            (secrets(&["b"]), String::new(), ""),
        ] {
            assert_eq!(blotted(&text, &list), shown);
        }
    }
}
