//! The encoding of a request as the protocol's JSON, with only the settings that the service knows.

mod messages;

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use inferstream_client::Redact;
use inferstream_core::{ChatRequest, Error, Field, Json, ResponseFormat, Result, Tool, ToolChoice};
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap},
};
use serde_json::{json, value::RawValue};

use self::messages::Messages;
use crate::{
    dialect::Dialect,
    guard::check_size,
    schema_uri::{in_member, without_schema_uri},
};

/// Encodes a request's body.
///
/// # Errors
///
/// `TooLarge`, before the messages are encoded if their texts alone are too large.
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
    fields.replace("messages", Value::Messages(Messages::new(dialect, request)));
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
        fields.replace(name, Value::Json(in_member(name, value.as_str())));
    }
    fields.write()
}

/// Moves the texts out of a request that is encoded: a service may repeat them, and errors must not.
pub(crate) fn secrets(request: &mut ChatRequest) -> Redact {
    let redact = Redact::new(std::mem::take(&mut request.messages));
    let redact = request
        .prediction
        .iter()
        .fold(redact, |redact, text| redact.text(text));
    let stands_for_messages =
        |name: &str| matches!(name, "input" | "messages" | "prediction" | "prompt");
    let extra = request
        .extra
        .iter()
        .filter(|(name, _)| stands_for_messages(name));
    extra.fold(redact, |redact, (_, value)| redact.json(value.as_str()))
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

/// The members of the body.
struct Fields<'a> {
    dialect: &'a dyn Dialect,
    list: Vec<(&'a str, Value<'a>)>,
}

/// The value of a member.
enum Value<'a> {
    Json(Cow<'a, str>),
    /// The messages, which are encoded into the body, because they are most of it.
    Messages(Messages<'a>),
}

impl<'a> Fields<'a> {
    /// Adds a setting, if the request has it, in the protocol's form for it.
    fn put_setting(&mut self, model: &str, request: &'a ChatRequest, field: Field) -> Result<()> {
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
                    self.replace(name, Value::Json(value.to_string().into()));
                }
                Ok(())
            }
        }
    }

    fn put(&mut self, name: &'a str, value: Option<impl Serialize>) -> Result<()> {
        if let Some(value) = value {
            let json = serde_json::to_string(&value).map_err(invalid)?;
            self.replace(name, Value::Json(json.into()));
        }
        Ok(())
    }

    fn replace(&mut self, name: &'a str, value: Value<'a>) {
        match self.list.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.list.push((name, value)),
        }
    }

    /// Returns the length of the body, where `messages` is that of the messages.
    fn length(&self, messages: fn(&Messages<'a>) -> usize) -> usize {
        let lengths = self.list.iter().map(|(name, value)| {
            let value = match value {
                Value::Json(json) => json.len(),
                Value::Messages(list) => messages(list),
            };
            // Two quotation marks, a colon and a comma.
            name.len() + value + 4
        });
        lengths.sum()
    }

    fn write(self) -> Result<Bytes> {
        check_size(self.length(Messages::least))?;
        let mut body = Vec::with_capacity(self.length(Messages::most));
        body.push(b'{');
        for (index, (name, value)) in self.list.iter().enumerate() {
            if 0 < index {
                body.push(b',');
            }
            body.extend_from_slice(Json::from(*name).as_str().as_bytes());
            body.push(b':');
            match value {
                Value::Json(json) => body.extend_from_slice(json.as_bytes()),
                Value::Messages(list) => {
                    serde_json::to_writer(&mut body, list).map_err(invalid)?;
                }
            }
        }
        body.push(b'}');
        check_size(body.len())?;
        Ok(Bytes::from(body))
    }
}

fn invalid(error: serde_json::Error) -> Error {
    Error::config("encoding the request failed: expected valid JSON in its schemas")
        .with_source(error)
}

/// Returns a schema as it is written, without the keyword `$schema`.
fn schema<E: serde::ser::Error>(json: &Json) -> Result<Box<RawValue>, E> {
    RawValue::from_string(without_schema_uri(json).to_string()).map_err(E::custom)
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
