//! Endless input from an agent: each call ends at a timeout or a limit, and buffers stay small.

use std::time::Duration;

use inferstream_cloudflare::ErrorKind;
use serde_json::json;

use super::{
    CHUNKS,
    double::Agent,
    plan,
    plan::{Break, Plan, Resume},
    raw, run,
};
use crate::support::Outcome;

/// The time after which a response without progress ends.
const LIMIT: Duration = Duration::from_secs(300);

/// A poll reads for some time before it looks at the clock.
const SLACK: Duration = Duration::from_secs(5);

/// Sends a text, then `before` and `flood` without end.
#[track_caller]
fn flooded(before: &[u8], flood: &[u8]) -> (Outcome, Agent) {
    let (outcome, agent) = run(Plan {
        inject: Some((4, before.to_vec())),
        flood: flood.to_vec(),
        last: Vec::new(),
        ..Plan::new(&CHUNKS[..4])
    });
    assert_eq!(outcome.text(), "Hello");
    assert_eq!(agent.count("chat_request_cancel"), 1, "{:?}", outcome.end);
    (outcome, agent)
}

#[track_caller]
fn check_timeout(before: &[u8], flood: &[u8]) {
    let (outcome, _) = flooded(before, flood);
    let kind = outcome.kind();
    assert!(
        matches!(kind, Some(ErrorKind::Timeout(_))),
        "{:?}",
        outcome.end
    );
    let is_in_time = (LIMIT..LIMIT + SLACK).contains(&outcome.elapsed);
    assert!(is_in_time, "{:?}", outcome.elapsed);
}

#[test]
fn pings_and_pongs_are_no_progress() {
    check_timeout(&[], &[0x89, 0]);
    check_timeout(&[], &[0x8A, 1, b'a']);
    check_timeout(&[], &[0x89, 0].repeat(50));
}

#[test]
fn messages_of_other_turns_are_no_progress() {
    let other = json!({"type": "cf_agent_use_chat_response", "id": "other", "body": "{}"});
    check_timeout(&[], &raw(&[other]));
    check_timeout(&[], &[0x81, 0]);
    check_timeout(&[], &[0x82, 0]);
}

#[test]
fn a_message_that_never_ends_times_out() {
    // Fragments without content, and a byte at a time.
    check_timeout(&[0x01, 0], &[0x00, 0]);
    check_timeout(&[0x01, 0], &[0x00, 1, b'x']);
    check_timeout(&[0x01, 0], &[0x00, 0, 0x89, 0]);
    check_timeout(&[0x81, 127, 0, 0, 0, 0, 1, 0, 0, 0], b"x");
}

#[test]
fn fragments_above_the_limit_are_too_large() {
    const MIB: usize = 1 << 20;
    let mut fragment = vec![0x00, 127];
    fragment.extend((MIB as u64).to_be_bytes());
    fragment.resize(fragment.len() + MIB, b'x');
    let (outcome, agent) = flooded(&[0x01, 0], &fragment);
    assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge));
    let sent = agent.seen.lock().unwrap().sent[0];
    assert!(sent < 36 * MIB, "{sent} bytes were read");
}

#[test]
fn an_agent_that_does_not_read_is_not_read_either() {
    let ping = [&[0x89, 125][..], &[b'p'; 125]].concat();
    let (outcome, agent) = run(Plan {
        deaf: true,
        flood: ping.repeat(64),
        last: Vec::new(),
        ..Plan::new(&CHUNKS[..4])
    });
    assert!(
        matches!(outcome.kind(), Some(ErrorKind::Timeout(_))),
        "{:?}",
        outcome.end
    );
    // The replies to pings wait to be sent: at most 64 KiB, and those for one read.
    let sent = agent.seen.lock().unwrap().sent[0];
    assert!(sent < 100 << 10, "{sent} bytes were read");
}

#[test]
fn a_turn_that_is_always_about_to_start_times_out() {
    let pending = json!({"type": "cf_agent_stream_pending"});
    let (outcome, _) = run(Plan {
        cuts: vec![Some((520, Break::Lost))],
        resume: Resume::Silent,
        flood: raw(&[pending]),
        ..plan()
    });
    let kind = outcome.kind();
    let is_end = matches!(kind, Some(ErrorKind::Timeout(_) | ErrorKind::Truncated));
    assert!(is_end, "{:?}", outcome.end);
    assert!(outcome.elapsed < 2 * LIMIT, "{:?}", outcome.elapsed);
}
