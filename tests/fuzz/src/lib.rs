//! The common parts of the fuzz targets: decisions from bytes, clients, and a reader that checks each
//! stream.

pub mod input;
pub mod outcome;
pub mod service;
