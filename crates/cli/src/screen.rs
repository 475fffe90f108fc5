//! A filter for text that a service sent: a terminal shows it and does not obey it.

use std::fmt::Write as _;

/// Returns true for the characters that a terminal obeys in place of showing them, line feeds and
/// tabs apart: the other control characters (C0, DEL, C1), and those that reorder a line.
///
/// Single marks of direction (U+200E, U+200F, U+061C) are part of ordinary text in some languages, and
/// change the order of their neighbors at most.
pub(crate) fn controls(char: char) -> bool {
    let is_control = char.is_control() && !matches!(char, '\n' | '\t');
    is_control || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes a text for the terminal, its lines as they are.
pub(crate) fn lines(text: &str) -> String {
    let mut screen = Screen::default();
    let mut shown = screen.show(text);
    shown.push_str(screen.end());
    shown
}

/// Escapes a text for the terminal, and puts it on one line.
pub(crate) fn line(text: &str) -> String {
    lines(text).replace('\n', " ")
}

/// A text on its way to a terminal, in fragments cut anywhere.
///
/// Each character is judged by itself, so that no sequence gets through in two fragments.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    /// Whether the last character was a carriage return: one before a line feed is part of a line's
    /// end, and any other would let the text overwrite itself.
    after_return: bool,
}

impl Screen {
    /// Returns the next fragment as the terminal may have it.
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

    /// Returns what is left to show at the text's end.
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
    fn what_a_terminal_obeys_is_escaped_and_the_rest_stays() {
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
