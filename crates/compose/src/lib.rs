#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod collect;
mod fallback;
mod limit;
mod semaphore;
mod think;

pub use crate::{
    collect::collect_all, fallback::Fallback, limit::ConcurrencyLimit, think::ThinkTags,
};
