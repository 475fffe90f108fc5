//! Background work that a complete response waits for, with a protocol that ends at its first
//! finish reason.

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    task::Poll,
};

use http::Response;
use inferstream_core::{
    BoxFuture, ChatEvent, ChatStream, End, ErrorKind, FinishReason, Result, Timeouts, Transport,
    protocol::{Decode, Ending, Events, Finish, Flow, Started, read_stream},
    sse::{Decoder, Frame},
};

use crate::support::{Piece, Script, block_on, body, poll_once, seconds};

type Work = BoxFuture<'static, Vec<String>>;

struct Toy(Option<Work>);

impl Decode for Toy {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        match frame.data {
            "[DONE]" => return Ok(Flow::End),
            "fin" => return Ok(Flow::Settle),
            text => events.push(ChatEvent::text(0, text)),
        }
        Ok(Flow::Continue)
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        let end = match ending {
            Ending::Announced => End::Marker,
            _ => End::FinishReason,
        };
        events.push(ChatEvent::finish(0, FinishReason::Stop));
        Ok(Finish::WholeAfter(end, self.0.take().unwrap()))
    }
}

struct Opened {
    script: Arc<Script>,
    stream: ChatStream,
}

fn open(pieces: Vec<Piece>, work: Work) -> Opened {
    let script = Script::new([]);
    let (body, _) = body(&script.clock, pieces);
    let transport: Arc<dyn Transport> = script.clone();
    let at = transport.now();
    let timeouts = Timeouts::default();
    let started = Started::new(transport, at, timeouts, Response::new(body));
    Opened {
        stream: read_stream(started, Decoder::default(), Toy(Some(work))),
        script,
    }
}

/// Returns work that completes at its second poll, and the number of its polls.
fn work() -> (Work, Arc<AtomicU32>) {
    let polls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&polls);
    let work = poll_fn(move |cx| {
        if counted.fetch_add(1, SeqCst) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(vec!["it is saved".to_owned()])
    });
    (Box::pin(work), polls)
}

#[test]
fn the_last_events_come_after_the_work() {
    let (work, polls) = work();
    let mut opened = open(vec!["data: a\n\ndata: [DONE]\n\n".into()], work);
    let clock = opened.script.clock.clone();
    let text = block_on(&clock, opened.stream.next()).unwrap().unwrap();
    assert!(matches!(text, ChatEvent::Text { .. }));
    assert_eq!(polls.load(SeqCst), 0);
    assert!(poll_once(opened.stream.next()).0.is_pending());
    assert_eq!(polls.load(SeqCst), 1);
    let last = block_on(&clock, opened.stream.next()).unwrap().unwrap();
    assert!(matches!(last, ChatEvent::Finish { .. }));
    assert_eq!(polls.load(SeqCst), 2);
    assert_eq!(opened.stream.meta().warnings, ["it is saved"]);
    assert!(block_on(&clock, opened.stream.next()).is_none());
    assert_eq!(opened.stream.partial().end, Some(End::Marker));
}

#[test]
fn work_that_hangs_is_dropped_after_2_s() {
    for stream in ["data: a\n\ndata: [DONE]\n\n", "data: a\n\ndata: fin\n\n"] {
        let opened = open(vec![stream.into()], Box::pin(pending()));
        let response = block_on(&opened.script.clock, opened.stream.finish()).unwrap();
        assert_eq!(response.text(), "a");
        assert_eq!(opened.script.clock.elapsed(), seconds(2));
        // The wait is not part of the response's time.
        assert_eq!(response.meta.time_to_end, Some(seconds(0)));
    }
}

#[test]
fn a_truncated_response_does_not_wait_for_the_work() {
    let (work, polls) = work();
    let stream = "data: a\n\ndata: fin\n\ndata: b";
    let opened = open(vec![stream.into()], work);
    let error = block_on(&opened.script.clock, opened.stream.finish()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(polls.load(SeqCst), 0);
}
