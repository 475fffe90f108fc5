//! The scripts of the upstream, which requests name.

/// What the upstream sends. The prompt of a request names it, so that it passes every gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Script {
    /// A chunk each 20 ms.
    Paced,
    /// All chunks at once.
    Burst,
    /// One JSON document.
    Whole,
    /// A chunk each 5 s, without an end.
    Open,
    /// A body that ends cleanly in the middle of the response.
    CutClean,
    /// A connection that is reset in the middle of the response.
    CutReset,
    /// An error object in the middle of the response.
    ErrorObject,
    /// `[DONE]` without a finish reason.
    NoReason,
}

impl Script {
    pub(crate) const ALL: [Self; 8] = [
        Self::Paced,
        Self::Burst,
        Self::Whole,
        Self::Open,
        Self::CutClean,
        Self::CutReset,
        Self::ErrorObject,
        Self::NoReason,
    ];

    /// The faults, and how the table names them.
    pub(crate) const FAULTS: [(Self, &'static str); 4] = [
        (Self::CutClean, "cut, clean end"),
        (Self::CutReset, "cut, connection reset"),
        (Self::ErrorObject, "error object in the stream"),
        (Self::NoReason, "`[DONE]` without a finish reason"),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Paced => "paced",
            Self::Burst => "burst",
            Self::Whole => "whole",
            Self::Open => "open",
            Self::CutClean => "cut-clean",
            Self::CutReset => "cut-reset",
            Self::ErrorObject => "error-object",
            Self::NoReason => "no-reason",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|script| script.name() == name)
    }

    /// The body of a request for it.
    pub(crate) fn request(self, model: &str) -> String {
        format!(
            "{{\"model\":\"{model}\",\"stream\":{},\"max_tokens\":512,\"temperature\":0.7,\
             \"messages\":[{{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"}},\
             {{\"role\":\"user\",\"content\":\"script:{}.\"}}]}}",
            self != Self::Whole,
            self.name()
        )
    }
}
