//! Escaping of untrusted text, so that it cannot control the terminal.

use std::fmt::Write as _;

/// Returns true for characters that can control a terminal, except line feeds and tabs: the other
/// control characters (C0, DEL, C1) and bidirectional overrides and isolates.
///
/// Single direction marks (U+200E, U+200F, U+061C) are part of ordinary text in some languages and
/// affect at most the order of their neighbors.
pub(crate) fn controls(char: char) -> bool {
    let is_control = char.is_control() && !matches!(char, '\n' | '\t');
    is_control || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes a text for the terminal and keeps its line breaks.
pub(crate) fn lines(text: &str) -> String {
    let mut screen = Screen::default();
    let mut shown = screen.show(text);
    shown.push_str(screen.end());
    shown
}

/// Escapes a text for the terminal, on one line.
pub(crate) fn line(text: &str) -> String {
    lines(text).replace('\n', " ")
}

/// Escapes a text that arrives in fragments.
///
/// Each character is escaped independently, so a sequence split across fragments is escaped too.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    /// True if the last character was a carriage return. Before a line feed it is part of a line
    /// break; otherwise it would let the text overwrite the line.
    after_return: bool,
}

impl Screen {
    /// Returns the escaped form of the next fragment.
    pub(crate) fn show(&mut self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        for char in text.chars() {
            if self.after_return && char != '\n' {
                shown.push_str("\\r");
            }
            self.after_return = char == '\r';
            if self.after_return {
                continue;
            }
            if controls(char) {
                // Writing to a string cannot fail.
                let _ = write!(shown, "{}", char.escape_unicode());
            } else {
                shown.push(char);
            }
        }
        shown
    }

    /// Returns the remaining output at the end of the text.
    pub(crate) fn end(&mut self) -> &'static str {
        if std::mem::take(&mut self.after_return) {
            "\\r"
        } else {
            ""
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_other_text_is_kept() {
        for (text, shown) in [
            ("", ""),
            (
                "a\tb\nc é 🦀 \u{5d0}\u{200f}",
                "a\tb\nc é 🦀 \u{5d0}\u{200f}",
            ),
            ("\u{1b}[2J\u{1b}]0;x\u{7}", "\\u{1b}[2J\\u{1b}]0;x\\u{7}"),
            ("\u{9b}31m\u{7f}\u{8}\0", "\\u{9b}31m\\u{7f}\\u{8}\\u{0}"),
            ("one\r\ntwo\r\n", "one\ntwo\n"),
            ("safe\rrm -rf", "safe\\rrm -rf"),
            ("\r\r\n\r", "\\r\n\\r"),
            ("\u{202e}b\u{2066}", "\\u{202e}b\\u{2066}"),
        ] {
            assert_eq!(lines(text), shown, "{text:?}");
        }
        assert_eq!(line("a\nb\r\nc"), "a b c");
    }

    #[test]
    fn where_a_text_is_cut_makes_no_difference() {
        let text = "a\u{1b}[31mred\r\nx\ry\u{9b}\r\r\n\u{202e}\r";
        for (at, _) in text.char_indices() {
            let mut screen = Screen::default();
            let (before, after) = text.split_at(at);
            let mut shown = screen.show(before) + &screen.show(after);
            shown.push_str(screen.end());
            assert_eq!(shown, lines(text), "{at}");
        }
    }
}
