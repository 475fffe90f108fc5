//! Rewrites JSON schemas into the keywords that a service supports, and names what is lost.

// `read.rs` collects the keywords that apply to one value, because they cannot be translated one at
// a time: once objects are closed, the two sides of an `allOf` would forbid each other's properties.
// `write.rs` writes them in the order of the text, numbers as they are spelled, and closes objects.
//
// Promised, and tested with generated schemas and a validator (`tests/it/requests/soundness.rs`):
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
/// - Written in these keywords: `const`, `nullable`, lists of types and `definitions`. `allOf` and
///   the siblings of a `$ref` are merged, if at most `properties` and `required` are in several.
/// - `oneOf` becomes `anyOf`, and is listed as lost unless its alternatives exclude each other: by
///   types, by string constants (also those of a required property), or by a required property that
///   the other one forbids with `"additionalProperties": false`.
/// - Any other keyword, such as `minimum`, is dropped and listed as lost with its JSON pointer.
///   `$schema`, `$comment`, the root's `$id` and definitions that nothing refers to are not listed.
/// - Refused, with a JSON pointer and a remedy: keywords that cannot be merged; an `enum` or `const`
///   without a value of its `type`; in strict mode `anyOf` or `oneOf` beside the properties of an
///   object, and `required` names that are not in `properties`; `false` other than for `items` and
///   `additionalProperties`; references other than to the root and its definitions, or
///   percent-encoded; references to themselves, unless [`recursion`](Self::recursion) is on; more
///   than 64 levels or 65,536 schemas, also by references.
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
        let mut schemas = Vec::new();
        let format = &mut request.response_format;
        if let Some(ResponseFormat::JsonSchema { schema, strict, .. }) = format {
            schemas.push(("response_format".to_owned(), schema, *strict));
        }
        let tools = request.tools.iter_mut();
        for tool in tools.filter(|tool| tool.strict == Some(true)) {
            // Arguments are always an object, even if the schema does not restrict the type.
            if ["{}", "true"].contains(&tool.parameters.as_str()) {
                tool.parameters = Json::from_text(r#"{"type":"object"}"#);
            }
            let setting = format!("tools/{}", tool.name);
            schemas.push((setting, &mut tool.parameters, tool.strict));
        }
        for (setting, schema, strict) in schemas {
            let rewriter = Rewriter {
                rules: self,
                closed: strict == Some(true),
                setting,
                dropped,
                state: State::default(),
            };
            *schema = rewriter.document(schema.as_str())?;
        }
        Ok(())
    }
}
