//! Streams that are interrupted and resumed: the requests, and the resulting response.

use std::time::Duration;

use inferstream_core::{Error, ErrorKind, Sent};
use serde_json::{Value, json};

use super::{
    Answer, Outcome, Scene, Service, What, broken, document, done, event_id, frame, healthy, lost,
    output, prediction, run, run_on, scene, starting, stream_of, succeeded, trouble,
};
use crate::support::{Piece, problem, seconds};

const TOKENS: [&str; 4] = ["one ", "two ", "three ", "four"];

fn whole() -> String {
    TOKENS.concat()
}

/// The events of the tokens in a range.
fn outputs(from: usize, to: usize) -> String {
    (from..to).map(|nth| output(nth, TOKENS[nth])).collect()
}

/// A service that sends these streams in turn. Its prediction runs until the last one was
/// requested, and then has these documents.
fn service(streams: &[Answer], told: &[Answer]) -> Service {
    let (streams, told) = (streams.to_vec(), told.to_vec());
    Service::new(move |asked, before| {
        let scene = Scene {
            create: vec![starting()],
            stream: streams.clone(),
            prediction: told.clone(),
            cancel: vec![trouble()],
            other: vec![trouble()],
        };
        let asked_for = before.iter().filter(|asked| asked.what == What::Stream);
        match asked.what {
            What::Prediction if asked_for.count() < streams.len() => {
                document(&prediction("processing", &Value::Null))
            }
            _ => scene.answer(asked),
        }
    })
}

fn told() -> Vec<Answer> {
    vec![document(&succeeded(&TOKENS))]
}

fn sse(text: &str) -> Answer {
    Answer::sse([Piece::from(text)])
}

fn cut(text: &str) -> Answer {
    Answer::sse([Piece::from(text), broken()])
}

#[track_caller]
fn assert_whole(outcome: &Outcome) {
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
    assert_eq!(outcome.text(), whole());
}

#[test]
fn a_stream_is_requested_as_an_event_stream() {
    let service = healthy(&TOKENS).serve();
    assert_whole(&run_on(&service));
    assert_eq!(service.counts(), (1, 1, 0));
    let stream = &service.asked(What::Stream)[0];
    assert_eq!(stream.uri(), super::stream_url());
    assert_eq!(stream.header("accept"), Some("text/event-stream"));
    assert_eq!(stream.last_event_id(), None);
    assert!(stream.request.body().is_empty());
}

// I8
#[test]
fn a_cut_stream_continues_after_its_last_event() {
    for first in [cut(&outputs(0, 2)), sse(&outputs(0, 2))] {
        let service = service(&[first, sse(&(outputs(2, 4) + &done()))], &told());
        assert_whole(&run_on(&service));
        assert_eq!(service.counts(), (1, 2, 0));
        let again = &service.asked(What::Stream)[1];
        assert_eq!(again.last_event_id(), Some(&*event_id(1)));
        assert_eq!(again.header("accept"), Some("text/event-stream"));
    }
}

#[test]
fn the_metadata_is_kept_after_a_reconnection() {
    let pieces = |text: &str| [Piece::from(text), Piece::Wait(seconds(3)), broken()];
    let first = || Answer::sse(pieces(&outputs(0, 2)));
    let second = Answer::sse([Piece::from(&*(outputs(2, 4) + &done()))]);
    let whole = run_on(&service(&[first(), second], &told()));
    let lost = run_on(&service(&vec![first(); 9], &[trouble()]));
    assert_whole(&whole);
    let kept = lost.error().partial().unwrap();
    for response in [whole.response(), kept] {
        let meta = &response.meta;
        assert_eq!((meta.attempts, meta.status.as_u16()), (1, 201));
        assert_eq!(meta.web_url, Some(super::web_url()));
        assert_eq!(meta.time_to_first_event, Some(seconds(0)));
        assert!(Some(seconds(3)) < meta.time_to_end);
    }
    // By the prediction's own time, which does not include the interruption.
    let rate = whole.response().tokens_per_second();
    assert_eq!(rate, Some(11.0 / 1.5));
}

#[test]
fn a_truncated_event_is_not_the_last_one() {
    let half = outputs(0, 2) + "event: output\nid: 1690212294:0\ndata: thr";
    let service = service(&[cut(&half), sse(&(outputs(2, 4) + &done()))], &told());
    assert_whole(&run_on(&service));
    let again = &service.asked(What::Stream)[1];
    assert_eq!(again.last_event_id(), Some(&*event_id(1)));
}

#[test]
fn a_server_may_repeat_some_events() {
    for from in 0..=2 {
        let second = outputs(from, 4) + &done();
        let service = service(&[cut(&outputs(0, 2)), sse(&second)], &told());
        assert_whole(&run_on(&service));
        assert_eq!(service.counts(), (1, 2, 0));
    }
}

#[test]
fn a_server_may_repeat_all_text_in_other_fragments() {
    // The same text with other ids, split differently.
    let all = whole();
    for size in [1, 3, 5, 7, 100] {
        let pieces: Vec<_> = all.as_bytes().chunks(size).collect();
        let second: String = pieces
            .iter()
            .enumerate()
            .map(|(nth, piece)| {
                let text = std::str::from_utf8(piece).unwrap();
                frame("output", &format!("x{nth}"), text)
            })
            .collect();
        let service = service(&[cut(&outputs(0, 2)), sse(&(second + &done()))], &told());
        assert_whole(&run_on(&service));
    }
}

// I10
#[test]
fn ids_are_opaque() {
    let long = "9".repeat(4096);
    let ids: [[&str; 4]; 9] = [
        ["9", "8", "7", "6"],
        ["", "", "", ""],
        ["1", "", "", "2"],
        ["a", "a", "a", "a"],
        ["1", "2", "1", "2"],
        ["é", "ü", "😀", "ß"],
        ["a\u{1}", "b\u{7f}", "c\td", " e "],
        ["a\0", "b\0", "c\0", "d\0"],
        [&long, "2", "18446744073709551616:0", "-1"],
    ];
    for ids in ids {
        let events: Vec<_> = (0..4)
            .map(|nth| frame("output", ids[nth], TOKENS[nth]))
            .collect();
        for cut_at in 0..=4 {
            for from in [0, cut_at] {
                let first = cut(&events[..cut_at].concat());
                let second = sse(&(events[from..].concat() + &done()));
                let service = service(&[first, second], &told());
                let outcome = run_on(&service);
                let at = format!("{ids:.8?} cut at {cut_at}, again from {from}");
                assert_eq!(outcome.text(), whole(), "{at}: {:?}", outcome.end);
                assert_eq!(outcome.kind(), None, "{at}");
                for asked in service.asked(What::Stream) {
                    let id = asked.request.headers().get("last-event-id");
                    let bytes = id.map_or(&b""[..], |id| id.as_bytes());
                    assert!(!bytes.contains(&0), "{at}");
                }
            }
        }
    }
}

#[test]
fn different_text_is_detected() {
    let other = [
        "uno ", "dos ", "tres ", "cuatro ", "cinco ", "seis ", "siete ", "ocho",
    ];
    // The same ids with other text, or other ids, and the prediction has the other text, too.
    let same: String = (0..8).map(|nth| output(nth, other[nth])).collect();
    let renumbered: String = (0..8)
        .map(|nth| frame("output", &format!("x{nth}"), other[nth]))
        .collect();
    for second in [same, renumbered] {
        let streams = [cut(&outputs(0, 2)), sse(&(second + &done()))];
        let service = service(&streams, &[document(&succeeded(&other))]);
        let outcome = run_on(&service);
        assert!(outcome.is_diverged(), "{:?}", outcome.end);
        assert!(outcome.text().starts_with("one two "));
        assert_eq!(service.count(What::Create), 1);
    }
}

#[test]
fn different_text_is_never_a_complete_response() {
    let other: String = ["uno ", "dos ", "tres "]
        .iter()
        .enumerate()
        .map(|(nth, text)| frame("output", &format!("x{nth}"), text))
        .collect();
    for told in [trouble(), Answer::error(lost(Sent::Maybe)), Answer::hang()] {
        let streams = [cut(&outputs(0, 2)), sse(&(other.clone() + &done()))];
        let outcome = run_on(&service(&streams, &[told]));
        assert_eq!(
            outcome.kind(),
            Some(ErrorKind::Truncated),
            "{:?}",
            outcome.end
        );
    }
}

#[test]
fn a_repetition_that_stops_early_is_incomplete() {
    // The second stream has less text than was delivered, and ends with `done`.
    let streams = [cut(&outputs(0, 3)), sse(&(outputs(0, 1) + &done()))];
    let service = service(&streams, &[document(&succeeded(&["one "]))]);
    let outcome = run_on(&service);
    assert!(
        outcome.is_diverged(),
        "{:?} {:?}",
        outcome.end,
        service.counts()
    );
}

#[test]
fn a_short_stream_is_completed_by_the_output_or_is_an_error() {
    let streams = [cut(&outputs(0, 3)), sse(&(outputs(0, 1) + &done()))];
    let outcome = run_on(&service(&streams, &told()));
    if outcome.kind().is_none() {
        assert_whole(&outcome);
    } else {
        assert!(outcome.is_diverged(), "{:?}", outcome.end);
    }
}

// I9
#[test]
fn after_three_attempts_the_prediction_is_polled() {
    let failures = [
        trouble(),
        Answer::error(lost(Sent::Maybe)),
        Answer::error(Error::new(ErrorKind::Connect, "refused").with_sent(Sent::No)),
        Answer::sse([broken()]),
        Answer::empty(200).header("content-type", "text/event-stream"),
        problem(404, r#"{"detail":"gone"}"#),
        problem(410, "{}"),
        Answer::new(200, [Piece::from("<html>")]).header("content-type", "text/html"),
    ];
    for failure in failures {
        let service = scene("")
            .stream([cut(&outputs(0, 2)), failure.clone()])
            .prediction([
                document(&prediction(
                    "processing",
                    &json!(["one ", "two ", "three "]),
                )),
                document(&succeeded(&TOKENS)),
            ])
            .serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.kind(), None, "{failure:?}: {:?}", outcome.end);
        assert_eq!(outcome.text(), whole(), "{failure:?}");
        let (creates, streams, cancels) = service.counts();
        assert_eq!((creates, cancels), (1, 0), "{failure:?}");
        assert!((2..=4).contains(&streams), "{failure:?}: {streams}");
    }
}

#[test]
fn at_most_four_streams_are_opened() {
    let service = service(&[cut(&outputs(0, 2)), cut(""), cut(""), cut("")], &told());
    assert_whole(&run_on(&service));
    assert_eq!(service.counts(), (1, 4, 0));
    for again in &service.asked(What::Stream)[1..] {
        assert_eq!(again.last_event_id(), Some(&*event_id(1)));
    }
}

#[test]
fn the_final_error_names_the_prediction() {
    for nothing in [
        trouble(),
        Answer::error(lost(Sent::Maybe)),
        problem(404, "{}"),
    ] {
        let service = scene("")
            .stream([cut(&outputs(0, 2)), trouble()])
            .prediction([nothing.clone()])
            .serve();
        let outcome = run_on(&service);
        let error = outcome.error();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{nothing:?}: {error:?}");
        assert_eq!(outcome.text(), "one two ");
        let partial = error.partial().unwrap();
        assert_eq!(partial.id.as_deref(), Some(super::ID));
        assert_eq!(service.count(What::Create), 1);
        assert!(service.count(What::Stream) <= 4);
    }
}

#[test]
fn a_prediction_without_output_does_not_confirm_the_text() {
    // "Data is deleted 1 h after completion": `data_removed`, and no output.
    let mut removed = prediction("succeeded", &Value::Null);
    removed["data_removed"] = json!(true);
    let service = scene("")
        .stream([cut(&outputs(0, 2)), trouble()])
        .prediction([document(&removed)])
        .serve();
    let outcome = run_on(&service);
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Truncated),
        "{:?}",
        outcome.end
    );
    assert_eq!(outcome.text(), "one two ");
}

#[test]
fn an_output_that_differs_from_the_text_is_an_error() {
    let outputs_told = [
        json!(["one ", "TWO ", "three ", "four"]),
        json!(["one "]),
        json!([]),
        json!("something else"),
    ];
    for output in outputs_told {
        let service = scene("")
            .stream([cut(&outputs(0, 2)), trouble()])
            .prediction([document(&prediction("succeeded", &output))])
            .serve();
        let outcome = run_on(&service);
        assert!(outcome.is_diverged(), "{output}: {:?}", outcome.end);
        assert_eq!(outcome.text(), "one two ", "{output}");
    }
}

#[test]
fn an_output_may_be_one_string() {
    let service = scene("")
        .stream([cut(&outputs(0, 2)), trouble()])
        .prediction([document(&prediction("succeeded", &json!(whole())))])
        .serve();
    assert_whole(&run_on(&service));
}

#[test]
fn a_stream_that_closes_without_its_end_is_resumed_first() {
    // Everything but `done` arrived: the prediction's status decides.
    let all = outputs(0, 4);
    let outcome = run(scene(&all).prediction(told()));
    assert_whole(&outcome);

    let mut failed = super::failed("out of memory");
    failed["output"] = json!(TOKENS);
    let outcome = run(scene(&all).prediction([document(&failed)]));
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
    assert_eq!(outcome.text(), whole());
    assert_eq!(outcome.error().provider_message(), Some("out of memory"));

    for status in ["canceled", "aborted"] {
        let told = document(&prediction(status, &json!(TOKENS)));
        let outcome = run(scene(&all).prediction([told]));
        assert_eq!(outcome.kind(), Some(ErrorKind::Canceled), "{status}");
    }
}

#[test]
fn a_comment_at_the_end_of_a_stream_is_not_its_end() {
    let dead = outputs(0, 2) + ":408: 408 Request Timeout\n\n";
    let service = service(&[sse(&dead), sse(&(outputs(2, 4) + &done()))], &told());
    assert_whole(&run_on(&service));
}

#[test]
fn a_stream_is_requested_again_to_resume() {
    let least = Duration::from_millis(250);
    for (retry, wait) in [
        ("0", least..=seconds(30)),
        ("1", least..=seconds(30)),
        ("3000", seconds(3)..=seconds(30)),
        ("29000", seconds(29)..=seconds(30)),
        ("31000", seconds(30)..=seconds(30)),
        ("99999999999", least..=seconds(30)),
        ("99999999999999999999999999", least..=seconds(30)),
        ("soon", least..=seconds(30)),
        ("-5", least..=seconds(30)),
        ("", least..=seconds(30)),
    ] {
        let first = format!("retry: {retry}\n\n{}", outputs(0, 2));
        let service = service(&[cut(&first), sse(&(outputs(2, 4) + &done()))], &told());
        assert_whole(&run_on(&service));
        let times = service.times(What::Stream);
        let waited = super::between(times[0], times[1]);
        assert!(wait.contains(&waited), "{retry:?}: {waited:?}");
    }
}

#[test]
fn reconnections_are_delayed() {
    let streams = [cut(&outputs(0, 2)), cut(""), cut(""), cut("")];
    let service = service(&streams, &told());
    run_on(&service);
    let times = service.times(What::Stream);
    for pair in times.windows(2) {
        assert!(
            Duration::from_millis(250) <= super::between(pair[0], pair[1]),
            "{times:?}"
        );
    }
    assert!(times[3] <= seconds(90), "{times:?}");
}

// I7
#[test]
fn a_stream_that_does_not_exist_yet_is_requested_three_times() {
    let early = problem(404, r#"{"detail":"not found"}"#);
    for tries in 1..=2 {
        let mut streams = vec![early.clone(); tries];
        streams.push(sse(&stream_of(&TOKENS)));
        let service = service(&streams, &told());
        assert_whole(&run_on(&service));
        assert_eq!(service.counts(), (1, tries + 1, 0));
        let times = service.times(What::Stream);
        assert!(times[tries] <= seconds(3), "{times:?}");
    }
    let service = scene("").stream([early]).prediction([trouble()]).serve();
    let outcome = run_on(&service);
    assert!(outcome.kind().is_some());
    assert_eq!(service.count(What::Stream), 3);
    assert_eq!(service.count(What::Create), 1);
    assert!(*service.times(What::Stream).last().unwrap() <= seconds(3));
}

#[test]
fn a_stream_that_is_refused_is_an_error_with_its_status() {
    for (status, kind) in [
        (401, ErrorKind::Auth),
        (410, ErrorKind::NotFound),
        (500, ErrorKind::Server),
    ] {
        let answer = problem(status, r#"{"detail":"no stream"}"#);
        let service = scene("").stream([answer]).prediction([trouble()]).serve();
        let outcome = run_on(&service);
        let error = outcome.error();
        let found = error.status().map(|status| status.as_u16());
        assert_eq!(found, Some(status), "{error:?}");
        if status != 410 {
            assert_eq!(error.kind(), kind);
        }
        assert_eq!(service.count(What::Create), 1);
        assert!(!error.to_string().contains("content type"), "{error}");
    }
}

#[test]
fn a_response_that_is_not_an_event_stream_is_not_text() {
    for content_type in ["text/html", "application/json"] {
        let body = r#"{"output":["fake"]}"#;
        let answer = Answer::new(200, [Piece::from(body)]).header("content-type", content_type);
        let service = scene("").stream([answer]).prediction([trouble()]).serve();
        let outcome = run_on(&service);
        let kind = outcome.kind();
        let kinds = [Some(ErrorKind::Protocol), Some(ErrorKind::Truncated)];
        assert!(kinds.contains(&kind), "{content_type}: {:?}", outcome.end);
        assert_eq!(outcome.text(), "");
        assert_eq!(service.count(What::Create), 1);
    }
}

#[test]
fn an_existing_prediction_is_resumed_by_its_id() {
    let service = healthy(&TOKENS)
        .prediction([
            document(&prediction("processing", &Value::Null)),
            document(&succeeded(&TOKENS)),
        ])
        .serve();
    let client = super::client(&service);
    let opened = crate::support::block_on(&service.clock, client.resume(super::ID));
    let outcome = super::read(&service, opened);
    assert_whole(&outcome);
    assert_eq!(service.counts(), (0, 1, 0));
}

#[test]
fn a_missing_prediction_cannot_be_resumed() {
    let resume = |answer: Value, id: &str| {
        let service = scene("").prediction([document(&answer)]).serve();
        let client = super::client(&service);
        let opened = crate::support::block_on(&service.clock, client.resume(id));
        (super::read(&service, opened), service)
    };
    let mut removed = prediction("succeeded", &Value::Null);
    removed["data_removed"] = json!(true);
    let (outcome, service) = resume(removed, super::ID);
    assert!(outcome.kind().is_some(), "{:?}", outcome.end);
    assert_eq!(service.counts().0, 0);

    for id in ["", "../account", "a/b", "a?b", "a b", "é"] {
        let (outcome, service) = resume(succeeded(&TOKENS), id);
        assert_eq!(outcome.kind(), Some(ErrorKind::Config), "{id:?}");
        assert_eq!(service.all().len(), 0, "{id:?}");
    }

    let service = scene("").prediction([problem(404, "{}")]).serve();
    let client = super::client(&service);
    let opened = crate::support::block_on(&service.clock, client.resume(super::ID));
    let outcome = super::read(&service, opened);
    assert_eq!(outcome.kind(), Some(ErrorKind::NotFound));
}

#[test]
fn an_end_without_text_after_a_cut_does_not_confirm_the_text() {
    // The second connection ends cleanly, but its position in the text is unclear.
    for told in [
        trouble(),
        document(&prediction("succeeded", &Value::Null)),
        Answer::hang(),
    ] {
        let streams = [cut(&outputs(0, 1)), sse(&done())];
        let outcome = run_on(&service(&streams, &[told]));
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
        assert_eq!(outcome.text(), "one ");
    }
    let streams = [cut(&outputs(0, 1)), sse(&done())];
    assert_whole(&run_on(&service(&streams, &told())));
}

#[test]
fn a_gap_after_repeated_text_is_an_error() {
    let second = output(1, TOKENS[1]) + &output(3, TOKENS[3]) + &done();
    let streams = [cut(&outputs(0, 2)), sse(&second)];
    assert!(run_on(&service(&streams, &told())).is_diverged());
}

#[test]
fn an_event_stream_is_not_accepted_as_a_document() {
    for text in ["event: done\n\n", &stream_of(&["x"]), &outputs(1, 2)] {
        let service = service(&[cut(&outputs(0, 2))], &[sse(text)]);
        let outcome = run_on(&service);
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
        assert_eq!(outcome.text(), "one two ");
        assert!(service.count(What::Prediction) < 10, "polled without end");
    }
}

#[test]
fn the_service_may_set_the_reconnection_delay() {
    let busy = problem(429, r#"{"detail":"Request was throttled."}"#);
    let streams = [
        cut(&outputs(0, 1)),
        busy.header("retry-after", "5"),
        sse(&(outputs(1, 4) + &done())),
    ];
    let service = service(&streams, &told());
    assert_whole(&run_on(&service));
    let times = service.times(What::Stream);
    assert_eq!(times[2], times[1] + seconds(5));
}

#[test]
fn repeated_logs_are_recorded_once() {
    let log = frame("logs", "", "loading");
    let first = log.clone() + &outputs(0, 2);
    let second = log + &outputs(0, 4) + &done();
    let outcome = run_on(&service(&[cut(&first), sse(&second)], &told()));
    assert_whole(&outcome);
    assert_eq!(outcome.meta().logs, "loading\n");
}
