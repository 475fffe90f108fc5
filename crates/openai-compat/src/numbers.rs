//! Replacement of `NaN` and the infinities, which are not JSON but which Python's encoder writes.

/// The names that Python's encoder writes, the longest first.
const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Returns the JSON text with `null` in place of each `NaN`, `Infinity` and `-Infinity` outside of
/// strings, or `None` if the text has no such number.
///
/// vLLM and llama-cpp-python send `-Infinity` as a log probability. Without the replacement, one
/// such number would make the whole chunk invalid, and its text would be lost.
pub fn null_non_finite(json: &str) -> Option<String> {
    if !WORDS[1..].iter().any(|word| json.contains(word)) {
        return None;
    }
    let mut text = String::with_capacity(json.len());
    let (mut rest, mut in_string, mut found) = (json, false, false);
    while let Some(at) = rest.find(['"', '\\', '-', 'I', 'N']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let word = WORDS.iter().find(|word| rest.starts_with(**word));
        let taken = match word {
            Some(word) if !in_string => {
                text.push_str("null");
                found = true;
                word.len()
            }
            _ => {
                in_string ^= rest.starts_with('"');
                let escaped = rest
                    .char_indices()
                    .nth(if rest.starts_with('\\') { 2 } else { 1 });
                let end = escaped.map_or(rest.len(), |(end, _)| end);
                text.push_str(&rest[..end]);
                end
            }
        };
        rest = &rest[taken..];
    }
    text.push_str(rest);
    found.then_some(text)
}
