//! The parser of chat requests.

use inferstream_chat_json::{Incoming, read_request};

use crate::refusal::Refusal;

/// Parses the body of a chat request, which must have a model and messages.
pub(crate) fn read(body: &[u8]) -> Result<Incoming, Refusal> {
    let incoming = read_request(body)?;
    if incoming.model.is_empty() {
        return Err(Refusal::invalid(Some("model"), "missing `model`"));
    }
    if incoming.request.messages.is_empty() {
        let message = "missing `messages`: expected at least one";
        return Err(Refusal::invalid(Some("messages"), message));
    }
    Ok(incoming)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_model_and_messages_are_required() {
        for (body, param) in [
            (r#"{"messages":[]}"#, "model"),
            (r#"{"model":"a/b","messages":[]}"#, "messages"),
            (r#"{"model":"a/b"}"#, "messages"),
        ] {
            let error = read(body.as_bytes()).unwrap_err().error;
            assert_eq!(error.param.as_deref(), Some(param), "{body}");
        }
    }
}
