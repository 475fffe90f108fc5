//! The encoding of messages, without copies of their texts.

use std::fmt;

use base64::{display::Base64Display, prelude::BASE64_STANDARD};
use inferstream_core::{
    ChatRequest, ImageSource, Message, Part, Role, ToolCall, protocol::escaped_length,
};
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap},
};

use crate::dialect::Dialect;

/// The messages of a request in a dialect.
pub(super) struct Messages<'a> {
    list: &'a [Message],
    reasoning: Option<&'a str>,
    empty_content: bool,
}

impl<'a> Messages<'a> {
    pub(super) fn new(dialect: &'a dyn Dialect, request: &'a ChatRequest) -> Self {
        Self {
            list: &request.messages,
            reasoning: dialect.reasoning_field(),
            empty_content: dialect.sends_empty_content(),
        }
    }

    /// Returns the least bytes that the messages take.
    pub(super) fn least(&self) -> usize {
        self.length(str::len, [0; 3])
    }

    /// Returns the most bytes that the messages take, which is hardly more.
    pub(super) fn most(&self) -> usize {
        self.length(escaped_length, [MESSAGE, PART, CALL]) + 2
    }

    /// Adds up the lengths of all texts, and a number of bytes for each message, part and tool call.
    fn length(&self, text: fn(&str) -> usize, [message, part, call]: [usize; 3]) -> usize {
        let optional = |value: &Option<String>| value.as_deref().map_or(0, text);
        let part = |one: &Part| {
            part + match one {
                Part::Text { text: one } => text(one),
                Part::Image { source, detail } => {
                    optional(detail)
                        + match source {
                            ImageSource::Url(url) => text(url),
                            ImageSource::Bytes { media_type, data } => {
                                text(media_type) + data.len().div_ceil(3) * 4
                            }
                            _ => 0,
                        }
                }
                _ => 0,
            }
        };
        let call = |one: &ToolCall| call + text(&one.id) + text(&one.name) + text(&one.arguments);
        let lengths = self.list.iter().map(|one| {
            let reasoning = one.reasoning.as_deref().zip(self.reasoning);
            let others = (one.tool_calls.as_slice(), &one.tool_call_id, reasoning);
            if let ([Part::Text { text: only }], ([], None, None)) = (&*one.content, others) {
                // Most messages are like this, and many of them are short.
                return message.min(PLAIN) + text(only);
            }
            let reasoning = reasoning.map_or(0, |(one, name)| text(one) + text(name));
            let parts = one.content.iter().map(part).sum::<usize>();
            let calls = one.tool_calls.iter().map(call).sum::<usize>();
            message + reasoning + parts + calls + optional(&one.tool_call_id)
        });
        lengths.sum()
    }
}

/// The most bytes of a message beside its texts, parts and calls: its members' names, its role and
/// a comma.
const MESSAGE: usize =
    r#"{"role":"assistant","content":[],"":"","tool_calls":[],"tool_call_id":""},"#.len();

/// The most bytes of a message of one text beside that.
const PLAIN: usize = r#"{"role":"assistant","content":""},"#.len();

/// The most bytes of a part beside its texts.
const PART: usize =
    r#"{"image_url":{"detail":"","url":"data:;base64,"},"type":"image_url"},"#.len();

/// The most bytes of a tool call beside its texts.
const CALL: usize = r#"{"function":{"arguments":"","name":""},"id":"","type":"function"},"#.len();

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.list.iter().map(|message| WireMessage {
            message,
            reasoning: self.reasoning,
            empty_content: self.empty_content,
        }))
    }
}

struct WireMessage<'a> {
    message: &'a Message,
    reasoning: Option<&'a str>,
    empty_content: bool,
}

impl Serialize for WireMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = self.message;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", message.role.as_str())?;
        match message.content.as_slice() {
            // By default a message that only calls tools has no `content`: some services refuse an
            // empty one.
            [] if !message.tool_calls.is_empty() && !self.empty_content => {}
            [] => map.serialize_entry("content", "")?,
            [Part::Text { text }] => map.serialize_entry("content", text)?,
            // All services accept a list of parts in a user's message, but not in other messages.
            parts
                if message.role != Role::User
                    && parts.iter().all(|part| part.as_text().is_some()) =>
            {
                map.serialize_entry(
                    "content",
                    &Written(|f: &mut fmt::Formatter<'_>| {
                        let mut texts = parts.iter().filter_map(Part::as_text);
                        texts.try_for_each(|text| f.write_str(text))
                    }),
                )?;
            }
            parts => map.serialize_entry("content", &List(parts, WirePart))?,
        }
        if let (Some(name), Some(reasoning)) = (self.reasoning, &message.reasoning) {
            map.serialize_entry(name, reasoning)?;
        }
        if !message.tool_calls.is_empty() {
            map.serialize_entry("tool_calls", &List(&message.tool_calls, WireToolCall))?;
        }
        if let Some(id) = &message.tool_call_id {
            map.serialize_entry("tool_call_id", id)?;
        }
        map.end()
    }
}

/// A list, each item as its wire form.
struct List<'a, T, W>(&'a [T], fn(&'a T) -> W);

impl<T, W: Serialize> Serialize for List<'_, T, W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

/// A string that is written without being put together first.
struct Written<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Written<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> Serialize for Written<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct WirePart<'a>(&'a Part);

impl Serialize for WirePart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            Part::Text { text } => {
                map.serialize_entry("text", text)?;
                map.serialize_entry("type", "text")?;
            }
            Part::Image { source, detail } => {
                let detail = detail.as_deref();
                map.serialize_entry("image_url", &WireImage { detail, source })?;
                map.serialize_entry("type", "image_url")?;
            }
            _ => return Err(S::Error::custom("unsupported kind of content part")),
        }
        map.end()
    }
}

struct WireImage<'a> {
    detail: Option<&'a str>,
    source: &'a ImageSource,
}

impl Serialize for WireImage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(detail) = self.detail {
            map.serialize_entry("detail", detail)?;
        }
        match self.source {
            ImageSource::Url(url) => map.serialize_entry("url", url)?,
            ImageSource::Bytes { media_type, data } => {
                let data = Base64Display::new(data, &BASE64_STANDARD);
                let write =
                    |f: &mut fmt::Formatter<'_>| write!(f, "data:{media_type};base64,{data}");
                map.serialize_entry("url", &Written(write))?;
            }
            _ => return Err(S::Error::custom("unsupported kind of image source")),
        }
        map.end()
    }
}

struct WireToolCall<'a>(&'a ToolCall);

impl Serialize for WireToolCall<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Function<'a> {
            arguments: &'a str,
            name: &'a str,
        }

        let ToolCall {
            id,
            name,
            arguments,
            ..
        } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("function", &Function { arguments, name })?;
        map.serialize_entry("id", id)?;
        map.serialize_entry("type", "function")?;
        map.end()
    }
}
