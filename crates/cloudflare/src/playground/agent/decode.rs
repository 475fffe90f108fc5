//! The decoder for one turn of an agent, which may take several connections.

use std::{sync::Arc, time::Duration};

use inferstream_core::{
    Body, BoxFuture, Error, ErrorKind, Result,
    protocol::{Decode, Ending, Events, Finish, Flow},
    sse::Frame,
};

use super::{
    link::{Link, Stage},
    replay::Replay,
    turn::Turn,
};
use crate::playground::decode::PlaygroundDecode;

/// How often a turn is resumed.
const RECONNECTS: u32 = 3;

/// The delay before the first attempt to resume; it doubles with each further one.
const RECONNECT: Duration = Duration::from_millis(250);

/// Decodes one turn.
///
/// The response is complete if its chunks end with `finish`, and the agent then reports the end or
/// sends nothing more. If the connection is lost earlier, a new one is opened, and the agent sends
/// the response again from its start.
#[derive(Debug)]
pub(super) struct AgentDecode {
    link: Arc<Link>,
    raw: bool,
    /// `None` until a frame has arrived on the current connection.
    decode: Option<PlaygroundDecode>,
    replay: Replay,
    reconnects: u32,
}

impl AgentDecode {
    pub(super) fn new(link: Arc<Link>, raw: bool) -> Self {
        Self {
            link,
            raw,
            decode: None,
            replay: Replay::default(),
            reconnects: 0,
        }
    }

    /// Returns the decoder of the current connection. It redacts the secrets that the connection
    /// added.
    fn decoder(&mut self) -> &mut PlaygroundDecode {
        let (link, raw) = (&self.link, self.raw);
        let new = || PlaygroundDecode::new(link.redact(), raw);
        self.decode.get_or_insert_with(new)
    }

    /// Returns the last error of a turn that cannot be resumed, and cancels the turn if it still
    /// runs.
    fn give_up(&self, error: Error) -> Error {
        // The dropped future continues in the background.
        drop(self.link.cancel());
        if self.reconnects == 0 {
            return error;
        }
        let message = "the connection was lost before the end of the response, and the playground did \
                       not resume it";
        Error::new(ErrorKind::Truncated, message).with_source(error)
    }
}

impl Decode for AgentDecode {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        let mut all = Events::default();
        let flow = self.decoder().decode(frame, &mut all);
        self.replay.take(all, events)?;
        match &flow {
            Ok(Flow::Continue) => {}
            // The agent has finished, so there is nothing to cancel.
            Ok(_) => self.link.settle(),
            Err(error) => {
                if matches!(error.kind(), ErrorKind::Provider | ErrorKind::Canceled) {
                    self.link.settle();
                }
            }
        }
        flow
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        let mut all = Events::default();
        let error = match self.decoder().finish(ending, &mut all) {
            Ok(finish) => {
                if self.link.has_replaced() {
                    let warning = "the response had invalid UTF-8, replaced by U+FFFD";
                    events.warnings.push(warning.to_owned());
                }
                self.replay.take_end(all, events)?;
                return Ok(finish);
            }
            Err(error) => error,
        };
        let is_lost = matches!(ending, Ending::Lost(_) | Ending::Input(_));
        if !is_lost || self.link.stage() == Stage::Ended || self.reconnects == RECONNECTS {
            return Err(self.give_up(error));
        }
        let wait = RECONNECT * 2_u32.pow(self.reconnects);
        self.reconnects += 1;
        self.decode = None;
        self.replay.begin();
        // Called here and not in the future, because dropping the returned future unpolled must
        // cancel the turn.
        let resumed = self.link.resume();
        let link = Arc::clone(&self.link);
        let resumed = async move {
            resumed.await?;
            Ok(Body::new(Turn::again(link)))
        };
        Ok(Finish::More(wait, Box::pin(resumed)))
    }

    fn cancel(&mut self) -> BoxFuture<'static, Result<()>> {
        self.link.cancel()
    }
}
