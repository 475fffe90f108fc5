//! The input names of families of language models.

use inferstream_core::Field;

/// The names of a model's inputs.
///
/// Each model on Replicate has its own schema, and the input for the same purpose has different
/// names in different families. The built-in table knows the families of 2023 to 2026 by the start
/// of a model's name; add others with
/// [`ReplicateBuilder::inputs`](crate::ReplicateBuilder::inputs). Set inputs for which a
/// [`ChatRequest`](crate::ChatRequest) has no setting, such as `min_tokens`, with
/// [`extra`](crate::ChatRequest::extra), which overrides everything else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Inputs {
    /// The input for the token limit.
    pub max_tokens: &'static str,
    /// The minimum value of the token limit. The default is 1.
    pub least_max_tokens: u64,
    /// The input for the system prompt. Without it, system messages are part of the prompt.
    pub system_prompt: Option<&'static str>,
    /// The input for the conversation as a list of messages. Without it, the conversation is sent
    /// as a prompt.
    pub messages: Option<&'static str>,
    /// The input for images.
    pub images: Images,
    /// The input for the reasoning effort.
    pub reasoning_effort: Option<&'static str>,
    /// The input for `top_k`, the number of most likely tokens to sample from.
    pub top_k: Option<&'static str>,
}

/// Whether and how a model accepts images, with the name of the input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Images {
    /// The model accepts no images.
    None,
    /// The model accepts one image.
    One(&'static str),
    /// The model accepts a list of images.
    List(&'static str),
}

impl Inputs {
    /// Llama 3 and later, and unknown models: `prompt`, `system_prompt` and `max_tokens`.
    pub const LLAMA_3: Self = Self {
        max_tokens: "max_tokens",
        least_max_tokens: 1,
        system_prompt: Some("system_prompt"),
        messages: None,
        images: Images::None,
        reasoning_effort: None,
        top_k: Some("top_k"),
    };

    /// Llama 2 and models of its time, with `max_new_tokens`.
    pub const LLAMA_2: Self = Self::LLAMA_3.max_tokens("max_new_tokens");

    /// OpenAI's models, with `messages`, `max_completion_tokens`, `image_input` and
    /// `reasoning_effort`.
    pub const OPENAI: Self = Self {
        messages: Some("messages"),
        images: Images::List("image_input"),
        reasoning_effort: Some("reasoning_effort"),
        top_k: None,
        ..Self::LLAMA_3.max_tokens("max_completion_tokens")
    };

    /// Anthropic's models, with `image` and a token limit of at least 1024.
    pub const CLAUDE: Self = Self {
        least_max_tokens: 1024,
        images: Images::One("image"),
        top_k: None,
        ..Self::LLAMA_3
    };

    /// Vicuna and Flan, with `max_length` and without a system prompt.
    pub const VICUNA: Self = Self {
        system_prompt: None,
        top_k: None,
        ..Self::LLAMA_3.max_tokens("max_length")
    };

    /// Sets the input for the token limit.
    #[must_use]
    pub const fn max_tokens(mut self, name: &'static str) -> Self {
        self.max_tokens = name;
        self
    }

    /// Sets the input for the system prompt; `None` if the model has none.
    #[must_use]
    pub const fn system_prompt(mut self, name: Option<&'static str>) -> Self {
        self.system_prompt = name;
        self
    }

    /// Sets the input for the list of messages; `None` if the model has none.
    #[must_use]
    pub const fn messages(mut self, name: Option<&'static str>) -> Self {
        self.messages = name;
        self
    }

    /// Sets how the model accepts images.
    #[must_use]
    pub const fn images(mut self, images: Images) -> Self {
        self.images = images;
        self
    }

    /// Sets the input for the reasoning effort; `None` if the model has none.
    #[must_use]
    pub const fn reasoning_effort(mut self, name: Option<&'static str>) -> Self {
        self.reasoning_effort = name;
        self
    }

    /// Sets the input for `top_k`; `None` if the model has none.
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

/// The inputs of families, by the start of their models' names. The longest match is used.
///
/// From the models' published schemas; `max_length` and `max_new_tokens` of the older models are
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

/// Returns the inputs of a model. The families that the caller added take precedence.
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
