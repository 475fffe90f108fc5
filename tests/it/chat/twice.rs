//! Chunks decoded twice: with templates, and by the JSON parser alone, which the first must equal.
//!
//! A decoder that also emits each chunk as a `Raw` event uses no templates, so it is the reference.

use bytes::Bytes;
use inferstream_core::{
    ChatEvent,
    protocol::{Decode, Ending, Events},
    sse::Frame,
};
use inferstream_openai_compat::ChatDecode;

/// Chunks, complete and invalid; `@` is a text, `%` another string and `#` a number.
pub(crate) const CHUNKS: &[&str] = &[
    r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"@"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"%"}"#,
    r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":1,"delta":{"content":"@"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"%"}"#,
    r#"{"choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"reasoning":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":"","reasoning_content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":null,"thinking":"@","tool_calls":[]}}]}"#,
    r#"{"choices":[{"delta":{"role":"%","content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"reasoning_text":"@","reasoning_details":[{"text":"@"}]}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"text":"@"}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"text":"%"}]}"#,
    r#"{"choices":[{"delta":{},"text":"@"}]}"#,
    r#"{"choices":[{"text":"@"}]}"#,
    r#"{"choices":[{"delta":{"content":"@","reasoning":"%"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@","refusal":"%"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@","audio":"%"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@","images":["%"]}}]}"#,
    r#"{"choices":[{"delta":{"content":"%","content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@","content":"%"}}]}"#,
    r#"{"choices":[{"delta":{"content":"%"},"delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":"%"}}],"choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"c\u006fntent":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":{"text":"@"}}}]}"#,
    r#"{"choices":[{"delta":{"content":[{"type":"text","text":"@"}]}}]}"#,
    r#"{"choices":[{"delta":{"content":["@"]}}]}"#,
    r#"{"choices":[{"delta":{"content":12}}],"p":"%"}"#,
    r#"{"choices":[{"delta":{"reasoning":{"value":"@"}}}]}"#,
    r#"{"choices":[{"delta":{"reasoning":["@"]}}]}"#,
    r#"{"choices":[{"index":"%","delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"index":2,"delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"@"}},{"index":1,"delta":{"content":"%"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"finish_reason":"stop"}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"finish_reason":"%"}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"finish_reason":""}]}"#,
    r#"{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"logprobs":{"content":["%"]}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"logprobs":NaN}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"message":{"content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"message":{"content":"%"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"message":{"images":["%"]}}]}"#,
    r#"{"choices":[{"message":{"content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@","tool_calls":[{"index":0,"id":"%","function":{"name":"f","arguments":"%"}}]}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"@"}}]}}]}"#,
    r#"{"choices":[{"delta":{"content":"@","function_call":{"name":"%"}}}]}"#,
    r#"{"id":"c1","model":"m","choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"id":"c2","model":"n","choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"id":"%","choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"model":"%","choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":0,"completion_tokens":1}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":0,"completion_tokens":2}}"#,
    r#"{"choices":[{"delta":{"content":"@"},"usage":{"prompt_tokens":3}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"x_groq":{"id":"%","usage":{"prompt_tokens":4}}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"time_info":{"queue_time":1}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"time_info":{"queue_time":2}}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":1}}"#,
    r#"{"id":"c1","created":#,"choices":[{"index":0,"delta":{"content":"@"}}],"usage":{"prompt_tokens":20,"total_tokens":#,"completion_tokens":#}}"#,
    r#"{"usage":{"prompt_tokens":#},"choices":[{"index":#,"delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":#,"input_tokens":1,"output_tokens":#,"completion_tokens":null}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":1,"input_tokens":#}}"#,
    r##"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":"#","input_tokens":"%"}}"##,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":#}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":1,"prompt_tokens":#}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens_details":{"cached_tokens":#},"cached_tokens":3}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"completion_tokens_details":{"reasoning_tokens":#},"output_tokens_details":{"rejected_prediction_tokens":#}}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"p":#},"x_groq":{"usage":{"prompt_tokens":#}}}"#,
    r#"{"choices":[{"delta":{"content":"@"},"usage":{"prompt_tokens":#}}],"usage":#}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":[#]}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{ "prompt_tokens" : # } } "#,
    r#"{"choices":[{"delta":{"content":"@"}}],"time_info":{"queue_time":#}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"code":#,"status_code":#}"#,
    r#"{"choices":[{"delta":{"content":#}}],"p":"%"}"#,
    r#"{"p":{"q":[#,"%"]},"choices":[{"delta":{"content":"@"}}],"r":#}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":#"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"p":#"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"p":"%","q":"@"}"#,
    r#"{"p":"%","choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"p":{"r":"%"},"choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"p":"\ud83d\ude00%","choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"p":"\\%","choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"error":{"message":"%"}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"error":"%"}"#,
    r#"{"choices":[{"delta":{"content":"@"},"error":"%"}]}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"error_message":"%","code":"%","msg":"%"}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"message":"%","type":"%"}"#,
    r#"{"delta":{"content":"@"},"message":"%"}"#,
    r#" {"choices" : [ {"delta" : {"content" : "@" } } ] } "#,
    r#"[{"choices":[{"delta":{"content":"@"}}]}]"#,
    r#"{"choices":[{"delta":{"content":"@"}}]}}"#,
    r#"{"choices":[{"delta":{"content":"@"#,
    r#"{"choices":[{"delta":{"content":@}}]}"#,
    "@",
    "",
    "[DONE]",
];

/// Numbers that differ from a plain integer in one respect, and what may be in the place of one.
pub(crate) const NUMBERS: &[&str] = &[
    "0",
    "00",
    "01",
    "-0",
    "-1",
    "+1",
    "1.0",
    "1.5",
    "1.",
    "1e2",
    "1E+2",
    "2e-1",
    "1e400",
    "999999999999999",
    "1000000000000000",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "0x1",
    "1_0",
    " 1",
    "1 ",
    "1\n",
    "\"1\"",
    "\"\\u0031\"",
    "\"\\ud83d\"",
    "null",
    "true",
    "NaN",
    "-Infinity",
    "",
    "-",
    "1,\"prompt_tokens\":2",
    "1},\"q\":{\"r\":1",
    "{}",
    "{\"prompt_tokens\":1}",
    "[1]",
    "{\"a\":[1,{\"b\":\"]\"}]}",
    "[[",
];

/// Fills a form of [`CHUNKS`].
pub(crate) fn fill(form: &str, text: &str, other: &str, number: &str) -> String {
    let form = form.replace('#', number).replace('%', other);
    form.replace('@', text)
}

/// The names of events.
pub(crate) const EVENTS: &[&str] = &["message", "error", "ping", "chunk"];

/// Decodes frames of an event's name and data, for a request for `n` choices, both ways, and panics
/// where the two differ. Returns how many frames needed no parser.
pub(crate) fn decode(frames: &[(&str, String)], n: u32) -> usize {
    let decoder = || ChatDecode::new("test").choices(n);
    let (mut by_template, mut by_parser) = (decoder(), decoder().raw(true));
    let (mut found, mut expected) = (Events::default(), Events::default());
    let mut known = 0;
    for (at, (event, data)) in frames.iter().enumerate() {
        let buffer = Bytes::copy_from_slice(data.as_bytes());
        let data = std::str::from_utf8(&buffer).expect("it is a copy of text");
        let mut frame = Frame::new(data, &buffer);
        frame.event = event;
        let flow = match by_template.decode_known(frame, &mut found) {
            Some(flow) => {
                known += 1;
                Ok(flow)
            }
            None => by_template.decode(frame, &mut found),
        };
        let is_same = match (flow, by_parser.decode(frame, &mut expected)) {
            (Ok(flow), Ok(by_parser)) => flow == by_parser,
            (flow, by_parser) => format!("{flow:?}") == format!("{by_parser:?}"),
        };
        let is_same = is_same
            && drain(&mut found) == drain(&mut expected)
            && (&found.id, &found.model) == (&expected.id, &expected.model);
        assert!(is_same, "frame {at} differs: {frames:#?}");
    }
    let finish = |decode: &mut ChatDecode, events: &mut Events| {
        let finish = decode.finish(Ending::Input(None), events);
        // What is left in the queue are names and warnings.
        let list = drain(events);
        (format!("{finish:?}"), list, format!("{events:?}"))
    };
    assert_eq!(
        finish(&mut by_template, &mut found),
        finish(&mut by_parser, &mut expected),
        "the end differs: {frames:#?}"
    );
    known
}

/// Takes all events but raw chunks.
fn drain(events: &mut Events) -> Vec<ChatEvent> {
    let list = std::iter::from_fn(|| events.pop());
    list.filter(|event| !matches!(event, ChatEvent::Raw { .. }))
        .collect()
}
