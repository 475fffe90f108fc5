//! Workers AI: the official door.

mod decode;
mod dialect;
mod error;
mod families;
mod responses;
mod search;
mod wire;

pub use self::dialect::Door;
pub(crate) use self::{dialect::WorkersAi, error::of_document, search::search};
