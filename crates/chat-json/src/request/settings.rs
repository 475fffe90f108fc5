//! The parser of a request's settings, by their names in OpenAI's protocol.

use std::collections::BTreeMap;

use inferstream_core::{Json, ResponseFormat, Tool, ToolChoice};
use serde_json::value::RawValue;

use super::{
    Incoming,
    members::{flag, invalid, is_empty, list, object, required, text, value},
};
use crate::error::ApiError;

/// Reads a member into its field of the request; returns false if the request has no such field.
pub(super) fn read(incoming: &mut Incoming, name: &str, raw: &RawValue) -> Result<bool, ApiError> {
    const NUMBER: &str = "a number";
    const INTEGER: &str = "an integer";
    let request = &mut incoming.request;
    match name {
        "max_completion_tokens" => {
            let limit = value(name, raw, INTEGER)?;
            request.max_tokens = limit.or(request.max_tokens);
            incoming.has_newer_limit = limit.is_some();
        }
        "max_tokens" => {
            let limit = value(name, raw, INTEGER)?;
            if !incoming.has_newer_limit {
                request.max_tokens = limit;
            }
        }
        "temperature" => request.temperature = value(name, raw, NUMBER)?,
        "top_p" => request.top_p = value(name, raw, NUMBER)?,
        "top_k" => request.top_k = value(name, raw, INTEGER)?,
        "seed" => request.seed = value(name, raw, INTEGER)?,
        "n" => request.n = value(name, raw, INTEGER)?,
        "frequency_penalty" => request.frequency_penalty = value(name, raw, NUMBER)?,
        "presence_penalty" => request.presence_penalty = value(name, raw, NUMBER)?,
        "logit_bias" => {
            let bias: Option<BTreeMap<u32, f64>> = value(name, raw, "numbers by token")?;
            request.logit_bias = bias.unwrap_or_default();
        }
        "logprobs" => request.logprobs = flag(name, raw)?,
        "top_logprobs" => request.top_logprobs = value(name, raw, INTEGER)?,
        "reasoning_effort" => request.reasoning_effort = text(name, raw)?,
        "reasoning_format" => request.reasoning_format = text(name, raw)?,
        "service_tier" => request.service_tier = text(name, raw)?,
        "parallel_tool_calls" => request.parallel_tool_calls = flag(name, raw)?,
        "user" => request.user_id = text(name, raw)?,
        "stop" => request.stop = stop(name, raw)?,
        "prediction" => request.prediction = prediction(name, raw)?,
        "tools" => request.tools = tools(name, raw)?,
        "tool_choice" => request.tool_choice = tool_choice(name, raw)?,
        "response_format" => {
            let (format, dropped) = response_format(name, raw)?;
            request.response_format = format;
            incoming.warnings.extend(dropped);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn stop(name: &str, raw: &RawValue) -> Result<Vec<String>, ApiError> {
    if raw.get().starts_with('"') {
        return Ok(text(name, raw)?.into_iter().collect());
    }
    let texts = value(name, raw, "a string or a list of strings")?;
    Ok(texts.unwrap_or_default())
}

fn prediction(name: &str, raw: &RawValue) -> Result<Option<String>, ApiError> {
    let Some(members) = object(name, raw)? else {
        return Ok(None);
    };
    let at = "prediction.content";
    let Some(content) = members.get("content") else {
        return Err(invalid(at, "a string or a list of parts"));
    };
    if !content.get().starts_with('[') {
        return text(at, content);
    }
    let mut joined = String::new();
    for part in list(at, content)?.unwrap_or_default() {
        let part = required(at, Some(object(at, part)))?;
        joined += &required(at, part.get("text").map(|raw| text(at, raw)))?;
    }
    Ok(Some(joined))
}

fn tools(name: &str, raw: &RawValue) -> Result<Vec<Tool>, ApiError> {
    let mut tools = Vec::new();
    for (index, raw) in list(name, raw)?.unwrap_or_default().into_iter().enumerate() {
        let at = format!("{name}[{index}]");
        let members = required(&at, Some(object(&at, raw)))?;
        let at_kind = format!("{at}.type");
        let kind = required(&at_kind, members.get("type").map(|raw| text(&at_kind, raw)))?;
        if kind != "function" {
            return Err(invalid(&at_kind, "`function`"));
        }
        let at = format!("{at}.function");
        let function = required(&at, members.get("function").map(|raw| object(&at, raw)))?;
        let at_name = format!("{at}.name");
        let name = function.get("name").map(|raw| text(&at_name, raw));
        let parameters = function.get("parameters").filter(|raw| raw.get() != "null");
        let parameters = parameters.map_or(r#"{"type":"object","properties":{}}"#, RawValue::get);
        let mut tool = Tool::new(required(&at_name, name)?, Json::from_text(parameters));
        let description = function.get("description");
        let description = description.map(|raw| text(&format!("{at}.description"), raw));
        tool.description = description.transpose()?.flatten();
        let strict = function.get("strict");
        let strict = strict.map(|raw| flag(&format!("{at}.strict"), raw));
        tool.strict = strict.transpose()?.flatten();
        tools.push(tool);
    }
    Ok(tools)
}

fn tool_choice(name: &str, raw: &RawValue) -> Result<Option<ToolChoice>, ApiError> {
    const EXPECTED: &str = "`auto`, `none`, `required` or the name of a function";
    if !raw.get().starts_with('{') {
        return match text(name, raw)?.as_deref() {
            None => Ok(None),
            Some("auto") => Ok(Some(ToolChoice::Auto)),
            Some("none") => Ok(Some(ToolChoice::None)),
            Some("required") => Ok(Some(ToolChoice::Required)),
            Some(_) => Err(invalid(name, EXPECTED)),
        };
    }
    let members = required(name, Some(object(name, raw)))?;
    let function = members.get("function").map(|raw| object(name, raw));
    match function.transpose()?.flatten() {
        None => Err(invalid(name, EXPECTED)),
        Some(function) => {
            let tool = function.get("name").map(|raw| text(name, raw));
            Ok(Some(ToolChoice::Tool(required(name, tool)?)))
        }
    }
}

/// Returns the format, and a warning for a member that core has no place for.
fn response_format(
    name: &str,
    raw: &RawValue,
) -> Result<(Option<ResponseFormat>, Option<String>), ApiError> {
    let Some(members) = object(name, raw)? else {
        return Ok((None, None));
    };
    let kind = required(name, members.get("type").map(|raw| text(name, raw)))?;
    match kind.as_str() {
        "text" => Ok((Some(ResponseFormat::Text), None)),
        "json_object" => Ok((Some(ResponseFormat::JsonObject), None)),
        "json_schema" => {
            let at = "response_format.json_schema";
            let named = required(at, members.get("json_schema").map(|raw| object(at, raw)))?;
            let Some(schema) = named.get("schema") else {
                return Err(invalid(at, "a member `schema`"));
            };
            let title = named.get("name").map(|raw| text(at, raw));
            let title = title.transpose()?.flatten();
            let schema = Json::from_text(schema.get());
            let mut format =
                ResponseFormat::json_schema(title.unwrap_or_else(|| "response".into()), schema);
            let strict = named.get("strict").map(|raw| flag(at, raw));
            if let Some(strict) = strict.transpose()?.flatten() {
                format = format.strict(strict);
            }
            let description = named.get("description").filter(|raw| !is_empty(raw));
            let dropped = description.map(|_| format!("{at}.description was dropped"));
            Ok((Some(format), dropped))
        }
        _ => Err(invalid(name, "`text`, `json_object` or `json_schema`")),
    }
}
