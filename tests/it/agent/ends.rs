//! The ends of a turn: complete, failed or truncated.

use std::time::Duration;

use inferstream_cloudflare::{ErrorKind, Phase, Repeat};
use serde_json::json;

use super::{
    CHUNKS, PROMPT, TEXT, ask, builder, plan,
    plan::{Break, Plan, Resume},
    run,
};
use crate::support::block_on;

#[test]
fn an_error_of_the_agent_is_plain_text() {
    let (outcome, agent) = run(Plan {
        last: vec![json!({"body": "The model is {overloaded\"", "done": true, "error": true})],
        ..Plan::new(&CHUNKS[..5])
    });
    let error = outcome.error();
    assert_eq!(error.kind(), ErrorKind::Provider);
    assert_eq!(error.provider_message(), Some("The model is {overloaded\""));
    assert_eq!(outcome.text(), "Hello, 世界");
    assert_eq!(
        agent.connections(),
        1,
        "the turn has ended and is not resumed"
    );
    assert_eq!(agent.count("chat_request_cancel"), 0);
}

#[test]
fn an_error_that_repeats_the_prompt_does_not_show_it() {
    let words = format!("cannot answer `{PROMPT}`");
    let (outcome, _) = run(Plan {
        last: vec![json!({"body": words, "done": true, "error": true})],
        ..Plan::new(&[])
    });
    let error = outcome.error();
    assert_eq!(error.kind(), ErrorKind::Provider);
    assert!(!format!("{error} {error:?}").contains(PROMPT), "{error:?}");
}

#[test]
fn an_error_without_a_message_is_an_error() {
    let (outcome, _) = run(Plan {
        last: vec![json!({"body": "", "done": true, "error": true})],
        ..plan()
    });
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
}

#[test]
fn an_error_chunk_is_an_error() {
    let (outcome, agent) = run(Plan::new(&[
        r#"{"type":"start"}"#,
        r#"{"type":"error","errorText":"An error occurred."}"#,
    ]));
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
    assert_eq!(
        outcome.error().provider_message(),
        Some("An error occurred.")
    );
    assert_eq!(agent.count("chat_request_cancel"), 0);
}

#[test]
fn an_end_without_a_finish_is_not_complete() {
    for count in 0..CHUNKS.len() - 1 {
        let (outcome, agent) = run(Plan::new(&CHUNKS[..count]));
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{count} chunks");
        assert_eq!(agent.connections(), 1, "the agent itself has ended it");
    }
}

#[test]
fn a_finish_without_an_end_is_complete_after_two_seconds() {
    let (outcome, agent) = run(Plan {
        last: Vec::new(),
        ..plan()
    });
    assert_eq!(outcome.text(), TEXT);
    assert_eq!(outcome.kind(), None);
    assert_eq!(outcome.elapsed, Duration::from_secs(2));
    assert_eq!(agent.count("chat_request_cancel"), 0);
}

#[test]
fn a_last_chunk_may_come_with_the_end() {
    let (outcome, _) = run(Plan {
        last: vec![json!({"body": CHUNKS[7], "done": true})],
        ..Plan::new(&CHUNKS[..7])
    });
    assert_eq!(outcome.text(), TEXT);
    assert_eq!(outcome.kind(), None);
}

#[test]
fn silence_ends_at_the_limit_and_the_turn_is_canceled() {
    let (outcome, agent) = run(Plan {
        last: Vec::new(),
        ..Plan::new(&CHUNKS[..5])
    });
    assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::Idle)));
    assert_eq!(outcome.elapsed, Duration::from_secs(300));
    assert_eq!(agent.count("chat_request_cancel"), 1);
}

#[test]
fn refused_settings_are_an_error() {
    let (outcome, agent) = run(Plan {
        refusal: Some("State update rejected"),
        ..plan()
    });
    let error = outcome.error();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(
        error.to_string(),
        "the playground refused the request's settings: State update rejected"
    );
    assert_eq!(outcome.text(), "");
    assert_eq!(agent.count("chat_request_cancel"), 1);
}

#[test]
fn a_close_before_the_end_is_not_the_end() {
    for code in [1000, 1001, 1011, 1012] {
        for (resume, kind) in [
            (Resume::Ended, None),
            (Resume::Gone, Some(ErrorKind::Truncated)),
        ] {
            let (outcome, agent) = run(Plan {
                close: Some((5, code)),
                resume,
                ..plan()
            });
            assert_eq!(outcome.kind(), kind, "{code}: {:?}", outcome.end);
            assert_eq!(outcome.text().len() == TEXT.len(), kind.is_none());
            assert_eq!(agent.connections(), 2);
        }
    }
}

#[test]
fn a_normal_close_after_the_finish_is_complete() {
    let mut chunks = CHUNKS.to_vec();
    chunks.push(r#"{"type":"text-delta","id":"0","delta":"never"}"#);
    for (code, kind) in [
        (1000, None),
        (1001, Some(ErrorKind::Truncated)),
        (1011, Some(ErrorKind::Truncated)),
        (1012, Some(ErrorKind::Truncated)),
    ] {
        let (outcome, _) = run(Plan {
            close: Some((8, code)),
            resume: Resume::Gone,
            ..Plan::new(&chunks)
        });
        assert_eq!(outcome.kind(), kind, "{code}");
        assert_eq!(outcome.text(), TEXT);
    }
}

#[test]
fn the_end_marker_of_event_streams_is_not_recognized() {
    for marker in ["[DONE]", "\"[DONE]\"", "[DONE] and more"] {
        let (outcome, agent) = run(Plan {
            last: Vec::new(),
            ..Plan::new(&[CHUNKS[3], marker])
        });
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{marker}");
        assert_eq!(outcome.text(), "Hello");
        assert_eq!(agent.count("chat_request_cancel"), 1);
    }
}

#[test]
fn content_after_the_finish_means_that_the_response_continues() {
    let chunks = [
        CHUNKS[3],
        CHUNKS[7],
        CHUNKS[0],
        CHUNKS[1],
        r#"{"type":"text-delta","id":"1","delta":" half"}"#,
    ];
    let (outcome, _) = run(Plan::new(&chunks));
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
    assert_eq!(outcome.text(), "Hello half");
}

#[test]
fn a_lost_refusal_of_the_settings_is_noticed() {
    for cut in (0..260).step_by(5) {
        let (outcome, _) = run(Plan {
            refusal: Some("State update rejected"),
            cuts: vec![Some((cut, Break::Lost))],
            resume: Resume::Ended,
            ..plan()
        });
        assert!(outcome.kind().is_some(), "cut at {cut}");
        assert_eq!(outcome.text(), "", "cut at {cut}");
    }
}

#[test]
fn a_refusal_without_a_message_does_not_mention_the_model() {
    let (outcome, _) = run(Plan {
        status: (400, ""),
        ..plan()
    });
    assert_eq!(outcome.kind(), Some(ErrorKind::InvalidRequest));
    let message = outcome.error().to_string();
    assert_eq!(message, "the playground returned 400 Bad Request");
}

#[test]
fn a_page_instead_of_a_connection_is_a_challenge() {
    let (outcome, agent) = run(Plan {
        status: (403, "<!DOCTYPE html><title>Just a moment...</title>"),
        ..plan()
    });
    assert_eq!(outcome.kind(), Some(ErrorKind::Challenge));
    assert_eq!(outcome.error().repeat(), Repeat::Never);
    assert_eq!(agent.connections(), 1);
}

#[test]
fn a_response_without_a_switch_is_a_protocol_error() {
    let (outcome, _) = run(Plan {
        status: (200, "<html>a page</html>"),
        ..plan()
    });
    assert_eq!(outcome.kind(), Some(ErrorKind::Protocol));
    assert_eq!(
        outcome.error().to_string(),
        "the playground returned 200: expected 101, the switch to a WebSocket"
    );
}

#[test]
fn a_busy_service_is_tried_again() {
    let agent = Plan {
        status: (503, ""),
        resume: Resume::Ended,
        ..plan()
    }
    .serve();
    let outcome = ask(&agent, PROMPT);
    assert_eq!(outcome.text(), TEXT);
    assert_eq!(agent.connections(), 2);
    assert_eq!(outcome.response().text(), TEXT);
}

#[test]
fn a_broken_connection_is_truncated() {
    let agent = Plan {
        cuts: vec![Some((520, Break::Lost)); 4],
        ..plan()
    }
    .serve();
    let client = builder(&agent).build().unwrap();
    let error = block_on(&agent.clock, client.chat(PROMPT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}
