//! The settings that a protocol drops from a request because its service does not support them.

use std::borrow::Cow;

use inferstream_core::{
    ChatRequest, Error, ErrorKind, Field, OnUnsupported, Result, Unsupported, provider::OneLine,
};

/// The settings that a protocol removes from a request because its service does not support them.
///
/// [`settle`](Self::settle) decides by the request's
/// [`on_unsupported`](ChatRequest::on_unsupported) whether the request is refused.
///
/// ```
/// use inferstream_client::Dropped;
/// use inferstream_core::{ChatRequest, Field, OnUnsupported};
///
/// let mut request = ChatRequest::from("Why is the sky blue?").seed(7).on_unsupported(OnUnsupported::Warn);
/// let mut dropped = Dropped::new("example", request.on_unsupported);
/// dropped.keep(&mut request, "the service does not know it", |field| field != Field::Seed);
/// dropped.settle()?; // an error if the policy is `Error`
/// assert_eq!(request.seed, None);
/// assert_eq!(dropped.warnings(), ["`seed` was dropped: the service does not know it"]);
/// # Ok::<(), inferstream_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Dropped {
    provider: Cow<'static, str>,
    policy: Option<OnUnsupported>,
    list: Vec<Unsupported>,
    /// The indexes in the list of settings that a request without a policy is refused for.
    refused: Vec<usize>,
}

impl Dropped {
    /// Creates an empty list, for a provider's `id` and a request's policy.
    pub fn new(provider: impl Into<Cow<'static, str>>, policy: Option<OnUnsupported>) -> Self {
        Self {
            provider: provider.into(),
            policy,
            list: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Adds a setting that shapes the response: without a policy the request is refused.
    pub fn setting(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.refused.push(self.list.len());
        self.detail(field, reason);
    }

    /// Adds a detail that the response does not depend on: without a policy it is dropped with a
    /// warning.
    pub fn detail(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.list.push(Unsupported::new(field, reason));
    }

    /// Removes the settings that the provider does not know from a request, and those that have no
    /// meaning without them, such as `tool_choice` without `tools`.
    ///
    /// The reason is the same for all of them, so it must not name one of them or their number.
    pub fn keep(&mut self, request: &mut ChatRequest, reason: &str, knows: impl Fn(Field) -> bool) {
        for field in request.settings() {
            let needs = match field {
                Field::ParallelToolCalls | Field::ToolChoice => Field::Tools,
                Field::TopLogprobs => Field::Logprobs,
                field => field,
            };
            if !knows(field) || !knows(needs) {
                self.take(request, field, reason);
            }
        }
    }

    /// Removes a setting from a request.
    pub fn take(&mut self, request: &mut ChatRequest, field: Field, reason: impl Into<String>) {
        request.unset(field);
        self.setting(field.name(), reason);
    }

    /// Returns the warnings for a request that is sent: one line for each reason.
    pub fn warnings(&self) -> Vec<String> {
        if self.policy == Some(OnUnsupported::Ignore) {
            return Vec::new();
        }
        let same = |one: &Unsupported, other: &Unsupported| one.reason == other.reason;
        let lines = self.list.chunk_by(same).map(|several| match several {
            [one] => one.to_string(),
            [first, ..] => {
                let reason = OneLine(&first.reason);
                format!("{} were dropped: {reason}", fields(several.iter()))
            }
            [] => String::new(),
        });
        lines.collect()
    }

    /// Returns everything that was dropped.
    pub fn into_list(self) -> Vec<Unsupported> {
        self.list
    }

    /// Refuses the request if its policy requires that.
    ///
    /// # Errors
    ///
    /// `Unsupported`, which names the settings that the request is refused for.
    pub fn settle(&self) -> Result<()> {
        let refused = match self.policy {
            None => self.refused.iter().map(|&at| &self.list[at]).collect(),
            Some(OnUnsupported::Warn | OnUnsupported::Ignore) => Vec::new(),
            // `Error`, and unknown policies of later versions: the strictest is the safe choice.
            Some(_) => self.list.iter().collect::<Vec<_>>(),
        };
        let (message, them) = match refused.as_slice() {
            [] => return Ok(()),
            [one] => (format!("{}: {}", one.quoted_field(), one.reason), "it"),
            several => (fields(several.iter().copied()), "them"),
        };
        let message = format!(
            "{} does not support {message}; remove {them}, or set `on_unsupported` to drop {them}",
            self.provider
        );
        Err(Error::new(ErrorKind::Unsupported, message).with_setting("on_unsupported"))
    }
}

/// The most fields that one line names; [`Provider::check`](inferstream_core::Provider::check)
/// returns all.
const FIELDS: usize = 8;

fn fields<'a>(list: impl ExactSizeIterator<Item = &'a Unsupported>) -> String {
    let more = list.len().saturating_sub(FIELDS);
    let fields = list.take(FIELDS).map(|one| one.quoted_field().to_string());
    let fields = fields.collect::<Vec<_>>().join(", ");
    match more {
        0 => fields,
        more => format!("{fields} and {more} more"),
    }
}
