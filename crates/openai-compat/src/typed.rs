//! JSON schemas of Rust types.

use inferstream_core::Json;
use schemars::{JsonSchema, SchemaGenerator};

/// Returns the JSON schema of a type: for
/// [`ResponseFormat::json_schema`](inferstream_core::ResponseFormat::json_schema) and for the
/// parameters of a [`Tool`](inferstream_core::Tool).
///
/// The properties have the order of the type's fields. Doc comments become `description`, which the
/// model reads. Keywords that a service does not support are handled when a request is sent, by the
/// [`SchemaRules`](crate::SchemaRules) of the provider.
///
/// ```
/// use inferstream_core::{ChatRequest, ResponseFormat};
/// use inferstream_openai_compat::json_schema;
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Film {
///     title: String,
///     /// The director's name.
///     director: String,
///     year: u16,
/// }
///
/// let format = ResponseFormat::json_schema("film", json_schema::<Film>()).strict(true);
/// let request = ChatRequest::from("A film of 1927, please.").response_format(format);
/// // Then `response.parse::<Film>()`.
/// # let text = json_schema::<Film>().to_string();
/// # assert!(text.find("title\":{").unwrap() < text.find("director\":{").unwrap(), "{text}");
/// # assert!(text.contains("The director's name."), "{text}");
/// # let _ = request;
/// ```
pub fn json_schema<T: JsonSchema + ?Sized>() -> Json {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    Json::from(schema.to_value())
}
