//! Rewrites JSON schemas into the keywords that a service supports, and names what is lost.

// The rewriting is not a list of substitutions, because keywords interact: `additionalProperties`
// depends on the `properties` beside it, and once objects are closed, the two sides of an `allOf`
// would forbid each other's properties. So a schema goes through three steps:
//
// 1. `read.rs` reads the text into the few keywords that are supported: synonyms get one name, and
//    other keywords are dropped by name. Numbers keep their spelling, and members their order.
// 2. `merge.rs` makes one schema of several that apply to the same value (`allOf`, a `$ref` with
//    siblings, alternatives of a closed object). What cannot be merged exactly is refused by name.
// 3. `write.rs` writes the result and closes objects; `definitions.rs` has what references lead to.
//
// `one_of.rs` decides whether a `oneOf` means the same as an `anyOf`.
//
// What is promised, and tested with generated schemas and a validator
// (`tests/it/requests/soundness.rs`):
// - A value that the new schema accepts is valid by the old one without the keywords named as lost.
// - A value that is valid by the old one is accepted, unless strict mode closes an object that it
//   has further properties in.
// - Otherwise the request is refused, and the error names the keyword and its JSON pointer.

mod definitions;
mod merge;
mod one_of;
mod read;
mod write;

use std::borrow::Cow;

use inferstream_client::Dropped;
use inferstream_core::{ChatRequest, ResponseFormat, Result};

use self::write::Writer;

/// The keywords of JSON Schema that a service supports.
///
/// The smallest set, which [`new`](Self::new) returns, is what services with constrained decoding
/// share: `type`, `properties`, `required`, `additionalProperties`, `items`, `prefixItems`,
/// `anyOf`, `enum`, `$ref` into `$defs`, `title` and `description`.
///
/// - Written in these keywords without loss: `const`, `nullable`, lists of types, `definitions`,
///   the tuples of older drafts (`items` with a list, `additionalItems`), `allOf`, a `$ref` with
///   siblings, and in strict mode `anyOf` beside the properties of an object.
/// - `oneOf` becomes `anyOf`, and is listed as lost unless its alternatives exclude each other: by
///   their types, by constants (also those of a required property), or by a required property that
///   the other alternative forbids with `"additionalProperties": false`.
/// - `$schema`, `$comment`, the root's `$id` and definitions that nothing refers to are dropped.
/// - Any other keyword, such as `minimum`, is dropped and listed as lost with its JSON pointer.
/// - Refused as `Unsupported`, with a JSON pointer: references out of the schema, references to
///   themselves (unless [`recursion`](Self::recursion) is on and nothing stands beside them),
///   schemas that no value matches, more than 64 levels or 1 MiB of merged text, and keywords for
///   the same value that cannot be merged: two different `enum`, `items` or `anyOf`, or an
///   `additionalProperties` that forbids the properties of the other side.
///
/// Strict schemas are closed: each object gets `"additionalProperties": false`, and the properties
/// that it requires are added to `properties`. Properties that are not required stay optional. The
/// order of members stays, because models read it.
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
            let (json, closed) = (schema.as_str(), *strict == Some(true));
            let writer = Writer::new(self, closed, "response_format", json, dropped);
            *schema = writer.document(None)?;
        }
        for tool in &mut request.tools {
            if tool.strict == Some(true) {
                let place = format!("tools/{}", tool.name);
                let json = tool.parameters.as_str();
                let writer = Writer::new(self, true, &place, json, dropped);
                // Arguments are always an object, even if the schema does not restrict the type.
                tool.parameters = writer.document(Some(r#"{"type":"object"}"#))?;
            }
        }
        Ok(())
    }

    fn supports(&self, keyword: &str) -> bool {
        self.keywords.iter().any(|known| known == keyword)
    }
}
