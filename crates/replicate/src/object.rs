//! A JSON object under construction, whose values are encoded when it is written.

use std::borrow::Cow;

use inferstream_core::{Json, Message, Part, Role, protocol::push_escaped};

/// A JSON object under construction. Members keep their order, and the last value of a name counts.
#[derive(Debug, Default)]
pub(crate) struct Object<'a>(Vec<(&'a str, Value<'a>)>);

/// The value of a member, which is encoded when the object is written.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    Json(Json),
    Borrowed(&'a Json),
    Object(Object<'a>),
    Text(Cow<'a, str>),
    /// A list of `{"role":…,"content":…}`.
    Messages(&'a [Message]),
    /// One text with the messages as lines.
    Conversation(Vec<&'a Message>),
}

impl Value<'_> {
    /// Returns the length as JSON, where `text` is that of a text, and `members` the number of bytes
    /// that a message has beside its text.
    pub(crate) fn length(&self, text: fn(&str) -> usize, members: usize) -> usize {
        let of = |message: &Message| {
            let texts = message.content.iter().filter_map(Part::as_text);
            members + texts.map(text).sum::<usize>()
        };
        match self {
            Self::Json(json) => json.as_str().len(),
            Self::Borrowed(json) => json.as_str().len(),
            Self::Object(object) => object.length(text, members),
            Self::Text(value) => text(value) + 2,
            Self::Messages(list) => list.iter().map(of).sum(),
            Self::Conversation(list) => list.iter().map(|message| of(message)).sum(),
        }
    }

    pub(crate) fn write(&self, json: &mut String) {
        match self {
            Self::Json(value) => json.push_str(value.as_str()),
            Self::Borrowed(value) => json.push_str(value.as_str()),
            Self::Object(object) => object.write(json),
            Self::Text(text) => {
                json.push('"');
                push_escaped(json, text);
                json.push('"');
            }
            Self::Messages(list) => messages(list, json),
            Self::Conversation(list) => conversation(list, json),
        }
    }
}

/// The maximum number of bytes of a message beside its text.
pub(crate) const MEMBERS: usize = r#"{"role":"assistant","content":""},"#.len();

impl<'a> Object<'a> {
    pub(crate) fn set(&mut self, name: &'a str, value: impl Into<Json>) {
        self.set_value(name, Value::Json(value.into()));
    }

    pub(crate) fn set_value(&mut self, name: &'a str, value: Value<'a>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Returns the length, without the escapes in the names of members.
    pub(crate) fn length(&self, text: fn(&str) -> usize, members: usize) -> usize {
        let lengths = self.0.iter().map(|(name, value)| {
            // Two quotation marks, a colon, and a comma or bracket.
            name.len() + value.length(text, members) + 4
        });
        1 + lengths.sum::<usize>()
    }

    pub(crate) fn write(&self, text: &mut String) {
        text.push('{');
        for (index, (name, value)) in self.0.iter().enumerate() {
            if 0 < index {
                text.push(',');
            }
            text.push_str(Json::from(*name).as_str());
            text.push(':');
            value.write(text);
        }
        text.push('}');
    }
}

/// Writes the messages as one text of lines.
fn conversation(messages: &[&Message], json: &mut String) {
    json.push('"');
    for message in messages {
        let content = text(message);
        if content.trim().is_empty() {
            continue;
        }
        json.push_str(match message.role {
            Role::Assistant => "Assistant: ",
            Role::System | Role::Developer => "System: ",
            _ => "User: ",
        });
        push_escaped(json, content.trim());
        json.push_str("\\n");
    }
    json.push_str("Assistant:\"");
}

/// Writes the messages as a list of `{"role":…,"content":…}`.
fn messages(messages: &[Message], json: &mut String) {
    json.push('[');
    for (index, message) in messages.iter().enumerate() {
        json.push_str(if index == 0 {
            "{\"role\":\""
        } else {
            ",{\"role\":\""
        });
        json.push_str(message.role.as_str());
        json.push_str("\",\"content\":\"");
        for text in message.content.iter().filter_map(Part::as_text) {
            push_escaped(json, text);
        }
        json.push_str("\"}");
    }
    json.push(']');
}

/// Returns the text of a message, which is seldom in several parts.
pub(crate) fn text(message: &Message) -> Cow<'_, str> {
    match message.content.as_slice() {
        [Part::Text { text }] => Cow::Borrowed(text),
        _ => Cow::Owned(message.text()),
    }
}
