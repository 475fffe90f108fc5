//! The list of models, page by page.

use inferstream_client::Call;
use inferstream_core::{Model, Result};
use inferstream_openai_compat::Chat;

use super::WorkersAi;
use crate::models::Page;

/// How many models a page has, and how many pages are requested at most.
const PAGES: (usize, usize) = (100, 20);

/// Requests the models that a query finds.
///
/// # Errors
///
/// As any request; `Unsupported` through a gateway, which has no list.
pub(crate) async fn search(call: &Call, chat: &Chat<WorkersAi>, query: &str) -> Result<Vec<Model>> {
    chat.dialect().check_lists()?;
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
