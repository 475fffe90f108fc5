#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod provider;

mod builder;
mod credentials;
mod setting;
mod url;

mod budgets;
mod call;

mod deadline;
mod detach;
mod document;
mod head;
mod page;
mod redact;
mod semaphore;
mod unsupported;

#[doc(hidden)]
pub use http;
#[doc(hidden)]
pub use inferstream_core as core;

pub use crate::{
    budgets::RetryBudgets,
    builder::Settings,
    call::{Call, Judge, Refusal},
    client::{Client, Mode, Protocol},
    credentials::{Credentials, Fixed, Missing},
    deadline::Deadline,
    detach::{DetachOnDrop, briefly, detach, within},
    document::stream_or_document,
    head::{error_of_head, retry_after},
    page::{is_challenge, is_page},
    redact::Redact,
    semaphore::{Acquire, Permit, Semaphore},
    setting::Setting,
    unsupported::Dropped,
    url::{base_url, same_host, with_version},
};
