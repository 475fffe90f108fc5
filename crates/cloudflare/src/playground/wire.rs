//! A lenient reader for the playground's JSON: no member is required, and types may differ.

use std::{borrow::Cow, fmt, mem};

use inferstream_core::Usage;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Any JSON value, as its text.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a>(&'a str);

impl<'a> Value<'a> {
    /// Parses text that must be one JSON value.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Broken> {
        let value = serde_json::from_str::<&RawValue>(text);
        value.map(Self::from).map_err(|error| Broken {
            line: error.line(),
            column: error.column(),
            is_eof: error.is_eof(),
        })
    }

    /// Returns the value's JSON.
    pub(crate) fn json(self) -> &'a str {
        self.0
    }

    /// Returns true if the value carries information: it is not `null`, `false`, `0` or empty.
    pub(crate) fn is_told(self) -> bool {
        !matches!(self.0, "null" | "false" | "\"\"" | "{}" | "[]" | "0")
    }

    /// Returns the text of a string, a number or a boolean. Half of a surrogate pair at the end is
    /// kept in `half` for the next fragment.
    pub(crate) fn piece(self, half: &mut Half) -> Option<Cow<'a, str>> {
        match self.0.as_bytes().first()? {
            b'"' => Some(half.unescape(self.0.get(1..self.0.len() - 1)?)),
            b'{' | b'[' | b'n' => None,
            _ => Some(Cow::Borrowed(self.0)),
        }
    }

    /// Like `piece`, for a complete text; returns `None` if it is empty.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        let mut half = Half::default();
        let mut text = self.piece(&mut half)?;
        if let Some(rest) = half.finish() {
            text.to_mut().push_str(rest);
        }
        (!text.is_empty()).then_some(text)
    }

    /// Returns a non-negative integer, also from a string.
    pub(crate) fn count(self) -> Option<u64> {
        /// Above this, `f64` cannot represent every integer.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let text = self.text()?;
        let text = text.trim();
        if let Ok(count) = text.parse() {
            return Some(count);
        }
        let number = text.parse::<f64>().ok()?;
        let is_count = (0.0..EXACT).contains(&number) && number.fract() == 0.0;
        // The number is an integer within the range of `u64`.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        is_count.then_some(number as u64)
    }

    /// Returns true for an object, and for `null`, which has no members either.
    pub(crate) fn is_object(self) -> bool {
        self.0.starts_with('{') || self.0 == "null"
    }

    /// Returns the members, or no members if the value is not an object.
    pub(crate) fn object(self) -> Object<'a> {
        if !self.0.starts_with('{') {
            return Object::default();
        }
        serde_json::from_str(self.0).unwrap_or_default()
    }

    /// Returns the first element if the value is a list that has one.
    pub(crate) fn first(self) -> Option<Self> {
        let list = serde_json::from_str::<Vec<&RawValue>>(self.0).ok()?;
        list.first().copied().map(Self::from)
    }

    /// Returns the arguments of a call as JSON; services send them as a value, or as a string that
    /// contains it.
    pub(crate) fn arguments(self) -> String {
        match self.0.as_bytes().first() {
            Some(b'"') => self.text().map(Cow::into_owned).unwrap_or_default(),
            Some(b'n') | None => String::new(),
            Some(_) => compact(self.0),
        }
    }
}

impl<'a> From<&'a RawValue> for Value<'a> {
    fn from(raw: &'a RawValue) -> Self {
        Self(raw.get().trim())
    }
}

/// The position of a syntax error in JSON, without any of its contents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken {
    line: usize,
    column: usize,
    /// The JSON is valid up to its end, but incomplete.
    pub(crate) is_eof: bool,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, .. } = self;
        write!(f, "invalid JSON at line {line}, column {column}")
    }
}

impl std::error::Error for Broken {}

/// The maximum number of members of an object; the services send about ten.
const MAX_MEMBERS: usize = 4096;

/// The members of an object.
#[derive(Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Object<'a> {
    /// Returns a member, or `None` if it is missing or `null`. The last one counts if there are
    /// several.
    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        let mut members = self.0.iter().rev();
        let (_, value) = members.find(|(known, _)| known == name)?;
        (value.json() != "null").then_some(*value)
    }

    /// Returns true if the member exists, even if it is `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Returns the text of a member, unless it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)?.text()
    }

    /// Returns the members of a member that is an object.
    pub(crate) fn object(&self, name: &str) -> Object<'a> {
        self.get(name).map(Value::object).unwrap_or_default()
    }

    /// Returns the usage, by the member names of several versions of the SDK and of the models' own
    /// responses, or `None` if there are no counts.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let count = |names: &[&str]| names.iter().find_map(|name| self.get(name)?.count());
        let mut usage = Usage::default();
        usage.input_tokens = count(&["promptTokens", "inputTokens", "prompt_tokens"]);
        usage.output_tokens = count(&["completionTokens", "outputTokens", "completion_tokens"]);
        usage.total_tokens = count(&["totalTokens", "total_tokens"]);
        usage.cached_tokens = count(&["cachedInputTokens"]);
        usage.reasoning_tokens = count(&["reasoningTokens"]);
        (usage != Usage::default()).then_some(usage)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                // A name is parsed leniently, too, so that half of a surrogate pair in it is not an
                // error.
                while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    if members.len() == MAX_MEMBERS {
                        return Err(A::Error::custom("too many members"));
                    }
                    let name = Value::from(name).text().unwrap_or_default();
                    members.push((name, Value::from(value)));
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// The message and the code of an error, in any of the known formats.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) message: Option<String>,
    pub(crate) code: Option<String>,
}

impl Told {
    /// Reads `"…"`, `{"errorText":"…"}`, `{"error":…}`, `{"errors":[…]}` and a flat object.
    pub(crate) fn read(value: Value<'_>) -> Self {
        Self::read_nested(value, 0)
    }

    fn read_nested(value: Value<'_>, depth: u32) -> Self {
        const DEEPEST: u32 = 4;
        match value.json().as_bytes().first() {
            _ if depth == DEEPEST => Self::default(),
            Some(b'[') => value
                .first()
                .map(|first| Self::read_nested(first, depth + 1))
                .unwrap_or_default(),
            Some(b'{') => {
                let object = value.object();
                let own = |names: &[&str]| names.iter().find_map(|name| object.text(name));
                let own = |names: &[&str]| own(names).map(Cow::into_owned);
                let nested = ["error", "errors", "detail"].iter();
                let nested = nested
                    .filter_map(|name| object.get(name))
                    .find(|value| value.is_told());
                let nested = nested.map(|value| Self::read_nested(value, depth + 1));
                let nested = nested.unwrap_or_default();
                // A chunk's own `type` is only `error`, which is not a code.
                let kind = own(&["type"]).filter(|kind| kind != "error");
                Self {
                    message: nested
                        .message
                        .or_else(|| own(&["errorText", "message", "msg", "error_message"])),
                    code: nested
                        .code
                        .or_else(|| own(&["code"]).or(kind).or_else(|| own(&["status"]))),
                }
            }
            Some(b't' | b'f') => Self::default(),
            _ => Self {
                message: value.text().map(Cow::into_owned),
                code: None,
            },
        }
    }

    /// Returns true if the object is an error without a `type` that states it.
    pub(crate) fn is_error(object: &Object<'_>) -> bool {
        let told = |name| object.get(name).is_some_and(Value::is_told);
        let is_flat = !object.has("type") && !object.has("response");
        told("error") || told("errors") || is_flat && object.text("message").is_some()
    }

    /// Returns true if the code is that of a transient failure: 429 or 5xx.
    pub(crate) fn is_transient(&self) -> bool {
        let code = self.code.as_deref().and_then(|code| code.parse().ok());
        code.is_some_and(|code: u64| code == 429 || (500..600).contains(&code))
    }
}

/// Returns true if the text is one JSON value.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Removes the white space between JSON tokens; the order of members is kept.
fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let mut in_string = false;
    let mut escaped = false;
    for char in json.chars() {
        if in_string {
            in_string = escaped || char != '"';
            escaped = !escaped && char == '\\';
        } else if char.is_ascii_whitespace() {
            continue;
        } else {
            in_string = char == '"';
        }
        compact.push(char);
    }
    compact
}

/// The first half of a surrogate pair, kept until the next fragment of the text.
///
/// A service that splits its tokens in UTF-16 sends `"\ud83d"` in one fragment and `"\ude00"` in
/// the next. JSON can represent such halves, but Rust strings cannot. Two matching halves are
/// joined, and a single one becomes U+FFFD.
#[derive(Debug, Default)]
pub(crate) struct Half(Option<u16>);

impl Half {
    /// Decodes the contents of a JSON string that a parser has already accepted.
    fn unescape<'a>(&mut self, inside: &'a str) -> Cow<'a, str> {
        if self.0.is_none() && !inside.contains('\\') {
            return Cow::Borrowed(inside);
        }
        let mut text = String::with_capacity(inside.len());
        let mut rest = inside;
        while !rest.is_empty() {
            let plain = rest.find('\\').unwrap_or(rest.len());
            let (before, escape) = rest.split_at(plain);
            self.end_before(before, &mut text);
            let mut chars = escape.chars();
            match chars.by_ref().nth(1) {
                Some('u') => {
                    let digits = chars.as_str().get(..4).unwrap_or_default();
                    self.push(u16::from_str_radix(digits, 16).unwrap_or(0xFFFD), &mut text);
                    rest = chars.as_str().get(4..).unwrap_or_default();
                    continue;
                }
                Some('n') => self.end_before("\n", &mut text),
                Some('t') => self.end_before("\t", &mut text),
                Some('r') => self.end_before("\r", &mut text),
                Some('b') => self.end_before("\u{8}", &mut text),
                Some('f') => self.end_before("\u{c}", &mut text),
                Some(char) => self.end_before(char.encode_utf8(&mut [0; 4]), &mut text),
                None => {}
            }
            rest = chars.as_str();
        }
        Cow::Owned(text)
    }

    /// Adds complete characters; a half that was kept becomes U+FFFD.
    fn end_before(&mut self, more: &str, text: &mut String) {
        if !more.is_empty() {
            text.push_str(self.finish().unwrap_or_default());
            text.push_str(more);
        }
    }

    /// Adds a UTF-16 code unit.
    fn push(&mut self, unit: u16, text: &mut String) {
        if let Some(high) = self.0 {
            if let Some(Ok(char)) = char::decode_utf16([high, unit]).next() {
                self.0 = None;
                text.push(char);
                return;
            }
        }
        text.push_str(self.finish().unwrap_or_default());
        match unit {
            0xD800..0xDC00 => self.0 = Some(unit),
            _ => text.push(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    /// Returns U+FFFD if a half is still kept at the end of the text.
    pub(crate) fn finish(&mut self) -> Option<&'static str> {
        mem::take(&mut self.0).map(|_| "\u{fffd}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_pieces(pieces: &[&str], expected: &str) {
        let mut half = Half::default();
        let mut text = String::new();
        for piece in pieces {
            let value = Value::parse(piece).unwrap();
            text.push_str(&value.piece(&mut half).unwrap());
        }
        text.push_str(half.finish().unwrap_or_default());
        assert_eq!(text, expected, "{pieces:?}");
    }

    #[test]
    fn escapes_are_decoded() {
        check_pieces(
            &[r#""a\n\t\r\b\f\"\\\/\u0041\u4e16""#],
            "a\n\t\r\u{8}\u{c}\"\\/A世",
        );
        check_pieces(&[r#""""#], "");
    }

    #[test]
    fn matching_surrogate_halves_are_joined() {
        check_pieces(&[r#""\ud83d\ude00""#], "😀");
        check_pieces(&[r#""a\ud83d""#, r#""\uDE00b""#], "a😀b");
        check_pieces(&[r#""\ud83d""#, r#""""#, r#""\ude00""#], "😀");
    }

    #[test]
    fn single_surrogate_halves_are_replaced() {
        check_pieces(&[r#""\ud83d""#, r#""a""#], "\u{fffd}a");
        check_pieces(&[r#""\ude00a""#], "\u{fffd}a");
        check_pieces(&[r#""\ud83d\ud83d\ude00""#], "\u{fffd}😀");
        check_pieces(&[r#""\ud83d\n""#], "\u{fffd}\n");
        check_pieces(&[r#""\ud83d""#], "\u{fffd}");
    }

    #[test]
    fn counts_are_integers() {
        let counts = [
            ("36", Some(36)),
            ("\"36\"", Some(36)),
            ("36.0", Some(36)),
            ("null", None),
            ("\"NaN\"", None),
            ("-1", None),
            ("0.5", None),
            ("1e400", None),
            ("true", None),
            ("{}", None),
        ];
        for (json, count) in counts {
            assert_eq!(Value::parse(json).unwrap().count(), count, "{json}");
        }
    }

    #[test]
    fn compact_json_keeps_its_strings_and_its_order() {
        let json = "{ \"b\" : [ 1 , \"x \\\" { \" ] ,\n\"a\": 1.50 }";
        assert_eq!(compact(json), r#"{"b":[1,"x \" { "],"a":1.50}"#);
    }
}
