//! Restrictions of model families: the data, and the rules that adapt requests.

use inferstream_client::Dropped;
use inferstream_core::{
    ChatRequest, Error, ErrorKind, Field, ImageSource, Message, Part, ResponseFormat, Result, Role,
    ToolCall, ToolChoice,
};

/// Models that exist on the native path only: adapters, and the service's oldest models.
const NATIVE: [&str; 3] = ["@hf/", "@cf/meta/llama-2", "@cf/thebloke/"];

/// Models that accept images.
const VISION: [&str; 5] = [
    "@cf/google/gemma-3",
    "@cf/google/gemma-4",
    "@cf/meta/llama-3.2-11b-vision",
    "@cf/meta/llama-4",
    "@cf/mistralai/mistral-small-3.1",
];

pub(super) fn is_native(model: &str) -> bool {
    NATIVE.iter().any(|begins| model.starts_with(begins)) || model.ends_with("-lora")
}

pub(super) fn takes_images(model: &str) -> bool {
    VISION.iter().any(|begins| model.starts_with(begins))
}

/// Returns true for settings that the native path documents; it ignores others silently.
pub(super) fn is_native_setting(field: Field) -> bool {
    matches!(
        field,
        Field::FrequencyPenalty
            | Field::MaxTokens
            | Field::PresencePenalty
            | Field::ReasoningEffort
            | Field::ResponseFormat
            | Field::Seed
            | Field::Temperature
            | Field::ToolChoice
            | Field::Tools
            | Field::TopK
            | Field::TopP
    )
}

/// Adapts a request to the restrictions of the model's family.
///
/// # Errors
///
/// Returns `Unsupported` if the request contains messages or `extra` members that the family does
/// not accept.
pub(super) fn adapt(model: &str, request: &mut ChatRequest, dropped: &mut Dropped) -> Result<()> {
    check_images(request)?;
    if model.starts_with("@cf/mistralai/") {
        check_turns(model, &request.messages)?;
        if matches!(
            request.response_format,
            Some(ResponseFormat::JsonSchema { .. })
        ) {
            let reason = format!("{model} does not support JSON schemas");
            dropped.take(request, Field::ResponseFormat, reason);
        }
        if request.has_extra("chat_template_kwargs") {
            let message = format!("{model} does not support `chat_template_kwargs`");
            return Err(unsupported(message));
        }
        shorten_ids(&mut request.messages);
    }
    if model.starts_with("@cf/zai-org/") && request.tool_choice == Some(ToolChoice::Required) {
        // These models refuse `required`, but accept the name of a tool.
        if let [one] = request.tools.as_slice() {
            request.tool_choice = Some(ToolChoice::Tool(one.name.clone()));
        } else {
            let reason = format!("{model} does not support `required`; name one tool instead");
            dropped.take(request, Field::ToolChoice, reason);
        }
    }
    Ok(())
}

/// Returns an error for image URLs, because the service does not fetch them.
fn check_images(request: &ChatRequest) -> Result<()> {
    let parts = request.messages.iter().flat_map(|message| &message.content);
    for part in parts {
        if let Part::Image {
            source: ImageSource::Url(url),
            ..
        } = part
        {
            if !url.starts_with("data:") {
                return Err(unsupported(
                    "Workers AI does not fetch images by URL: send the image's bytes".to_owned(),
                ));
            }
        }
    }
    Ok(())
}

fn check_turns(model: &str, messages: &[Message]) -> Result<()> {
    let follows = |pair: &[Message]| pair[0].role == Role::Tool && pair[1].role == Role::User;
    if messages.windows(2).any(follows) {
        return Err(unsupported(format!(
            "{model} does not accept a user message right after a tool result: put an assistant message between them"
        )));
    }
    Ok(())
}

/// Replaces tool-call ids that are not nine letters and digits, consistently in calls and results.
fn shorten_ids(messages: &mut [Message]) {
    let is_short = |id: &str| id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mut long = Vec::<String>::new();
    let mut shorten = |id: &mut String| {
        if is_short(id) {
            return;
        }
        let known = long.iter().position(|known| known == id);
        let number = known.unwrap_or(long.len());
        if known.is_none() {
            long.push(id.clone());
        }
        *id = format!("call{number:05}");
    };
    for message in messages {
        for ToolCall { id, .. } in &mut message.tool_calls {
            shorten(id);
        }
        if let Some(id) = &mut message.tool_call_id {
            shorten(id);
        }
    }
}

fn unsupported(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}
