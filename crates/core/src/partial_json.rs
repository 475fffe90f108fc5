//! A parser for JSON whose end has not arrived: the value so far.

use crate::json::Json;

impl Json {
    /// Parses JSON whose end has not arrived, such as the arguments of a tool call while they are
    /// streamed, and returns the value so far.
    ///
    /// A string is cut where the text ends. A member or an element is included once its value has
    /// begun; a number or a word such as `true` only once another character follows, because it may
    /// be longer.
    ///
    /// Returns `None` for text without a value so far, for text that is not JSON, and for arrays and
    /// objects nested more than 127 deep.
    ///
    /// ```
    /// use inferstream_core::Json;
    ///
    /// let seen = |text| Json::from_partial(text).map(|json| json.to_string());
    /// assert_eq!(seen(r#"{"city": "Ber"#).as_deref(), Some(r#"{"city": "Ber"}"#));
    /// assert_eq!(seen(r#"{"city": "Bern", "people": 134"#).as_deref(), Some(r#"{"city": "Bern"}"#));
    /// assert_eq!(seen(""), None);
    /// ```
    ///
    /// The arguments of a call are the sum of its fragments, by choice and index:
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use inferstream_core::{ChatEvent, Json};
    ///
    /// # let fragment = |text| ChatEvent::tool_call_delta(0, 0, text);
    /// # let mut events = vec![ChatEvent::tool_call_start(0, 0, "call-1", "look_up")];
    /// # events.extend(["{\"city\": \"", "Bern", "\", \"people\": 134", "000}"].map(fragment));
    /// let mut calls = BTreeMap::<(u32, u32), String>::new();
    /// let mut shown = Vec::new();
    /// for event in events {
    ///     if let ChatEvent::ToolCallDelta { choice, index, arguments, .. } = event {
    ///         let text = calls.entry((choice, index)).or_default();
    ///         text.push_str(&arguments);
    ///         if let Some(so_far) = Json::from_partial(text) {
    ///             shown.push(so_far.to_string());
    ///         }
    ///     }
    /// }
    /// let expected = [
    ///     r#"{"city": ""}"#,
    ///     r#"{"city": "Bern"}"#,
    ///     r#"{"city": "Bern"}"#,
    ///     r#"{"city": "Bern", "people": 134000}"#,
    /// ];
    /// assert_eq!(shown, expected);
    /// ```
    ///
    /// One call takes time in proportion to the text; a call per fragment parses the text again.
    pub fn from_partial(text: &str) -> Option<Self> {
        let mut reader = Reader {
            text,
            at: 0,
            open: Vec::new(),
            good: None,
        };
        match reader.value() {
            Ok(()) => reader.rest_is_blank().then(|| Self::from_text(text.trim())),
            Err(Stop::Broken) => None,
            Err(Stop::End) => {
                let (end, depth, quote) = reader.good?;
                let mut json = text.get(..end)?.trim_start().to_owned();
                json.extend(quote);
                json.extend(reader.open[..depth].iter().rev());
                Some(Self::from_text(json))
            }
        }
    }
}

/// Why reading stopped.
enum Stop {
    /// The text ended.
    End,
    /// The text is not JSON.
    Broken,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The closing brackets of the open arrays and objects.
    open: Vec<char>,
    /// The last position at which the text can be cut: the position, the number of open brackets, and
    /// the quote if it is inside a string.
    good: Option<(usize, usize, Option<char>)>,
}

/// The maximum nesting of arrays and objects, the same as `serde_json`'s.
const DEEPEST: usize = 127;

impl Reader<'_> {
    fn value(&mut self) -> Result<(), Stop> {
        self.blanks();
        match self.peek()? {
            b'{' => self.list('}', Self::member),
            b'[' => self.list(']', Self::value),
            b'"' => self.string(true),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(Stop::Broken),
        }
    }

    fn member(&mut self) -> Result<(), Stop> {
        self.blanks();
        if self.peek()? != b'"' {
            return Err(Stop::Broken);
        }
        self.string(false)?;
        self.blanks();
        self.expect(b':')?;
        self.value()
    }

    fn list(&mut self, close: char, one: fn(&mut Self) -> Result<(), Stop>) -> Result<(), Stop> {
        if self.open.len() == DEEPEST {
            return Err(Stop::Broken);
        }
        self.at += 1;
        self.open.push(close);
        self.mark();
        self.blanks();
        if self.peek()? != close as u8 {
            loop {
                one(self)?;
                self.mark();
                self.blanks();
                match self.peek()? {
                    b',' => self.at += 1,
                    byte if byte == close as u8 => break,
                    _ => return Err(Stop::Broken),
                }
            }
        }
        self.at += 1;
        self.open.pop();
        Ok(())
    }

    /// Parses a string. If it is a value, and not a name, it may be cut between its characters.
    fn string(&mut self, is_value: bool) -> Result<(), Stop> {
        self.at += 1;
        loop {
            if is_value && self.text.is_char_boundary(self.at) {
                self.good = Some((self.at, self.open.len(), Some('"')));
            }
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                0..=0x1F => return Err(Stop::Broken),
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Stop> {
        let is_second = |unit| (0xDC00..0xE000).contains(&unit);
        let rest = &self.text.as_bytes()[self.at + 1..];
        match rest.first().ok_or(Stop::End)? {
            b'u' => {
                let unit = self.unit(self.at)?;
                self.at += 6;
                // The first half of a surrogate pair is not a character on its own.
                if (0xD800..0xDC00).contains(&unit) {
                    match self.text.as_bytes().get(self.at..).unwrap_or_default() {
                        [] | [b'\\'] => return Err(Stop::End),
                        [b'\\', b'u', ..] if is_second(self.unit(self.at)?) => self.at += 6,
                        _ => {}
                    }
                }
                Ok(())
            }
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 2;
                Ok(())
            }
            _ => Err(Stop::Broken),
        }
    }

    /// Parses the four digits after `\u`.
    fn unit(&self, at: usize) -> Result<u32, Stop> {
        let digits = self.text.as_bytes().get(at + 2..).unwrap_or_default();
        let digits = &digits[..digits.len().min(4)];
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Stop::Broken);
        }
        if digits.len() < 4 {
            return Err(Stop::End);
        }
        let text = std::str::from_utf8(digits).unwrap_or_default();
        Ok(u32::from_str_radix(text, 16).unwrap_or_default())
    }

    fn word(&mut self, word: &str) -> Result<(), Stop> {
        let rest = &self.text[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            return self.peek().map(drop);
        }
        Err(if word.starts_with(rest) {
            Stop::End
        } else {
            Stop::Broken
        })
    }

    /// Parses a number (RFC 8259, section 6). At the end of the text it may be incomplete.
    fn number(&mut self) -> Result<(), Stop> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek()? == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek()?, b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Stop> {
        if !self.peek()?.is_ascii_digit() {
            return Err(Stop::Broken);
        }
        while self.peek()?.is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    /// Records that the text can be cut here.
    fn mark(&mut self) {
        self.good = Some((self.at, self.open.len(), None));
    }

    fn blanks(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += rest.iter().take_while(is_blank).count();
    }

    fn rest_is_blank(&mut self) -> bool {
        self.blanks();
        self.at == self.text.len()
    }

    fn peek(&self) -> Result<u8, Stop> {
        let bytes = self.text.as_bytes();
        bytes.get(self.at).copied().ok_or(Stop::End)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.peek()? != byte {
            return Err(Stop::Broken);
        }
        self.at += 1;
        Ok(())
    }
}
