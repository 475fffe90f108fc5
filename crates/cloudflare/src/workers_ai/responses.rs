//! Responses in the format of the Responses API, which gpt-oss models return at `/ai/run`.

use inferstream_core::Result;
use serde_json::{Value, json};

use super::wire::not_a_chunk;

/// Converts a Responses object to a chat completion.
///
/// `output` holds reasoning, messages, and function calls (cloudflare/workerd#5111).
///
/// # Errors
///
/// Returns `Protocol` if the document is not JSON of this format.
pub(super) fn completion(document: &str) -> Result<String> {
    let response = serde_json::from_str::<Value>(document).map_err(|_| not_a_chunk())?;
    let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
    for item in response["output"].as_array().ok_or_else(not_a_chunk)? {
        match item["type"].as_str() {
            Some("reasoning") => {
                let content = join(&item["content"]);
                let summary = || join(&item["summary"]);
                reasoning.push_str(
                    &Some(content)
                        .filter(|text| !text.is_empty())
                        .unwrap_or_else(summary),
                );
            }
            Some("function_call") => calls.push(json!({
                "index": calls.len(),
                "id": item["call_id"].as_str().or(item["id"].as_str()),
                "function": {"name": item["name"], "arguments": item["arguments"]},
            })),
            _ => text.push_str(&join(&item["content"])),
        }
    }
    let reason = match response["status"].as_str() {
        Some("incomplete") => match response["incomplete_details"]["reason"].as_str() {
            Some("max_output_tokens") => "length",
            Some(reason) => reason,
            None => "incomplete",
        },
        Some("completed") | None if calls.is_empty() => "stop",
        Some("completed") | None => "tool_calls",
        Some(status) => status,
    };
    let mut message = json!({"role": "assistant", "content": text});
    if !reasoning.is_empty() {
        message["reasoning"] = reasoning.into();
    }
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    let completion = json!({
        "id": response["id"],
        "model": response["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
    });
    Ok(completion.to_string())
}

/// Returns the joined texts of a list of parts.
fn join(parts: &Value) -> String {
    let parts = parts.as_array().into_iter().flatten();
    let text = |part: &Value| {
        let text = part["text"].as_str().or(part["refusal"].as_str());
        text.map(str::to_owned)
    };
    parts.filter_map(text).collect()
}
