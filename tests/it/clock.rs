//! The clock of a stream: how often it is read, and what a sleep is polled for.

use std::{
    future::Future,
    iter,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use inferstream_core::{
    Body, BoxFuture, ChatEvent, ChatStream, End, ErrorKind, FinishReason, Phase, Result, Timeouts,
    Timer, Transport,
    protocol::{Decode, Ending, Events, Finish, Flow, Started, read_stream},
    sse::{Decoder, Frame},
};

use crate::support::{Piece, Script, block_on, body, poll_once, seconds};

/// A protocol whose frames are text, but for `fin`, after which the input may end.
pub(crate) struct Toy;

impl Decode for Toy {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        if frame.data == "fin" {
            events.push(ChatEvent::finish(0, FinishReason::Stop));
            return Ok(Flow::Settle);
        }
        events.push(ChatEvent::text(0, frame.data));
        Ok(Flow::Continue)
    }

    fn finish(&mut self, _: Ending<'_>, _: &mut Events) -> Result<Finish> {
        Ok(Finish::Whole(End::FinishReason))
    }
}

fn open(script: &Arc<Script>, transport: Arc<dyn Transport>, pieces: Vec<Piece>) -> ChatStream {
    open_with(script, transport, Timeouts::default(), pieces)
}

fn open_with(
    script: &Arc<Script>,
    transport: Arc<dyn Transport>,
    timeouts: Timeouts,
    pieces: Vec<Piece>,
) -> ChatStream {
    let (body, _) = body(&script.clock, pieces);
    let at = transport.now();
    let started = Started::new(transport, at, timeouts, Response::new(body));
    read_stream(started, Decoder::default(), Toy)
}

pub(crate) fn scripted(pieces: Vec<Piece>) -> (Arc<Script>, ChatStream) {
    let script = Script::new([]);
    let stream = open(&script, script.clone(), pieces);
    (script, stream)
}

pub(crate) fn frames(count: usize) -> Piece {
    "data: a\n\n".repeat(count).as_str().into()
}

fn comments(count: usize) -> Vec<Piece> {
    vec![": still here\n\n".into(); count]
}

fn wait(time: u64) -> Piece {
    Piece::Wait(seconds(time))
}

/// Reads to the end or the error; returns how many readings of the clock each poll made.
fn readings(script: &Script, stream: &mut ChatStream) -> Vec<usize> {
    let mut readings = Vec::new();
    loop {
        let next = block_on(&script.clock, async {
            let mut next = pin!(stream.next());
            std::future::poll_fn(|cx| {
                let before = script.readings.load(SeqCst);
                let polled = next.as_mut().poll(cx);
                readings.push(script.readings.load(SeqCst) - before);
                polled
            })
            .await
        });
        if !matches!(next, Some(Ok(_))) {
            return readings;
        }
    }
}

#[test]
fn a_poll_reads_the_clock_at_most_once() {
    let fin = || Piece::from("data: fin\n\n");
    let late = vec![frames(1), fin(), wait(1), frames(1), wait(1), fin()];
    let streams: [Vec<Piece>; 7] = [
        vec![frames(1), fin()],
        [
            vec![frames(1)],
            comments(100),
            vec![wait(1), frames(3), fin()],
        ]
        .concat(),
        vec![Piece::Hang],
        vec![frames(1), Piece::Hang],
        vec![frames(1), fin(), Piece::Hang],
        vec![frames(1), wait(119), frames(2), wait(119), frames(1)],
        late,
    ];
    for pieces in streams {
        let (script, mut stream) = scripted(pieces.clone());
        let readings = readings(&script, &mut stream);
        assert!(
            readings.iter().all(|count| *count <= 1),
            "{readings:?} {pieces:?}"
        );
    }
}

#[test]
fn events_of_one_read_need_no_more_readings() {
    let (script, mut stream) = scripted(vec![frames(50), wait(1), frames(50)]);
    let readings = readings(&script, &mut stream);
    assert_eq!(readings.len(), 102, "an event each, a wait, and the end");
    assert_eq!(readings.iter().sum::<usize>(), 3);
}

#[test]
fn an_event_that_ends_a_wait_needs_no_reading() {
    let waits = (0..10).flat_map(|_| [wait(1), frames(1)]);
    let pieces = iter::once(frames(1)).chain(waits).collect();
    let (script, mut stream) = scripted(pieces);
    let readings = readings(&script, &mut stream);
    let (first, rest) = readings.split_first().unwrap();
    let (end, rest) = rest.split_last().unwrap();
    assert_eq!((*first, rest, *end), (1, &*[1, 0].repeat(10), 1));
}

#[test]
fn waits_count_in_full_if_no_event_ends_them() {
    let comment = || ": still here\n\n".into();
    let waits = || [wait(100), comment(), wait(100), comment(), wait(90)];
    let timeouts = Timeouts::default().progress(seconds(300));
    for (more, is_over) in [(0, false), (11, true)] {
        let mut pieces = vec![frames(1)];
        pieces.extend(waits());
        pieces.extend([comment(), wait(more), frames(1)]);
        let script = Script::new([]);
        let mut stream = open_with(&script, script.clone(), timeouts, pieces);
        block_on(&script.clock, stream.next()).unwrap().unwrap();
        // The caller's own time is not a wait.
        script.clock.advance(seconds(1000));
        let outcome = block_on(&script.clock, stream.next()).unwrap();
        let error = outcome.err().map(|error| error.kind());
        let expected = is_over.then_some(ErrorKind::Timeout(Phase::Progress));
        assert_eq!(error, expected, "{more}");
    }
}

#[test]
fn a_sleep_is_not_polled_while_it_cannot_have_ended() {
    let pieces = (0..1000).flat_map(|_| [wait(1), frames(1)]).collect();
    let (script, stream) = scripted(pieces);
    block_on(&script.clock, stream.finish()).unwrap();
    let sleeps = script.sleeps.lock().unwrap().len();
    // 1000 s of timeouts of 120 s; each sleep is polled when it is new, and when it is due.
    assert!(sleeps <= 10, "{sleeps}");
    let polls = script.sleep_polls.load(SeqCst);
    assert!(polls <= 4 * sleeps, "{polls} for {sleeps}");
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn a_timeout_wakes_the_task_that_polled_last() {
    let (script, mut stream) = scripted(vec![frames(1), Piece::Hang]);
    block_on(&script.clock, stream.next()).unwrap().unwrap();
    let tasks: [Arc<Flag>; 3] = Default::default();
    for task in &tasks {
        let waker = Waker::from(Arc::clone(task));
        let mut next = pin!(stream.next());
        assert!(
            next.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    script.clock.advance(seconds(120));
    assert!(tasks[2].0.load(SeqCst));
    let error = block_on(&script.clock, stream.next()).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Idle));
}

/// A transport whose sleeps end earlier than they promise.
#[derive(Debug)]
struct Early(Arc<Script>, fn(Duration) -> Duration);

impl Transport for Early {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        self.0.send(request)
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.0.detach(task);
    }
}

impl Timer for Early {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep((self.1)(duration))
    }

    fn system_time(&self) -> SystemTime {
        self.0.system_time()
    }
}

#[test]
fn a_timer_that_ends_early_makes_no_timeout_early_or_late() {
    let earlier: [fn(Duration) -> Duration; 3] = [
        |time| time.saturating_sub((time / 2).min(Duration::from_nanos(1))),
        |time| time.saturating_sub((time / 2).min(Duration::from_millis(1))),
        |time| time.saturating_sub((time / 2).min(seconds(1))),
    ];
    for earlier in earlier {
        let script = Script::new([]);
        let transport = Arc::new(Early(Arc::clone(&script), earlier));
        let mut stream = open(&script, transport, vec![frames(1), Piece::Hang]);
        block_on(&script.clock, stream.next()).unwrap().unwrap();
        let error = block_on(&script.clock, stream.next()).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Idle));
        assert_eq!(script.clock.elapsed(), seconds(120));
    }
}

#[test]
fn a_timer_that_cannot_sleep_blocks_no_thread() {
    let script = Script::new([]);
    let transport = Arc::new(Early(Arc::clone(&script), |_| Duration::ZERO));
    let mut stream = open(&script, transport, vec![Piece::Hang]);
    assert!(matches!(poll_once(stream.next()), (Poll::Pending, true)));
    script.clock.advance(seconds(120));
    assert!(poll_once(stream.next()).0.is_ready());
}
