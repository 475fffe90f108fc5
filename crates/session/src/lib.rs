#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "cookies")]
mod cookies;
mod jar;
mod single_flight;

#[cfg(feature = "cookies")]
#[cfg_attr(docsrs, doc(cfg(feature = "cookies")))]
pub use crate::cookies::Cookies;
pub use crate::{
    jar::{GivenCookie, Jar, is_pair, read_time},
    single_flight::SingleFlight,
};
