//! An encoder of events as chunks of a chat completion, each in an event of an event stream.

use std::fmt::Write as _;

use inferstream::{ChatEvent, FinishReason, Json, Usage, protocol::push_escaped};
use inferstream_chat_json::{Identity, finish_reason, usage_json};

use super::calls::Calls;
use crate::refusal::Refusal;

/// The most choices whose end is expected. Services allow fewer, and the number is the client's.
const MAX_CHOICES: u32 = 128;

/// The encoder of one response.
#[derive(Debug)]
pub(super) struct Chunks {
    /// The beginning of every chunk, up to its choices.
    begin: String,
    /// The end of every chunk but that with the usage.
    end: &'static str,
    include_usage: bool,
    choices: Vec<State>,
    usage: Option<Usage>,
}

/// What was sent of a choice.
#[derive(Debug)]
struct State {
    index: u32,
    has_begun: bool,
    has_ended: bool,
    calls: Calls,
}

impl State {
    fn new(index: u32) -> Self {
        Self {
            index,
            has_begun: false,
            has_ended: false,
            calls: Calls::default(),
        }
    }
}

impl Chunks {
    /// Creates an encoder of a response with this number of requested choices.
    pub(super) fn new(identity: &Identity, choices: u32, include_usage: bool) -> Self {
        let mut begin = String::from("data: {\"id\":\"");
        push_escaped(&mut begin, &identity.id);
        begin.push_str("\",\"object\":\"chat.completion.chunk\",\"created\":");
        write(&mut begin, identity.created);
        begin.push_str(",\"model\":\"");
        push_escaped(&mut begin, &identity.model);
        begin.push_str("\",\"choices\":[");
        let end = if include_usage {
            "],\"usage\":null}\n\n"
        } else {
            "]}\n\n"
        };
        Self {
            begin,
            end,
            include_usage,
            choices: (0..choices.clamp(1, MAX_CHOICES)).map(State::new).collect(),
            usage: None,
        }
    }

    /// Appends the chunk of an event, if it has one.
    pub(super) fn event(&mut self, out: &mut String, event: &ChatEvent) {
        match event {
            ChatEvent::Text { choice, text, .. } => self.text(out, *choice, "content", text),
            ChatEvent::Reasoning { choice, text, .. } => {
                self.text(out, *choice, "reasoning_content", text);
            }
            ChatEvent::ToolCallStart {
                choice,
                index,
                id,
                name,
                ..
            } => self.call(out, *choice, *index, id, name, ""),
            ChatEvent::ToolCallDelta {
                choice,
                index,
                arguments,
                ..
            } => {
                self.state(*choice).calls.add(*index, arguments);
                self.arguments(out, *choice, *index, arguments);
            }
            ChatEvent::ToolCall {
                choice,
                index,
                call,
                ..
            } => {
                let calls = &mut self.state(*choice).calls;
                if !calls.has(*index) {
                    self.call(out, *choice, *index, &call.id, &call.name, &call.arguments);
                } else if let Some(rest) = calls.rest(*index, call) {
                    self.arguments(out, *choice, *index, rest);
                }
            }
            ChatEvent::Logprobs {
                choice, logprobs, ..
            } => {
                self.logprobs(out, *choice, "logprobs", logprobs);
            }
            ChatEvent::ReasoningLogprobs {
                choice, logprobs, ..
            } => {
                self.logprobs(out, *choice, "reasoning_logprobs", logprobs);
            }
            ChatEvent::Usage { usage, .. } => self.usage = Some(*usage),
            ChatEvent::Finish { choice, reason, .. } => self.finish(out, *choice, reason),
            // `Timing` and `Raw` have no place in the protocol.
            _ => {}
        }
    }

    /// Appends the end of a complete response.
    ///
    /// # Errors
    ///
    /// Appends nothing if a choice has not finished.
    pub(super) fn complete(&mut self, out: &mut String) -> Result<(), Refusal> {
        if !self.choices.iter().all(|choice| choice.has_ended) {
            return Err(Refusal::truncated());
        }
        let usage = self.usage.as_ref().filter(|_| self.include_usage);
        if let Some(usage) = usage.and_then(usage_json) {
            out.push_str(&self.begin);
            out.push_str("],\"usage\":");
            out.push_str(&usage);
            out.push_str("}\n\n");
        }
        out.push_str("data: [DONE]\n\n");
        Ok(())
    }

    /// Appends the end of a response that is not complete: one chunk with the error. There is no end
    /// marker after it, and no usage.
    pub(super) fn failed(&mut self, out: &mut String, refusal: &Refusal) {
        out.push_str(&self.begin);
        let mut separator = "";
        for choice in self.choices.iter().filter(|choice| !choice.has_ended) {
            out.push_str(separator);
            out.push_str("{\"index\":");
            write(out, choice.index);
            out.push_str(",\"delta\":{},\"finish_reason\":\"error\"}");
            separator = ",";
        }
        out.push_str("],\"error\":");
        out.push_str(&refusal.error.to_inner_json());
        out.push_str("}\n\n");
    }

    fn text(&mut self, out: &mut String, choice: u32, member: &str, text: &str) {
        // Most chunks are this: their size is known.
        out.reserve(self.begin.len() + text.len() + 96);
        self.open(out, choice);
        out.push('"');
        out.push_str(member);
        out.push_str("\":\"");
        push_escaped(out, text);
        out.push('"');
        self.close(out);
    }

    fn call(
        &mut self,
        out: &mut String,
        choice: u32,
        index: u32,
        id: &str,
        name: &str,
        arguments: &str,
    ) {
        let id = self.state(choice).calls.begin(index, id);
        self.open(out, choice);
        out.push_str("\"tool_calls\":[{\"index\":");
        write(out, index);
        out.push_str(",\"id\":\"");
        push_escaped(out, &id);
        out.push_str("\",\"type\":\"function\",\"function\":{\"name\":\"");
        push_escaped(out, name);
        out.push_str("\",\"arguments\":\"");
        push_escaped(out, arguments);
        out.push_str("\"}}]");
        self.close(out);
    }

    fn arguments(&mut self, out: &mut String, choice: u32, index: u32, arguments: &str) {
        self.open(out, choice);
        out.push_str("\"tool_calls\":[{\"index\":");
        write(out, index);
        out.push_str(",\"function\":{\"arguments\":\"");
        push_escaped(out, arguments);
        out.push_str("\"}}]");
        self.close(out);
    }

    fn logprobs(&mut self, out: &mut String, choice: u32, member: &str, logprobs: &Json) {
        out.push_str(&self.begin);
        out.push_str("{\"index\":");
        write(out, choice);
        out.push_str(",\"delta\":{},\"");
        out.push_str(member);
        out.push_str("\":");
        push_one_line(out, logprobs.as_str());
        out.push_str(",\"finish_reason\":null}");
        out.push_str(self.end);
    }

    fn finish(&mut self, out: &mut String, choice: u32, reason: &FinishReason) {
        let state = self.state(choice);
        state.has_ended = true;
        let has_calls = !state.calls.is_empty();
        out.push_str(&self.begin);
        out.push_str("{\"index\":");
        write(out, choice);
        out.push_str(",\"delta\":{},\"finish_reason\":\"");
        out.push_str(finish_reason(reason, has_calls));
        out.push('"');
        if let FinishReason::Other(word) = reason {
            out.push_str(",\"native_finish_reason\":\"");
            push_escaped(out, word);
            out.push('"');
        }
        out.push('}');
        out.push_str(self.end);
    }

    /// Begins a chunk whose delta has a member; the first of each choice has the role, too.
    fn open(&mut self, out: &mut String, choice: u32) {
        out.push_str(&self.begin);
        out.push_str("{\"index\":");
        write(out, choice);
        out.push_str(",\"delta\":{");
        if !std::mem::replace(&mut self.state(choice).has_begun, true) {
            out.push_str("\"role\":\"assistant\",");
        }
    }

    fn close(&self, out: &mut String) {
        out.push_str("},\"finish_reason\":null}");
        out.push_str(self.end);
    }

    fn state(&mut self, choice: u32) -> &mut State {
        let at = self.choices.iter().position(|state| state.index == choice);
        let at = at.unwrap_or_else(|| {
            self.choices.push(State::new(choice));
            self.choices.len() - 1
        });
        &mut self.choices[at]
    }
}

/// Appends JSON text without line breaks, which would end a line of an event stream. Within JSON's
/// strings they are escaped, so those outside mean nothing.
fn push_one_line(out: &mut String, json: &str) {
    out.extend(json.split(['\n', '\r']));
}

fn write(out: &mut String, number: impl std::fmt::Display) {
    write!(out, "{number}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use inferstream::{ChatEvent, FinishReason, Json, ToolCall, Usage};
    use inferstream_chat_json::Identity;
    use serde_json::{Value, json};

    use super::Chunks;
    use crate::refusal::Refusal;

    fn chunks(choices: u32, include_usage: bool) -> Chunks {
        let mut identity = Identity::new("a/\"b".to_owned());
        identity.id = "chatcmpl-1".to_owned();
        identity.created = 7;
        Chunks::new(&identity, choices, include_usage)
    }

    /// Returns the chunks, and whether the end marker follows them.
    fn parse(out: &str) -> (Vec<Value>, bool) {
        let mut events: Vec<_> = out.split_terminator("\n\n").collect();
        let is_done = events.last() == Some(&"data: [DONE]");
        events.truncate(events.len() - usize::from(is_done));
        let parse = |event: &str| serde_json::from_str(event.strip_prefix("data: ").unwrap());
        (
            events
                .into_iter()
                .map(|event| parse(event).unwrap())
                .collect(),
            is_done,
        )
    }

    #[test]
    fn a_complete_response_has_the_official_shape() {
        let mut chunks = chunks(1, true);
        let mut out = String::new();
        let mut usage = Usage::default();
        usage.input_tokens = Some(3);
        usage.output_tokens = Some(2);
        for event in [
            ChatEvent::reasoning(0, "Hm\n"),
            ChatEvent::text(0, "\"é\u{1}"),
            ChatEvent::logprobs(0, Json::from_text("{\n\"content\":[]}")),
            ChatEvent::usage(usage),
            ChatEvent::finish(0, FinishReason::Other("eos".into())),
        ] {
            chunks.event(&mut out, &event);
        }
        chunks.complete(&mut out).unwrap();
        let (list, is_done) = parse(&out);
        assert!(is_done);
        for chunk in &list {
            assert_eq!(chunk["id"], "chatcmpl-1");
            assert_eq!(chunk["object"], "chat.completion.chunk");
            assert_eq!(chunk["created"], 7);
            assert_eq!(chunk["model"], "a/\"b");
        }
        let delta = json!({"role": "assistant", "reasoning_content": "Hm\n"});
        assert_eq!(list[0]["choices"][0]["delta"], delta);
        assert_eq!(list[0]["choices"][0]["finish_reason"], Value::Null);
        assert_eq!(
            list[1]["choices"][0]["delta"],
            json!({"content": "\"é\u{1}"})
        );
        assert_eq!(list[2]["choices"][0]["logprobs"], json!({"content": []}));
        let finish = json!({"index": 0, "delta": {}, "finish_reason": "stop", "native_finish_reason": "eos"});
        assert_eq!(list[3]["choices"][0], finish);
        assert_eq!(list[3]["usage"], Value::Null);
        assert_eq!(list[4]["choices"], json!([]));
        let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
        assert_eq!(list[4]["usage"], usage);
    }

    #[test]
    fn usage_is_sent_only_if_it_was_requested_and_is_known() {
        for (include_usage, is_known) in [(false, true), (true, false)] {
            let mut chunks = chunks(1, include_usage);
            let mut out = String::new();
            let mut usage = Usage::default();
            usage.input_tokens = is_known.then_some(3);
            usage.output_tokens = Some(2);
            chunks.event(&mut out, &ChatEvent::usage(usage));
            chunks.event(&mut out, &ChatEvent::finish(0, FinishReason::Stop));
            chunks.complete(&mut out).unwrap();
            assert!(!out.contains("prompt_tokens"), "{out}");
        }
    }

    #[test]
    fn an_error_ends_without_marker_and_names_unfinished_choices() {
        let mut chunks = chunks(2, true);
        let mut out = String::new();
        chunks.event(&mut out, &ChatEvent::finish(0, FinishReason::Stop));
        out.clear();
        chunks.failed(&mut out, &Refusal::truncated());
        let (list, is_done) = parse(&out);
        assert!(!is_done);
        let choices = json!([{"index": 1, "delta": {}, "finish_reason": "error"}]);
        assert_eq!(list[0]["choices"], choices);
        assert_eq!(list[0]["error"]["code"], "truncated");
        assert_eq!(list[0]["error"]["param"], Value::Null);
        assert_eq!(list[0].get("usage"), None);
    }

    #[test]
    fn a_response_is_complete_only_if_every_choice_has_finished() {
        let mut chunks = chunks(2, false);
        let mut out = String::new();
        chunks.event(&mut out, &ChatEvent::finish(1, FinishReason::Stop));
        out.clear();
        assert!(chunks.complete(&mut out).is_err());
        assert_eq!(out, "");
    }

    #[test]
    fn every_byte_of_a_tool_call_is_sent_once() {
        let call = ToolCall::new("c1", "f", r#"{"a":1}"#);
        let start = ChatEvent::tool_call_start(0, 0, "", "f");
        let delta = |text: &str| ChatEvent::tool_call_delta(0, 0, text);
        let whole = ChatEvent::tool_call(0, 0, call);
        for events in [
            vec![whole.clone()],
            vec![start.clone(), whole.clone()],
            vec![start.clone(), delta(r#"{"a"#), whole.clone()],
            vec![start, delta(r#"{"a"#), delta(r#"":1}"#), whole],
        ] {
            let mut chunks = chunks(1, false);
            let mut out = String::new();
            for event in &events {
                chunks.event(&mut out, event);
            }
            chunks.event(&mut out, &ChatEvent::finish(0, FinishReason::Unknown));
            let (list, _) = parse(&out);
            let calls = list
                .iter()
                .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]);
            let calls: Vec<_> = calls.collect();
            assert!(!calls[0]["id"].as_str().unwrap().is_empty());
            assert_eq!(calls[0]["function"]["name"], "f");
            let arguments = calls
                .iter()
                .filter_map(|call| call["function"]["arguments"].as_str());
            assert_eq!(arguments.collect::<String>(), r#"{"a":1}"#, "{events:?}");
            let end = list.last().unwrap();
            assert_eq!(end["choices"][0]["finish_reason"], "tool_calls");
        }
    }
}
