//! An input that ends inside an event: what the event may contain decides whether the response is
//! complete.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::Reader;
use crate::{
    error::{Error, ErrorKind, Result},
    event::Events,
    json::Json,
    sse::{Frame, Framer, OwnedFrame},
    stream::{Decode, Flow, ending::lend},
};

impl<F: Framer, D: Decode> Reader<F, D> {
    /// Takes the event inside which the input ended. A line that begins another event may have completed
    /// the one before, which is decoded, and may end the response: then this breaks.
    pub(super) fn take_tail(&mut self) -> ControlFlow<(), Option<OwnedFrame>> {
        let mut last = None;
        while let Some(tail) = self.framer.tail().map(OwnedFrame::from) {
            if let Some(complete) = last.replace(tail) {
                let buffer = Bytes::new();
                let flow = self
                    .decode
                    .decode(lend(&complete, &buffer), &mut self.events);
                let is_over = matches!(flow, Ok(Flow::End) | Err(_));
                self.follow(flow);
                if is_over {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(last)
    }

    /// Decides whether a response with its finish reason is complete although the input ended inside an
    /// event. If it is complete, returns a warning about the event.
    ///
    /// # Errors
    ///
    /// `Truncated` if text came after the finish reason, or if the incomplete event contains text.
    pub(super) fn check_cut(&mut self) -> Result<Option<String>> {
        let Some(tail) = self.cut.take() else {
            return Ok(None);
        };
        if self.goes_on || self.has_content(&tail) {
            let message = "the response is incomplete: it was cut off inside an event";
            return Err(Error::new(ErrorKind::Truncated, message));
        }
        let warning = "the response was cut off inside an event after its finish reason: token \
                       counts or other details are missing";
        Ok(Some(warning.to_owned()))
    }

    /// Returns true if the beginning of an event contains text, held back or not, or an error.
    fn has_content(&mut self, tail: &OwnedFrame) -> bool {
        let completed = Json::from_partial(&tail.data);
        let data = completed.as_ref().map_or(&*tail.data, Json::as_str);
        let buffer = Bytes::new();
        let frame = Frame {
            data,
            ..lend(tail, &buffer)
        };
        let mut events = Events::default();
        let decoded = self.decode.decode(frame, &mut events);
        self.decode.release(&mut events);
        match decoded {
            Ok(_) => events.has_text(),
            // Anything but an object may be the beginning of an end marker.
            Err(error) => error.kind() != ErrorKind::Protocol || data.starts_with('{'),
        }
    }
}
