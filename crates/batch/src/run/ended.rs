//! The outcomes of requests: responses, and errors of one row or of all.

use std::{io, time::Duration};

use futures_core::Stream;
use inferstream_core::{ChatResponse, Error, ErrorKind, Repeat};

use super::{Answered, FIRST_OUTAGE, Outcome, Run, Work};
use crate::{
    failure::{Failure, is_ambiguous, is_outage},
    limits::Charge,
    pace::Round,
    row::{Earlier, Row},
    summary::Stopped,
};

impl<R: Stream<Item = io::Result<Row>>> Run<'_, R> {
    /// Handles an event of a row in flight.
    pub(super) fn answered(&mut self, answered: Answered) {
        let Answered {
            work,
            round,
            charge,
            outcome,
        } = answered;
        let now = self.batch.timer.now();
        match outcome {
            Outcome::Begun(stream) => {
                let is_resumed = matches!(work.row.earlier, Earlier::Named(_));
                self.summary.resumed += u64::from(is_resumed);
                if let Some(id) = stream.partial().id.clone() {
                    if let Err(error) = self.sink.named(&work.row, &id) {
                        self.stopped.get_or_insert(Stopped::Output(error));
                    }
                }
                self.in_flight.push(Box::pin(async move {
                    let outcome = Outcome::Ended(Box::new(stream.finish().await));
                    Answered {
                        work,
                        round,
                        charge,
                        outcome,
                    }
                }));
            }
            Outcome::Ended(result) => match *result {
                Ok(response) => self.responded(&work.row, charge, &response, now),
                Err(error) => self.error(work, round, charge, &error, now),
            },
        }
    }

    fn responded(
        &mut self,
        row: &Row,
        charge: Option<Charge>,
        response: &ChatResponse,
        now: Duration,
    ) {
        let used = response.usage.and_then(|usage| {
            let sum = usage.input_tokens.zip(usage.output_tokens);
            usage
                .total_tokens
                .or_else(|| sum.map(|(input, output)| input.saturating_add(output)))
        });
        self.settle(charge, used);
        self.reached();
        self.pace.accepted();
        if let Some(wait) = response.meta.rate_limits().until_reset() {
            self.pace.hold_for(now, wait);
        }
        self.complete(row, response);
    }

    fn complete(&mut self, row: &Row, response: &ChatResponse) {
        let mut choices = response.choices.iter();
        let is_complete = choices.all(|choice| choice.finish_reason.is_some());
        if !is_complete || response.choices.is_empty() {
            let message = "the response was truncated: it ended without a finish reason";
            return self.fail(row, &Failure::new("truncated", message));
        }
        let usage = response.usage.unwrap_or_default();
        let model = response.model.clone().unwrap_or_default();
        self.summary.tokens.entry(model).or_default().add(&usage);
        self.summary.complete += 1;
        if let Err(error) = self.sink.complete(row, response) {
            self.stopped.get_or_insert(Stopped::Output(error));
        }
    }

    /// Decides what an error means for its row and for the others.
    fn error(
        &mut self,
        mut work: Box<Work>,
        round: Round,
        charge: Option<Charge>,
        error: &Error,
        now: Duration,
    ) {
        if error.repeat() == Repeat::Safe {
            self.settle(charge, Some(0));
        }
        if let Earlier::Named(_) = work.row.earlier {
            if matches!(error.kind(), ErrorKind::Canceled | ErrorKind::NotFound) {
                // The service does not have the response any more: another request is needed.
                work.row.earlier = Earlier::UnderWay;
                self.next_again(work, now);
                return;
            }
        }
        if is_outage(error) {
            work.requests = work.requests.saturating_sub(1);
            self.refuse(round, error, now);
            let since = *self.outage.get_or_insert(now);
            let limit = if self.has_reached {
                self.batch.max_outage
            } else {
                FIRST_OUTAGE
            };
            if limit < now.saturating_sub(since) {
                self.stopped
                    .get_or_insert(Stopped::Unreachable(error.clone()));
            }
            self.next_again(work, now);
            return;
        }
        self.reached();
        let stop = match error.kind() {
            ErrorKind::Auth | ErrorKind::Challenge | ErrorKind::Permission => Stopped::Key,
            ErrorKind::Quota => Stopped::Quota,
            _ => return self.row_error(work, round, error, now),
        };
        self.stopped.get_or_insert(stop(error.clone()));
        self.release(&work.row);
    }

    fn row_error(&mut self, work: Box<Work>, round: Round, error: &Error, now: Duration) {
        if matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Overloaded) {
            self.refuse(round, error, now);
        } else {
            self.pace.accepted();
        }
        let repeats = self.batch.retry_ambiguous && !self.batch.at_most_once;
        let may_repeat = error.repeat() == Repeat::Safe || is_ambiguous(error) && repeats;
        if !may_repeat || self.batch.max_requests <= work.requests {
            return self.fail(&work.row, &Failure::from(error));
        }
        let mut work = work;
        if error.repeat() != Repeat::Safe {
            work.row.earlier = Earlier::UnderWay;
        }
        let doublings = work.requests.saturating_sub(1).min(6);
        let wait = Duration::from_millis(500) * (1 << doublings);
        self.next_again(work, now + wait);
    }

    fn refuse(&mut self, round: Round, error: &Error, now: Duration) {
        self.refused += 1;
        let asked = error.retry_after();
        let asked = asked.or_else(|| error.rate_limits().until_reset());
        self.pace.refused(now, round, asked);
    }

    fn next_again(&mut self, work: Box<Work>, at: Duration) {
        self.waited += 1;
        self.again.insert((at, self.waited), work);
    }

    fn reached(&mut self) {
        self.has_reached = true;
        self.outage = None;
    }

    fn settle(&mut self, charge: Option<Charge>, used: Option<u64>) {
        if let Some(charge) = charge {
            self.limits.settle(charge, used);
        }
    }

    pub(super) fn fail(&mut self, row: &Row, failure: &Failure) {
        self.summary.add_failure(failure);
        if let Err(error) = self.sink.failed(row, failure) {
            self.stopped.get_or_insert(Stopped::Output(error));
        }
    }

    pub(super) fn release(&mut self, row: &Row) {
        if let Err(error) = self.sink.released(row) {
            self.stopped.get_or_insert(Stopped::Output(error));
        }
    }
}
