//! The escapes of JSON strings, read leniently.

/// Returns the strings in a JSON text, decoded, except the names of members.
pub(super) fn strings(json: &str) -> impl Iterator<Item = String> {
    let mut rest = json;
    std::iter::from_fn(move || {
        loop {
            let string = &rest[rest.find('"')? + 1..];
            let (string, after) = string.split_at(end_of_string(string)?);
            rest = &after[1..];
            if !rest.trim_start().starts_with(':') {
                return Some(unescaped(string));
            }
        }
    })
}

/// Returns the position of the quotation mark that ends a string.
fn end_of_string(string: &str) -> Option<usize> {
    let mut is_escaped = false;
    string.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

/// Decodes the escapes of JSON strings (RFC 8259, section 7); other text stays.
pub(super) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let (units, length) = code_units(&rest[at..]);
        if units.is_empty() {
            let char = rest[at + 1..].chars().next();
            plain.push(match char {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                char => char.unwrap_or('\\'),
            });
            rest = &rest[at + 1 + char.map_or(0, char::len_utf8)..];
        } else {
            plain.push_str(&String::from_utf16_lossy(&units));
            rest = &rest[at + length..];
        }
    }
    plain + rest
}

/// Decodes the consecutive `\uXXXX` at the start of a text, and returns their code units and their
/// length.
fn code_units(text: &str) -> (Vec<u16>, usize) {
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(digits) = rest.strip_prefix("\\u").and_then(|rest| rest.get(..4)) {
        let Ok(unit) = u16::from_str_radix(digits, 16) else {
            break;
        };
        units.push(unit);
        rest = &rest[6..];
    }
    (units, text.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::strings;

    #[test]
    fn strings_are_values_and_elements() {
        for (json, expected) in [
            (r#""a \"b\" \\""#, &["a \"b\" \\"][..]),
            (
                r#"{"k":"v", "l" : ["w", {"m":"\u00e9"}], "n":1}"#,
                &["v", "w", "é"],
            ),
            (r"[1, null]", &[]),
            (r#"["a", "cut"#, &["a"]),
            (r#""\"#, &[]),
        ] {
            assert_eq!(strings(json).collect::<Vec<_>>(), expected, "{json}");
        }
    }
}
