//! The timeouts of a response's phases, on a manual clock.

use std::time::Duration;

use inferstream_core::{ChatRequest, ErrorKind, Phase, Timeouts};
use inferstream_replicate::Replicate;
use serde_json::{Value, json};

use super::{
    Answer, Service, What, client, document, done, healthy, output, prediction, run, run_on,
    run_with, scene, scene_of, stream_of, succeeded,
};
use crate::support::{Piece, problem, seconds};

fn text(text: &str) -> Piece {
    Piece::from(text)
}

/// Comments every ten seconds for this many seconds.
fn comments(time: u64) -> Vec<Piece> {
    let pair = || [Piece::Wait(seconds(10)), text(": hi\n\n")];
    (0..time / 10).flat_map(|_| pair()).collect()
}

#[test]
fn the_timeouts_are_the_defaults_except_for_the_first_event() {
    let limits = Replicate::default_timeouts();
    assert_eq!(limits, Timeouts::default().first_event(seconds(600)));
}

#[test]
fn the_first_event_may_take_ten_minutes() {
    let outcome = run(scene_of([Piece::Hang]));
    assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::FirstEvent)));
    assert_eq!(outcome.elapsed, seconds(600));

    let late = [Piece::Wait(seconds(599)), text(&stream_of(&["a"]))];
    let outcome = run(scene_of(late).prediction([document(&succeeded(&["a"]))]));
    assert_eq!((outcome.text().as_str(), outcome.kind()), ("a", None));
}

#[test]
fn a_cold_boot_with_comments_only_is_waited_for() {
    let mut pieces = comments(590);
    pieces.push(text(&stream_of(&["a"])));
    let outcome = run(scene_of(pieces).prediction([document(&succeeded(&["a"]))]));
    assert_eq!((outcome.text().as_str(), outcome.kind()), ("a", None));

    let service = scene_of(comments(1200)).serve();
    let outcome = run_on(&service);
    assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::FirstEvent)));
    assert_eq!(outcome.elapsed, seconds(600));
    assert_eq!(service.counts(), (1, 1, 1), "it is canceled");
}

#[test]
fn the_first_event_timeout_covers_all_connections() {
    // A stream that is closed after 30 s of comments, repeatedly, as the service does.
    let service = Service::new(|asked, _| match asked.what {
        What::Create => super::starting(),
        What::Stream => {
            Answer::sse([comments(30), vec![text(":408: 408 Request Timeout\n\n")]].concat())
        }
        _ => document(&prediction("starting", &Value::Null)),
    });
    let outcome = run_on(&service);
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Timeout(Phase::FirstEvent)),
        "{:?}",
        outcome.end
    );
    assert_eq!(outcome.elapsed, seconds(600));
    assert!(service.count(What::Stream) <= 4);
}

#[test]
fn silence_after_text_is_idle() {
    let service = scene_of([text(&output(0, "a")), Piece::Hang]).serve();
    let outcome = run_on(&service);
    assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::Idle)));
    assert_eq!(outcome.elapsed, seconds(120));
    assert_eq!(outcome.error().partial().unwrap().text(), "a");
    assert_eq!(service.counts().0, 1);
}

#[test]
fn comments_after_text_are_not_progress() {
    let pieces = [vec![text(&output(0, "a"))], comments(1000)].concat();
    let outcome = run(scene_of(pieces));
    assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::Progress)));
    assert_eq!(outcome.elapsed, seconds(300));
}

#[test]
fn events_without_content_are_not_progress() {
    for useless in [
        "event: ping\ndata: x\n\n",
        "event: output\ndata: \n\n",
        "\n\n",
    ] {
        let mut pieces = vec![text(&output(0, "a"))];
        for _ in 0..100 {
            pieces.extend([Piece::Wait(seconds(10)), text(useless)]);
        }
        let outcome = run(scene_of(pieces));
        assert_eq!(
            outcome.kind(),
            Some(ErrorKind::Timeout(Phase::Progress)),
            "{useless:?}"
        );
        assert_eq!(outcome.elapsed, seconds(300), "{useless:?}");
    }
}

#[test]
fn the_total_timeout_covers_everything() {
    let timeouts = Timeouts::default().total(seconds(20));
    let request = || ChatRequest::from("hi").timeouts(timeouts);
    let mut pieces = Vec::new();
    for nth in 0..100 {
        pieces.extend([text(&output(nth, "a")), Piece::Wait(seconds(1))]);
    }
    let service = scene_of(pieces).serve();
    let outcome = run_with(&service, &client(&service), request());
    assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::Total)));
    assert_eq!(outcome.elapsed, seconds(20));

    // Including the creating request.
    let service = scene("").create([Answer::hang()]).serve();
    let outcome = run_with(&service, &client(&service), request());
    assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::Total)));
    assert_eq!(outcome.elapsed, seconds(20));
    assert_eq!(service.counts().0, 1);

    // And including reconnections.
    let cut = Answer::sse([text("retry: 30000\n\n"), super::broken()]);
    let service = scene("").stream([cut]).serve();
    let outcome = run_with(&service, &client(&service), request());
    assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::Total)));
    assert_eq!(outcome.elapsed, seconds(20));
}

#[test]
fn timeouts_are_those_of_the_request() {
    let timeouts = Timeouts::default().first_event(seconds(4)).idle(seconds(3));
    let request = || ChatRequest::from("hi").timeouts(timeouts);
    let service = scene_of([Piece::Hang]).serve();
    let outcome = run_with(&service, &client(&service), request());
    assert_eq!(outcome.elapsed, seconds(4));
    let service = scene_of([text(&output(0, "a")), Piece::Hang]).serve();
    let outcome = run_with(&service, &client(&service), request());
    assert_eq!(outcome.elapsed, seconds(3));
}

#[test]
fn a_caller_that_holds_the_stream_does_not_time_out() {
    let service = healthy(&["a", "b", "c"]).serve();
    let client = client(&service);
    let opened = crate::support::block_on(&service.clock, client.stream("hi"));
    let mut stream = opened.unwrap();
    let mut text = String::new();
    while let Some(event) = crate::support::block_on(&service.clock, stream.next()) {
        if let inferstream_core::ChatEvent::Text { text: more, .. } = event.unwrap() {
            text += &more;
        }
        service.clock.advance(seconds(3600));
    }
    assert_eq!(text, "abc");
}

#[test]
fn usage_is_waited_for_at_most_two_seconds() {
    for told in [
        Answer::hang(),
        document(&succeeded(&["a"])).after(seconds(10)),
        document(&prediction("processing", &json!(["a"]))),
        super::trouble(),
        problem(429, "{}").header("retry-after", "30"),
    ] {
        let service = scene(&stream_of(&["a"])).prediction([told.clone()]).serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.kind(), None, "{told:?}: {:?}", outcome.end);
        assert_eq!(outcome.text(), "a");
        assert_eq!(outcome.response().usage, None);
        assert!(
            outcome.elapsed <= seconds(2),
            "{told:?}: {:?}",
            outcome.elapsed
        );
    }
}

#[test]
fn an_incomplete_document_does_not_extend_the_two_seconds() {
    for pieces in [vec![Piece::Hang], vec![text("{\"id\":"), Piece::Hang]] {
        let told = Answer::new(200, pieces).header("content-type", "application/json");
        let outcome = run(scene(&stream_of(&["a"])).prediction([told]));
        assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
        assert!(outcome.elapsed <= seconds(2), "{:?}", outcome.elapsed);
    }
}

#[test]
fn usage_within_two_seconds_is_reported() {
    let late = document(&succeeded(&["a"])).after(Duration::from_millis(1500));
    let outcome = run(scene(&stream_of(&["a"])).prediction([late]));
    assert_eq!(outcome.response().usage.unwrap().input_tokens, Some(7));

    // The status may lag behind the stream.
    let told = [
        document(&prediction("processing", &json!(["a"]))),
        document(&succeeded(&["a"])),
    ];
    let outcome = run(scene(&stream_of(&["a"])).prediction(told));
    assert_eq!(outcome.response().usage.unwrap().input_tokens, Some(7));
    assert!(outcome.elapsed <= seconds(2));
}

#[test]
fn text_is_delivered_before_the_usage_is_requested() {
    let service = scene(&stream_of(&["a"]))
        .prediction([Answer::hang()])
        .serve();
    let client = client(&service);
    let opened = crate::support::block_on(&service.clock, client.stream("hi"));
    let mut stream = opened.unwrap();
    let first = crate::support::block_on(&service.clock, stream.next());
    assert!(matches!(
        first,
        Some(Ok(inferstream_core::ChatEvent::Text { .. }))
    ));
    assert_eq!(service.clock.elapsed(), Duration::ZERO);
}

#[test]
fn a_flood_of_comments_ends() {
    let flood = ": x\n".repeat(100_000);
    let stream = format!("{flood}{}{flood}{}", output(0, "a"), done());
    let outcome = run(scene(&stream).prediction([document(&succeeded(&["a"]))]));
    assert_eq!(outcome.text(), "a");
}
