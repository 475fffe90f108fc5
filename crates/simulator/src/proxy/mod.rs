//! A forward proxy and a SOCKS5 proxy that fail on demand.

pub(crate) mod fault;
mod http;
mod requests;
pub(crate) mod server;
mod socks;
mod tunnel;
