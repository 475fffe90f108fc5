//! The list of models, page by page.

use inferstream_client::Call;
use inferstream_core::{Error, Model, Result};
use inferstream_openai_compat::{Chat, Dialect};
use serde_json::Value;

use super::error::of_document;
use crate::models::model;

/// How many models a page has, and how many pages are requested at most.
const PAGES: (usize, usize) = (100, 20);

/// Requests the models that a query finds.
///
/// # Errors
///
/// As any request.
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
    /// True if there are more behind it.
    has_more: bool,
}

impl Page {
    /// Reads `{"result":[…],"result_info":{…}}`.
    ///
    /// # Errors
    ///
    /// `Protocol` if it is something else.
    fn read(body: &[u8]) -> Result<Self> {
        let broken = || Error::protocol("cloudflare sent something else than a list of models");
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
