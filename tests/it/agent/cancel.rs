//! Dropped turns: the agent is told to cancel exactly once.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use inferstream_cloudflare::{ChatEvent, ChatStream, ErrorKind};
use serde_json::json;

use super::{
    CHUNKS, PROMPT, TEXT, client,
    double::Agent,
    plan,
    plan::{Break, Plan, Resume},
};
use crate::support::{Double, block_on};

/// Reads this many events and drops the stream.
fn drop_after(agent: &Agent, events: usize) {
    block_on(&agent.clock, async {
        let mut stream = client(agent).stream(PROMPT).await.unwrap();
        for _ in 0..events {
            stream.next().await.unwrap().unwrap();
        }
    });
    agent.run_detached();
}

#[test]
fn a_stream_that_is_dropped_is_canceled_once() {
    for events in 0..=3 {
        let agent = Plan {
            last: Vec::new(),
            ..Plan::new(&CHUNKS[..6])
        }
        .serve();
        drop_after(&agent, events);
        let cancels = agent.of("chat_request_cancel");
        let id = &agent.of("use_chat_request")[0]["id"];
        assert_eq!(
            cancels,
            [json!({"type": "cf_agent_chat_request_cancel", "id": id})]
        );
        assert_eq!(
            agent.seen.lock().unwrap().closed,
            1,
            "the client sends a close frame"
        );
        assert_eq!(agent.connections(), 1);
    }
}

#[test]
fn an_ended_turn_is_not_canceled() {
    // Three texts and the finish.
    let agent = plan().serve();
    drop_after(&agent, 4);
    assert_eq!(agent.count("chat_request_cancel"), 0);
}

#[test]
fn canceling_returns_what_was_delivered() {
    let agent = plan().serve();
    let partial = block_on(&agent.clock, async {
        let mut stream = client(&agent).stream(PROMPT).await.unwrap();
        stream.next().await.unwrap().unwrap();
        stream.cancel().await.unwrap()
    });
    assert_eq!(partial.text(), "Hello");
    agent.run_detached();
    assert_eq!(agent.count("chat_request_cancel"), 1);
}

#[test]
fn a_cancel_is_sent_even_if_its_future_is_dropped() {
    let agent = plan().serve();
    block_on(&agent.clock, async {
        let mut stream = client(&agent).stream(PROMPT).await.unwrap();
        stream.next().await.unwrap().unwrap();
        drop(stream.cancel());
    });
    agent.run_detached();
    assert_eq!(agent.count("chat_request_cancel"), 1);
}

/// Polls a complete exchange this many times and drops it. Returns whether it has ended, and its text.
fn abandon(agent: &Agent, polls: usize) -> (bool, String) {
    let mut text = String::new();
    let exchange = async {
        let mut stream = client(agent).stream(PROMPT).await.unwrap();
        while let Some(event) = stream.next().await {
            if let ChatEvent::Text { text: more, .. } = event.unwrap() {
                text.push_str(&more);
            }
        }
    };
    let mut left = polls;
    let is_whole = {
        let mut exchange = pin!(exchange);
        let poll = poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(false);
            }
            left -= 1;
            exchange.as_mut().poll(cx).map(|()| true)
        });
        block_on(&agent.clock, poll)
    };
    (is_whole, text)
}

#[test]
fn a_turn_dropped_while_it_resumes_is_canceled() {
    for resume in [
        Resume::Runs(4),
        Resume::Silent,
        Resume::Pending(Duration::from_secs(9)),
    ] {
        for cut in [0, 330, 800] {
            let mut whole = 0;
            for polls in 1..60 {
                let agent = Plan {
                    cuts: vec![Some((cut, Break::Lost))],
                    piece: 50,
                    resume,
                    ..plan()
                }
                .serve();
                let (is_whole, text) = abandon(&agent, polls);
                agent.run_detached();
                let cancels = agent.count("chat_request_cancel");
                let asked = agent.count("use_chat_request");
                whole += usize::from(is_whole);
                let at = format!("{resume:?}, cut at {cut}, {polls} polls");
                // Between the text and the end, the finish may have arrived or not.
                let is_either = !is_whole && text == TEXT && cancels <= asked;
                let expected = usize::from(!is_whole) * asked;
                assert!(is_either || cancels == expected, "{at}: {cancels}");
            }
            assert!(0 < whole, "{resume:?}, cut at {cut}: some turns end");
        }
    }
}

#[test]
fn a_turn_without_a_connection_is_canceled_on_another_one() {
    let agent = Plan {
        cuts: vec![Some((800, Break::Lost))],
        ..plan()
    }
    .serve();
    let told = block_on(&agent.clock, async {
        let mut stream = client(&agent).stream(PROMPT).await.unwrap();
        stream.next().await.unwrap().unwrap();
        // The client notices the lost connection, and waits before it reconnects.
        poll_next(&mut stream).await;
        stream.cancel().await
    });
    assert!(TEXT.starts_with(told.unwrap().text()));
    agent.run_detached();
    assert_eq!(agent.count("chat_request_cancel"), 1);
}

#[test]
fn a_local_failure_cancels_the_turn() {
    let calls: Vec<String> = (0..130)
        .map(|index| {
            format!(r#"{{"type":"tool-input-start","toolCallId":"c{index}","toolName":"f"}}"#)
        })
        .collect();
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    let mut too_long = vec![0x81, 127];
    too_long.extend((33_u64 << 20).to_be_bytes());
    let lost = Some((800, Break::Lost));
    let plans = [
        Plan {
            last: Vec::new(),
            ..Plan::new(&calls)
        },
        Plan {
            raw: too_long,
            ..plan()
        },
        Plan {
            raw: vec![0xC1, 0],
            ..plan()
        },
        Plan {
            cuts: vec![lost, lost, lost, lost],
            resume: Resume::Runs(4),
            ..plan()
        },
    ];
    for plan in plans {
        let (outcome, agent) = super::run(plan);
        assert!(outcome.kind().is_some());
        assert_eq!(agent.count("chat_request_cancel"), 1, "{:?}", outcome.end);
    }
}

#[test]
fn a_turn_that_has_finished_is_not_canceled() {
    let (_, agent) = super::run(plan());
    let length = agent.seen.lock().unwrap().sent[0] - 2;
    let (outcome, agent) = super::run(Plan {
        cuts: vec![Some((length - 1, Break::Lost))],
        resume: Resume::Silent,
        ..plan()
    });
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
    assert_eq!(agent.count("chat_request_cancel"), 0);
}

#[test]
fn canceling_ends_although_the_service_is_silent() {
    let agent = Plan {
        never_ends: true,
        last: Vec::new(),
        ..Plan::new(&CHUNKS[..5])
    }
    .serve();
    block_on(&agent.clock, async {
        let mut stream = client(&agent).stream(PROMPT).await.unwrap();
        stream.next().await.unwrap().unwrap();
        let canceling = stream.cancel();
        let (_, wants_more) = crate::support::poll_once(canceling);
        assert!(wants_more, "other tasks can run");
    });
}

#[test]
fn a_failed_cancel_is_an_error() {
    let agent = Plan {
        cuts: vec![Some((800, Break::Lost))],
        resume: Resume::Refused(403),
        ..plan()
    }
    .serve();
    let told = block_on(&agent.clock, async {
        let mut stream = client(&agent).stream(PROMPT).await.unwrap();
        stream.next().await.unwrap().unwrap();
        poll_next(&mut stream).await;
        stream.cancel().await
    });
    if let Err(error) = told {
        assert!(
            error.to_string().contains("canceling the response failed"),
            "{error}"
        );
        assert_ne!(error.kind(), ErrorKind::Truncated);
    }
}

/// Polls for the next event once.
async fn poll_next(stream: &mut ChatStream) {
    let mut next = pin!(stream.next());
    let event = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
    assert!(event.is_pending());
}
