//! What is said: messages, their parts, and tools.

use crate::json::Json;

/// Who says a message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Role {
    /// The program that asks, to set the frame.
    System,
    /// As `System`, where a provider tells the two apart.
    Developer,
    /// Who asks.
    User,
    /// The model.
    Assistant,
    /// A tool, with what it found.
    Tool,
}

impl Role {
    /// Returns the role's name on the wire of most providers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said, in order.
    pub content: Vec<Part>,
    /// What the model thought before it said this, sent back where the provider wants it.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub reasoning: Option<String>,
    /// The tools that the model called with this message.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Vec::is_empty")
    )]
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool's message answers.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub tool_call_id: Option<String>,
}

impl Message {
    /// Creates a message.
    pub fn new(role: Role, content: impl Into<Part>) -> Self {
        Self {
            content: vec![content.into()],
            ..Self::empty(role)
        }
    }

    /// Creates a message without content: for a model that only called tools.
    pub fn empty(role: Role) -> Self {
        Self {
            role,
            content: Vec::new(),
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    /// Creates a system message.
    pub fn system(content: impl Into<Part>) -> Self {
        Self::new(Role::System, content)
    }

    /// Creates a user's message.
    pub fn user(content: impl Into<Part>) -> Self {
        Self::new(Role::User, content)
    }

    /// Creates a message of the model.
    pub fn assistant(content: impl Into<Part>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// Creates a tool's answer to the call with this id.
    pub fn tool(tool_call_id: impl Into<String>, content: impl Into<Part>) -> Self {
        Self {
            tool_call_id: Some(tool_call_id.into()),
            ..Self::new(Role::Tool, content)
        }
    }

    /// Adds a part.
    #[must_use]
    pub fn part(mut self, part: impl Into<Part>) -> Self {
        self.content.push(part.into());
        self
    }

    /// Sets what the model thought.
    #[must_use]
    pub fn reasoning(mut self, reasoning: impl Into<String>) -> Self {
        self.reasoning = Some(reasoning.into());
        self
    }

    /// Adds a tool call of the model's.
    #[must_use]
    pub fn tool_call(mut self, call: ToolCall) -> Self {
        self.tool_calls.push(call);
        self
    }

    /// Returns the text of all parts that are text.
    pub fn text(&self) -> String {
        self.content.iter().filter_map(Part::as_text).collect()
    }
}

/// A part of a message's content.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(tag = "type", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image.
    Image {
        /// Where the image is.
        #[cfg_attr(feature = "serde", serde(flatten))]
        source: ImageSource,
        /// How closely to look: the provider's word, such as `low` or `high`.
        #[cfg_attr(
            feature = "serde",
            serde(default, skip_serializing_if = "Option::is_none")
        )]
        detail: Option<String>,
    },
}

/// Where an image is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ImageSource {
    /// At a URL that the service can read.
    Url(String),
    /// Here.
    Bytes {
        /// Such as `image/png`.
        media_type: String,
        /// The file's bytes.
        data: Vec<u8>,
    },
}

impl Part {
    /// Creates an image part for a URL that the service can read.
    pub fn image_url(url: impl Into<String>) -> Self {
        Self::Image {
            source: ImageSource::Url(url.into()),
            detail: None,
        }
    }

    /// Creates an image part from a file's bytes; the media type is such as `image/png`.
    pub fn image(media_type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        let source = ImageSource::Bytes {
            media_type: media_type.into(),
            data: data.into(),
        };
        Self::Image {
            source,
            detail: None,
        }
    }

    /// Returns the text, where the part is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text } => Some(text),
            Self::Image { .. } => None,
        }
    }
}

impl<T: Into<String>> From<T> for Part {
    fn from(text: T) -> Self {
        Self::Text { text: text.into() }
    }
}

/// A function that the model may ask to have called.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model to read.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub description: Option<String>,
    /// The JSON schema of its arguments, an object's.
    pub parameters: Json,
    /// Whether the arguments must obey the schema to the letter, where the provider can see to it.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub strict: Option<bool>,
}

impl Tool {
    /// Creates a tool from its name and the JSON schema of its arguments.
    pub fn new(name: impl Into<String>, parameters: Json) -> Self {
        Self {
            name: name.into(),
            description: None,
            parameters,
            strict: None,
        }
    }

    /// Sets what it does.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets whether the arguments must obey the schema to the letter.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = Some(strict);
        self
    }
}

/// Which tools the model may or must call.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ToolChoice {
    /// As it sees fit.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// The one of this name.
    Tool(String),
}

/// What form the answer must have.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(tag = "type", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ResponseFormat {
    /// Any JSON object.
    JsonObject,
    /// JSON that obeys a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// The schema.
        schema: Json,
        /// Whether to obey it to the letter.
        #[cfg_attr(
            feature = "serde",
            serde(default, skip_serializing_if = "Option::is_none")
        )]
        strict: Option<bool>,
    },
    /// Plain text.
    Text,
}

impl ResponseFormat {
    /// Creates a format from a JSON schema and a name for it, of letters, digits, `_` and `-`.
    ///
    /// ```
    /// use inferstream_core::{Json, ResponseFormat};
    ///
    /// let schema = Json::from_text(r#"{"type":"object","properties":{"year":{"type":"integer"}}}"#);
    /// let format = ResponseFormat::json_schema("film", schema).strict(true);
    /// # assert!(matches!(format, ResponseFormat::JsonSchema { strict: Some(true), .. }));
    /// ```
    pub fn json_schema(name: impl Into<String>, schema: Json) -> Self {
        Self::JsonSchema {
            name: name.into(),
            schema,
            strict: None,
        }
    }

    /// Sets whether the schema is to be obeyed to the letter, where there is one.
    #[must_use]
    pub fn strict(mut self, to_the_letter: bool) -> Self {
        if let Self::JsonSchema { strict, .. } = &mut self {
            *strict = Some(to_the_letter);
        }
        self
    }
}

/// A call that the model asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct ToolCall {
    /// The call's id, which the tool's message answers; empty where the provider gave none.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments: the text of a JSON value, `{}` where the model gave none.
    pub arguments: String,
    /// True if the arguments are not JSON: models err, and an answer that ran out of tokens is cut.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "std::ops::Not::not")
    )]
    pub malformed: bool,
}

impl ToolCall {
    /// Creates a call.
    pub fn new(
        id: impl Into<String>,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
            malformed: false,
        }
    }
}
