//! The rules for messages of several lines.

/// The mark around a message of several lines.
const QUOTES: &str = r#"""""#;

/// Returns true if the input is a complete message, and false if it continues on the next line.
pub(super) fn is_complete(input: &str) -> bool {
    match input.strip_prefix(QUOTES) {
        Some(quoted) => quoted.trim_end().ends_with(QUOTES),
        None => !input.ends_with('\\'),
    }
}

/// Returns the message of a complete input, without marks.
pub(super) fn message(input: &str) -> String {
    let quoted = input
        .strip_prefix(QUOTES)
        .and_then(|quoted| quoted.trim_end().strip_suffix(QUOTES));
    match quoted {
        Some(quoted) => {
            let quoted = quoted.strip_prefix('\n').unwrap_or(quoted);
            quoted.strip_suffix('\n').unwrap_or(quoted).to_owned()
        }
        None => input.replace("\\\n", "\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_complete, message};

    #[test]
    fn a_message_may_have_several_lines() {
        for (input, expected) in [
            ("Hi", Some("Hi")),
            ("", Some("")),
            ("one\\", None),
            ("one\\\ntwo", Some("one\ntwo")),
            ("one\\\ntwo\\", None),
            ("C:\\x", Some("C:\\x")),
            ("\"\"\"", None),
            ("\"\"\"\none\ntwo\\", None),
            ("\"\"\"\none\n\ntwo\\\n\"\"\"", Some("one\n\ntwo\\")),
            ("\"\"\"one\ntwo\"\"\" ", Some("one\ntwo")),
            ("\"\"\"\"\"\"", Some("")),
            ("say \"\"\"", Some("say \"\"\"")),
        ] {
            let found = is_complete(input).then(|| message(input));
            assert_eq!(found.as_deref(), expected, "{input:?}");
        }
    }
}
