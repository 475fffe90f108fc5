//! How families of language models name their inputs: data.

use inferstream_core::Field;

/// How a model names its inputs.
///
/// Each model on Replicate has a schema of its own, and the same thing has a name in each family.
/// The built-in table knows the families of 2023 to 2026 by the beginning of a model's name; another
/// is added by [`ReplicateBuilder::inputs`](crate::ReplicateBuilder::inputs).
/// An input that no setting of a [`ChatRequest`](crate::ChatRequest) stands for, such as `min_tokens`,
/// goes by [`extra`](crate::ChatRequest::extra), which wins over all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Inputs {
    /// The limit of tokens.
    pub max_tokens: &'static str,
    /// The least that the limit of tokens may be: 1.
    pub least_max_tokens: u64,
    /// The system prompt; where there is none it becomes a part of the prompt.
    pub system_prompt: Option<&'static str>,
    /// The whole conversation as a list of messages; where there is none it becomes a prompt.
    pub messages: Option<&'static str>,
    /// Images.
    pub images: Images,
    /// How hard to think.
    pub reasoning_effort: Option<&'static str>,
    /// The number of most likely tokens to sample from.
    pub top_k: Option<&'static str>,
}

/// Whether and how a model takes images, by the name of the input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Images {
    /// Not at all.
    None,
    /// One.
    One(&'static str),
    /// A list of them.
    List(&'static str),
}

impl Inputs {
    /// Llama 3 and later, and models that nothing else is known of: `prompt`, `system_prompt`,
    /// `max_tokens`.
    pub const LLAMA_3: Self = Self {
        max_tokens: "max_tokens",
        least_max_tokens: 1,
        system_prompt: Some("system_prompt"),
        messages: None,
        images: Images::None,
        reasoning_effort: None,
        top_k: Some("top_k"),
    };

    /// Llama 2 and its time: the limit is `max_new_tokens`.
    pub const LLAMA_2: Self = Self::LLAMA_3.max_tokens("max_new_tokens");

    /// OpenAI's models: `messages`, `max_completion_tokens`, `image_input`, `reasoning_effort`.
    pub const OPENAI: Self = Self {
        messages: Some("messages"),
        images: Images::List("image_input"),
        reasoning_effort: Some("reasoning_effort"),
        top_k: None,
        ..Self::LLAMA_3.max_tokens("max_completion_tokens")
    };

    /// Anthropic's models: `image`, and a limit of at least 1024 tokens.
    pub const CLAUDE: Self = Self {
        least_max_tokens: 1024,
        images: Images::One("image"),
        top_k: None,
        ..Self::LLAMA_3
    };

    /// Vicuna and Flan: the limit is `max_length`, and there is no system prompt.
    pub const VICUNA: Self = Self {
        system_prompt: None,
        top_k: None,
        ..Self::LLAMA_3.max_tokens("max_length")
    };

    /// Sets the name of the limit of tokens.
    #[must_use]
    pub const fn max_tokens(mut self, name: &'static str) -> Self {
        self.max_tokens = name;
        self
    }

    /// Sets the name of the system prompt, or that there is none.
    #[must_use]
    pub const fn system_prompt(mut self, name: Option<&'static str>) -> Self {
        self.system_prompt = name;
        self
    }

    /// Sets the name of the list of messages, or that there is none.
    #[must_use]
    pub const fn messages(mut self, name: Option<&'static str>) -> Self {
        self.messages = name;
        self
    }

    /// Sets how images are taken.
    #[must_use]
    pub const fn images(mut self, images: Images) -> Self {
        self.images = images;
        self
    }

    /// Sets the name of how hard to think, or that there is none.
    #[must_use]
    pub const fn reasoning_effort(mut self, name: Option<&'static str>) -> Self {
        self.reasoning_effort = name;
        self
    }

    /// Sets the name of the number of tokens to sample from, or that there is none.
    #[must_use]
    pub const fn top_k(mut self, name: Option<&'static str>) -> Self {
        self.top_k = name;
        self
    }

    /// Returns the name of the input for a setting, if there is one.
    pub(crate) fn name(&self, field: Field) -> Option<&'static str> {
        match field {
            Field::MaxTokens => Some(self.max_tokens),
            Field::ReasoningEffort => self.reasoning_effort,
            Field::Stop => Some("stop_sequences"),
            Field::TopK => self.top_k,
            Field::FrequencyPenalty
            | Field::PresencePenalty
            | Field::Seed
            | Field::Temperature
            | Field::TopP => Some(field.name()),
            _ => None,
        }
    }
}

/// The inputs of families, by the beginning of their models' names; the longest that fits holds.
///
/// From the models' published schemas, and for `max_length` and `max_new_tokens` of the older ones
/// from LiteLLM 1.109.
const FAMILIES: &[(&str, Inputs)] = &[
    ("anthropic/claude", Inputs::CLAUDE),
    ("meta/codellama-13b", Inputs::LLAMA_3),
    ("meta/codellama", Inputs::LLAMA_2),
    ("meta/llama-2", Inputs::LLAMA_2),
    ("mistralai/", Inputs::LLAMA_2),
    ("openai/", Inputs::OPENAI),
    ("replicate/flan", Inputs::VICUNA),
    ("replicate/vicuna", Inputs::VICUNA),
];

/// Returns the inputs of a model: the caller's families come first.
pub(crate) fn of_model(model: &str, own: &[(String, Inputs)]) -> Inputs {
    let own = own.iter().map(|(prefix, inputs)| (prefix.as_str(), inputs));
    let known = FAMILIES.iter().map(|(prefix, inputs)| (*prefix, inputs));
    let longest = |families: &mut dyn Iterator<Item = (&str, &Inputs)>| {
        families
            .filter(|(prefix, _)| model.starts_with(prefix))
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, inputs)| *inputs)
    };
    longest(&mut own.into_iter())
        .or_else(|| longest(&mut known.into_iter()))
        .unwrap_or(Inputs::LLAMA_3)
}
