//! The turns of an agent: how they are sent, resumed and stopped.

use serde_json::Value;
use tokio::task::AbortHandle;

use crate::{
    fault::Fault,
    playground::agent::{
        connection::{Connection, Kind, Probe, Word},
        message,
        plan::Step,
        room::Room,
        turn::{Stage, Turn},
    },
};

/// The maximum number of turns that one agent keeps.
///
/// A client resumes the last one; a conversation of days must not keep them all.
const MAX_TURNS: usize = 100;

/// The close code for a server that goes away.
const AWAY: u16 = 1001;
/// The close code for a server that restarts.
const RESTART: u16 = 1012;

/// The error text of a failed response.
const ERROR: &str = "Error during inference";

impl Room {
    /// Adds a turn, which `start` runs by its number. An earlier turn with the same id has ended
    /// and is removed.
    pub(super) fn ask(
        &mut self,
        asker: u64,
        id: String,
        fault: Option<Fault>,
        start: impl FnOnce(u64) -> Option<AbortHandle>,
    ) {
        self.turns.retain(|turn| turn.id != id);
        if self.turns.len() == MAX_TURNS {
            let mut turns = self.turns.iter();
            let oldest = turns.position(|turn| turn.stage == Stage::Ended);
            drop(oldest.and_then(|oldest| self.turns.remove(oldest)));
        }
        let number = self.next_number();
        self.turns.push_back(Turn {
            number,
            id,
            stage: Stage::Waits,
            chunks: Vec::new(),
            fault,
            asker,
            task: start(number),
        });
    }

    /// Starts a turn unless it was stopped, and answers pending resume requests.
    pub(super) fn begin(&mut self, number: u64) {
        let mut turns = self.turns.iter_mut();
        let turn = turns.find(|turn| turn.number == number && turn.stage == Stage::Waits);
        let Some(turn) = turn else {
            return;
        };
        turn.stage = Stage::Runs;
        for connection in &mut self.connections {
            if let Some(Probe(probe)) = connection.probe.take() {
                connection.tell(message::resuming(&turn.id, probe.as_ref()));
                connection.unacknowledged = Some(number);
            }
        }
    }

    /// Performs a step of a turn; returns false if it is the last.
    pub(super) fn play(&mut self, number: u64, step: Step) -> bool {
        let Some(index) = self.turns.iter().position(|turn| turn.number == number) else {
            return false;
        };
        let turn = &mut self.turns[index];
        if turn.stage != Stage::Runs {
            return false;
        }
        let (asker, id) = (turn.asker, turn.id.clone());
        let is_asker = |connection: &Connection| {
            connection.number == asker && connection.unacknowledged != Some(number)
        };
        match step {
            Step::Chunk(body) => {
                let text = message::chunk(&id, &body);
                turn.chunks.push(body);
                self.tell_followers(index, Kind::Chunk, &text);
            }
            Step::Close => self.break_off(is_asker, || Word::Close(AWAY)),
            Step::Cut(body) => {
                self.break_off(is_asker, || Word::Half(message::chunk(&id, &body)));
            }
            Step::End(said) => {
                if let Some(said) = said {
                    self.push_message(said);
                }
                self.end(index, &message::end(&id));
                return false;
            }
            Step::Evict(body) => {
                self.break_off(|_| true, || Word::Half(message::chunk(&id, &body)));
                self.turns.remove(index);
                self.changes.send_replace(());
                return false;
            }
            Step::Fail => {
                self.end(index, &message::error(&id, ERROR));
                return false;
            }
            Step::Restart => {
                self.refusals += 1;
                self.break_off(|_| true, || Word::Close(RESTART));
            }
            // The caller waits.
            Step::Hang | Step::Wait(_) => {}
        }
        true
    }

    /// Stops an unfinished turn and notifies all clients.
    pub(super) fn cancel(&mut self, id: &str) {
        let mut turns = self.turns.iter_mut();
        let turn = turns.find(|turn| turn.id == id && turn.stage != Stage::Ended);
        let Some(turn) = turn else {
            return;
        };
        turn.stop();
        let number = turn.number;
        for connection in &mut self.connections {
            connection.tell(message::end(id));
            connection.forget(number);
        }
        self.answer_probes();
        self.changes.send_replace(());
    }

    /// Replies to a resume request: a stream exists, will start, or does not exist.
    pub(super) fn resume(&mut self, number: u64, probe: Option<Value>) {
        let running = self.running().map(|turn| (turn.number, turn.id.clone()));
        let waits = self.turns.iter().any(|turn| turn.stage == Stage::Waits);
        let mut connections = self.connections.iter_mut();
        let Some(connection) = connections.find(|connection| connection.number == number) else {
            return;
        };
        match running {
            Some((turn, id)) => {
                connection.tell(message::resuming(&id, probe.as_ref()));
                connection.unacknowledged = Some(turn);
            }
            None if waits => {
                connection.tell(message::pending(probe.as_ref()));
                connection.probe = Some(Probe(probe));
            }
            None => connection.tell(message::resume_none(probe.as_ref())),
        }
    }

    /// Replays all chunks of a stream to a client, which then gets the later ones too.
    pub(super) fn acknowledge(&mut self, number: u64, id: &str) {
        let runs = self.running().is_some();
        let turn = self.turns.iter().rfind(|turn| turn.id == id);
        let Some(turn) = turn.filter(|turn| turn.stage != Stage::Waits) else {
            if turn.is_none() && !runs {
                self.tell(number, message::replay_end(id));
            }
            return;
        };
        let last = match turn.stage {
            Stage::Ended => message::replay_end(id),
            _ => message::replay_complete(id),
        };
        let replayed = turn.replayed().into_iter().enumerate();
        let texts = replayed.map(|(seq, body)| (message::replayed(id, &body, seq), Kind::Chunk));
        let texts: Vec<_> = texts.chain([(last, Kind::End)]).collect();
        let (turn, fault) = (turn.number, turn.fault.clone());
        self.connections.retain_mut(|connection| {
            if connection.number != number {
                return true;
            }
            connection.forget(turn);
            let mut texts = texts.iter();
            texts.all(|(text, kind)| connection.follow(fault.as_ref(), *kind, text))
        });
    }

    /// Stops and removes all turns.
    pub(super) fn forget_turns(&mut self) {
        for mut turn in self.turns.drain(..) {
            turn.stop();
        }
        for connection in &mut self.connections {
            connection.unacknowledged = None;
        }
        self.answer_probes();
        self.changes.send_replace(());
    }

    /// Returns true if every turn before this one has ended.
    pub(super) fn is_first(&self, number: u64) -> bool {
        let mut turns = self.turns.iter();
        let first = turns.find(|turn| turn.stage != Stage::Ended);
        first.is_none_or(|turn| turn.number == number)
    }

    /// Returns true if there is an unfinished turn with this id.
    pub(super) fn is_open(&self, id: &str) -> bool {
        let mut turns = self.turns.iter();
        turns.any(|turn| turn.id == id && turn.stage != Stage::Ended)
    }

    /// Returns the running turn.
    pub(super) fn running(&self) -> Option<&Turn> {
        self.turns.iter().find(|turn| turn.stage == Stage::Runs)
    }

    /// Answers pending resume requests if no turn is left to start.
    fn answer_probes(&mut self) {
        if self.turns.iter().any(|turn| turn.stage == Stage::Waits) {
            return;
        }
        for connection in &mut self.connections {
            if let Some(Probe(probe)) = connection.probe.take() {
                connection.tell(message::resume_none(probe.as_ref()));
            }
        }
    }

    /// Ends a turn with this message.
    fn end(&mut self, index: usize, text: &str) {
        let turn = &mut self.turns[index];
        turn.stage = Stage::Ended;
        let number = turn.number;
        self.tell_followers(index, Kind::End, text);
        for connection in &mut self.connections {
            connection.forget(number);
        }
        self.changes.send_replace(());
    }

    /// Sends a message to all clients except those that were offered this turn and did not
    /// acknowledge it.
    fn tell_followers(&mut self, index: usize, kind: Kind, text: &str) {
        let turn = &self.turns[index];
        self.connections.retain_mut(|connection| {
            connection.unacknowledged == Some(turn.number)
                || connection.follow(turn.fault.as_ref(), kind, text)
        });
    }

    /// Ends the selected connections with a message.
    fn break_off(&mut self, breaks: impl Fn(&Connection) -> bool, word: impl Fn() -> Word) {
        self.connections.retain(|connection| {
            let breaks = breaks(connection);
            if breaks {
                connection.say(word());
            }
            !breaks
        });
    }
}
