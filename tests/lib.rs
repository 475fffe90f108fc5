//! What every crate does, seen through its public API.
