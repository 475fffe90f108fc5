//! The queues of faults and answers, checked once.

use std::{collections::VecDeque, io, time::Duration};

use http::HeaderValue;

use crate::{
    answer::{Answer, Kind, Tokens},
    error::invalid,
    fault::Fault,
    outcome::Outcome,
    reply::Reply,
    wire::fault::Wire,
};

/// The queues of answers and faults.
#[derive(Debug, Default)]
pub(crate) struct Script {
    faults: VecDeque<Fault>,
    every_fault: Option<Fault>,
    answers: VecDeque<Scripted>,
}

/// One checked answer.
#[derive(Debug)]
pub(crate) enum Scripted {
    Raw(Reply),
    Tokens(Tokens),
}

impl Script {
    pub(crate) fn new(
        faults: Vec<Fault>,
        every_fault: Option<Fault>,
        answers: Vec<Answer>,
    ) -> io::Result<Self> {
        faults.iter().chain(&every_fault).try_for_each(check)?;
        let answers = answers.into_iter().map(|answer| match answer.kind {
            Kind::Raw(raw) => Reply::from_raw(raw).map(Scripted::Raw),
            Kind::Tokens(tokens) => Ok(Scripted::Tokens(tokens)),
        });
        Ok(Self {
            faults: faults.into(),
            every_fault,
            answers: answers.collect::<io::Result<_>>()?,
        })
    }

    /// Takes the fault for this request.
    pub(crate) fn next_fault(&mut self) -> Option<Fault> {
        self.faults.pop_front().or_else(|| self.every_fault.clone())
    }

    /// Takes the next fault, if it occurs before HTTP.
    pub(crate) fn next_before_http(&mut self) -> Option<Wire> {
        let fault = self.faults.front().or(self.every_fault.as_ref());
        let wire = fault.and_then(Fault::wire);
        let wire = wire.filter(|wire| wire.is_before_http())?;
        drop(self.next_fault());
        Some(wire)
    }

    /// Takes the next fault, if it replaces the response.
    pub(crate) fn next_instead(
        &mut self,
        instead: impl Fn(&Fault) -> Option<Outcome>,
    ) -> Option<Outcome> {
        let fault = self.faults.front().or(self.every_fault.as_ref());
        let outcome = fault.and_then(instead)?;
        drop(self.next_fault());
        Some(outcome)
    }

    /// Takes a raw answer, or the outcome of a fault that replaces it.
    pub(crate) fn next_raw(&mut self, instead: impl Fn(&Fault) -> Option<Outcome>) -> Outcome {
        if let Some(outcome) = self.next_instead(instead) {
            return outcome;
        }
        match self.next_answer() {
            Some(Scripted::Raw(reply)) => Outcome::Reply(reply),
            _ => Outcome::Close,
        }
    }

    /// Takes the answer for a turn, unless it is a raw one.
    pub(crate) fn next_tokens(&mut self) -> Option<Tokens> {
        match self.answers.pop_front()? {
            Scripted::Tokens(tokens) => Some(tokens),
            raw @ Scripted::Raw(_) => {
                self.answers.push_front(raw);
                None
            }
        }
    }

    /// Takes the answer for this request.
    pub(crate) fn next_answer(&mut self) -> Option<Scripted> {
        self.answers.pop_front()
    }

    pub(crate) fn raw_is_next(&self) -> bool {
        matches!(self.answers.front(), Some(Scripted::Raw(_)))
    }
}

fn check(fault: &Fault) -> io::Result<()> {
    let (status, retry_after) = match fault {
        Fault::Status {
            status,
            retry_after,
        } => (status, retry_after),
        Fault::StreamStatus { status } => (status, &None),
        _ => return Ok(()),
    };
    if !(400..=599).contains(status) {
        return Err(invalid("invalid status of a fault: expected 400 to 599"));
    }
    match retry_after.as_deref().map(HeaderValue::from_str) {
        Some(Err(_)) => Err(invalid(
            "invalid `Retry-After` of a fault: expected a header value",
        )),
        _ => Ok(()),
    }
}

/// Returns the time per token.
pub(crate) fn pace(tokens_per_second: f64) -> io::Result<Duration> {
    Duration::try_from_secs_f64(tokens_per_second.recip())
        .ok()
        .filter(|_| tokens_per_second > 0.0)
        .ok_or_else(|| invalid("invalid tokens per second: expected a positive number"))
}
