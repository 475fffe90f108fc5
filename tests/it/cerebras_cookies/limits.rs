//! Timeouts while a request waits for the key, also for another request's refresh.

use inferstream_core::{ChatRequest, ErrorKind, Phase, Timeouts};

use super::{
    Answer, CHAT, SESSION, Service, all, cookies, refused, session, signed_in, text, whole,
};
use crate::support::{Piece, block_on, poll_once, seconds};

/// A request with this total timeout, in seconds.
fn hasty(limit: u64) -> ChatRequest {
    ChatRequest::from("Hi").timeouts(Timeouts::default().total(seconds(limit)))
}

#[test]
fn the_total_timeout_includes_the_session() {
    for silent in [Answer::hang(), Answer::new(200, [Piece::Hang])] {
        let service = Service::of_session(silent);
        let client = service.client();
        // The second request waits for the first.
        let asked = vec![client.stream(hasty(3)), client.stream(hasty(2))];
        for outcome in block_on(&service.0.clock, all(asked)) {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total), "{error}");
        }
        assert_eq!(service.0.clock.elapsed(), seconds(3));
        assert_eq!(service.count(SESSION), 1);
    }
}

#[test]
fn the_timeout_of_the_client_covers_session_and_response() {
    let late = || signed_in("demo-1").after(seconds(3));
    let client = |service: &Service| {
        let limits = Timeouts::default().total(seconds(4));
        service.builder(cookies()).timeouts(limits).build().unwrap()
    };
    let service = Service::new([late()], |_| whole().after(seconds(3)));
    let error = service.ask(&client(&service)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total), "{error}");
    assert_eq!(service.0.clock.elapsed(), seconds(4));

    // The same for the model list and for the rest of the stream.
    let service = Service::new([late()], |_| Answer::hang());
    block_on(&service.0.clock, client(&service).models()).unwrap_err();
    assert_eq!(service.0.clock.elapsed(), seconds(4));
    let service = Service::new([late()], |_| Answer::sse([Piece::Hang]));
    service.ask(&client(&service)).unwrap_err();
    assert_eq!(service.0.clock.elapsed(), seconds(4));

    // And for the renewal after a refusal.
    let sessions = [signed_in("demo-1"), late()];
    let service = Service::new(sessions, |key| match key {
        "Bearer demo-1" => refused(401).after(seconds(2)),
        _ => whole(),
    });
    let error = service.ask(&client(&service)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total), "{error}");
    assert_eq!((service.count(SESSION), service.count(CHAT)), (2, 1));
    assert_eq!(service.0.clock.elapsed(), seconds(4));
}

#[test]
fn a_timeout_does_not_affect_other_callers() {
    let service = Service::of_session(signed_in("demo-1").after(seconds(5)));
    let client = service.client();
    let asked = vec![client.stream(hasty(1)), client.stream(hasty(60))];
    let outcomes = block_on(&service.0.clock, all(asked));
    assert!(outcomes[0].is_err() && outcomes[1].is_ok());
    assert_eq!((service.count(SESSION), service.count(CHAT)), (2, 1));
}

#[test]
fn callers_do_not_wait_forever_for_an_unpolled_refresh() {
    let service = Service::of_session(signed_in("demo-1").after(seconds(1)));
    let client = service.client();
    let mut first = Box::pin(text(&client));
    assert!(poll_once(first.as_mut()).0.is_pending());
    let others: Vec<_> = (0..50).map(|_| client.chat("Hi")).collect();
    let others: Vec<_> = others
        .into_iter()
        .map(|asked| -> inferstream_core::BoxFuture<'_, _> {
            Box::pin(async { asked.await.map(drop) })
        })
        .collect();
    for outcome in block_on(&service.0.clock, all(others)) {
        outcome.unwrap();
    }
    // One request fetched the key for all of them.
    assert_eq!((service.count(SESSION), service.count(CHAT)), (2, 50));
    assert_eq!(service.0.clock.elapsed(), seconds(31));
    assert_eq!(block_on(&service.0.clock, first).unwrap(), "Hello.");
    assert_eq!((service.count(SESSION), service.count(CHAT)), (2, 51));
}

#[test]
fn a_late_failure_does_not_undo_another_refresh() {
    let sessions = [session("{}").after(seconds(1)), signed_in("demo-1")];
    let service = Service::new(sessions, |_| whole());
    let client = service.client();
    let mut first = Box::pin(text(&client));
    assert!(poll_once(first.as_mut()).0.is_pending());
    assert_eq!(service.ask(&client).unwrap(), "Hello.");
    block_on(&service.0.clock, first).unwrap_err();
    assert_eq!(service.ask(&client).unwrap(), "Hello.");
    assert_eq!(service.count(SESSION), 2);
}
