#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "cookies")]
mod cookies;
#[cfg(feature = "file")]
mod file;
mod jar;
#[cfg(all(feature = "file", unix))]
mod place;
mod single_flight;

#[cfg(feature = "cookies")]
#[cfg_attr(docsrs, doc(cfg(feature = "cookies")))]
pub use crate::cookies::Cookies;
#[cfg(feature = "file")]
#[cfg_attr(docsrs, doc(cfg(feature = "file")))]
pub use crate::file::{CacheFile, Warning};
pub use crate::{
    jar::{GivenCookie, Jar, is_pair, read_time},
    single_flight::SingleFlight,
};
