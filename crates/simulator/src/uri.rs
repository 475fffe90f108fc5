//! The decoding of URLs.

/// Returns the decoded value of a query parameter.
pub(crate) fn find(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = query?.split('&');
    let value = pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(decode(&value.replace('+', " ")))
}

/// Decodes percent-encoded bytes; malformed sequences stay as they are.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let encoded = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => hex(*high, *low).map(|byte| (byte, tail)),
            _ => None,
        };
        let (byte, tail) = encoded.unwrap_or((*byte, tail));
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_value_is_decoded() {
        let query = Some("a=1&query=llama%203+8b%&b=2");
        assert_eq!(find(query, "query").as_deref(), Some("llama 3 8b%"));
        assert_eq!(find(query, "c"), None);
        assert_eq!(find(None, "a"), None);
    }
}
