//! Dropped predictions: which requests are sent to the service, and how often.

use inferstream_compose::{ConcurrencyLimit, Fallback, ThinkTags};
use inferstream_core::{ChatEvent, ErrorKind, Provider, Sent};
use serde_json::{Value, json};

use super::{
    Answer, KEY, Scene, Service, What, builder, client, document, done, failed, healthy, lost,
    output, polled, prediction, read, scene_of, starting, stream_of, succeeded, trouble,
};
use crate::support::{Piece, block_on, problem, seconds};

const TOKENS: [&str; 4] = ["a", "b", "c", "d"];

/// A service that sends each event separately, after a delay.
fn slow() -> Scene {
    let pause = std::time::Duration::from_millis(10);
    let body = prediction("starting", &Value::Null).to_string();
    let create = Answer::new(201, [Piece::Wait(pause), Piece::from(&*body)]).after(pause);
    scene_of([])
        .create([create.header("content-type", "application/json")])
        .stream([Answer::sse(slow_pieces()).after(pause)])
        .prediction([document(&succeeded(&TOKENS)).after(pause)])
}

fn slow_pieces() -> Vec<Piece> {
    let pause = std::time::Duration::from_millis(10);
    let mut pieces = vec![Piece::from(": hi\n\n")];
    for (nth, token) in TOKENS.iter().enumerate() {
        pieces.extend([Piece::Wait(pause), Piece::from(&*output(nth, token))]);
    }
    pieces.extend([Piece::Wait(pause), Piece::from(&*done())]);
    pieces
}

#[track_caller]
fn check_cancel(service: &Service) {
    let cancels = service.asked(What::Cancel);
    assert_eq!(cancels.len(), 1, "one cancel");
    assert_eq!(cancels[0].uri(), super::cancel_url());
    let key = format!("Bearer {KEY}");
    assert_eq!(cancels[0].header("authorization"), Some(&*key));
    for asked in service.all() {
        assert!(asked.closed(), "{} is still open", asked.uri());
    }
}

// I11
#[test]
fn a_response_dropped_after_any_event_is_canceled_once() {
    for events in 0..=4 {
        let service = slow().serve();
        let mut stream = block_on(&service.clock, client(&service).stream("hi")).unwrap();
        for _ in 0..events {
            block_on(&service.clock, stream.next()).unwrap().unwrap();
        }
        drop(stream);
        let open = service.asked(What::Stream);
        assert!(
            open.iter().all(super::double::Asked::closed),
            "closed at once"
        );
        assert_eq!(service.count(What::Cancel), 0, "drop sends nothing itself");
        assert_eq!(service.run_tasks(), 1, "after {events} events");
        check_cancel(&service);
        assert_eq!(service.counts().0, 1);
    }
}

#[test]
fn a_response_read_to_its_end_is_not_canceled() {
    let service = slow().serve();
    let mut stream = block_on(&service.clock, client(&service).stream("hi")).unwrap();
    let mut events = 0;
    loop {
        let event = block_on(&service.clock, stream.next()).unwrap().unwrap();
        events += 1;
        if matches!(event, ChatEvent::Finish { .. }) {
            break;
        }
    }
    assert!(4 < events);
    // Dropped after its last event, before the `None`.
    drop(stream);
    service.run_tasks();
    assert_eq!(service.counts(), (1, 1, 0));
}

/// Runs a response that is dropped after this many polls, and returns the service.
fn dropped_after(polls: usize, scene: Scene, on_drop: bool) -> (Service, bool) {
    let service = scene.serve();
    let client = builder(&service).cancel_on_drop(on_drop).build().unwrap();
    let ended = service.block_on_polls(polls, async {
        let mut stream = client.stream("hi").await.unwrap();
        while let Some(event) = stream.next().await {
            event.unwrap();
        }
    });
    (service, ended.is_some())
}

#[test]
fn a_response_dropped_at_any_wait_is_canceled_once_or_has_ended() {
    let whole = stream_of(&TOKENS).len();
    let created = prediction("starting", &Value::Null).to_string().len();
    let mut polls = 0;
    loop {
        let (service, ended) = dropped_after(polls, slow(), true);
        // The bytes that the client had received when it was dropped.
        let bytes = |what| {
            service
                .asked(what)
                .first()
                .map_or(0, super::double::Asked::bytes)
        };
        let known = bytes(What::Create) == created;
        let told_all = bytes(What::Stream) == whole;
        let made = service.count(What::Create);
        service.run_tasks();
        let at = format!("after {polls} polls");
        let cancels = service.count(What::Cancel);
        match (known, told_all) {
            // The id is not known yet; the background task may still cancel.
            (false, _) => assert!(cancels <= made, "{at}"),
            (true, false) => assert_eq!(cancels, 1, "{at}"),
            (true, true) => assert_eq!(cancels, 0, "{at}: it had ended"),
        }
        assert!(service.count(What::Create) <= 1, "{at}");
        for asked in service.all() {
            assert!(asked.closed(), "{at}: {} is open", asked.uri());
        }
        if ended {
            break;
        }
        polls += 1;
        assert!(polls < 200);
    }
    assert!(5 < polls, "there were waits: {polls}");
}

#[test]
fn a_response_is_never_canceled_if_cancel_on_drop_is_off() {
    for polls in 0..60 {
        let (service, _) = dropped_after(polls, slow(), false);
        service.run_tasks();
        assert_eq!(service.count(What::Cancel), 0, "after {polls} polls");
    }
}

#[test]
fn a_polled_response_is_canceled_like_a_streamed_one() {
    for polls in 0..60 {
        let starting = prediction("processing", &json!(["a"]));
        let scene = polled([
            starting.clone(),
            starting.clone(),
            starting,
            succeeded(&TOKENS),
        ]);
        let (service, ended) = dropped_after(polls, scene, true);
        let all = service.count(What::Prediction) == 4;
        let made = service.count(What::Create);
        service.run_tasks();
        let cancels = service.count(What::Cancel);
        if all {
            assert_eq!(cancels, 0, "after {polls} polls");
        } else {
            assert_eq!(cancels, made, "after {polls} polls");
        }
        if ended {
            return;
        }
    }
    panic!("it never ended");
}

#[test]
fn a_response_dropped_while_it_resumes_is_canceled_once() {
    let cut = |streams: Vec<Answer>| {
        slow()
            .stream(streams)
            .prediction([document(&prediction("processing", &Value::Null))])
    };
    let first = Answer::sse([Piece::from(&*output(0, "a")), super::broken()]);
    let streams = vec![
        first,
        Answer::sse([Piece::Wait(seconds(1)), super::broken()]),
    ];
    for polls in 6..40 {
        let service = cut(streams.clone()).serve();
        let client = client(&service);
        let ended = service.block_on_polls(polls, async {
            let mut stream = client.stream("hi").await.unwrap();
            while let Some(event) = stream.next().await {
                event.unwrap();
            }
        });
        assert!(ended.is_none());
        service.run_tasks();
        assert_eq!(service.count(What::Cancel), 1, "after {polls} polls");
    }
}

#[test]
fn a_future_that_was_never_polled_sends_nothing() {
    let service = slow().serve();
    drop(client(&service).stream("hi"));
    drop(client(&service).chat("hi"));
    service.run_tasks();
    assert_eq!(service.all().len(), 0);
}

#[test]
fn a_chat_that_is_dropped_is_canceled_once() {
    let service = slow().serve();
    let client = client(&service);
    let ended = service.block_on_polls(6, client.chat("hi"));
    assert!(ended.is_none());
    service.run_tasks();
    check_cancel(&service);
}

#[test]
fn terminal_states_are_not_canceled() {
    let text = output(0, "a");
    let error = super::frame("error", "2:0", "boom");
    let ends = [
        super::frame("done", "3:0", r#"{"reason":"error"}"#),
        super::frame("done", "3:0", r#"{"reason":"canceled"}"#),
        error + &super::frame("done", "3:0", r#"{"reason":"error"}"#),
    ];
    for end in ends {
        let service = scene_of([Piece::from(&*(text.clone() + &end))])
            .prediction([document(&failed("boom"))])
            .serve();
        let opened = block_on(&service.clock, client(&service).stream("hi"));
        let outcome = read(&service, opened);
        assert!(outcome.kind().is_some());
        assert_eq!(service.counts(), (1, 1, 0), "{end}");
    }
}

#[test]
fn an_explicit_cancel_is_sent_once() {
    for events in 0..=4 {
        let service = slow().serve();
        let mut stream = block_on(&service.clock, client(&service).stream("hi")).unwrap();
        for _ in 0..events {
            block_on(&service.clock, stream.next()).unwrap().unwrap();
        }
        let partial = block_on(&service.clock, stream.cancel()).unwrap();
        assert_eq!(partial.text(), TOKENS[..events].concat());
        check_cancel(&service);
        service.run_tasks();
        check_cancel(&service);
    }
}

#[test]
fn an_explicit_cancel_works_without_cancel_on_drop() {
    let service = slow().serve();
    let client = builder(&service).cancel_on_drop(false).build().unwrap();
    let stream = block_on(&service.clock, client.stream("hi")).unwrap();
    block_on(&service.clock, stream.cancel()).unwrap();
    check_cancel(&service);
}

#[test]
fn an_abandoned_cancel_is_at_most_one_request() {
    for polls in 0..10 {
        let pause = std::time::Duration::from_millis(10);
        let answer = document(&prediction("canceled", &Value::Null)).after(pause);
        let service = slow().cancel([answer]).serve();
        let stream = block_on(&service.clock, client(&service).stream("hi")).unwrap();
        service.block_on_polls(polls, stream.cancel());
        service.run_tasks();
        let cancels = service.count(What::Cancel);
        assert_eq!(cancels, 1, "after {polls} polls");
    }
}

#[test]
fn canceling_an_ended_prediction_succeeds() {
    for status in [404, 409] {
        let answer = problem(status, r#"{"detail":"too late"}"#);
        let service = slow().cancel([answer.clone()]).serve();
        let stream = block_on(&service.clock, client(&service).stream("hi")).unwrap();
        block_on(&service.clock, stream.cancel()).unwrap();
        service.run_tasks();
        assert_eq!(service.count(What::Cancel), 1, "{status}");

        let service = slow().cancel([answer.clone()]).serve();
        drop(block_on(&service.clock, client(&service).stream("hi")).unwrap());
        service.run_tasks();
        assert_eq!(service.count(What::Cancel), 1, "{status}");

        let service = slow().cancel([answer]).serve();
        block_on(&service.clock, client(&service).cancel(super::ID)).unwrap();
        assert_eq!(service.count(What::Cancel), 1, "{status}");
    }
}

#[test]
fn a_cancel_that_fails_is_an_error() {
    let cases = [
        (problem(401, "{}"), ErrorKind::Auth),
        (problem(403, "{}"), ErrorKind::Permission),
    ];
    for (answer, kind) in cases {
        let service = slow().cancel([answer]).serve();
        let stream = block_on(&service.clock, client(&service).stream("hi")).unwrap();
        let error = block_on(&service.clock, stream.cancel()).unwrap_err();
        assert_eq!(error.kind(), kind);
        service.run_tasks();
        assert_eq!(service.count(What::Cancel), 1);
    }
    for answer in [trouble(), Answer::error(lost(Sent::Maybe))] {
        let service = slow().cancel([answer]).serve();
        let stream = block_on(&service.clock, client(&service).stream("hi")).unwrap();
        block_on(&service.clock, stream.cancel()).unwrap_err();
        let count = service.count(What::Cancel);
        service.run_tasks();
        assert_eq!(
            service.count(What::Cancel),
            count,
            "dropping sends no other cancel"
        );
    }
}

#[test]
fn a_cancel_after_a_drop_takes_at_most_two_seconds() {
    for answer in [
        Answer::hang(),
        Answer::new(200, [Piece::Hang]),
        problem(429, "{}").header("retry-after", "30"),
        trouble(),
        Answer::error(lost(Sent::Maybe)),
    ] {
        let service = slow().cancel([answer.clone()]).serve();
        drop(block_on(&service.clock, client(&service).stream("hi")).unwrap());
        let before = service.clock.elapsed();
        service.run_tasks();
        let took = super::between(before, service.clock.elapsed());
        assert!(took <= seconds(2), "{answer:?}: {took:?}");
        assert_eq!(service.count(What::Cancel), 1, "{answer:?}");
    }
}

#[test]
fn two_responses_are_canceled_separately() {
    let service = slow().serve();
    let client = client(&service);
    let first = block_on(&service.clock, client.stream("hi")).unwrap();
    let opened = block_on(&service.clock, client.stream("hi"));
    drop(first);
    let outcome = {
        let mut stream = opened.unwrap();
        let mut text = String::new();
        while let Some(event) = block_on(&service.clock, stream.next()) {
            if let ChatEvent::Text { text: more, .. } = event.unwrap() {
                text += &more;
            }
        }
        text
    };
    assert_eq!(outcome, "abcd");
    service.run_tasks();
    assert_eq!(service.counts(), (2, 2, 1));
}

#[test]
fn a_response_that_times_out_is_canceled() {
    // The prediction continues, and is billed, even if nobody reads it.
    let service = slow()
        .stream([Answer::sse([Piece::from(&*output(0, "a")), Piece::Hang])])
        .serve();
    let opened = block_on(&service.clock, client(&service).stream("hi"));
    let outcome = read(&service, opened);
    assert!(outcome.error().is_timeout());
    assert_eq!(service.counts(), (1, 1, 1));
}

#[test]
fn a_prediction_without_a_readable_stream_is_canceled() {
    let service = slow()
        .stream([problem(401, "{}")])
        .prediction([trouble()])
        .serve();
    let opened = block_on(&service.clock, client(&service).stream("hi"));
    let outcome = read(&service, opened);
    assert!(outcome.kind().is_some());
    assert_eq!(service.counts(), (1, 1, 1));
}

#[test]
fn a_complete_response_starts_no_background_task() {
    let service = healthy(&TOKENS).create([starting()]).serve();
    let opened = block_on(&service.clock, client(&service).stream("hi"));
    let outcome = read(&service, opened);
    assert_eq!(outcome.kind(), None);
    assert_eq!(outcome.tasks, 0, "no task is left");
}

/// A client of the scene's service inside every combinator.
fn nested(service: &Service) -> ConcurrencyLimit {
    let own = ConcurrencyLimit::new(client(service)).max_in_flight(1);
    let other = client(&slow().serve());
    ConcurrencyLimit::new(Fallback::new(own).or(other)).max_in_flight(1)
}

#[test]
fn a_silent_prediction_is_canceled_when_a_fallback_moves_on() {
    let service = scene_of([Piece::Hang]).serve();
    let other = healthy(&TOKENS).serve();
    let fallback = Fallback::new(client(&service)).or(client(&other));
    let stream = block_on(&service.clock, fallback.stream("hi".into())).unwrap();
    assert_eq!(stream.meta().warnings.len(), 1);
    let answer = block_on(&other.clock, stream.finish()).unwrap();
    assert_eq!(answer.text(), "abcd");
    service.run_tasks();
    check_cancel(&service);
    assert_eq!(other.count(What::Cancel), 0);
}

#[test]
fn a_wrapped_response_dropped_at_any_wait_is_canceled_once() {
    let whole = stream_of(&TOKENS).len();
    let created = prediction("starting", &Value::Null).to_string().len();
    let mut polls = 0;
    let all = loop {
        let service = slow().serve();
        let limit = nested(&service);
        let opened = limit.stream("hi".into());
        let ended = service.block_on_polls(polls, async {
            let stream = opened.await.unwrap();
            ThinkTags::default()
                .split_stream(stream)
                .finish()
                .await
                .unwrap()
        });
        service.run_tasks();
        if ended.is_some() {
            break polls;
        }
        let bytes = |what| {
            let asked = service.asked(what);
            asked.first().map_or(0, super::double::Asked::bytes)
        };
        let (known, told_all) = (bytes(What::Create) == created, bytes(What::Stream) == whole);
        match (known, told_all) {
            (false, _) => assert!(service.count(What::Cancel) <= 1),
            (true, false) => check_cancel(&service),
            (true, true) => assert_eq!(service.count(What::Cancel), 0),
        }
        // The permit is free again.
        let after = block_on(&service.clock, limit.stream("hi".into())).unwrap();
        drop(after);
        polls += 1;
    };
    assert!(4 < all, "{all}");
}
