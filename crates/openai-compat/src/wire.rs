//! The JSON objects of the protocol as services send them: no member is required, and types may
//! differ.

use inferstream_core::protocol::Events;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{
    content::{Content, Details, Others},
    lenient::{
        Count, Lax, Lazy, Lenient, List, Number, OneOrMore, Passed, Present, Raw, object, parse,
    },
};

object! {
    /// A chunk of a stream, or a complete response.
    Chunk {
        id: Lax<'a>,
        model: Lax<'a>,
        choices: Present<List<Choice<'a>>>,
        usage: Lazy<'a, Usage<'a>>,
        x_groq: Lazy<'a, Groq<'a>>,
        time_info: Lazy<'a, TimeInfo<'a>>,
        // The members with which services report errors.
        error: Raw<'a>,
        error_message: Lax<'a>,
        errors: Raw<'a>,
        detail: Raw<'a>,
        message: Raw<'a>,
        msg: Lax<'a>,
        code: Lax<'a>,
        status_code: Number,
        success: Raw<'a>,
        error_code: Raw<'a>,
        error_msg: Raw<'a>,
        base_resp: Lazy<'a, BaseResp<'a>>,
        ..passed: Passed<'a>
    }
}

object! {
    /// What `MiniMax` adds to a chunk: the code is 0 unless the chunk reports an error.
    BaseResp {
        status_code: Lax<'a>,
        status_msg: Lax<'a>,
    }
}

impl BaseResp<'_> {
    /// Returns true if the code is present and not 0.
    pub(crate) fn is_error(&self) -> bool {
        self.status_code.some().is_some_and(|code| code != "0")
    }
}

object! {
    /// Groq's addition to a chunk, which has the usage in place of `usage`
    /// (Portkey-AI/gateway#1072).
    Groq {
        usage: Lazy<'a, Usage<'a>>,
        error: Raw<'a>,
    }
}

object! {
    Choice {
        index: Number,
        delta: Present<Message<'a>>,
        message: Message<'a>,
        error: Raw<'a>,
        text: Lax<'a>,
        finish_reason: Word<'a>,
        logprobs: Raw<'a>,
        reasoning_logprobs: Raw<'a>,
        // Moonshot sends the usage here (earendil-works/pi#2017).
        usage: Lazy<'a, Usage<'a>>,
    }
}

/// A finish reason: a word, or an object whose `type` is the word, as in `SGLang`'s own protocol.
#[derive(Debug, Default)]
pub(crate) struct Word<'a>(Lax<'a>);

object! {
    Typed {
        kind: Lax<'a> = "type",
    }
}

impl Word<'_> {
    /// Returns the word, or `None` if it is absent or empty.
    pub(crate) fn some(&self) -> Option<&str> {
        self.0.some()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let word = match json.as_bytes().first() {
            Some(b'{') => parse::<Typed<'a>>(json).map(|typed| typed.kind),
            _ => Lax::read(json),
        };
        word.map(Self).map_err(serde::de::Error::custom)
    }
}

object! {
    Message {
        content: Content<'a>,
        reasoning: Lax<'a>,
        reasoning_content: Lax<'a>,
        reasoning_text: Lax<'a>,
        reasoning_details: Details,
        thinking: Lax<'a>,
        refusal: Lax<'a>,
        // Hugging Face's server sends one call as an object
        // (huggingface/text-generation-inference#2794).
        tool_calls: OneOrMore<ToolCall<'a>>,
        function_call: FunctionCall<'a>,
        ..others: Others
    }
}

impl<'a> Message<'a> {
    /// Returns the tool calls and their positions. The older `function_call` counts as a call.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (usize, &ToolCall<'a>)> {
        let calls = self.tool_calls.0.iter().enumerate();
        // If both forms are present, they are the same calls.
        let older = self.function_call.0.as_deref().map(|call| (0, call));
        calls.chain(older.filter(|_| self.tool_calls.0.is_empty()))
    }

    /// Returns true if it contains a part of a response.
    pub(crate) fn says_something(&self) -> bool {
        let texts = [
            &self.content.text,
            &self.reasoning,
            &self.reasoning_content,
            &self.reasoning_text,
            &self.thinking,
            &self.refusal,
        ];
        texts.iter().any(|text| text.some().is_some())
            || self.content.reasoning().is_some()
            || self.reasoning_details.text().is_some()
            || self.calls().next().is_some()
    }

    /// Returns true if it has neither a part of a response nor content that events cannot carry.
    pub(crate) fn is_empty(&self) -> bool {
        !self.says_something() && !self.has_others()
    }

    /// Returns true if it has content that events cannot carry.
    pub(crate) fn has_others(&self) -> bool {
        !self.others.0.is_empty() || !self.content.others.0.is_empty()
    }

    /// Reports the names of members with content that events cannot carry.
    pub(crate) fn note_others(&self, events: &mut Events) {
        for name in self.others.0.iter().chain(&self.content.others.0) {
            events.note_other(name);
        }
    }
}

object! {
    ToolCall {
        index: Number,
        id: Lax<'a>,
        function: Function<'a>,
    }
}

object! {
    Function {
        name: Lax<'a>,
        arguments: Raw<'a>,
    }
}

impl ToolCall<'_> {
    fn says_something(&self) -> bool {
        let function = &self.function;
        function.name.some().is_some() || function.arguments.0.is_some()
    }
}

/// A call in the older form, without a number and an id; `None` if it says nothing. It is rare, and
/// large to move.
#[derive(Debug, Default)]
pub(crate) struct FunctionCall<'a>(Option<Box<ToolCall<'a>>>);

impl<'de: 'a, 'a> Deserialize<'de> for FunctionCall<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let call = ToolCall {
            function: Lenient::<Function<'a>>::deserialize(deserializer)?.0,
            ..ToolCall::default()
        };
        Ok(Self(call.says_something().then(|| Box::new(call))))
    }
}

object! {
    /// The token counts, under the names of the protocol, of the Responses API (`input_tokens`), of
    /// DeepSeek (`prompt_cache_hit_tokens`), Moonshot (`cached_tokens`) and SGLang
    /// (`num_cached_tokens`).
    Usage {
        prompt_tokens: Count<'a>,
        input_tokens: Count<'a>,
        completion_tokens: Count<'a>,
        output_tokens: Count<'a>,
        total_tokens: Count<'a>,
        cached_tokens: Count<'a>,
        num_cached_tokens: Count<'a>,
        prompt_cache_hit_tokens: Count<'a>,
        prompt_tokens_details: Lazy<'a, PromptDetails<'a>>,
        input_tokens_details: Lazy<'a, PromptDetails<'a>>,
        completion_tokens_details: Lazy<'a, CompletionDetails<'a>>,
        output_tokens_details: Lazy<'a, CompletionDetails<'a>>,
    }
}

object! {
    PromptDetails {
        cached_tokens: Count<'a>,
    }
}

object! {
    CompletionDetails {
        reasoning_tokens: Count<'a>,
        accepted_prediction_tokens: Count<'a>,
        rejected_prediction_tokens: Count<'a>,
    }
}

object! {
    TimeInfo {
        queue_time: Number,
        prompt_time: Number,
        completion_time: Number,
        total_time: Number,
        created: Number,
    }
}

object! {
    /// The members of an error object.
    ErrorObject {
        message: Lax<'a>,
        msg: Lax<'a>,
        kind: Lax<'a> = "type",
        code: Lax<'a>,
        status: Lax<'a>,
        status_code: Number,
        error: Raw<'a>,
        error_code: Lax<'a>,
        error_message: Lax<'a>,
        error_msg: Lax<'a>,
        errors: Raw<'a>,
        detail: Raw<'a>,
        details: Raw<'a>,
        metadata: Raw<'a>,
        base_resp: Lazy<'a, BaseResp<'a>>,
        x_groq: Raw<'a>,
    }
}

object! {
    /// A detail of an error in Google's API.
    Detail {
        reason: Lax<'a>,
        retry_delay: Lax<'a> = "retryDelay",
    }
}

object! {
    /// What `OpenRouter` adds to an error of an upstream service.
    Metadata {
        raw: Raw<'a>,
        error_type: Lax<'a>,
        retry_after_seconds: Number,
    }
}

object! {
    /// A model list.
    Models {
        data: Raw<'a>,
        models: Raw<'a>,
    }
}

object! {
    Model {
        id: Lax<'a>,
        name: Lax<'a>,
        owned_by: Lax<'a>,
        created: Number,
        context_length: Number,
        max_context_length: Number,
        context_window: Number,
    }
}

/// Token counts, in the order of the members of [`inferstream_core::Usage`].
pub(crate) type Counts<'a> = [Count<'a>; 7];

/// Token counts in the same order, without the values from which they were read.
pub(crate) type Numbers = [Option<u64>; 7];

impl<'a> Chunk<'a> {
    /// Returns the token counts of the response, wherever the chunk has them, or `None` if no count is
    /// present.
    pub(crate) fn counts(&self) -> Option<Counts<'a>> {
        let of_choices = || {
            let choices = self.choices.value.0.iter();
            choices
                .filter_map(|choice| choice.usage.some()?.counts())
                .next_back()
        };
        let of_groq = || self.x_groq.some()?.usage.some()?.counts();
        let counts = self.usage.some().and_then(|usage| usage.counts());
        counts.or_else(of_groq).or_else(of_choices)
    }
}

impl<'a> Usage<'a> {
    /// Returns the counts, or `None` if no count is present.
    fn counts(&self) -> Option<Counts<'a>> {
        let first = |counts: &[Count<'a>]| {
            let found = counts.iter().find(|count| count.value.is_some());
            found.copied().unwrap_or_default()
        };
        let details = [&self.completion_tokens_details, &self.output_tokens_details];
        let details = details.map(|details| details.some().unwrap_or_default());
        let detail = |of: fn(&CompletionDetails<'a>) -> _| first(&details.each_ref().map(of));
        let cached = [&self.prompt_tokens_details, &self.input_tokens_details];
        let cached = cached.map(|details| details.some().unwrap_or_default().cached_tokens);
        let counts = [
            first(&[self.prompt_tokens, self.input_tokens]),
            first(&[self.completion_tokens, self.output_tokens]),
            self.total_tokens,
            first(&[
                cached[0],
                cached[1],
                self.prompt_cache_hit_tokens,
                self.num_cached_tokens,
                self.cached_tokens,
            ]),
            detail(|details| details.reasoning_tokens),
            detail(|details| details.accepted_prediction_tokens),
            detail(|details| details.rejected_prediction_tokens),
        ];
        let has_any = counts.iter().any(|count| count.value.is_some());
        has_any.then_some(counts)
    }
}

/// Returns the counts without the values from which they were read.
pub(crate) fn numbers(counts: &Counts<'_>) -> Numbers {
    counts.map(|count| count.value)
}

/// Returns the usage with these counts.
pub(crate) fn usage(counts: Numbers) -> inferstream_core::Usage {
    let mut usage = inferstream_core::Usage::default();
    [
        usage.input_tokens,
        usage.output_tokens,
        usage.total_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
        usage.accepted_prediction_tokens,
        usage.rejected_prediction_tokens,
    ] = counts;
    usage
}

impl TimeInfo<'_> {
    /// Returns the times, or `None` if no time is present.
    pub(crate) fn times(&self) -> Option<inferstream_core::Timing> {
        let mut timing = inferstream_core::Timing::default();
        timing.queue_time = self.queue_time.0;
        timing.prompt_time = self.prompt_time.0;
        timing.completion_time = self.completion_time.0;
        timing.total_time = self.total_time.0;
        timing.created = self.created.0;
        (timing != inferstream_core::Timing::default()).then_some(timing)
    }
}
