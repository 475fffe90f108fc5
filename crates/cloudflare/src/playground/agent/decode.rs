//! The frames of a turn in, events out, also where it takes several connections.

use std::{sync::Arc, time::Duration};

use inferstream_core::{
    BoxFuture, Decode, Ending, Error, ErrorKind, Events, Finish, Flow, Result, provider::Redact,
    sse::Frame,
};

use super::{
    link::{Link, Stage},
    replay::Replay,
};
use crate::playground::decode::PlaygroundDecode;

/// How often a turn is taken up again.
const RECONNECTS: u32 = 3;

/// The wait before the first time; it doubles with each.
const RECONNECT: Duration = Duration::from_millis(250);

/// The protocol of a turn.
///
/// The answer is whole where its chunks end with `finish` and the agent says that this was all. A
/// connection that is lost before that is opened again, and the answer sent again from its beginning.
#[derive(Debug)]
pub(super) struct AgentDecode {
    link: Arc<Link>,
    redact: Redact,
    raw: bool,
    decode: PlaygroundDecode,
    replay: Replay,
    reconnects: u32,
}

impl AgentDecode {
    pub(super) fn new(link: Arc<Link>, redact: Redact, raw: bool) -> Self {
        Self {
            decode: PlaygroundDecode::new(redact.clone(), raw),
            link,
            redact,
            raw,
            replay: Replay::default(),
            reconnects: 0,
        }
    }

    /// Returns what is left of the error of a turn that was taken up again in vain.
    fn give_up(&self, error: Error) -> Error {
        if self.reconnects == 0 {
            return error;
        }
        let message = "the connection was lost before the answer's end, and the playground did not \
                       take it up again";
        Error::new(ErrorKind::Truncated, message).with_source(error)
    }
}

impl Decode for AgentDecode {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        let mut all = Events::default();
        let flow = self.decode.decode(frame, &mut all);
        self.replay.take(all, events)?;
        match &flow {
            Ok(Flow::Continue) => {}
            Err(error) if error.kind() == ErrorKind::Protocol => {}
            // The agent has come to an end by itself.
            _ => self.link.settle(),
        }
        flow
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        let mut all = Events::default();
        let outcome = self.decode.finish(ending, &mut all);
        let error = match outcome {
            Ok(finish) => {
                self.replay.take(all, events)?;
                self.replay.check_end()?;
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
        self.decode = PlaygroundDecode::new(self.redact.clone(), self.raw);
        self.replay.begin();
        Ok(Finish::More(wait, self.link.resume()))
    }

    fn cancel(&mut self) -> BoxFuture<'static, Result<()>> {
        self.link.cancel()
    }
}
