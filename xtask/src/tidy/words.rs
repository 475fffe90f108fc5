//! A check for banned phrases in comments, strings, test names and Markdown.

use super::{files::files_below, phrases::PHRASES};
use crate::{
    run::{Result, read, root},
    workspace::Package,
};

/// The table of phrases, which is not checked because it contains them.
const TABLE: &str = "xtask/src/tidy/phrases.rs";

/// The shortest function name that is read as a sentence, in words.
const SENTENCE: usize = 4;

pub(crate) fn check(_: &[Package]) -> Result<Vec<String>> {
    let root = root();
    let mut broken = Vec::new();
    for path in files_below(&root, &["md", "rs"])? {
        let name = path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .to_string_lossy()
            .replace('\\', "/");
        if name != TABLE {
            broken.extend(faults(&name, &read(&path)?, PHRASES));
        }
    }
    eprintln!("     {} banned phrases", broken.len());
    Ok(broken)
}

fn faults(name: &str, text: &str, phrases: &[(&str, &str)]) -> Vec<String> {
    let is_rust = name.rsplit('.').next() == Some("rs");
    let words = if is_rust {
        prose_of_rust(text)
    } else {
        prose_of_markdown(text)
    };
    let mut faults = Vec::new();
    let first = text.lines().next().unwrap_or_default();
    if is_rust && is_formula(first) {
        faults.push(format!("{name}:1: say what the file is, not `x in, y out`"));
    }
    for (phrase, instead) in phrases {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        for place in words.windows(phrase.len()) {
            let matches = place.iter().zip(&phrase).all(|(found, word)| {
                let has_case = word.starts_with(char::is_uppercase);
                found.text == *word || !has_case && found.text.eq_ignore_ascii_case(word)
            });
            if matches {
                let phrase = phrase.join(" ");
                let line = place[0].line;
                faults.push(format!("{name}:{line}: `{phrase}`: write {instead}"));
            }
        }
    }
    faults
}

/// Returns true for a first line such as `//! Bytes in, text out.`
fn is_formula(line: &str) -> bool {
    let line = line.trim_end_matches('.');
    line.starts_with("//!") && line.contains(" in, ") && line.ends_with(" out")
}

/// A word and its line. An empty word separates phrases.
struct Word<'a> {
    text: &'a str,
    line: usize,
}

/// Collects the words of comments, strings and the names of functions that read as sentences.
fn prose_of_rust(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    // Set to the closing quote while a string continues on the next line.
    let mut open: Option<String> = None;
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let mut rest = line;
        let mut is_comment = false;
        loop {
            if let Some(close) = open.take() {
                let Some(end) = end_of_string(rest, &close) else {
                    // A backslash joins the string with its next line.
                    add(&mut words, rest.trim_end_matches('\\'), number);
                    open = Some(close);
                    break;
                };
                add(&mut words, &rest[..end], number);
                separate(&mut words, number);
                rest = &rest[end + close.len()..];
            }
            let Some((code, token)) = next_token(rest) else {
                names(&mut words, rest, number);
                break;
            };
            names(&mut words, code, number);
            rest = &rest[code.len()..];
            match token {
                Token::Comment => {
                    let comment = rest.trim_start_matches(['/', '!']);
                    // A comment may continue the one above, unless it follows code or is empty.
                    if !line.trim_start().starts_with("//") || comment.is_empty() {
                        separate(&mut words, number);
                    }
                    add_markdown(&mut words, comment, number);
                    is_comment = true;
                    break;
                }
                Token::String(start, close) => {
                    separate(&mut words, number);
                    rest = &rest[start..];
                    open = Some(close);
                }
                Token::Char(length) => rest = &rest[length..],
            }
        }
        if !is_comment && open.is_none() {
            separate(&mut words, number);
        }
    }
    words
}

enum Token {
    Comment,
    /// The length of the opening quote, and the closing one.
    String(usize, String),
    Char(usize),
}

/// Returns the code before the next comment, string or character, and which of them follows.
fn next_token(text: &str) -> Option<(&str, Token)> {
    for (at, c) in text.char_indices() {
        let rest = &text[at..];
        let token = match c {
            '/' if rest.starts_with("//") => Token::Comment,
            '"' => {
                let hashes = text[..at].len() - text[..at].trim_end_matches('#').len();
                let is_raw = text[..at - hashes].ends_with('r');
                let hashes = if is_raw { hashes } else { 0 };
                Token::String(1, format!("\"{}", "#".repeat(hashes)))
            }
            '\'' => match char_length(rest) {
                Some(length) => Token::Char(length),
                // A lifetime.
                None => continue,
            },
            _ => continue,
        };
        return Some((&text[..at], token));
    }
    None
}

/// Returns the length of a character literal, unless the quote starts a lifetime.
fn char_length(text: &str) -> Option<usize> {
    let inner = &text[1..];
    if let Some(escaped) = inner.strip_prefix('\\') {
        let skipped = escaped.chars().next()?.len_utf8();
        return Some(escaped[skipped..].find('\'')? + skipped + 3);
    }
    let length = inner.chars().next()?.len_utf8();
    inner[length..].starts_with('\'').then_some(length + 2)
}

/// Returns where a string ends; escapes count unless it is raw, whose end has a `#`.
fn end_of_string(text: &str, close: &str) -> Option<usize> {
    if close.len() > 1 {
        return text.find(close);
    }
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends.then_some(at)
    })
}

/// Adds the names of functions in code, if they are long enough to be sentences.
fn names<'a>(words: &mut Vec<Word<'a>>, code: &'a str, line: usize) {
    for (at, _) in code.match_indices("fn ") {
        let name = &code[at + 3..];
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let name = &name[..name.find(|c| !is_part(c)).unwrap_or(name.len())];
        if SENTENCE <= name.split('_').count() {
            separate(words, line);
            words.extend(name.split('_').map(|text| Word { text, line }));
            separate(words, line);
        }
    }
}

fn prose_of_markdown(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut is_code = false;
    for (at, line) in text.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if is_code || is_fence || line.trim().is_empty() {
            separate(&mut words, at + 1);
        } else {
            add_markdown(&mut words, line, at + 1);
        }
    }
    words
}

/// Adds the words of a line of Markdown, except for code in backticks.
fn add_markdown<'a>(words: &mut Vec<Word<'a>>, text: &'a str, line: usize) {
    let has_pairs = text.matches('`').count().is_multiple_of(2);
    for (at, part) in text.split('`').enumerate() {
        if 0 < at {
            separate(words, line);
        }
        if at.is_multiple_of(2) || !has_pairs {
            add(words, part, line);
        }
    }
}

fn add<'a>(words: &mut Vec<Word<'a>>, text: &'a str, line: usize) {
    for part in text.split_whitespace() {
        for (at, text) in part
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .enumerate()
        {
            if 0 < at {
                separate(words, line);
            }
            if !text.is_empty() {
                words.push(Word { text, line });
            }
        }
    }
}

fn separate(words: &mut Vec<Word<'_>>, line: usize) {
    words.push(Word { text: "", line });
}

#[cfg(test)]
mod tests {
    use super::{faults, is_formula};

    const PHRASES: &[(&str, &str)] = &[("red herring", "fish"), ("Whale", "mammal")];

    #[track_caller]
    fn check(name: &str, text: &str, lines: &[usize]) {
        let faults = faults(name, text, PHRASES);
        let found = faults.iter().map(|fault| {
            let line = fault.split(':').nth(1).unwrap();
            line.parse::<usize>().unwrap()
        });
        assert_eq!(found.collect::<Vec<_>>(), lines, "{faults:?}");
    }

    #[test]
    fn comments_strings_and_test_names_are_read() {
        check("a.rs", "//! A red herring.\n", &[1]);
        check("a.rs", "let x = 1; // Red herring\n", &[1]);
        check("a.rs", "let x = \"a \\\"red herring\\\"\";\n", &[1]);
        check("a.rs", "let x = r#\"\"red herring\"#;\n", &[1]);
        check("a.rs", "fn a_red_herring_is_found() {}\n", &[1]);
        check("a.rs", "('\"', '\\'', \"red herring\")\n", &[1]);
    }

    #[test]
    fn a_phrase_may_continue_on_the_next_line() {
        check("a.rs", "fn f() {}\n/// A red\n/// herring\n", &[2]);
        check("a.rs", "f(\n    \"a red \\\n     herring\",\n);\n", &[2]);
        check("a.md", "A red\nherring.\n", &[1]);
        check("a.md", "A red\n\nherring.\n", &[]);
    }

    #[test]
    fn code_is_not_prose() {
        check("a.rs", "fn red_herring() { red herring }\n", &[]);
        check("a.rs", "/// Calls `red herring`.\n", &[]);
        check("a.rs", "f(\"red\", \"herring\")\n", &[]);
        check("a.rs", "fn f<'a>(x: &'a str) { red herring }\n", &[]);
        check("a.md", "Text.\n\n```sh\nred herring\n```\n", &[]);
    }

    #[test]
    fn words_match_as_a_whole() {
        check(
            "a.rs",
            "// A red herringbone; bored herring; red, herring\n",
            &[],
        );
    }

    #[test]
    fn a_capital_letter_matches_only_itself() {
        check("a.rs", "// A whale.\n// Whale watching.\n", &[2]);
    }

    #[test]
    fn a_first_line_is_not_a_formula() {
        assert!(is_formula("//! Bytes in, text out."));
        assert!(!is_formula("//! An incremental decoder for text."));
    }
}
