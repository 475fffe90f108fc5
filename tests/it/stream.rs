//! Streamed responses over a toy protocol: events, endings and cancellation.

use std::{sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderValue, Response, StatusCode};
use inferstream_core::{
    Body, ChatEvent, ChatResponse, ChatStream, End, Error, ErrorKind, FinishReason, Result,
    TextStream, Timeouts, Timer, Transport, Usage,
    protocol::{Decode, Ending, Events, Finish, Flow, Started, read_stream},
    sse::{Decoder, Frame, Limits},
};

use proptest::{collection::vec, prelude::*};

use crate::support::{Clock, Piece, Script, Watch, block_on, body, poll_once, seconds};

/// A protocol whose words are events: `fin` finishes, `[DONE]` ends, `err` fails, `void` is an
/// empty chunk, `late:x` is emitted at the end, `a+b` is two texts, and `a+err` fails after one.
#[derive(Default)]
struct Toy {
    finished: bool,
    late: Option<String>,
}

impl Decode for Toy {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        for word in frame.data.split('+') {
            match word {
                "void" => {}
                "[DONE]" => return Ok(Flow::End),
                "err" => return Err(Error::protocol("the word is `err`")),
                "reason" => events.push(ChatEvent::reasoning(0, word)),
                "other" => events.push(ChatEvent::text(1, word)),
                "usage" => events.push(ChatEvent::usage(Usage::default())),
                "model" => events.model = Some(word.to_owned()),
                "fin" => {
                    self.finished = true;
                    events.push(ChatEvent::finish(0, FinishReason::Stop));
                    return Ok(Flow::Settle);
                }
                _ => match word.strip_prefix("late:") {
                    Some(late) => self.late = Some(late.to_owned()),
                    None => events.push(ChatEvent::text(0, word)),
                },
            }
        }
        Ok(Flow::Continue)
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        if let Some(late) = self.late.take() {
            events.push(ChatEvent::text(0, late));
        }
        match ending {
            Ending::Announced => Ok(Finish::Whole(End::Marker)),
            Ending::Input(Some(tail)) if tail.data == "[DONE]" => Ok(Finish::Whole(End::Marker)),
            Ending::Lost(error) => Err(error.clone()),
            _ if self.finished => Ok(Finish::Whole(End::FinishReason)),
            _ => Err(Error::new(ErrorKind::Truncated, "the response was cut off")),
        }
    }
}

/// The words of a stream, one frame each.
fn frames(words: &str) -> Piece {
    let frames: String = words
        .split_whitespace()
        .flat_map(|word| ["data: ", word, "\n\n"])
        .collect();
    Piece::Bytes(frames.into())
}

fn comment() -> Piece {
    ": still here\n\n".into()
}

fn wait(time: u64) -> Piece {
    Piece::Wait(seconds(time))
}

fn lost() -> Piece {
    Error::new(ErrorKind::Disconnected, "the connection was lost").into()
}

/// The fragments, repeated.
fn again(count: usize, pieces: &[Piece]) -> Vec<Piece> {
    pieces
        .iter()
        .cloned()
        .cycle()
        .take(count * pieces.len())
        .collect()
}

/// A stream and its scripted transport.
struct Opened {
    stream: ChatStream,
    script: Arc<Script>,
    watch: Watch,
}

fn open<I>(timeouts: Timeouts, pieces: I) -> Opened
where
    I: IntoIterator<Item = Piece>,
    I::IntoIter: Send + 'static,
{
    let script = Script::new([]);
    let (body, watch) = body(&script.clock, pieces);
    let mut response = Response::new(body);
    let id = HeaderValue::from_static("r-1");
    response.headers_mut().insert("x-request-id", id);
    let transport: Arc<dyn Transport> = Arc::clone(&script) as _;
    let mut started = Started::new(transport, script.now(), timeouts, response);
    started.meta.attempts = 2;
    Opened {
        stream: read_stream(
            started,
            Decoder::new(Limits::default().line(64)),
            Toy::default(),
        ),
        script,
        watch,
    }
}

impl Opened {
    fn next(&mut self) -> Option<Result<ChatEvent>> {
        block_on(&self.script.clock, self.stream.next())
    }

    /// Takes an event, which must be this word.
    #[track_caller]
    fn expect(&mut self, word: &str) {
        assert_eq!(show(&self.next().unwrap().unwrap()), word);
    }
}

fn show(event: &ChatEvent) -> String {
    match event {
        ChatEvent::Text { text, .. } | ChatEvent::Reasoning { text, .. } => text.to_string(),
        ChatEvent::Finish { .. } => "fin".to_owned(),
        ChatEvent::Usage { .. } => "usage".to_owned(),
        other => panic!("a toy makes no {other:?}"),
    }
}

fn show_error(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Timeout(phase) => format!("!timeout/{phase}"),
        kind => format!("!{kind}"),
    }
}

/// Checks the events of a stream, how it ends, and when, in seconds of the clock.
#[track_caller]
fn check_with(timeouts: Timeouts, pieces: Vec<Piece>, expected: &str, at: u64) {
    let mut opened = open(timeouts, pieces);
    let mut seen = Vec::new();
    let mut sum = ChatResponse::default();
    let end = loop {
        match opened.next() {
            None => {
                let end = opened.stream.partial().end;
                break format!("{:?}", end.expect("the reason of the end"));
            }
            Some(Ok(event)) => {
                seen.push(show(&event));
                sum.add(&event);
                assert_eq!(opened.stream.partial().choices, sum.choices);
            }
            Some(Err(error)) => {
                assert_eq!(error.partial().unwrap().choices, sum.choices);
                assert_eq!(error.attempts(), 2);
                assert_eq!(error.status(), Some(StatusCode::OK));
                assert_eq!(error.request_id(), Some("r-1"));
                assert!(opened.watch.dropped(), "an error closes the connection");
                assert_eq!(opened.stream.partial().end, None);
                break show_error(&error);
            }
        }
    };
    seen.push(end);
    assert_eq!(seen.join(" "), expected);
    assert_eq!(
        opened.script.clock.elapsed(),
        seconds(at),
        "the time of the end"
    );
    for _ in 0..3 {
        assert!(opened.next().is_none(), "nothing follows the end");
    }
    assert_eq!(opened.stream.partial().choices, sum.choices);
}

#[track_caller]
fn check<const N: usize>(pieces: [Piece; N], expected: &str, at: u64) {
    check_with(Timeouts::default(), pieces.into(), expected, at);
}

// The end.

#[test]
fn an_announced_end_is_a_success() {
    check([frames("a b fin [DONE]")], "a b fin Marker", 0);
    check([frames("a [DONE]"), Piece::Hang], "a Marker", 0);
}

#[test]
fn an_input_that_ends_after_a_finish_reason_is_a_success() {
    check([frames("a fin")], "a fin FinishReason", 0);
}

#[test]
fn an_input_that_ends_without_an_end_is_truncated() {
    check([frames("a b")], "a b !truncated", 0);
    check([], "!truncated", 0);
    check([comment()], "!truncated", 0);
}

#[test]
fn an_incomplete_frame_is_not_delivered() {
    check([frames("a"), "data: b".into()], "a !truncated", 0);
    check([frames("a"), "data: b\n".into()], "a !truncated", 0);
    check([frames("a"), "data: fin\n".into()], "a !truncated", 0);
}

#[test]
fn an_end_marker_without_its_blank_line_is_an_end() {
    check([frames("a"), "data: [DONE]".into()], "a Marker", 0);
}

#[test]
fn an_end_marker_with_only_its_line_end_is_an_end() {
    check([frames("a"), "data: [DONE]\n".into()], "a Marker", 0);
}

#[test]
fn data_after_the_end_is_dropped() {
    check([frames("a [DONE] b err [DONE]"), lost()], "a Marker", 0);
}

#[test]
fn a_connection_lost_before_the_end_is_truncated() {
    check([frames("a"), lost()], "a !truncated", 0);
    check([lost()], "!truncated", 0);
}

#[test]
fn a_connection_lost_after_a_finish_reason_is_truncated() {
    check([frames("a fin"), lost()], "a fin !truncated", 0);
}

#[test]
fn a_connection_lost_after_the_end_is_not_an_error() {
    check([frames("a fin [DONE]"), lost()], "a fin Marker", 0);
}

#[test]
fn another_error_of_the_body_keeps_its_kind() {
    check(
        [frames("a"), Error::protocol("chunk size").into()],
        "a !protocol",
        0,
    );
}

#[test]
fn an_error_of_the_decoder_is_the_last_item() {
    check([frames("a err b fin [DONE]")], "a !protocol", 0);
}

#[test]
fn events_before_an_error_come_first() {
    check([frames("a b+c+err")], "a b c !protocol", 0);
}

#[test]
fn a_size_limit_is_an_error_after_the_complete_frames() {
    let long = format!("data: {}\n\n", "x".repeat(64));
    check(
        [frames("a b"), Piece::from(long.as_str()), frames("fin")],
        "a b !too_large",
        0,
    );
}

#[test]
fn held_back_events_come_before_the_end() {
    check([frames("late:z a [DONE]")], "a z Marker", 0);
    check([frames("late:z a fin")], "a fin z FinishReason", 0);
    check([frames("late:z a")], "a z !truncated", 0);
}

#[test]
fn all_kinds_of_events_are_in_order() {
    check(
        [frames("reason a+reason other usage fin [DONE]")],
        "reason a reason other usage fin Marker",
        0,
    );
}

#[test]
fn a_lost_connection_is_the_cause_of_the_error() {
    let mut opened = open(Timeouts::default(), [frames("a"), lost()]);
    opened.expect("a");
    let error = opened.next().unwrap().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "the connection was lost");
    assert!(error.is_retryable());
}

// Time.

#[test]
fn the_first_event_has_its_timeout() {
    check([Piece::Hang], "!timeout/first_event", 120);
    check([wait(119), frames("a [DONE]")], "a Marker", 119);
    check([wait(121), frames("a [DONE]")], "!timeout/first_event", 120);
}

#[test]
fn comments_and_incomplete_frames_are_not_a_first_event() {
    check(
        [wait(60), comment(), wait(50), comment(), Piece::Hang],
        "!timeout/first_event",
        120,
    );
    check(
        [wait(60), frames("void"), Piece::Hang],
        "!timeout/first_event",
        120,
    );
    check(
        [wait(60), "data: a\n".into(), Piece::Hang],
        "!timeout/first_event",
        120,
    );
}

#[test]
fn before_the_first_event_no_other_timeout_applies() {
    let timeouts = Timeouts::default().first_event(seconds(500));
    let pieces = vec![wait(400), frames("a [DONE]")];
    check_with(timeouts, pieces, "a Marker", 400);
    let mut pieces = again(40, &[wait(10), comment()]);
    pieces.push(frames("a [DONE]"));
    check_with(timeouts, pieces, "a Marker", 400);
}

#[test]
fn silence_after_an_event_has_its_timeout() {
    check([frames("a"), Piece::Hang], "a !timeout/idle", 120);
    check(
        [wait(100), frames("a"), wait(119), frames("b [DONE]")],
        "a b Marker",
        219,
    );
    check(
        [wait(100), frames("a"), wait(121), frames("b [DONE]")],
        "a !timeout/idle",
        220,
    );
    check(
        [frames("a"), "data: b".into(), Piece::Hang],
        "a !timeout/idle",
        120,
    );
}

#[test]
fn any_byte_ends_a_silence() {
    check(
        [frames("a"), wait(100), comment(), Piece::Hang],
        "a !timeout/idle",
        220,
    );
    check(
        [frames("a"), wait(100), "d".into(), Piece::Hang],
        "a !timeout/idle",
        220,
    );
    check(
        [frames("a"), wait(100), frames("void"), Piece::Hang],
        "a !timeout/idle",
        220,
    );
}

#[test]
fn bytes_without_events_have_their_timeout() {
    for piece in [comment(), frames("void"), "d".into()] {
        let mut pieces = vec![frames("a")];
        pieces.extend(again(100, &[wait(10), piece]));
        let limits = Timeouts::default();
        // A line of 64 bytes is enough for half a frame.
        check_with(limits, pieces, "a !timeout/progress", 300);
    }
}

#[test]
fn any_event_is_progress() {
    let words = ["x", "reason", "usage", "other"];
    for word in words {
        let mut pieces = again(10, &[wait(119), comment(), wait(119), frames(word)]);
        pieces.push(frames("[DONE]"));
        let seen = format!("{} Marker", [word; 10].join(" "));
        check_with(Timeouts::default().first_event(None), pieces, &seen, 2380);
    }
}

#[test]
fn a_timeout_can_be_turned_off() {
    let pieces = vec![
        wait(1 << 20),
        frames("a"),
        wait(1 << 20),
        frames("b [DONE]"),
    ];
    check_with(Timeouts::none(), pieces, "a b Marker", 2 << 20);
}

#[test]
fn without_a_first_event_timeout_the_others_apply_from_the_headers() {
    let timeouts = Timeouts::default().first_event(None);
    check_with(timeouts, vec![Piece::Hang], "!timeout/idle", 120);
    check_with(
        timeouts,
        again(100, &[wait(10), comment()]),
        "!timeout/progress",
        300,
    );
}

#[test]
fn the_total_timeout_counts_from_the_start() {
    let timeouts = Timeouts::default().total(seconds(25));
    check_with(
        timeouts,
        again(9, &[wait(10), frames("a")]),
        "a a !timeout/total",
        25,
    );
    check_with(timeouts, vec![wait(24), frames("a [DONE]")], "a Marker", 24);
}

#[test]
fn very_long_timeouts_never_expire() {
    let timeouts = Timeouts::none()
        .first_event(Duration::MAX)
        .idle(Duration::MAX)
        .progress(Duration::MAX)
        .total(Duration::MAX);
    let pieces = vec![
        wait(1),
        frames("a"),
        wait(1),
        comment(),
        wait(1),
        frames("fin"),
    ];
    check_with(timeouts, pieces, "a fin FinishReason", 3);
}

#[test]
fn timeouts_of_zero_end_the_first_wait() {
    let timeouts = Timeouts::default().first_event(Duration::ZERO);
    check_with(timeouts, vec![frames("a [DONE]")], "a Marker", 0);
    check_with(
        timeouts,
        vec![wait(1), frames("a [DONE]")],
        "!timeout/first_event",
        0,
    );
}

#[test]
fn after_a_finish_reason_the_rest_may_take_two_seconds() {
    check([frames("a fin"), Piece::Hang], "a fin FinishReason", 2);
    check(
        [frames("a fin"), wait(1), frames("usage [DONE]")],
        "a fin usage Marker",
        1,
    );
    check(
        [wait(5), frames("a fin"), wait(3), frames("usage [DONE]")],
        "a fin FinishReason",
        7,
    );
}

#[test]
fn nothing_extends_the_two_seconds() {
    let mut pieces = vec![frames("fin")];
    pieces.extend(again(
        100,
        &[Piece::Wait(Duration::from_millis(500)), comment()],
    ));
    check_with(Timeouts::default(), pieces, "fin FinishReason", 2);
    check(
        [frames("fin"), wait(1), frames("fin"), Piece::Hang],
        "fin fin FinishReason",
        2,
    );
}

#[test]
fn held_back_events_come_after_the_two_seconds() {
    check([frames("late:z fin"), Piece::Hang], "fin z FinishReason", 2);
}

#[test]
fn no_timeout_runs_while_the_caller_holds_the_stream() {
    let words = again(20, &[frames("a")]);
    let mut opened = open(Timeouts::default(), words);
    for _ in 0..20 {
        opened.script.clock.advance(seconds(3600));
        opened.expect("a");
    }
}

#[test]
fn an_hour_held_after_a_wait_does_not_count_as_silence() {
    let pieces = [wait(10), frames("a"), wait(10), frames("b [DONE]")];
    let mut opened = open(Timeouts::default(), pieces);
    for word in ["a", "b"] {
        let (poll, _) = poll_once(opened.stream.next());
        assert!(poll.is_pending());
        opened.script.clock.advance(seconds(3600));
        opened.expect(word);
        opened.script.clock.advance(seconds(3600));
    }
    assert!(opened.next().is_none());
}

#[test]
fn an_hour_held_after_a_wait_does_not_count_against_progress() {
    let pieces = [
        frames("a"),
        wait(10),
        comment(),
        wait(1),
        frames("b [DONE]"),
    ];
    let mut opened = open(Timeouts::default(), pieces);
    opened.expect("a");
    assert!(poll_once(opened.stream.next()).0.is_pending());
    opened.script.clock.advance(seconds(3600));
    opened.expect("b");
}

#[test]
fn an_hour_held_after_a_wait_does_not_count_against_the_first_event() {
    let pieces = [wait(10), comment(), wait(1), frames("a [DONE]")];
    let mut opened = open(Timeouts::default(), pieces);
    assert!(poll_once(opened.stream.next()).0.is_pending());
    opened.script.clock.advance(seconds(3600));
    opened.expect("a");
}

#[test]
fn a_new_wait_starts_at_its_own_poll() {
    let mut opened = open(Timeouts::default(), [frames("a"), Piece::Hang]);
    opened.expect("a");
    opened.script.clock.advance(seconds(3600));
    let error = opened.next().unwrap().unwrap_err();
    assert_eq!(show_error(&error), "!timeout/idle");
    assert_eq!(opened.script.clock.elapsed(), seconds(3720));
}

#[test]
fn an_endless_flood_of_comments_ends() {
    // The body is always ready, but a second passes with each comment.
    let flood = again(2000, &[Piece::Pass(seconds(1)), comment()]);
    let pieces = [frames("a")].into_iter().chain(flood);
    let mut opened = open(Timeouts::default(), pieces);
    opened.expect("a");
    let error = opened.next().unwrap().unwrap_err();
    assert_eq!(show_error(&error), "!timeout/progress");
}

#[test]
fn a_flood_of_comments_yields_to_other_tasks() {
    let mut opened = open(Timeouts::default(), again(10_000, &[comment()]));
    let (poll, woken) = poll_once(opened.stream.next());
    assert!(poll.is_pending());
    assert!(woken, "the stream wakes its task");
    assert!(opened.watch.polls() < 1000);
    assert!(opened.next().unwrap().is_err());
}

#[test]
fn ten_thousand_events_start_few_sleeps() {
    let mut pieces = again(
        10_000,
        &[Piece::Wait(Duration::from_millis(10)), frames("a")],
    );
    pieces.push(frames("[DONE]"));
    let mut opened = open(Timeouts::default(), pieces);
    let mut events = 0;
    while let Some(event) = opened.next() {
        event.unwrap();
        events += 1;
    }
    assert_eq!(events, 10_000);
    let sleeps = opened.script.sleeps.lock().unwrap().len();
    assert!(sleeps <= 5, "{sleeps} sleeps for 100 seconds");
}

#[test]
fn available_bytes_start_no_sleep() {
    let mut opened = open(Timeouts::default(), again(1000, &[frames("a")]));
    for _ in 0..1000 {
        opened.expect("a");
    }
    assert!(opened.script.sleeps.lock().unwrap().is_empty());
}

// What a caller may do.

#[test]
fn dropping_next_loses_nothing() {
    let pieces = [
        wait(1),
        "data: a\n".into(),
        wait(1),
        "\ndata: b+c\n\n".into(),
        wait(1),
        frames("fin [DONE]"),
    ];
    let mut opened = open(Timeouts::default(), pieces);
    let mut seen = Vec::new();
    loop {
        match poll_once(opened.stream.next()).0 {
            Poll::Pending => opened.script.clock.advance(Duration::from_millis(300)),
            Poll::Ready(None) => break,
            Poll::Ready(Some(event)) => seen.push(show(&event.unwrap())),
        }
    }
    assert_eq!(seen, ["a", "b", "c", "fin"]);
}

#[test]
fn dropping_the_stream_closes_the_connection_at_any_event() {
    for taken in 0..5 {
        let pieces = again(5, &[frames("a"), wait(1)]);
        let mut opened = open(Timeouts::default(), pieces);
        for _ in 0..taken {
            opened.expect("a");
        }
        assert!(!opened.watch.dropped());
        drop(opened.stream);
        assert!(opened.watch.dropped(), "after {taken}");
        assert_eq!(opened.script.run_tasks(), 0);
    }
}

#[test]
fn nothing_is_read_ahead() {
    let mut opened = open(Timeouts::default(), again(10, &[frames("a b")]));
    assert_eq!(opened.watch.polls(), 0);
    opened.expect("a");
    opened.expect("b");
    assert_eq!(opened.watch.polls(), 1);
}

#[test]
fn the_text_view_skips_other_events() {
    let mut opened = open(
        Timeouts::default(),
        [frames("reason a other usage b fin [DONE]")],
    );
    let mut texts = Vec::new();
    while let Some(text) = block_on(&opened.script.clock, opened.stream.text().next()) {
        texts.push(text.unwrap().to_string());
    }
    assert_eq!(texts, ["a", "b"]);
    let partial = opened.stream.partial();
    assert_eq!((partial.text(), partial.reasoning()), ("ab", "reason"));
    assert_eq!(partial.choices[1].text, "other");
}

#[test]
fn the_text_of_a_choice_is_read_by_its_index() {
    let mut opened = open(Timeouts::default(), [frames("a other b other err")]);
    let mut said = Vec::new();
    let error = loop {
        match block_on(&opened.script.clock, opened.stream.text_of(1).next()).unwrap() {
            Ok(text) => said.push((text.to_string(), opened.stream.partial().text().to_owned())),
            Err(error) => break error,
        }
    };
    let pair = |before: &str| ("other".to_owned(), before.to_owned());
    assert_eq!(
        said,
        [pair("a"), pair("ab")],
        "skipped text is kept in `partial`"
    );
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[test]
fn the_text_view_returns_the_error() {
    let mut opened = open(Timeouts::default(), [frames("a")]);
    let clock = opened.script.clock.clone();
    let mut texts = opened.stream.text();
    assert_eq!(block_on(&clock, texts.next()).unwrap().unwrap(), "a");
    let error = block_on(&clock, texts.next()).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(block_on(&clock, texts.next()).is_none());
}

#[test]
fn finish_returns_the_complete_response() {
    let mut opened = open(
        Timeouts::default(),
        [frames("model a"), wait(9), frames("b usage fin [DONE]")],
    );
    opened.expect("a");
    let response = block_on(&opened.script.clock, opened.stream.finish()).unwrap();
    assert_eq!(response.text(), "ab");
    assert_eq!(response.model.as_deref(), Some("model"));
    assert_eq!(response.finish_reason(), Some(&FinishReason::Stop));
    assert_eq!(
        (response.usage, response.end),
        (Some(Usage::default()), Some(End::Marker))
    );
}

#[test]
fn finish_returns_the_error_with_the_partial_response() {
    let opened = open(Timeouts::default(), [frames("a b")]);
    let error = block_on(&opened.script.clock, opened.stream.finish()).unwrap_err();
    assert_eq!(error.partial().unwrap().text(), "ab");
}

#[test]
fn finish_returns_the_error_again() {
    let mut opened = open(Timeouts::default(), [frames("a")]);
    opened.expect("a");
    assert!(opened.next().unwrap().is_err());
    let error = block_on(&opened.script.clock, opened.stream.finish()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(error.partial().unwrap().text(), "a");
}

#[test]
fn finish_after_the_end_returns_the_response() {
    let mut opened = open(Timeouts::default(), [frames("a fin [DONE]")]);
    while opened.next().is_some() {}
    let response = block_on(&opened.script.clock, opened.stream.finish()).unwrap();
    assert_eq!((response.text(), response.end), ("a", Some(End::Marker)));
}

#[test]
fn cancel_closes_the_connection_and_returns_the_partial_response() {
    let mut opened = open(Timeouts::default(), [frames("a b"), Piece::Hang]);
    opened.expect("a");
    let response = block_on(&opened.script.clock, opened.stream.cancel()).unwrap();
    assert_eq!((response.text(), response.end), ("a", None));
    assert!(opened.watch.dropped());
}

#[test]
fn a_stream_has_metadata() {
    let mut opened = open(Timeouts::default(), [comment(), wait(3), frames("a")]);
    assert_eq!(opened.stream.meta().request_id(), Some("r-1"));
    assert_eq!(opened.stream.meta().time_to_first_event, None);
    opened.expect("a");
    assert_eq!(opened.stream.meta().time_to_first_event, Some(seconds(3)));
    assert_eq!(opened.stream.meta().attempts, 2);
}

#[test]
fn the_time_to_the_end_is_known_after_the_last_event() {
    let mut opened = open(
        Timeouts::default(),
        [frames("a"), wait(3), frames("b fin [DONE]")],
    );
    for word in ["a", "b", "fin"] {
        opened.expect(word);
        assert_eq!(opened.stream.meta().time_to_end, None);
    }
    assert!(opened.next().is_none());
    assert_eq!(opened.stream.meta().time_to_end, Some(seconds(3)));
}

#[test]
fn the_time_to_the_end_is_when_the_end_was_read() {
    let mut opened = open(Timeouts::default(), [wait(1), frames("a+b")]);
    opened.expect("a");
    opened.script.clock.advance(seconds(5));
    opened.expect("b");
    assert!(opened.next().unwrap().is_err());
    assert_eq!(opened.stream.meta().time_to_end, Some(seconds(6)));

    // The end was read together with the events, which the caller processed slowly.
    let mut opened = open(Timeouts::default(), [wait(1), frames("a+err")]);
    opened.expect("a");
    opened.script.clock.advance(seconds(5));
    assert!(opened.next().unwrap().is_err());
    assert_eq!(opened.stream.meta().time_to_end, Some(seconds(1)));
}

#[test]
fn an_error_has_the_time_to_it() {
    let opened = open(Timeouts::default(), [wait(1), frames("a"), wait(4), lost()]);
    let error = block_on(&opened.script.clock, opened.stream.finish()).unwrap_err();
    let meta = &error.partial().unwrap().meta;
    assert_eq!(meta.time_to_first_event, Some(seconds(1)));
    assert_eq!(meta.time_to_end, Some(seconds(5)));
    assert_eq!((meta.attempts, meta.request_id()), (2, Some("r-1")));
}

#[test]
fn the_wait_for_a_missing_end_marker_is_not_part_of_the_time() {
    for rest in [vec![Piece::Hang], vec![wait(1), comment(), Piece::Hang]] {
        let pieces = [wait(1), frames("a fin")].into_iter().chain(rest);
        let opened = open(Timeouts::default(), pieces.collect::<Vec<_>>());
        let response = block_on(&opened.script.clock, opened.stream.finish()).unwrap();
        assert_eq!(opened.script.clock.elapsed(), seconds(3));
        assert_eq!(response.meta.time_to_end, Some(seconds(1)));
    }
}

#[test]
fn the_time_to_the_headers_counts_from_the_start() {
    let script = Script::new([]);
    let start = script.now();
    script.clock.advance(seconds(4));
    let response = Response::new(Body::from("data: a\n\n"));
    let started = Started::new(script, start, Timeouts::default(), response);
    assert_eq!(started.meta.time_to_head, seconds(4));
}

// The rest of the connection.

#[test]
fn a_body_at_its_end_is_polled_once_more() {
    let mut opened = open(Timeouts::default(), [frames("a [DONE]")]);
    opened.expect("a");
    assert!(opened.next().is_none());
    assert_eq!(opened.watch.polls(), 2);
    assert!(opened.watch.dropped());
    assert_eq!(opened.script.run_tasks(), 0);
}

#[test]
fn the_rest_of_a_body_is_read_in_the_background() {
    let rest = [
        frames("a [DONE]"),
        Piece::Wait(Duration::from_millis(20)),
        comment(),
    ];
    let mut opened = open(Timeouts::default(), rest);
    opened.expect("a");
    assert!(opened.next().is_none());
    assert!(!opened.watch.dropped());
    drop(opened.stream);
    assert_eq!(opened.script.run_tasks(), 1);
    assert!(opened.watch.dropped());
    assert_eq!(opened.script.clock.elapsed(), Duration::from_millis(20));
}

#[test]
fn the_rest_of_a_body_is_read_for_fifty_milliseconds() {
    let mut opened = open(Timeouts::default(), [frames("a [DONE]"), Piece::Hang]);
    opened.expect("a");
    assert!(opened.next().is_none());
    assert_eq!(opened.script.run_tasks(), 1);
    assert!(opened.watch.dropped());
    assert_eq!(opened.script.clock.elapsed(), Duration::from_millis(50));
}

#[test]
fn the_rest_of_a_body_is_read_up_to_64_kib() {
    let kib = Piece::Bytes(Bytes::from(vec![b'x'; 1 << 10]));
    let pieces = std::iter::once(frames("a [DONE]")).chain(std::iter::repeat(kib));
    let mut opened = open(Timeouts::default(), pieces);
    opened.expect("a");
    let before = opened.watch.bytes();
    assert!(opened.next().is_none());
    assert_eq!(opened.script.run_tasks(), 1);
    assert!(opened.watch.dropped());
    // The fragment that exceeds the limit is read, and the one of the first poll.
    let read = opened.watch.bytes() - before;
    assert!(read <= (64 << 10) + (2 << 10), "{read} bytes");
}

#[test]
fn a_stream_without_an_end_marker_closes_its_connection() {
    let mut opened = open(Timeouts::default(), [frames("fin"), Piece::Hang]);
    opened.expect("fin");
    assert!(opened.next().is_none());
    assert!(opened.watch.dropped());
}

#[test]
fn streams_are_send_and_static() {
    fn goes<T: Send + Unpin + 'static>() {}
    fn streams<T: Stream + Send + Unpin>() {}
    goes::<ChatStream>();
    streams::<ChatStream>();
    streams::<TextStream<'_>>();
    goes::<Error>();
    goes::<Started>();
}

#[test]
fn a_body_skips_empty_fragments() {
    let clock = Clock::new();
    let (mut body, _) = body(&clock, ["".into(), "a".into(), "".into()]);
    assert_eq!(block_on(&clock, body.data()).unwrap().unwrap(), "a");
    assert!(block_on(&clock, body.data()).is_none());
}

// Properties of every response.

fn pieces() -> impl Strategy<Value = Piece> {
    let words = vec![
        "a", "a b", "reason", "other", "usage", "void", "late:z", "fin", "[DONE]", "err", "a+err",
    ];
    prop_oneof![
        8 => prop::sample::select(words).prop_map(frames),
        2 => prop::sample::select(vec!["data", ": ", "a\n", "\n\n"]).prop_map(Piece::from),
        2 => (0_u64..200).prop_map(wait),
        1 => (0_u64..200).prop_map(|time| Piece::Pass(seconds(time))),
        1 => Just(comment()),
        1 => Just(lost()),
        1 => Just(Piece::Hang),
    ]
}

proptest! {
    #[test]
    fn a_response_has_exactly_one_end(pieces in vec(pieces(), 0..20)) {
        let mut opened = open(Timeouts::default(), pieces);
        let mut sum = ChatResponse::default();
        loop {
            match opened.next() {
                Some(Ok(event)) => sum.add(&event),
                Some(Err(error)) => {
                    prop_assert_eq!(&error.partial().unwrap().choices, &sum.choices);
                    prop_assert_eq!(opened.stream.partial().end, None);
                    break;
                }
                None => {
                    prop_assert!(opened.stream.partial().end.is_some());
                    break;
                }
            }
            prop_assert_eq!(&opened.stream.partial().choices, &sum.choices);
        }
        for _ in 0..3 {
            prop_assert!(opened.next().is_none());
        }
        opened.script.run_tasks();
        prop_assert!(opened.watch.dropped());
    }

    #[test]
    fn the_split_of_a_response_does_not_matter(
        lengths in vec((1_usize..12, 0_u64..100), 0..20),
        polls in 0_usize..4,
    ) {
        let answer = "data: a\n\n: c\r\ndata: b+c\r\rdata: void\n\ndata: fin\n\ndata: [DONE]\n\n";
        let (mut script, mut rest) = (Vec::new(), answer);
        for (length, time) in lengths {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            // The two seconds after the finish reason are not part of the wait.
            if !answer[..answer.len() - rest.len()].contains("fin") {
                script.push(wait(time));
            }
            script.push(piece.into());
            rest = after;
        }
        script.push(rest.into());
        let mut opened = open(Timeouts::none(), script);
        for _ in 0..polls {
            // Dropping a future loses nothing.
            if let Poll::Ready(event) = poll_once(opened.stream.next()).0 {
                prop_assert_eq!(show(&event.unwrap().unwrap()), "a");
                return Ok(());
            }
        }
        let response = block_on(&opened.script.clock, opened.stream.finish()).unwrap();
        prop_assert_eq!((response.text(), response.end), ("abc", Some(End::Marker)));
    }
}
