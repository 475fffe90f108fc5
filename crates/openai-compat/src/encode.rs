//! The encoding of a request as the protocol's JSON, with only the settings that the service knows.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use inferstream_core::{
    ChatRequest, Error, Field, ImageSource, Json, Message, Part, ResponseFormat, Result, Role,
    Tool, ToolCall, ToolChoice,
};
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap},
};
use serde_json::{json, value::RawValue};

use crate::{
    dialect::Dialect,
    schema_uri::{in_member, without_schema_uri},
};

/// Encodes a request's body.
pub(crate) fn body(
    dialect: &dyn Dialect,
    model: &str,
    request: &ChatRequest,
    stream: bool,
) -> Result<Bytes> {
    let mut fields = Fields {
        dialect,
        list: Vec::new(),
    };
    if dialect.names_model(model) {
        fields.put("model", Some(model))?;
    }
    let messages = Messages {
        list: &request.messages,
        reasoning: dialect.reasoning_field(),
        empty_content: dialect.sends_empty_content(),
    };
    fields.put("messages", Some(messages))?;
    fields.put("stream", Some(stream))?;
    if stream && dialect.asks_for_usage() {
        fields.put("stream_options", Some(json!({ "include_usage": true })))?;
    }
    for &field in Field::ALL {
        // `Chat::encode` has already refused or reported the settings that are dropped here.
        if dialect.knows_field(field) {
            fields.put_setting(model, request, field)?;
        }
    }
    for (name, value) in &request.extra {
        fields.replace(name, in_member(name, value.as_str()).into_owned());
    }
    Ok(fields.write())
}

/// Returns the number of choices that a request asks for, by `n` or by `extra`.
pub(crate) fn choices(dialect: &dyn Dialect, request: &ChatRequest) -> u32 {
    let extra = request.extra.iter().rev().find(|(name, _)| name == "n");
    let extra = extra.and_then(|(_, value)| value.as_str().trim().parse().ok());
    let known = request.n.filter(|_| dialect.knows_field(Field::N));
    extra.or(known).unwrap_or(1).max(1)
}

/// Removes from a request the settings that its `extra` replaces.
pub(crate) fn yield_to_extra(dialect: &dyn Dialect, request: &mut ChatRequest) {
    request.yield_to_extra(|field| name(dialect, field));
    if request.has_extra("messages") {
        request.messages.clear();
    }
}

/// Returns a setting's name on the wire.
fn name(dialect: &dyn Dialect, field: Field) -> &str {
    match field {
        Field::MaxTokens => dialect.max_tokens_field(),
        Field::UserId => "user",
        field => field.name(),
    }
}

/// The members of the body, each as its JSON text.
struct Fields<'a> {
    dialect: &'a dyn Dialect,
    list: Vec<(String, String)>,
}

impl Fields<'_> {
    /// Adds a setting, if the request has it, in the protocol's form for it.
    fn put_setting(&mut self, model: &str, request: &ChatRequest, field: Field) -> Result<()> {
        let name = name(self.dialect, field);
        match field {
            Field::LogitBias => {
                let bias = &request.logit_bias;
                self.put(name, (!bias.is_empty()).then_some(WireBias(bias)))
            }
            Field::Logprobs => {
                let implied = request.top_logprobs.map(|_| true);
                self.put(name, implied.or(request.logprobs))
            }
            Field::Prediction => {
                let prediction = |content| json!({ "type": "content", "content": content });
                self.put(name, request.prediction.as_ref().map(prediction))
            }
            Field::ResponseFormat => {
                let names_schema = self.dialect.names_schema(model);
                let format = request.response_format.as_ref();
                self.put(
                    name,
                    format.map(|format| WireFormat {
                        format,
                        names_schema,
                    }),
                )
            }
            Field::Stop => {
                let stop = &request.stop;
                self.put(name, (!stop.is_empty()).then_some(stop))
            }
            Field::ToolChoice => self.put(name, request.tool_choice.as_ref().map(WireToolChoice)),
            Field::Tools => {
                let tools = request.tools.iter().map(WireTool).collect::<Vec<_>>();
                self.put(name, (!tools.is_empty()).then_some(tools))
            }
            field => {
                if let Some(value) = request.value(field) {
                    self.replace(name, value.to_string());
                }
                Ok(())
            }
        }
    }

    fn put(&mut self, name: &str, value: Option<impl Serialize>) -> Result<()> {
        if let Some(value) = value {
            self.replace(name, encode(&value)?);
        }
        Ok(())
    }

    fn replace(&mut self, name: &str, json: String) {
        match self.list.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = json,
            None => self.list.push((name.to_owned(), json)),
        }
    }

    fn write(self) -> Bytes {
        let mut body = String::from("{");
        for (index, (name, json)) in self.list.iter().enumerate() {
            if 0 < index {
                body.push(',');
            }
            body.push_str(Json::from(name.as_str()).as_str());
            body.push(':');
            body.push_str(json);
        }
        body.push('}');
        Bytes::from(body)
    }
}

fn encode(value: &impl Serialize) -> Result<String> {
    let error = |error| {
        Error::config("encoding the request failed: expected valid JSON in its schemas")
            .with_source(error)
    };
    serde_json::to_string(value).map_err(error)
}

/// Returns a schema as it is written, without the keyword `$schema`.
fn schema<E: serde::ser::Error>(json: &Json) -> Result<Box<RawValue>, E> {
    RawValue::from_string(without_schema_uri(json).to_string()).map_err(E::custom)
}

struct Messages<'a> {
    list: &'a [Message],
    reasoning: Option<&'a str>,
    empty_content: bool,
}

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
                map.serialize_entry("content", &message.text())?;
            }
            parts => {
                map.serialize_entry("content", &parts.iter().map(WirePart).collect::<Vec<_>>())?;
            }
        }
        if let (Some(name), Some(reasoning)) = (self.reasoning, &message.reasoning) {
            map.serialize_entry(name, reasoning)?;
        }
        if !message.tool_calls.is_empty() {
            let calls = message
                .tool_calls
                .iter()
                .map(WireToolCall)
                .collect::<Vec<_>>();
            map.serialize_entry("tool_calls", &calls)?;
        }
        if let Some(id) = &message.tool_call_id {
            map.serialize_entry("tool_call_id", id)?;
        }
        map.end()
    }
}

struct WirePart<'a>(&'a Part);

impl Serialize for WirePart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Part::Text { text } => json!({ "type": "text", "text": text }).serialize(serializer),
            Part::Image { source, detail } => {
                let url = match source {
                    ImageSource::Url(url) => url.clone(),
                    ImageSource::Bytes { media_type, data } => {
                        format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(data))
                    }
                    _ => return Err(S::Error::custom("unsupported kind of image source")),
                };
                let mut image = json!({ "url": url });
                if let Some(detail) = detail {
                    image["detail"] = detail.as_str().into();
                }
                json!({ "type": "image_url", "image_url": image }).serialize(serializer)
            }
            _ => Err(S::Error::custom("unsupported kind of content part")),
        }
    }
}

struct WireTool<'a>(&'a Tool);

impl Serialize for WireTool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Function<'a> {
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            description: Option<&'a str>,
            parameters: Box<RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            strict: Option<bool>,
        }

        let Tool {
            name,
            description,
            parameters,
            strict,
            ..
        } = self.0;
        let description = description.as_deref();
        let function = Function {
            name,
            description,
            parameters: schema(parameters)?,
            strict: *strict,
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "function")?;
        map.serialize_entry("function", &function)?;
        map.end()
    }
}

struct WireToolCall<'a>(&'a ToolCall);

impl Serialize for WireToolCall<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ToolCall {
            id,
            name,
            arguments,
            ..
        } = self.0;
        let function = json!({ "name": name, "arguments": arguments });
        json!({ "id": id, "type": "function", "function": function }).serialize(serializer)
    }
}

struct WireToolChoice<'a>(&'a ToolChoice);

impl Serialize for WireToolChoice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ToolChoice::Auto => serializer.serialize_str("auto"),
            ToolChoice::None => serializer.serialize_str("none"),
            ToolChoice::Required => serializer.serialize_str("required"),
            ToolChoice::Tool(name) => {
                json!({ "type": "function", "function": { "name": name } }).serialize(serializer)
            }
            _ => Err(S::Error::custom("unsupported kind of tool choice")),
        }
    }
}

/// The biases of tokens, written as integers where they are integral: some services accept only
/// integers.
struct WireBias<'a>(&'a BTreeMap<u32, f64>);

impl Serialize for WireBias<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (token, bias) in self.0 {
            map.serialize_key(&token.to_string())?;
            // Valid biases are -100 to 100, where the cast is exact.
            #[allow(clippy::cast_possible_truncation)]
            if bias.fract() == 0.0 && bias.abs() <= 100.0 {
                map.serialize_value(&(*bias as i64))?;
            } else {
                map.serialize_value(bias)?;
            }
        }
        map.end()
    }
}

struct WireFormat<'a> {
    format: &'a ResponseFormat,
    names_schema: bool,
}

impl Serialize for WireFormat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Named<'a> {
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            strict: Option<bool>,
            schema: Box<RawValue>,
        }

        let mut map = serializer.serialize_map(None)?;
        match self.format {
            ResponseFormat::JsonObject => map.serialize_entry("type", "json_object")?,
            ResponseFormat::JsonSchema {
                name,
                schema: json,
                strict,
            } => {
                map.serialize_entry("type", "json_schema")?;
                if !self.names_schema {
                    map.serialize_entry("json_schema", &schema::<S::Error>(json)?)?;
                    return map.end();
                }
                let named = Named {
                    name,
                    strict: *strict,
                    schema: schema(json)?,
                };
                map.serialize_entry("json_schema", &named)?;
            }
            ResponseFormat::Text => map.serialize_entry("type", "text")?,
            _ => return Err(S::Error::custom("unsupported kind of response format")),
        }
        map.end()
    }
}
