//! Faults of the bytes on a connection, and the server's code that plays them.

mod certificate;
pub(crate) mod connection;
pub(crate) mod fault;
mod head;
pub(crate) mod plan;
pub(crate) mod play;
pub(crate) mod socket;
pub(crate) mod step;
mod stream;
