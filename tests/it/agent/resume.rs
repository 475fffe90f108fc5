//! Messages sent and received when a turn is resumed.

use std::time::Duration;

use inferstream_cloudflare::ErrorKind;

use super::{
    TEXT, plan,
    plan::{Break, Plan, Resume},
    run,
};

fn broken(resume: Resume) -> Plan {
    Plan {
        cuts: vec![Some((800, Break::Lost))],
        resume,
        ..plan()
    }
}

#[test]
fn resuming_first_asks_whether_the_turn_is_running() {
    let (outcome, agent) = run(broken(Resume::Runs(4)));
    assert_eq!(outcome.text(), TEXT);
    let seen = agent.seen.lock().unwrap();
    let [first, second] = seen.requests.as_slice() else {
        panic!("two connections");
    };
    assert_eq!(first.uri(), second.uri(), "the same agent");
    assert_ne!(
        first.headers()["sec-websocket-key"],
        second.headers()["sec-websocket-key"]
    );
    let id = &seen.messages[1].1["id"];
    let again: Vec<_> = seen
        .messages
        .iter()
        .filter(|(connection, _)| *connection == 1)
        .collect();
    assert_eq!(again[0].1["type"], "cf_agent_stream_resume_request");
    assert_eq!(again[1].1["type"], "cf_agent_stream_resume_ack");
    assert_eq!(&again[1].1["id"], id);
    assert_eq!(again.len(), 2);
}

#[test]
fn the_metadata_is_kept_after_a_reconnection() {
    let (whole, _) = run(broken(Resume::Runs(4)));
    let (lost, _) = run(broken(Resume::Gone));
    let kept = lost.error().partial().unwrap();
    for response in [whole.response(), kept] {
        let meta = &response.meta;
        assert_eq!((meta.attempts, meta.status.as_u16()), (1, 101));
        assert_eq!(meta.time_to_first_event, Some(Duration::ZERO));
        assert!(Some(Duration::ZERO) < meta.time_to_end);
    }
}

#[test]
fn a_silent_agent_is_waited_for_five_seconds() {
    let (outcome, _) = run(broken(Resume::Silent));
    assert_eq!(outcome.text(), TEXT);
    assert_eq!(outcome.elapsed, Duration::from_millis(250 + 5_000));
}

#[test]
fn a_pending_turn_is_waited_for() {
    let (outcome, _) = run(broken(Resume::Pending(Duration::from_secs(40))));
    assert_eq!(outcome.text(), TEXT);
    assert_eq!(outcome.elapsed, Duration::from_millis(250 + 40_000));
}

#[test]
fn the_error_reports_the_attempts_to_resume() {
    for resume in [Resume::Gone, Resume::Refused(503)] {
        let (outcome, _) = run(broken(resume));
        let error = outcome.error();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        let message = "the connection was lost before the end of the response, and the playground did \
                       not resume it";
        assert_eq!(error.to_string(), message);
        assert_eq!(outcome.text(), "Hello");
        assert_eq!(outcome.text(), error.partial().unwrap().text());
    }
}
