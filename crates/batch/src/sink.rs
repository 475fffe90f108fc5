//! The trait of what takes the results of a batch.

use std::io;

use inferstream_core::ChatResponse;

use crate::{failure::Failure, row::Row};

/// A receiver of the results of a batch, such as [`Journal`](crate::Journal).
///
/// The methods are called on the task of the batch, which waits for them.
pub trait Sink {
    /// The row is about to be sent.
    ///
    /// # Errors
    ///
    /// The row is not sent, and the batch stops.
    fn begin(&mut self, row: &Row) -> io::Result<()> {
        let _ = row;
        Ok(())
    }

    /// The service named the response that it is working on, so that
    /// [`Provider::resume`](inferstream_core::Provider::resume) can read it.
    ///
    /// # Errors
    ///
    /// The batch stops.
    fn named(&mut self, row: &Row, id: &str) -> io::Result<()> {
        let _ = (row, id);
        Ok(())
    }

    /// The response is complete.
    ///
    /// # Errors
    ///
    /// The batch stops. Responses that are under way are still passed to this method.
    fn complete(&mut self, row: &Row, response: &ChatResponse) -> io::Result<()>;

    /// The row failed for good.
    ///
    /// # Errors
    ///
    /// The batch stops.
    fn failed(&mut self, row: &Row, failure: &Failure) -> io::Result<()>;

    /// The service refused the row, and the batch ends before it is sent again.
    ///
    /// # Errors
    ///
    /// The batch stops.
    fn released(&mut self, row: &Row) -> io::Result<()> {
        let _ = row;
        Ok(())
    }
}
