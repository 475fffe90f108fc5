//! A JSON schema in, what a service takes of it out, and a list of what was lost.

mod disjoint;
mod object;
mod source;
mod sum;
mod take;
mod types;
mod write;

use std::borrow::Cow;

use inferstream_core::{ChatRequest, ResponseFormat, Result, provider::LeftOut};

use self::write::Writer;

/// What a service takes of JSON Schema.
///
/// The smallest set, which [`new`](Self::new) begins with, is what services with constrained
/// decoding share: `type`, `properties`, `required`, `items`, `prefixItems`, `anyOf`, `enum`, `$ref`
/// into `$defs`, `title` and `description`.
/// What says the same in other words is put in these, without loss: `const`, `nullable`, a list of
/// types, `definitions`, the tuples of older drafts; what holds together, by `allOf` or beside a
/// reference, becomes one schema, and alternatives of which objects stand beside others each have all
/// that they need. `oneOf` becomes `anyOf`, and is listed as lost unless it is certain that no two of
/// its alternatives can hold.
/// Any other keyword is left out, and listed unless it is a mere mark such as `$schema`, or is about
/// other types than the schema's. So what the new schema takes beyond the old one is always listed.
/// Where the schema is to be obeyed to the letter (`strict`), every object is closed by
/// `"additionalProperties": false`, and has what it requires among its properties: that alone makes
/// it take less than before.
/// Definitions that nothing refers to are not sent.
/// The order of members stays, for models read it.
///
/// ```
/// use inferstream_openai_compat::SchemaRules;
///
/// let rules = SchemaRules::new().keywords(["minimum", "maximum"]).recursion(true);
/// # let _ = rules;
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SchemaRules {
    keywords: Vec<Cow<'static, str>>,
    recursion: bool,
}

impl SchemaRules {
    /// Begins with the smallest set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds keywords that the service takes too, such as `pattern`.
    #[must_use]
    pub fn keywords<T: Into<Cow<'static, str>>>(
        mut self,
        keywords: impl IntoIterator<Item = T>,
    ) -> Self {
        self.keywords.extend(keywords.into_iter().map(Into::into));
        self
    }

    /// Sets whether the service takes a schema that refers to itself: false. A request with one is
    /// refused where it does not, for nothing smaller says the same.
    #[must_use]
    pub fn recursion(mut self, takes: bool) -> Self {
        self.recursion = takes;
        self
    }

    /// Changes a request's schemas to what the service takes: that of the answer, and those of the
    /// tools that are strict.
    pub(crate) fn adapt(&self, request: &mut ChatRequest, left_out: &mut LeftOut) -> Result<()> {
        if let Some(ResponseFormat::JsonSchema { schema, strict, .. }) =
            &mut request.response_format
        {
            let (json, closed) = (schema.as_str(), *strict == Some(true));
            let writer = Writer::new(self, closed, "response_format", json, left_out);
            *schema = writer.document(json, &[])?;
        }
        for tool in &mut request.tools {
            if tool.strict == Some(true) {
                let place = format!("tools/{}", tool.name);
                let json = tool.parameters.as_str();
                let writer = Writer::new(self, true, &place, json, left_out);
                // Arguments are, whether that is said or not.
                tool.parameters = writer.document(json, &[types::OBJECT])?;
            }
        }
        Ok(())
    }

    fn takes(&self, keyword: &str) -> bool {
        self.keywords.iter().any(|known| known == keyword)
    }
}
