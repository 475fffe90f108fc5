#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod fallback;
mod limit;
mod think;

pub use crate::{fallback::Fallback, limit::ConcurrencyLimit, think::ThinkTags};
