//! The secrets of the sweep, and the search for them.

use std::fmt::{Debug, Write as _};

use inferstream_core::{ChatRequest, Json, Message, Role, Tool, ToolCall};

/// The key of each service.
pub(crate) const KEY: &str = "c4nary-key-0a1b2c3d4e";

/// Other credentials: of a gateway, and the email address of an account.
pub(crate) const GATEWAY_TOKEN: &str = "c4nary-gateway-5f6a7b8c9d";
pub(crate) const EMAIL: &str = "c4nary-email@mail.test";

/// The value of a cookie.
pub(crate) const COOKIE: &str = "c4nary-cookie-1e2f3a4b5c";

/// The user name and password of the proxy.
pub(crate) const PROXY_USER: &str = "c4nary-proxyuser";
pub(crate) const PROXY_PASSWORD: &str = "c4nary-proxypass-6d7e8f";

/// `Basic` credentials of the proxy, as base64.
pub(crate) const PROXY_BASIC: &str = "YzRuYXJ5LXByb3h5dXNlcjpjNG5hcnktcHJveHlwYXNzLTZkN2U4Zg==";

pub(crate) const SYSTEM: &str = "Answer as the c4nary-system-0d1e pirate would, in short words.";
pub(crate) const PROMPT: &str = "Where is the gold of c4nary-prompt-2f3a, and who knows of it?";
pub(crate) const ARGUMENTS: &str = r#"{"map":"c4nary-arguments-4b5c of the island"}"#;
pub(crate) const RESULT: &str = "The gold lies under the c4nary-result-6d7e oak, says Anna.";

/// The part of each secret that is searched for, and its name.
const NEEDLES: [(&str, &str); 11] = [
    ("key", KEY),
    ("gateway token", GATEWAY_TOKEN),
    ("email address", EMAIL),
    ("cookie", COOKIE),
    ("proxy user", PROXY_USER),
    ("proxy password", PROXY_PASSWORD),
    ("proxy credentials", PROXY_BASIC),
    ("system prompt", "c4nary-system"),
    ("prompt", "c4nary-prompt"),
    ("tool arguments", "c4nary-arguments"),
    ("tool result", "c4nary-result"),
];

/// Returns the names of the secrets that a text contains, as text or as hexadecimal digits.
pub(crate) fn secrets_in(text: &str) -> Vec<&'static str> {
    // All canaries contain this; searching for one word is faster than for all of them.
    if !text.contains("c4nary") && !text.contains("63346e617279") && !text.contains("YzRuYXJ5") {
        return Vec::new();
    }
    let found = NEEDLES.iter().filter(|(_, needle)| {
        let hex = needle.bytes().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        text.contains(needle) || text.contains(&hex)
    });
    found.map(|(name, _)| *name).collect()
}

/// Returns `Debug` of a value, on one line and on several.
pub(crate) fn debug(value: &impl Debug) -> String {
    format!("{value:?}\n{value:#?}")
}

/// A conversation in which each text is a canary.
///
/// Without tools, it has no tool calls and no system prompt, which some models do not accept.
pub(crate) fn conversation(model: &str, with_tools: bool) -> ChatRequest {
    let request = ChatRequest::new(model).system(SYSTEM).user(PROMPT);
    if !with_tools {
        return request;
    }
    let call = ToolCall::new("call-1", "find", ARGUMENTS);
    request
        .tool(Tool::new("find", Json::from_text(r#"{"type":"object"}"#)))
        .message(Message::empty(Role::Assistant).tool_call(call))
        .message(Message::tool("call-1", RESULT))
}

/// A text in which a service repeats what it was sent: credentials and the conversation.
pub(crate) fn echo(credentials: &[&str], with_tools: bool) -> String {
    let texts: &[&str] = if with_tools {
        &[SYSTEM, PROMPT, ARGUMENTS, RESULT]
    } else {
        &[SYSTEM, PROMPT]
    };
    [credentials, texts].concat().join(" and ")
}

#[test]
fn each_secret_is_found_in_each_form() {
    for (name, needle) in NEEDLES {
        assert_eq!(secrets_in(&format!("a{needle}b")), [name]);
    }
    let hex = KEY.bytes().map(|byte| format!("{byte:02x}"));
    assert_eq!(secrets_in(&hex.collect::<String>()), ["key"]);
    let basic = format!("{PROXY_USER}:{PROXY_PASSWORD}");
    let encoded = base64(basic.as_bytes());
    assert_eq!(encoded, PROXY_BASIC);
    assert!(secrets_in("no secret").is_empty());
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { digit.into() } else { '=' });
        }
    }
    text
}
