//! Rewrites JSON schemas into the keywords that a service supports, and names what is lost.

// `read.rs` collects the keywords that apply to one value: those of a schema, of its `allOf`, and of
// what its `$ref` points to if it has siblings. Other keywords are dropped by name. `write.rs` then
// writes them in the order of the text, numbers as they are spelled, and closes objects. Keywords
// are collected first because they cannot be translated one at a time: once objects are closed, the
// two sides of an `allOf` would forbid each other's properties.
//
// `one_of.rs` decides whether a `oneOf` means the same as an `anyOf`.
//
// What is promised, and tested with generated schemas and a validator
// (`tests/it/requests/soundness.rs`):
// - A value that the new schema accepts is valid by the old one without the keywords named as lost.
// - A value that is valid by the old one is accepted, unless strict mode closes an object that it
//   has further properties in.
// - Otherwise the request is refused, and the error names the keyword and its JSON pointer.

mod one_of;
mod read;
mod write;

use std::borrow::Cow;

use inferstream_client::Dropped;
use inferstream_core::{ChatRequest, Json, ResponseFormat, Result};

use self::read::{Rewriter, State};

/// The keywords of JSON Schema that a service supports.
///
/// The smallest set, which [`new`](Self::new) returns, is what services with constrained decoding
/// share: `type`, `properties`, `required`, `additionalProperties`, `items`, `prefixItems`,
/// `anyOf`, `enum`, `$ref` into `$defs`, `title` and `description`.
///
/// - Written in these keywords without loss: `const`, `nullable`, lists of types, `definitions`,
///   `allOf` and a `$ref` with siblings, and in strict mode `anyOf` beside the properties of an
///   object.
/// - `oneOf` becomes `anyOf`, and is listed as lost unless its alternatives exclude each other: by
///   different types, by different string constants (also those of a required property), or by a
///   required property that the other one forbids with `"additionalProperties": false`.
/// - Any other keyword, such as `minimum`, is dropped and listed as lost with its JSON pointer.
///   `$schema`, `$comment`, the root's `$id` and definitions that nothing refers to are not listed.
/// - Refused as `Unsupported`, with a JSON pointer and a remedy: tuples of older drafts (`items`
///   with a list); `false` other than for `items` and `additionalProperties`; references that do
///   not lead to `$defs` or `definitions` of the root; references to themselves, unless
///   [`recursion`](Self::recursion) is on; two different `type`, `enum` or `anyOf` for the same
///   value; `items`, `additionalProperties` and the like that would be merged with those, or with
///   `properties`, of another schema; in strict mode `required` names that are not in `properties`;
///   more than 64 levels or 65,536 schemas, also by references.
///
/// Strict schemas are closed: each object gets `"additionalProperties": false`. Properties that are
/// not required stay optional. The order of members stays, because models read it.
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
    /// Returns the smallest set, without recursion.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds keywords that the service supports too, such as `pattern`; they are sent as they are.
    #[must_use]
    pub fn keywords<T: Into<Cow<'static, str>>>(
        mut self,
        keywords: impl IntoIterator<Item = T>,
    ) -> Self {
        self.keywords.extend(keywords.into_iter().map(Into::into));
        self
    }

    /// Sets whether the service supports schemas that refer to themselves: false by default. Where
    /// it does not, a request with such a schema is refused, because no other schema means the
    /// same.
    #[must_use]
    pub fn recursion(mut self, supported: bool) -> Self {
        self.recursion = supported;
        self
    }

    /// Rewrites the schemas of a request: that of the response format, and the parameters of strict
    /// tools.
    pub(crate) fn adapt(&self, request: &mut ChatRequest, dropped: &mut Dropped) -> Result<()> {
        if let Some(ResponseFormat::JsonSchema { schema, strict, .. }) =
            &mut request.response_format
        {
            let closed = *strict == Some(true);
            *schema = self.rewrite(schema, &[], closed, "response_format", dropped)?;
        }
        for tool in &mut request.tools {
            if tool.strict == Some(true) {
                let setting = format!("tools/{}", tool.name);
                // Arguments are always an object, even if the schema does not restrict the type.
                let beside = [r#"{"type":"object"}"#];
                let parameters = &tool.parameters;
                tool.parameters = self.rewrite(parameters, &beside, true, &setting, dropped)?;
            }
        }
        Ok(())
    }

    /// Rewrites one schema, merged with others.
    fn rewrite(
        &self,
        json: &Json,
        beside: &[&'static str],
        closed: bool,
        setting: &str,
        dropped: &mut Dropped,
    ) -> Result<Json> {
        let rewriter = Rewriter {
            rules: self,
            closed,
            setting,
            dropped,
            state: State::default(),
        };
        rewriter.document(json.as_str(), beside)
    }

    fn supports(&self, keyword: &str) -> bool {
        self.keywords.iter().any(|known| known == keyword)
    }
}
