//! The settings of a request by their names, for providers that lack some.

use crate::{
    message::{ResponseFormat, ToolChoice},
    request::ChatRequest,
};

macro_rules! settings {
    ($($name:ident: $asks:expr,)*) => {
        impl ChatRequest {
            /// Returns the names of the settings that ask for something. One that asks for no more than
            /// the default, such as an `n` of 1, does not.
            ///
            /// `model`, `messages`, `extra` and what is not the service's business are no settings.
            ///
            /// ```
            /// # use inferstream_core::ChatRequest;
            /// let request = ChatRequest::from("Why is the sky blue?").seed(7).n(1).max_tokens(64);
            /// assert_eq!(request.settings().collect::<Vec<_>>(), ["max_tokens", "seed"]);
            /// ```
            pub fn settings(&self) -> impl Iterator<Item = &'static str> + use<> {
                let settings = [$((stringify!($name), $asks(&self.$name)),)*];
                settings.into_iter().filter_map(|(name, asks)| asks.then_some(name))
            }

            /// Leaves a setting to the service; a name that is none changes nothing.
            pub fn unset(&mut self, name: &str) {
                match name {
                    $(stringify!($name) => self.$name = Default::default(),)*
                    _ => {}
                }
            }
        }
    };
}

impl ChatRequest {
    /// Returns true if [`extra`](Self::extra) has a member of this name.
    ///
    /// ```
    /// # use inferstream_core::ChatRequest;
    /// let request = ChatRequest::from("Why is the sky blue?").extra("top_k", 5);
    /// assert!(request.has_extra("top_k"));
    /// ```
    pub fn has_extra(&self, name: &str) -> bool {
        self.extra.iter().any(|(known, _)| known == name)
    }

    /// Leaves out the settings that a member of [`extra`](Self::extra) stands in place of, so that
    /// nobody asks whether they are known: it is that member that goes out. The names of settings on
    /// the wire are the provider's.
    ///
    /// ```
    /// # use inferstream_core::ChatRequest;
    /// let mut request = ChatRequest::from("Why is the sky blue?").seed(7).n(2);
    /// request = request.extra("seed", 8);
    /// request.yield_to_extra(|setting| setting);
    /// assert_eq!(request.settings().collect::<Vec<_>>(), ["n"]);
    /// ```
    pub fn yield_to_extra<'a>(&mut self, field: impl Fn(&'static str) -> &'a str) {
        for name in self.settings() {
            if self.has_extra(field(name)) {
                self.unset(name);
            }
        }
    }
}

settings! {
    max_tokens: Option::is_some,
    temperature: Option::is_some,
    top_p: Option::is_some,
    stop: |stop: &Vec<String>| !stop.is_empty(),
    seed: Option::is_some,
    n: |n: &Option<u32>| n.is_some_and(|n| n != 1),
    frequency_penalty: Option::is_some,
    presence_penalty: Option::is_some,
    logit_bias: |bias: &std::collections::BTreeMap<u32, f64>| !bias.is_empty(),
    logprobs: |logprobs: &Option<bool>| *logprobs == Some(true),
    top_logprobs: Option::is_some,
    reasoning_effort: Option::is_some,
    reasoning_format: Option::is_some,
    prediction: Option::is_some,
    service_tier: Option::is_some,
    tools: |tools: &Vec<crate::message::Tool>| !tools.is_empty(),
    tool_choice: |choice: &Option<ToolChoice>| !matches!(choice, None | Some(ToolChoice::Auto)),
    parallel_tool_calls: Option::is_some,
    response_format: |format: &Option<ResponseFormat>| {
        !matches!(format, None | Some(ResponseFormat::Text))
    },
    user_id: Option::is_some,
}
