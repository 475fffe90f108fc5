//! The playground's protocols over HTTP and a WebSocket, and its session.

#[cfg(feature = "playground-agent")]
mod agent;
mod blocking;
#[cfg(all(feature = "browser", unix))]
#[cfg_attr(docsrs, doc(cfg(all(feature = "browser", unix))))]
pub mod browser;
mod client;
mod data;
pub mod decode;
pub mod encode;
mod error;
/// The session file.
pub mod file {
    #[doc(inline)]
    pub use inferstream_session::{CacheFile, Warning};
}
pub mod framer;
mod http;
mod requests;
pub mod session;
mod settings;
mod tool_calls;
mod wire;
mod words;

pub(crate) use self::{
    client::{Carrier, Playground},
    requests::Refresher,
    settings::PlaygroundSettings,
};
#[doc(inline)]
pub use inferstream_session::Jar;
