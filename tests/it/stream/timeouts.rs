//! The timeouts of a stream.

use std::time::Duration;

use inferstream_core::Timeouts;

use super::{again, check, check_with, comment, frames, open, show_error, wait};
use crate::support::{Piece, block_on, poll_once, seconds};

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
fn each_event_restarts_the_silence_of_a_task() {
    let pieces = [frames("a"), wait(1), frames("b"), Piece::Hang];
    let mut opened = open(Timeouts::default(), pieces);
    let clock = opened.script.clock.clone();
    // One task, so that a sleep of the first event is still armed.
    let error = block_on(&clock, async {
        loop {
            if let Err(error) = opened.stream.next().await.unwrap() {
                return error;
            }
        }
    });
    assert_eq!(show_error(&error), "!timeout/idle");
    assert_eq!(clock.elapsed(), seconds(121));
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
fn a_response_without_a_finish_reason_for_each_choice_is_not_complete() {
    let pieces = [frames("fin a"), Piece::Hang];
    check(pieces, "fin a !timeout/idle", 120);
}

#[test]
fn after_a_finish_reason_a_shorter_timeout_is_the_end_and_no_error() {
    let none = Timeouts::none();
    for timeouts in [
        none.idle(seconds(1)),
        none.progress(seconds(1)),
        none.total(seconds(1)),
    ] {
        let pieces = vec![frames("a fin"), Piece::Hang];
        check_with(timeouts, pieces, "a fin FinishReason", 1);
    }
    for timeouts in [
        none.idle(seconds(3)),
        none.progress(seconds(3)),
        none.total(seconds(3)),
        none,
    ] {
        let pieces = vec![frames("a fin"), Piece::Hang];
        check_with(timeouts, pieces, "a fin FinishReason", 2);
    }
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
fn ten_minutes_of_suspension_are_not_ten_minutes_of_silence_if_bytes_arrived() {
    // The process is suspended while the stream waits: its clock jumps, and the bytes that arrived in
    // the meantime are read first.
    for timeouts in [
        Timeouts::default(),
        Timeouts::default().idle(seconds(1)).progress(seconds(1)),
    ] {
        let pieces = [frames("a"), wait(600), frames("b [DONE]")];
        let mut opened = open(timeouts, pieces);
        opened.expect("a");
        assert!(poll_once(opened.stream.next()).0.is_pending());
        opened.script.clock.advance(seconds(600));
        opened.expect("b");
        assert!(opened.next().is_none());
    }
}

#[test]
fn ten_minutes_of_suspension_without_a_byte_are_a_timeout() {
    let mut opened = open(Timeouts::default(), [frames("a"), Piece::Hang]);
    opened.expect("a");
    assert!(poll_once(opened.stream.next()).0.is_pending());
    opened.script.clock.advance(seconds(600));
    let error = opened.next().unwrap().unwrap_err();
    assert_eq!(show_error(&error), "!timeout/idle");
    assert_eq!(error.partial().unwrap().text(), "a");
    assert!(opened.next().is_none());
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
