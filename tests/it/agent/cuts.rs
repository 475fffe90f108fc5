//! Connections that break at every byte: complete after a reconnect, truncated without one.

use std::time::Duration;

use inferstream_cloudflare::ErrorKind;

use super::{
    TEXT, plan,
    plan::{Break, Plan, Resume},
    run,
};

/// The number of bytes that an agent sends for a complete response, without the two bytes of its
/// reply to a close frame.
fn length() -> usize {
    let (_, agent) = run(plan());
    agent.seen.lock().unwrap().sent[0] - 2
}

fn cut(bytes: usize, how: Break, resume: Resume) -> Plan {
    Plan {
        cuts: vec![Some((bytes, how))],
        resume,
        ..plan()
    }
}

/// The ways in which an agent sends the response again.
const GOOD: [Resume; 7] = [
    Resume::Runs(0),
    Resume::Runs(4),
    Resume::Runs(5),
    Resume::Runs(8),
    Resume::Ended,
    Resume::Joined,
    Resume::Silent,
];

#[test]
fn a_response_is_complete_wherever_its_connection_breaks() {
    let length = length();
    for resume in GOOD {
        for how in [Break::Lost, Break::Closed] {
            let step = match (resume, how) {
                (Resume::Ended, Break::Lost) => 1,
                _ => 7,
            };
            for bytes in (0..length).step_by(step) {
                let (outcome, agent) = run(cut(bytes, how, resume));
                let at = format!("{resume:?}, {how:?} at {bytes} of {length}");
                assert_eq!(outcome.text(), TEXT, "{at}");
                if outcome.elapsed == Duration::from_secs(2) {
                    // After the finish, the client waits for at most 2 s.
                    assert_eq!(resume, Resume::Silent, "{at}");
                    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{at}");
                    continue;
                }
                assert_eq!(outcome.kind(), None, "{at}: {:?}", outcome.end);
                assert_eq!(outcome.response().text(), TEXT, "{at}");
                assert_eq!(agent.connections(), 2, "{at}");
                assert_eq!(
                    agent.count("use_chat_request"),
                    1,
                    "{at}: the turn is requested once"
                );
                assert_eq!(agent.count("chat_request_cancel"), 0, "{at}");
            }
        }
    }
}

#[test]
fn a_response_that_cannot_be_resumed_is_never_complete() {
    let length = length();
    for resume in [
        Resume::Gone,
        Resume::Middle,
        Resume::Refused(403),
        Resume::Refused(503),
    ] {
        for bytes in 0..length {
            let (outcome, agent) = run(cut(bytes, Break::Lost, resume));
            let at = format!("{resume:?} at {bytes} of {length}");
            assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{at}");
            assert!(TEXT.starts_with(&outcome.text()), "{at}");
            assert!(agent.connections() <= 5, "{at}");
        }
    }
}

#[test]
fn a_different_response_is_never_appended() {
    let length = length();
    for bytes in 0..length {
        let (outcome, _) = run(cut(bytes, Break::Lost, Resume::Other));
        let text = outcome.text();
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "at {bytes}");
        let is_one = TEXT.starts_with(&text) || text == "Another answer";
        assert!(is_one, "at {bytes}: {text}");
    }
}

#[test]
fn a_turn_is_resumed_three_times() {
    let cuts = |count| vec![Some((330, Break::Lost)); count];
    for (count, kind) in [(3, None), (4, Some(ErrorKind::Truncated))] {
        let (outcome, agent) = run(Plan {
            cuts: cuts(count),
            ..plan()
        });
        assert_eq!(outcome.kind(), kind, "{:?}", outcome.end);
        // The last connection cancels the running turn.
        assert_eq!(agent.connections(), count + 1);
        let waited = outcome.elapsed.as_millis();
        assert_eq!(waited, 250 + 500 + 1000);
    }
}

#[test]
fn each_connection_may_break_anywhere() {
    let mut random = 7_usize;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for _ in 0..500 {
        let cuts = (0..3).map(|_| Some((next(1_200), Break::Lost))).collect();
        let resume = [Resume::Runs(next(9)), Resume::Ended, Resume::Joined][next(3)];
        let piece = [1, 5, usize::MAX][next(3)];
        let plan = Plan {
            cuts,
            resume,
            piece,
            ..plan()
        };
        let told = format!("{plan:?}");
        let (outcome, agent) = run(plan);
        assert_eq!(outcome.kind(), None, "{told}: {:?}", outcome.end);
        assert_eq!(outcome.text(), TEXT, "{told}");
        assert_eq!(agent.count("chat_request_cancel"), 0, "{told}");
    }
}
