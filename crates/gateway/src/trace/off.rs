//! What replaces `on` without the feature `tracing`: it records nothing.

use std::future::Future;

use super::Parent;
use crate::{record::Record, refusal::Refusal};

#[derive(Clone)]
pub(crate) struct Span;

#[expect(clippy::unused_self, reason = "the signatures are those of `on`")]
impl Span {
    pub(crate) fn begin(_: &str, _: Option<&Parent>) -> Self {
        Self
    }

    /// Runs a future inside the span.
    pub(crate) fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        future
    }

    pub(crate) fn end(&mut self, _: &Record, _: Option<&Refusal>) {}
}
