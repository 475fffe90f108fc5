//! The reader of a response: reads a body through a framer and a decoder into events with one end.

mod cut;

use std::{
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;

use super::{
    ChatStream, Decode, Ending, EventStream, Finish, Flow, Started,
    ending::{complete, cut_off, drain, empty_warning, lend, no_data, replaced_warning},
    waits::{Expired, Waits},
};
use crate::{
    error::{Error, ErrorKind, Result},
    event::{ChatEvent, Events},
    response::{ChatResponse, End},
    sse::{Framer, OwnedFrame, TooLarge},
    trace,
    transport::{Body, BoxFuture, Transport},
};

/// Reads a response: the body's bytes through the framer and the decoder.
pub fn read_stream(started: Started, framer: impl Framer, decode: impl Decode) -> ChatStream {
    let Started {
        transport,
        at,
        timeouts,
        meta,
        partial,
        body,
    } = started;
    let partial = ChatResponse { meta, ..partial };
    ChatStream::new(Reader {
        waits: Waits::new(Arc::clone(&transport), timeouts, at),
        transport,
        body: Some(body),
        framer,
        decode,
        events: Events::default(),
        partial,
        ended: Duration::ZERO,
        reads: 0,
        first_piece: None,
        size: 0,
        goes_on: false,
        cut: None,
        replaced: 0,
        state: State::Reading,
    })
}

struct Reader<F, D> {
    transport: Arc<dyn Transport>,
    waits: Waits,
    /// `None` once nothing more is read.
    body: Option<Body>,
    framer: F,
    decode: D,
    events: Events,
    partial: ChatResponse,
    /// The time from the start of the request until the end was read. Events before it may still be
    /// queued.
    ended: Duration,
    /// The number of reads that returned bytes.
    reads: u64,
    /// The number of the read with the first fragment of the response.
    first_piece: Option<u64>,
    /// The size of the events so far.
    size: usize,
    /// Text came after the finish reason, so more may follow.
    goes_on: bool,
    /// The event inside which the input ended; empty if it has no data.
    cut: Option<Box<OwnedFrame>>,
    /// The number of places with replaced invalid UTF-8, on the connection that has the most.
    replaced: usize,
    state: State,
}

/// What follows when the queued events have been delivered.
enum State {
    Reading,
    /// The rest will be requested after a wait.
    Waiting(BoxFuture<'static, ()>, BoxFuture<'static, Result<Body>>),
    /// The rest has been requested.
    Asking(BoxFuture<'static, Result<Body>>),
    /// The response is complete, and its last events wait for final work such as saving a session.
    Closing(End, BoxFuture<'static, Vec<String>>),
    Ended(End),
    Failed(Error),
    Done,
}

/// The maximum size of a response's events: more than any model's longest response, and little enough
/// to keep for `partial`.
const MAX_ANSWER: usize = 16 << 20;

/// How many reads without events are made in one poll, so that a flood of comments does not block the
/// thread.
const READS: u32 = 32;

impl<F: Framer, D: Decode> Reader<F, D> {
    /// Decodes the next frame.
    fn advance(&mut self) -> bool {
        let frame = match self.framer.next_frame() {
            Ok(None) => return false,
            Ok(Some(frame)) => frame,
            Err(error) => {
                self.fail(error.into());
                return true;
            }
        };
        let flow = self.decode.decode(frame, &mut self.events);
        self.follow(flow);
        true
    }

    /// Continues as the decoder of a frame decided.
    fn follow(&mut self, flow: Result<Flow>) {
        self.note_events();
        match flow {
            Ok(Flow::Continue) => {
                self.goes_on = false;
                self.waits.unsettle();
            }
            Ok(Flow::Settle) => {
                let has_text = self.events.has_text();
                self.goes_on |= has_text && self.waits.is_settled();
                self.waits.settle(has_text);
            }
            Ok(Flow::End) => self.end(Ending::Announced),
            Err(error) => self.fail(error),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(body) = &mut self.body else {
            self.state = State::Done;
            return Poll::Ready(());
        };
        match body.poll_data(cx) {
            Poll::Ready(Some(Ok(bytes))) => {
                self.waits.bytes_came();
                self.reads += 1;
                self.framer.push(bytes);
            }
            Poll::Ready(Some(Err(error))) => {
                self.body = None;
                match cut_off(error) {
                    lost if lost.kind() == ErrorKind::Truncated => self.end(Ending::Lost(&lost)),
                    error => self.fail(error),
                }
            }
            Poll::Ready(None) => {
                self.body = None;
                self.end_of_input();
            }
            Poll::Pending => return self.poll_expired(cx),
        }
        Poll::Ready(())
    }

    /// Records the decoded events for the timeouts and the metadata.
    fn note_events(&mut self) {
        let has_text = self.events.has_text();
        if has_text {
            let first = *self.first_piece.get_or_insert(self.reads);
            self.partial.meta.streamed |= first != self.reads;
        }
        if has_text || self.events.has_content() {
            if let Some(time) = self.waits.event_came() {
                self.partial.meta.time_to_first_event = Some(time);
            }
        }
        self.take_head();
    }

    /// Polls what follows in a state other than `Reading`. Breaks at the end, with the error if the
    /// response failed.
    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<ControlFlow<Option<Error>>> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Done => return Poll::Ready(ControlFlow::Break(None)),
            State::Ended(end) => {
                self.report_replaced();
                let warning = empty_warning(&self.partial, &self.events.others);
                self.partial.meta.warnings.extend(warning);
                self.partial.end = Some(end);
                self.partial.meta.time_to_end = Some(self.ended);
                return Poll::Ready(ControlFlow::Break(None));
            }
            State::Failed(error) => {
                self.report_replaced();
                self.partial.meta.time_to_end = Some(self.ended);
                let error = complete(error, &self.partial);
                return Poll::Ready(ControlFlow::Break(Some(error)));
            }
            State::Waiting(wait, asked) => std::task::ready!(self.poll_waited(cx, wait, asked)),
            State::Asking(asked) => std::task::ready!(self.poll_asked(cx, asked)),
            State::Closing(end, work) => std::task::ready!(self.poll_closing(cx, end, work)),
            State::Reading => self.state = State::Reading,
        }
        Poll::Ready(ControlFlow::Continue(()))
    }

    fn poll_waited(
        &mut self,
        cx: &mut Context<'_>,
        mut wait: BoxFuture<'static, ()>,
        asked: BoxFuture<'static, Result<Body>>,
    ) -> Poll<()> {
        self.waits.resume();
        if wait.as_mut().poll(cx).is_pending() {
            self.state = State::Waiting(wait, asked);
            return self.poll_expired(cx);
        }
        self.waits.own(false);
        self.state = State::Asking(asked);
        Poll::Ready(())
    }

    fn poll_asked(
        &mut self,
        cx: &mut Context<'_>,
        mut asked: BoxFuture<'static, Result<Body>>,
    ) -> Poll<()> {
        self.waits.resume();
        match asked.as_mut().poll(cx) {
            Poll::Ready(Ok(body)) => {
                self.waits.bytes_came();
                self.note_replaced();
                self.framer.reset();
                self.body = Some(body);
                self.state = State::Reading;
            }
            Poll::Ready(Err(error)) => self.end(Ending::Lost(&error)),
            Poll::Pending => {
                self.state = State::Asking(asked);
                return self.poll_expired(cx);
            }
        }
        Poll::Ready(())
    }

    fn poll_closing(
        &mut self,
        cx: &mut Context<'_>,
        end: End,
        mut work: BoxFuture<'static, Vec<String>>,
    ) -> Poll<()> {
        self.waits.resume();
        match work.as_mut().poll(cx) {
            Poll::Ready(warnings) => self.partial.meta.warnings.extend(warnings),
            // Whichever timeout ends the wait, the response is complete.
            Poll::Pending if self.waits.poll_expired(cx).is_ready() => {}
            Poll::Pending => {
                self.state = State::Closing(end, work);
                return Poll::Pending;
            }
        }
        self.state = State::Ended(end);
        Poll::Ready(())
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let expired = std::task::ready!(self.waits.poll_expired(cx));
        self.expire(expired);
        Poll::Ready(())
    }

    /// Ends the stream after a timeout, or after the wait that follows the finish reason.
    fn expire(&mut self, expired: Expired) {
        match expired {
            Expired::Limit(error) => self.fail(error),
            Expired::Settled => {
                self.body = None;
                self.end(Ending::Settled);
                // Waiting for an end marker that never arrives is not part of the response's time.
                if matches!(self.state, State::Ended(_) | State::Closing(..)) {
                    self.ended = self.waits.finished();
                }
            }
        }
    }

    fn end_of_input(&mut self) {
        let is_cut = self.framer.is_cut();
        let mut events = Events::default();
        if let Some(document) = self.framer.document() {
            let outcome = self.decode.finish(Ending::Document(document), &mut events);
            return self.settle_state(outcome, events, None);
        }
        let ControlFlow::Continue(tail) = self.take_tail() else {
            return;
        };
        let buffer = Bytes::new();
        let ending = Ending::Input(tail.as_ref().map(|tail| lend(tail, &buffer)));
        let outcome = self.decode.finish(ending, &mut events);
        if is_cut {
            self.cut = Some(Box::new(tail.unwrap_or_else(no_data)));
        }
        self.settle_state(outcome, events, None);
    }

    fn end(&mut self, ending: Ending<'_>) {
        let lost = match ending {
            Ending::Lost(error) => Some(error),
            _ => None,
        };
        if matches!(ending, Ending::Settled) && self.cut.is_none() && self.framer.is_cut() {
            let ControlFlow::Continue(tail) = self.take_tail() else {
                return;
            };
            self.cut = Some(Box::new(tail.unwrap_or_else(no_data)));
        }
        let mut events = Events::default();
        let outcome = self.decode.finish(ending, &mut events);
        self.settle_state(outcome, events, lost);
        if let Some(body) = self.body.take() {
            drain(&self.transport, body);
        }
    }

    /// Continues as the decoder decided; `events` are those that it pushed with the decision.
    fn settle_state(
        &mut self,
        mut outcome: Result<Finish>,
        mut events: Events,
        lost: Option<&Error>,
    ) {
        // An end marker is an end even if its blank line is missing.
        if let Ok(Finish::Whole(End::FinishReason) | Finish::WholeAfter(End::FinishReason, _)) =
            outcome
        {
            match self.check_cut() {
                Ok(warning) => events.warnings.extend(warning),
                Err(error) => {
                    events.keep_text();
                    outcome = Err(error);
                }
            }
        }
        self.events.append(events);
        self.note_events();
        match outcome {
            Ok(Finish::Whole(end)) => {
                self.ended = self.waits.elapsed();
                self.state = State::Ended(end);
            }
            Ok(Finish::WholeAfter(end, work)) => {
                self.ended = self.waits.elapsed();
                self.waits.settle(false);
                self.state = State::Closing(end, work);
            }
            Ok(Finish::More(after, asked)) => {
                // The next connection sends the incomplete event again.
                self.cut = None;
                trace::resumed(lost, after);
                self.wait(after, asked);
            }
            Ok(Finish::Late(after, asked)) => {
                self.waits.settle(false);
                self.wait(after, asked);
            }
            Err(error) => self.fail(error),
        }
    }

    fn wait(&mut self, after: Duration, asked: BoxFuture<'static, Result<Body>>) {
        if after.is_zero() {
            self.state = State::Asking(asked);
            return;
        }
        self.waits.own(true);
        self.state = State::Waiting(self.transport.sleep(after), asked);
    }

    /// Records the number of places in the connection's input with replaced invalid UTF-8.
    fn note_replaced(&mut self) {
        self.replaced = self.replaced.max(self.framer.replaced());
    }

    /// Adds to the warnings that invalid UTF-8 was replaced.
    fn report_replaced(&mut self) {
        self.note_replaced();
        let warnings = &mut self.partial.meta.warnings;
        warnings.extend(replaced_warning(self.replaced));
    }

    /// Ends the stream with an error, after all text that came; the connection closes at once.
    fn fail(&mut self, error: Error) {
        self.body = None;
        self.decode.release(&mut self.events);
        self.take_head();
        self.ended = self.waits.elapsed();
        self.state = State::Failed(error);
    }

    /// Takes what is not an event: id, model, logs and warnings.
    fn take_head(&mut self) {
        if self.events.id.is_some() {
            self.partial.id = self.events.id.take();
        }
        if self.events.model.is_some() {
            self.partial.model = self.events.model.take();
        }
        if !self.events.logs.is_empty() {
            let logs = std::mem::take(&mut self.events.logs);
            self.partial.meta.add_logs(&logs);
        }
        self.partial.meta.warnings.append(&mut self.events.warnings);
    }
}

// No field is pinned structurally.
impl<F, D> Unpin for Reader<F, D> {}

impl<F: Framer, D: Decode> EventStream for Reader<F, D> {
    fn poll_event(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        let this = &mut *self;
        this.waits.begin_poll();
        let mut reads = 0;
        // A stream that waits has decoded all bytes that have arrived.
        let mut is_drained = this.waits.is_waiting();
        loop {
            let event = match this.state {
                State::Closing(..) => None,
                _ => this.events.pop(),
            };
            if let Some(event) = event {
                this.size = this.size.saturating_add(event.size());
                if MAX_ANSWER < this.size {
                    this.fail(TooLarge::new("text", MAX_ANSWER).into());
                    this.events = Events::default();
                    continue;
                }
                this.partial.add(&event);
                this.waits.pause();
                return Poll::Ready(Some(Ok(event)));
            }
            if !matches!(this.state, State::Reading) {
                match std::task::ready!(this.poll_state(cx)) {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(outcome) => return Poll::Ready(outcome.map(Err)),
                }
            }
            if !std::mem::take(&mut is_drained) && this.advance() {
                continue;
            }
            if reads == 0 {
                this.waits.resume();
            }
            if reads == READS {
                let expired = std::task::ready!(this.waits.poll_busy(cx));
                this.expire(expired);
            }
            reads += 1;
            if matches!(this.state, State::Reading) && this.poll_read(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn partial(&self) -> &ChatResponse {
        &self.partial
    }

    fn take_partial(mut self: Pin<&mut Self>) -> ChatResponse {
        std::mem::take(&mut self.partial)
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        self.partial.meta.warnings.push(warning);
    }

    fn cancel(mut self: Pin<&mut Self>) -> BoxFuture<'static, Result<()>> {
        self.decode.cancel()
    }
}
