//! Paginated requests of the model list.

use inferstream_client::Call;
use inferstream_core::{Error, Model, Result};
use inferstream_openai_compat::{Chat, Dialect};
use serde_json::Value;

use super::error::of_document;
use crate::models::model;

/// The number of models per page, and the maximum number of pages that are requested.
const PAGES: (usize, usize) = (100, 20);

/// Requests the models that match a query.
///
/// # Errors
///
/// The same as for any request.
pub(crate) async fn search(
    call: &Call,
    chat: &Chat<impl Dialect>,
    query: &str,
) -> Result<Vec<Model>> {
    let (per_page, pages) = PAGES;
    let mut models = Vec::new();
    for page in 1..=pages {
        let path = format!("/models/search?{query}&page={page}&per_page={per_page}");
        let page = Page::read(&chat.document(call, &path).await?)?;
        models.extend(page.models);
        if !page.has_more {
            break;
        }
    }
    Ok(models)
}

/// One page of the service's list.
#[derive(Debug)]
struct Page {
    models: Vec<Model>,
    /// Whether there are more pages.
    has_more: bool,
}

impl Page {
    /// Parses `{"result":[…],"result_info":{…}}`.
    ///
    /// # Errors
    ///
    /// Returns `Protocol` if the body has another format.
    fn read(body: &[u8]) -> Result<Self> {
        let broken = || {
            Error::protocol(
                "invalid list of models from cloudflare: expected JSON with a list in `result`",
            )
        };
        let value = serde_json::from_slice::<Value>(body).map_err(|_| broken())?;
        if let Some(error) = of_document(&value) {
            return Err(error);
        }
        let list = value["result"].as_array().ok_or_else(broken)?;
        let info = &value["result_info"];
        let number = |name: &str| info[name].as_u64();
        let has_more = match (number("page"), number("per_page"), number("total_count")) {
            (Some(page), Some(per_page), Some(total)) => page.saturating_mul(per_page) < total,
            _ => false,
        };
        Ok(Self {
            models: list.iter().filter_map(model).collect(),
            has_more: has_more && !list.is_empty(),
        })
    }
}
