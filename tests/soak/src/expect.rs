//! What the client must report for a script.

use crate::{
    plan::{Fault, Plan, Protocol, Resume},
    script::{Ending, Script},
    text::INVALID,
    wire::{Kind, Mark},
};

/// What the client must report.
#[derive(Debug)]
pub(crate) struct Expect {
    pub(crate) success: Success,
    /// The least and the most that is delivered.
    pub(crate) least: Delivered,
    pub(crate) most: Delivered,
    /// Everything.
    pub(crate) all: Delivered,
    /// The server replaces the text in its middle.
    pub(crate) differs: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Success {
    Must,
    May,
    Never,
}

/// Text and reasoning.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Delivered {
    pub(crate) text: String,
    pub(crate) reasoning: String,
}

impl Expect {
    pub(crate) fn new(plan: &Plan, script: &Script) -> Self {
        let success = success(plan, script);
        let pieces: Vec<&Mark> = script
            .wire
            .marks
            .iter()
            .filter(|mark| mark.kind == Kind::Piece)
            .collect();
        let total = pieces.len();
        let sent = |bytes: usize| pieces.iter().take_while(|mark| mark.end <= bytes).count();
        // A blank line of CR LF ends at its CR.
        let (mut least, mut most) = match script.error {
            Some(event) => {
                let before = script.wire.marks[..event].iter();
                let count = before.filter(|mark| mark.kind == Kind::Piece).count();
                (count, count)
            }
            None => (sent(script.sent), sent(script.sent + 1)),
        };
        let is_lossy = match script.ending {
            // The system may discard what has arrived before a reset and was not read, and a timeout
            // may expire early on a busy machine.
            Ending::HeartBeat | Ending::Reset => true,
            Ending::Wait => plan.fault != Some(Fault::Dropped),
            _ => false,
        };
        if is_lossy && success != Success::Must {
            least = 0;
        }
        if plan.fault == Some(Fault::Dropped) {
            least = script.drop_after;
        }
        if is_resumed(plan, script) {
            most = total;
            if success == Success::Must {
                least = total;
            }
        }
        Self {
            success,
            least: Delivered::of(plan, least),
            most: Delivered::of(plan, most),
            all: Delivered::of(plan, total),
            differs: is_resumed(plan, script) && plan.resume == Resume::Differ,
        }
    }

    /// Returns what is wrong with a response; `whole` if it was reported as complete.
    pub(crate) fn check(&self, whole: bool, got: &Delivered) -> Result<(), String> {
        if self.differs && !whole {
            if got.text.starts_with(&self.least.text) {
                return Ok(());
            }
            return Err("the text before the interruption is missing".to_owned());
        }
        if !self.all.text.starts_with(&got.text) {
            return Err(format!(
                "the text is not a prefix: {}",
                difference(&self.all.text, &got.text)
            ));
        }
        if !self.all.reasoning.starts_with(&got.reasoning) {
            let difference = difference(&self.all.reasoning, &got.reasoning);
            return Err(format!("the reasoning is not a prefix: {difference}"));
        }
        match (self.success, whole) {
            (Success::Must, false) => return Err("an error for a complete response".to_owned()),
            (Success::Never, true) => return Err("success for an incomplete response".to_owned()),
            _ => {}
        }
        if !self.least.is_in(got) {
            return Err(format!(
                "less text than was sent: {}",
                sizes(&self.least, got)
            ));
        }
        if !got.is_in(&self.most) {
            return Err(format!(
                "more text than was sent: {}",
                sizes(&self.most, got)
            ));
        }
        Ok(())
    }
}

impl Delivered {
    /// Returns true if the other has at least as much.
    pub(crate) fn is_in(&self, other: &Self) -> bool {
        self.text.len() <= other.text.len() && self.reasoning.len() <= other.reasoning.len()
    }

    fn of(plan: &Plan, count: usize) -> Self {
        let mut delivered = Self::default();
        for piece in plan.pieces.iter().take(count) {
            let to = if piece.is_reasoning {
                &mut delivered.reasoning
            } else {
                &mut delivered.text
            };
            to.extend(piece.text.chars().map(|character| match character {
                INVALID => char::REPLACEMENT_CHARACTER,
                character => character,
            }));
        }
        delivered
    }
}

/// Returns true if the client requests the rest of a Replicate stream.
fn is_resumed(plan: &Plan, script: &Script) -> bool {
    let is_cut = matches!(
        script.ending,
        Ending::BadChunk | Ending::Clean { .. } | Ending::Fin | Ending::Reset
    );
    let end = script.wire.marks.last().map_or(0, |mark| mark.content);
    plan.protocol == Protocol::Replicate && script.error.is_none() && is_cut && script.sent < end
}

fn success(plan: &Plan, script: &Script) -> Success {
    if plan.fault == Some(Fault::Dropped) || script.error.is_some() {
        return Success::Never;
    }
    let sent = script.sent;
    if is_resumed(plan, script) {
        return match (plan.resume, script.ending) {
            (Resume::Unreadable, _) => Success::Never,
            // What contradicts the text is an error, also if it could be mistaken for the rest.
            (Resume::Differ, _) | (_, Ending::BadChunk) => Success::May,
            _ => Success::Must,
        };
    }
    let find = |kind| script.wire.marks.iter().find(|mark| mark.kind == kind);
    let Some(end) = find(Kind::Terminal) else {
        return Success::Never;
    };
    if end.end <= sent {
        return match script.ending {
            Ending::Reset => Success::May,
            _ => Success::Must,
        };
    }
    if end.content <= sent {
        return Success::May;
    }
    // A lost connection may have lost text after the finish reason, so only a clean end or silence is
    // an end there.
    let is_lost = matches!(
        script.ending,
        Ending::BadChunk | Ending::Fin | Ending::Reset
    );
    match find(Kind::Finish) {
        Some(finish) if finish.content <= sent && !is_lost && !is_in_piece(script) => Success::May,
        _ => Success::Never,
    }
}

/// Returns true if the input ends cleanly inside a piece of text.
fn is_in_piece(script: &Script) -> bool {
    let is_clean = matches!(script.ending, Ending::Clean { .. });
    let mut pieces = script
        .wire
        .marks
        .iter()
        .filter(|mark| mark.kind == Kind::Piece);
    is_clean && pieces.any(|mark| mark.content < script.sent && script.sent + 1 < mark.end)
}

fn sizes(expected: &Delivered, got: &Delivered) -> String {
    format!(
        "text {} of {} bytes, reasoning {} of {} bytes",
        got.text.len(),
        expected.text.len(),
        got.reasoning.len(),
        expected.reasoning.len()
    )
}

fn difference(expected: &str, got: &str) -> String {
    let same = expected
        .chars()
        .zip(got.chars())
        .take_while(|(a, b)| a == b);
    let at = same.count();
    let part = |text: &str| {
        text.chars()
            .skip(at.saturating_sub(5))
            .take(30)
            .collect::<String>()
    };
    format!(
        "at character {at}, expected {:?}, got {:?}",
        part(expected),
        part(got)
    )
}
