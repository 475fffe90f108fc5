//! The encoding of a request as the body of a prediction.

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use inferstream_client::Dropped;
use inferstream_core::{
    ChatRequest, Error, ErrorKind, Field, ImageSource, Json, Message, Part, Result, Role,
};

use crate::{
    info::INFO,
    inputs::{Images, Inputs},
    model_ref::ModelRef,
};

/// A prediction's body, and what was left out of it.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) body: String,
    pub(crate) dropped: Dropped,
}

/// An object in the making: members in the order they came, the last of a name winning.
#[derive(Debug, Default)]
struct Object(Vec<(String, Json)>);

impl Object {
    fn set(&mut self, name: &str, value: impl Into<Json>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn json(&self) -> Json {
        let mut text = String::from("{");
        for (name, value) in &self.0 {
            if 1 < text.len() {
                text.push(',');
            }
            // A String takes whatever is written.
            let _ = write!(text, "{}:{value}", Json::from(name.as_str()));
        }
        text.push('}');
        Json::from_text(text)
    }
}

/// Encodes a request.
///
/// # Errors
///
/// `Unsupported` for what the model's inputs cannot say, `Config` for what nothing can.
pub(crate) fn body(model: &ModelRef, inputs: Inputs, request: &ChatRequest) -> Result<Encoded> {
    let mut dropped = Dropped::new(INFO.id.clone(), request.on_unsupported);
    let mut body = Object::default();
    if let Some(version) = model.version() {
        body.set("version", version);
    }
    // A request that carries the model's input whole needs nothing of ours.
    let whole = request.extra.iter().rfind(|(name, _)| name == "input");
    let input = if let Some((_, whole)) = whole {
        check_whole(whole, request, &mut dropped)?;
        whole.clone()
    } else {
        let mut request = request.clone();
        adapt(inputs, &mut request, &mut dropped);
        dropped.settle()?;
        input(model, inputs, &request)?
    };
    body.set("input", input);
    // Without effect since 2024-07-15; what stands for the service elsewhere may want it.
    body.set("stream", true);
    Ok(Encoded {
        body: body.json().as_str().to_owned(),
        dropped,
    })
}

/// Checks an input that the request carries whole, and what it stands in place of.
fn check_whole(input: &Json, request: &ChatRequest, dropped: &mut Dropped) -> Result<()> {
    if !input.as_str().trim_start().starts_with('{') {
        return Err(Error::config("`input` is not a JSON object").with_setting("extra"));
    }
    if let Some((other, _)) = request.extra.iter().find(|(name, _)| name != "input") {
        return Err(Error::config(format!(
            "`extra` has `input`, which is all that the model is told: put `{other}` into it"
        ))
        .with_setting("extra"));
    }
    for field in request.settings() {
        dropped.detail(
            field.name(),
            "the `input` of `extra` is all that the model is told",
        );
    }
    dropped.settle()
}

/// Takes the settings out that the model has no input for.
fn adapt(inputs: Inputs, request: &mut ChatRequest, dropped: &mut Dropped) {
    request.yield_to_extra(|field| inputs.name(field).unwrap_or(field.name()));
    if request.user_id.take().is_some() {
        dropped.detail(
            Field::UserId.name(),
            "no input of Replicate's models identifies the user",
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
        let reason = "no input of Replicate's models says how closely to look";
        dropped.detail("detail", reason);
    }
    let reason = "no input of the model's says so; what its schema names can be set by `extra`";
    dropped.keep(request, reason, |field| inputs.name(field).is_some());
}

fn input(model: &ModelRef, inputs: Inputs, request: &ChatRequest) -> Result<Json> {
    check(request)?;
    let mut input = Object::default();
    match inputs.messages {
        // A list that is empty would overrule a prompt of `extra`.
        Some(_) if request.messages.is_empty() => {}
        Some(name) => input.set(name, messages(&request.messages)),
        None => prompt(&mut input, inputs, &request.messages),
    }
    images(&mut input, inputs, model, &request.messages)?;
    if let Some(limit) = request.max_tokens {
        if limit < inputs.least_max_tokens {
            return Err(unsupported(format!(
                "`max_tokens` is {limit}, and {} takes no less than {}",
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
        input.set(name, value.clone());
    }
    Ok(input.json())
}

/// Refuses what the model would not hear of.
fn check(request: &ChatRequest) -> Result<()> {
    if let Some(stop) = request.stop.iter().find(|stop| stop.contains(',')) {
        return Err(unsupported(format!(
            "a text of `stop` has a comma ({stop:?}), and `stop_sequences` is one text whose parts \
             are divided by commas"
        ))
        .with_setting("stop"));
    }
    if request.stop.iter().any(String::is_empty) {
        return Err(Error::config("a text of `stop` is empty").with_setting("stop"));
    }
    let is_tool = |message: &Message| message.role == Role::Tool || !message.tool_calls.is_empty();
    if request.messages.iter().any(is_tool) {
        let message = "Replicate's models take neither the calls nor the answers of tools";
        return Err(unsupported(message.to_owned()));
    }
    Ok(())
}

/// Sets prompt and system prompt.
///
/// One message is the prompt as it is; several become lines `User: …` and `Assistant: …`, and a last
/// one `Assistant:` that the model goes on with. System messages are the system prompt, or the
/// first lines where the model has none.
fn prompt(input: &mut Object, inputs: Inputs, messages: &[Message]) {
    let is_system = |message: &&Message| matches!(message.role, Role::System | Role::Developer);
    let system = messages
        .iter()
        .filter(is_system)
        .map(Message::text)
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n");
    let has_place = inputs.system_prompt.is_some();
    let spoken = messages
        .iter()
        .filter(|message| !has_place || !is_system(message))
        .collect::<Vec<_>>();
    let prompt = match spoken.as_slice() {
        [one] => one.text(),
        several => conversation(several),
    };
    // An `extra` prompt stands for the messages.
    if !spoken.is_empty() {
        input.set("prompt", prompt);
    }
    if let (Some(name), false) = (inputs.system_prompt, system.is_empty()) {
        input.set(name, system);
    }
}

fn conversation(messages: &[&Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let content = message.text();
        if content.trim().is_empty() {
            continue;
        }
        let speaker = match message.role {
            Role::Assistant => "Assistant",
            Role::System | Role::Developer => "System",
            _ => "User",
        };
        // A String takes whatever is written.
        let _ = writeln!(text, "{speaker}: {}", content.trim());
    }
    text + "Assistant:"
}

/// Returns the conversation as a list of `{"role":…,"content":…}`.
fn messages(messages: &[Message]) -> Json {
    let list = messages.iter().map(|message| {
        let mut object = Object::default();
        object.set("role", message.role.as_str());
        object.set("content", message.text());
        object.json().as_str().to_owned()
    });
    Json::from_text(format!("[{}]", list.collect::<Vec<_>>().join(",")))
}

fn images(
    input: &mut Object,
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
            return Err(unsupported(format!("{name} takes one image, not several")));
        }
        (Images::None, _) => {
            return Err(unsupported(format!(
                "{} is not known to take images; name the input with `ReplicateBuilder::inputs`, or \
                 set it by `extra`",
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
        _ => Err(unsupported("an image source of a later version".to_owned())),
    }
}

fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}
