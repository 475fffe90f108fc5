//! What families of models take that others do not: data and the rules that go with it.

use inferstream_client::Dropped;
use inferstream_core::{
    ChatRequest, Error, ErrorKind, Field, ImageSource, Message, Part, ResponseFormat, Result, Role,
    ToolCall, ToolChoice,
};

/// Models that have the native path alone: adapters, and those of the service's first year.
const NATIVE: [&str; 3] = ["@hf/", "@cf/meta/llama-2", "@cf/thebloke/"];

/// Models that take images.
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

/// Returns true for a setting that the native path documents; it ignores others silently.
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

/// Changes a request to what the model's family takes.
///
/// # Errors
///
/// `Unsupported` for what is said, or set by `extra`, and not taken.
pub(super) fn adapt(model: &str, request: &mut ChatRequest, dropped: &mut Dropped) -> Result<()> {
    check_images(request)?;
    if model.starts_with("@cf/mistralai/") {
        check_turns(model, &request.messages)?;
        if matches!(
            request.response_format,
            Some(ResponseFormat::JsonSchema { .. })
        ) {
            let reason = format!("{model} takes no JSON schema");
            dropped.take(request, Field::ResponseFormat, reason);
        }
        if request.has_extra("chat_template_kwargs") {
            let message = format!("{model} takes no `chat_template_kwargs`");
            return Err(unsupported(message));
        }
        shorten_ids(&mut request.messages);
    }
    if model.starts_with("@cf/zai-org/") && request.tool_choice == Some(ToolChoice::Required) {
        // It refuses `required`, and takes a tool by its name.
        if let [one] = request.tools.as_slice() {
            request.tool_choice = Some(ToolChoice::Tool(one.name.clone()));
        } else {
            let reason = format!("{model} does not take `required`, but a tool's name");
            dropped.take(request, Field::ToolChoice, reason);
        }
    }
    Ok(())
}

/// Refuses images that the service would have to fetch: it does not.
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
                    "Workers AI fetches no images: give the image's bytes".to_owned(),
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
            "{model} takes no user's message right after a tool's; put the model's answer between"
        )));
    }
    Ok(())
}

/// Gives calls ids of nine letters and digits, the same one to a call and to its answer.
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
