//! An escape for untrusted text in one line of terminal output.

use std::fmt;

/// Untrusted text for a warning or an error: `Display` escapes line ends, control characters and
/// characters that change the direction of text.
///
/// Names of tools, models and properties are untrusted: the caller may have them from anywhere.
#[derive(Clone, Copy, Debug)]
pub struct OneLine<'a>(pub &'a str);

impl OneLine<'_> {
    /// Returns true if `Display` escapes a character.
    pub fn escapes(char: char) -> bool {
        char.is_control()
            || matches!(char, '\u{2028}' | '\u{2029}')
            // These change the direction of the text that follows.
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    }
}

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(Self::escapes) {
            let mut chars = part.chars();
            match chars.next_back().filter(|last| Self::escapes(*last)) {
                None => f.write_str(part)?,
                Some(last) => {
                    f.write_str(chars.as_str())?;
                    write!(f, "{}", last.escape_debug())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_the_rest_is_kept() {
        for (text, line) in [
            ("", ""),
            ("a \"b\" `c` \\ é 🦀", "a \"b\" `c` \\ é 🦀"),
            ("a\n", "a\\n"),
            ("\r\n\u{1b}[2Jx\u{85}", "\\r\\n\\u{1b}[2Jx\\u{85}"),
            ("\u{2028}\u{202e}b", "\\u{2028}\\u{202e}b"),
        ] {
            assert_eq!(OneLine(text).to_string(), line);
        }
    }
}
