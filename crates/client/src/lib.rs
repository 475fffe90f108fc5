#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod setting;
mod url;

mod detach;
mod page;
mod redact;

pub use crate::{
    detach::{DetachOnDrop, briefly, detach, within},
    page::{is_challenge, is_page},
    redact::Redact,
    setting::Setting,
    url::{base_url, same_host, with_version},
};
