//! Messages, their parts, and tools.

use crate::json::Json;

/// The role of a message.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Role {
    /// Instructions of the program.
    System,
    /// As `System`, for providers that distinguish the two.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool, with its result.
    Tool,
}

impl Role {
    /// Returns the role's name as most providers spell it.
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
    /// The role.
    pub role: Role,
    /// The content, in order.
    pub content: Vec<Part>,
    /// The model's reasoning before this message, sent back to providers that accept it.
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
    /// The id of the call that a tool's message answers.
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

    /// Creates a message without content, for a model that only called tools.
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

    /// Creates a message of the assistant.
    pub fn assistant(content: impl Into<Part>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// Creates a tool's result for the call with this id.
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

    /// Sets the model's reasoning.
    #[must_use]
    pub fn reasoning(mut self, reasoning: impl Into<String>) -> Self {
        self.reasoning = Some(reasoning.into());
        self
    }

    /// Adds a tool call.
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
        /// The source of the image.
        #[cfg_attr(feature = "serde", serde(flatten))]
        source: ImageSource,
        /// The level of detail, in the provider's words, such as `low` or `high`.
        #[cfg_attr(
            feature = "serde",
            serde(default, skip_serializing_if = "Option::is_none")
        )]
        detail: Option<String>,
    },
}

/// The source of an image.
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ImageSource {
    /// A URL that the service can read.
    Url(String),
    /// The bytes themselves.
    Bytes {
        /// The media type, such as `image/png`.
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

    /// Returns the text, if the part is text.
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

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// A description for the model.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub description: Option<String>,
    /// The JSON schema of its arguments, which must be an object.
    pub parameters: Json,
    /// Whether the arguments must match the schema exactly, if the provider supports that.
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

    /// Sets the description.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets whether the arguments must match the schema exactly.
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
    /// The model decides.
    Auto,
    /// No tool.
    None,
    /// At least one tool.
    Required,
    /// The tool with this name.
    Tool(String),
}

/// The format of the response.
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
    /// JSON that matches a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// The schema.
        schema: Json,
        /// Whether the response must match it exactly.
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

    /// Sets whether the response must match the schema exactly; without a schema it does nothing.
    #[must_use]
    pub fn strict(mut self, to_the_letter: bool) -> Self {
        if let Self::JsonSchema { strict, .. } = &mut self {
            *strict = Some(to_the_letter);
        }
        self
    }
}

/// A tool call of the model.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct ToolCall {
    /// The call's id, which the tool's message refers to; empty if the provider sent none.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as JSON text, `{}` if the model sent none.
    pub arguments: String,
    /// True if the arguments are not valid JSON: models make mistakes, and the token limit truncates.
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
