//! The encoding of a request as the body of a prediction.

use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use inferstream_client::Dropped;
use inferstream_core::{
    ChatRequest, Error, ErrorKind, Field, ImageSource, Json, Message, Part, Result, Role,
    protocol::escaped_length,
};

use crate::{
    info::INFO,
    inputs::{Images, Inputs},
    model_ref::ModelRef,
    object::{MEMBERS, Object, Value, text},
};

/// The maximum size of a request body, in bytes; services accept less.
const MAX_BODY: usize = 16 << 20;

/// The body of a request, and the settings that were dropped.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) body: String,
    pub(crate) dropped: Dropped,
}

/// Encodes a request, and adapts it to the model's inputs.
///
/// # Errors
///
/// Returns `Unsupported` if the model has no inputs for the request, `Config` if the request is
/// invalid, and `TooLarge`, before the messages are encoded if their texts alone are too large.
pub(crate) fn body(model: &ModelRef, inputs: Inputs, request: &mut ChatRequest) -> Result<Encoded> {
    let mut dropped = Dropped::new(INFO.id.clone(), request.on_unsupported);
    let mut body = Object::default();
    if let Some(version) = model.version() {
        body.set("version", version);
    }
    // A request with a complete input needs no adaptation.
    if !request.has_extra("input") {
        adapt(inputs, request, &mut dropped);
        dropped.settle()?;
    }
    let request = &*request;
    let whole = request.extra.iter().rfind(|(name, _)| name == "input");
    let input = if let Some((_, whole)) = whole {
        check_whole(whole, request, &mut dropped)?;
        Value::Borrowed(whole)
    } else {
        Value::Object(input(model, inputs, request)?)
    };
    body.set_value("input", input);
    // Ignored by the service since 2024-07-15; compatible servers may require it.
    body.set("stream", true);
    check_size(body.length(|text| text.trim().len(), 0))?;
    let mut text = String::with_capacity(body.length(escaped_length, MEMBERS));
    body.write(&mut text);
    check_size(text.len())?;
    Ok(Encoded {
        body: text,
        dropped,
    })
}

/// Refuses a body that has at least `length` bytes, if that is too much.
fn check_size(length: usize) -> Result<()> {
    if length <= MAX_BODY {
        return Ok(());
    }
    let message =
        format!("request too large: expected at most {MAX_BODY} bytes, got at least {length}");
    Err(Error::new(ErrorKind::TooLarge, message))
}

/// Checks an input that the request provides completely, and reports the settings that it
/// overrides.
fn check_whole(input: &Json, request: &ChatRequest, dropped: &mut Dropped) -> Result<()> {
    if !input.as_str().trim_start().starts_with('{') {
        return Err(
            Error::config("invalid `input` in `extra`: expected a JSON object")
                .with_setting("extra"),
        );
    }
    if let Some((other, _)) = request.extra.iter().find(|(name, _)| name != "input") {
        return Err(Error::config(format!(
            "invalid `extra`: `input` is the complete input, so put `{other}` into it"
        ))
        .with_setting("extra"));
    }
    for field in request.settings() {
        dropped.detail(field.name(), "`input` in `extra` replaces all settings");
    }
    dropped.settle()
}

/// Removes the settings for which the model has no input.
fn adapt(inputs: Inputs, request: &mut ChatRequest, dropped: &mut Dropped) {
    request.yield_to_extra(|field| inputs.name(field).unwrap_or(field.name()));
    if request.user_id.take().is_some() {
        dropped.detail(
            Field::UserId.name(),
            "Replicate's models have no input for it",
        );
    }
    let is_detailed = |part: &Part| {
        matches!(
            part,
            Part::Image {
                detail: Some(_),
                ..
            }
        )
    };
    let mut parts = request.messages.iter().flat_map(|message| &message.content);
    if parts.any(is_detailed) {
        let reason = "Replicate's models have no input for it";
        dropped.detail("detail", reason);
    }
    let reason = "the model has no known input for it; if its schema has one, set it with `extra`";
    dropped.keep(request, reason, |field| inputs.name(field).is_some());
}

fn input<'a>(model: &ModelRef, inputs: Inputs, request: &'a ChatRequest) -> Result<Object<'a>> {
    check(request)?;
    let mut input = Object::default();
    match inputs.messages {
        // An empty list would override a prompt in `extra`.
        Some(_) if request.messages.is_empty() => {}
        Some(name) => input.set_value(name, Value::Messages(&request.messages)),
        None => prompt(&mut input, inputs, &request.messages),
    }
    images(&mut input, inputs, model, &request.messages)?;
    if let Some(limit) = request.max_tokens {
        if limit < inputs.least_max_tokens {
            return Err(unsupported(format!(
                "invalid `max_tokens` {limit} for {}: expected at least {}",
                model.name(),
                inputs.least_max_tokens
            )));
        }
    }
    for &field in Field::ALL {
        let value = match field {
            Field::Stop if request.stop.is_empty() => None,
            Field::Stop => Some(Json::from(request.stop.join(","))),
            field => request.value(field),
        };
        if let (Some(name), Some(value)) = (inputs.name(field), value) {
            input.set(name, value);
        }
    }
    for (name, value) in &request.extra {
        input.set_value(name, Value::Borrowed(value));
    }
    Ok(input)
}

/// Checks for content that the models cannot receive.
fn check(request: &ChatRequest) -> Result<()> {
    if let Some(stop) = request.stop.iter().find(|stop| stop.contains(',')) {
        return Err(unsupported(format!(
            "invalid `stop` text {stop:?}: Replicate separates stop texts by commas, so they must not \
             contain one"
        ))
        .with_setting("stop"));
    }
    if request.stop.iter().any(String::is_empty) {
        return Err(
            Error::config("invalid `stop` text: expected text that is not empty")
                .with_setting("stop"),
        );
    }
    let is_tool = |message: &Message| message.role == Role::Tool || !message.tool_calls.is_empty();
    if request.messages.iter().any(is_tool) {
        let message = "Replicate's models do not support tool calls and tool results";
        return Err(unsupported(message.to_owned()));
    }
    Ok(())
}

/// Sets the prompt and the system prompt.
///
/// A single message is the prompt, unchanged. Several become lines `User: …` and `Assistant: …`,
/// followed by `Assistant:` for the model to continue. System messages become the system prompt, or
/// the first lines of the prompt if the model has none.
fn prompt<'a>(input: &mut Object<'a>, inputs: Inputs, messages: &'a [Message]) {
    let is_system = |message: &&Message| matches!(message.role, Role::System | Role::Developer);
    let mut system = messages
        .iter()
        .filter(is_system)
        .map(text)
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>();
    let has_place = inputs.system_prompt.is_some();
    let spoken = messages
        .iter()
        .filter(|message| !has_place || !is_system(message))
        .collect::<Vec<_>>();
    // A prompt in `extra` replaces the messages.
    match spoken.as_slice() {
        [] => {}
        [one] => input.set_value("prompt", Value::Text(text(one))),
        _ => input.set_value("prompt", Value::Conversation(spoken)),
    }
    let system = match system.len() {
        0 => return,
        1 => system.remove(0),
        _ => Cow::Owned(system.join("\n\n")),
    };
    if let Some(name) = inputs.system_prompt {
        input.set_value(name, Value::Text(system));
    }
}

fn images(
    input: &mut Object<'_>,
    inputs: Inputs,
    model: &ModelRef,
    messages: &[Message],
) -> Result<()> {
    let parts = messages.iter().flat_map(|message| &message.content);
    let images = parts.filter_map(|part| match part {
        Part::Image { source, .. } => Some(image(source)),
        _ => None,
    });
    let images = images.collect::<Result<Vec<_>>>()?;
    match (inputs.images, images.as_slice()) {
        (_, []) => {}
        (Images::One(name), [one]) => input.set(name, one.as_str()),
        (Images::List(name), _) => {
            let list = images
                .iter()
                .map(|image| Json::from(image.as_str()).as_str().to_owned())
                .collect::<Vec<_>>();
            input.set(name, Json::from_text(format!("[{}]", list.join(","))));
        }
        (Images::One(_), _) => {
            let name = model.name();
            return Err(unsupported(format!("{name} supports only one image")));
        }
        (Images::None, _) => {
            return Err(unsupported(format!(
                "{} is not known to support images: set the name of its input with \
                 `ReplicateBuilder::inputs`, or set the input with `extra`",
                model.name()
            )));
        }
    }
    Ok(())
}

fn image(source: &ImageSource) -> Result<String> {
    match source {
        ImageSource::Url(url) => Ok(url.clone()),
        ImageSource::Bytes { media_type, data } => Ok(format!(
            "data:{media_type};base64,{}",
            BASE64_STANDARD.encode(data)
        )),
        _ => Err(unsupported("unknown image source".to_owned())),
    }
}

fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}
