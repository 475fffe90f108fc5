//! Workers AI, the documented API.

mod decode;
mod dialect;
mod error;
mod families;
mod responses;
mod search;
mod wire;

pub use self::dialect::Endpoint;
pub(crate) use self::{dialect::WorkersAi, error::of_document, search::search};
