//! A simple tokenizer.

/// The maximum length of a word that is one token, in letters.
const MAX_WORD: usize = 9;

/// Splits a text into tokens, which concatenate to the text.
///
/// A token is a word with the space before it, one half of a long word, or one other character.
pub(crate) fn split(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (token, tail) = rest.split_at(first_len(rest));
        tokens.push(token.to_owned());
        rest = tail;
    }
    tokens
}

/// Returns the length of the first token, in bytes.
fn first_len(text: &str) -> usize {
    let blank = usize::from(text.starts_with(' '));
    let rest = &text[blank..];
    let letters = rest.chars().take_while(|c| c.is_alphanumeric()).count();
    let taken = match (letters, rest.chars().next()) {
        (0, Some(c)) if 0 < blank && c.is_whitespace() => 0,
        (0, Some(_)) => 1,
        (0, None) => 0,
        (1..=MAX_WORD, _) => letters,
        _ => (letters.div_ceil(2)).min(MAX_WORD),
    };
    blank + rest.chars().take(taken).map(char::len_utf8).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::split;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let tokens = split(text);
        assert_eq!(tokens, expected);
        assert_eq!(tokens.concat(), text);
    }

    #[test]
    fn a_word_keeps_the_blank_before_it() {
        check("Hello there.", &["Hello", " there", "."]);
    }

    #[test]
    fn punctuation_is_a_token() {
        check(
            "a — b, (c)\n\n",
            &["a", " —", " b", ",", " (", "c", ")", "\n", "\n"],
        );
    }

    #[test]
    fn a_long_word_is_cut_in_halves() {
        check(" lighthouse", &[" light", "house"]);
    }

    #[test]
    fn blanks_are_kept() {
        check("  x ", &[" ", " x", " "]);
        check("", &[]);
    }
}
