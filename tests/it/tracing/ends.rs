//! The end of a call's span: error, dropped or canceled.

use inferstream_core::Timeouts;
use serde_json::Value;

use super::*;
use crate::support::{broken, poll_once};

/// Checks a span that ended with an error. Returns its fields about the response.
#[track_caller]
fn check(seen: &Seen, error_type: &str) -> Vec<String> {
    let call = seen.call();
    let fields = &call.fields;
    assert_eq!(fields["error.type"], error_type);
    assert_eq!(fields["otel.status_code"], "ERROR");
    assert_eq!(fields["inferstream.outcome"], "error");
    assert!(call.closed);
    let names = fields
        .keys()
        .filter(|name| name.starts_with("gen_ai.response.") || name.starts_with("gen_ai.usage."));
    let mut names = names.cloned().collect::<Vec<_>>();
    names.sort();
    names
}

#[test]
fn a_success_has_no_error() {
    let (_, seen) = ask(Endpoint::Cerebras, Endpoint::Cerebras.answers(), PROMPT);
    let fields = &seen.call().fields;
    assert!(!fields.contains_key("error.type") && !fields.contains_key("otel.status_code"));
}

#[test]
fn a_refusal_is_an_error() {
    for endpoint in ENDPOINTS {
        let refusal = Answer::json(401, &format!("{{\"message\":\"{KEY} {PROMPT}\"}}"));
        let (outcome, seen) = ask(endpoint, vec![refusal], endpoint.request());
        let kind = outcome.error().kind().as_str();
        assert!(check(&seen, kind).is_empty(), "{endpoint:?}");
    }
}

#[test]
fn an_invalid_request_is_an_error() {
    for endpoint in ENDPOINTS {
        let (outcome, seen) = ask(endpoint, endpoint.answers(), ChatRequest::default());
        assert_eq!(outcome.attempts, 0);
        check(&seen, "config");
    }
}

#[test]
fn a_call_without_a_key_has_a_span() {
    let recorder = Recorder::new(usual);
    let wire = Wire::new([Answer::hang()]);
    let cerebras = Cerebras::builder().transport(wire.clone()).build().unwrap();
    let builder = Cloudflare::builder().account_id(ACCOUNT);
    let cloudflare = builder.transport(wire.clone()).build().unwrap();
    let replicate = Replicate::builder()
        .transport(wire.clone())
        .build()
        .unwrap();
    let cablyai = CablyAi::builder().transport(wire.clone()).build().unwrap();
    let clients: [&dyn Provider; 4] = [&cablyai, &cerebras, &cloudflare, &replicate];
    recorder.watch(|| {
        for client in clients {
            block_on(&wire.clock, client.stream(PROMPT.into())).unwrap_err();
            block_on(&wire.clock, client.chat(PROMPT.into())).unwrap_err();
        }
    });
    let seen = recorder.seen();
    assert_eq!(seen.calls().len(), 8);
    for call in seen.calls() {
        assert_eq!(call.fields["error.type"], "auth");
        assert!(call.closed);
    }
}

#[test]
fn an_error_before_the_headers_is_recorded() {
    for endpoint in ENDPOINTS {
        let (_, seen) = ask(endpoint, vec![Answer::error(refused())], endpoint.request());
        assert!(check(&seen, "connect").is_empty(), "{endpoint:?}");
    }
}

#[test]
fn a_truncated_response_records_what_arrived() {
    let chunk = sse(&[&chunk()]);
    let answer = Answer::sse([Piece::from(chunk.as_str()), broken()]);
    let (_, seen) = ask(Endpoint::Cerebras, vec![answer], PROMPT);
    assert_eq!(
        check(&seen, "truncated"),
        [
            "gen_ai.response.id",
            "gen_ai.response.model",
            "gen_ai.response.time_to_first_chunk",
        ]
    );
}

#[test]
fn an_error_inside_a_response_is_recorded() {
    let events = sse(&[&chunk(), r#"{"error":{"message":"no more"}}"#]);
    let answer = Answer::sse([Piece::from(events.as_str())]);
    let (outcome, seen) = ask(Endpoint::Cerebras, vec![answer], PROMPT);
    assert_eq!(outcome.error().kind(), ErrorKind::Provider);
    check(&seen, "provider");
}

#[test]
fn a_failed_prediction_is_recorded_with_its_id() {
    let mut failed = prediction("failed");
    failed["error"] = json!("no more");
    let answers = vec![Answer::json(201, &failed.to_string())];
    let (outcome, seen) = ask(Endpoint::Replicate, answers, PROMPT);
    let names = check(&seen, outcome.error().kind().as_str());
    assert!(
        names.contains(&"gen_ai.response.id".to_owned()),
        "{names:?}"
    );
}

#[test]
fn a_timeout_is_recorded_with_its_phase() {
    let hangs = |pieces: &[&str]| {
        let pieces = pieces.iter().map(|piece| Piece::from(*piece));
        Answer::sse(pieces.chain([Piece::Hang]))
    };
    let chunk = sse(&[&chunk()]);
    for (answer, error_type) in [
        (hangs(&[]), "timeout_first_event"),
        (hangs(&[&chunk]), "timeout_idle"),
    ] {
        let (_, seen) = ask(Endpoint::Cerebras, vec![answer], PROMPT);
        check(&seen, error_type);
    }
    let timeouts = Timeouts::default().total(seconds(1));
    let request = ChatRequest::from(PROMPT).timeouts(timeouts);
    let (_, seen) = ask(Endpoint::Cerebras, vec![Answer::hang()], request);
    check(&seen, "timeout_total");
}

/// Opens a stream, takes its first event, and then runs a function on it.
#[track_caller]
fn begin(then: impl FnOnce(&Wire, inferstream_core::ChatStream)) -> Seen {
    let recorder = Recorder::new(usual);
    let events = sse(&[&chunk()]);
    let wire = Wire::new([Answer::sse([Piece::from(events.as_str()), Piece::Hang])]);
    recorder.watch(|| {
        let client = Endpoint::Cerebras.client(&wire);
        let mut stream = block_on(&wire.clock, client.stream(PROMPT.into())).unwrap();
        block_on(&wire.clock, stream.next()).unwrap().unwrap();
        assert!(!recorder.seen().call().closed, "the call continues");
        then(&wire, stream);
    });
    recorder.seen()
}

#[track_caller]
fn check_no_error(seen: &Seen, outcome: &str) {
    let call = seen.call();
    assert_eq!(call.fields["inferstream.outcome"], outcome);
    assert_eq!(call.fields.get("error.type"), None::<&Value>);
    assert_eq!(call.fields.get("otel.status_code"), None::<&Value>);
    assert!(call.closed);
}

#[test]
fn a_dropped_stream_is_recorded_as_dropped() {
    let seen = begin(|_, stream| drop(stream));
    check_no_error(&seen, "dropped");
    let fields = &seen.call().fields;
    assert_eq!(fields["gen_ai.response.id"], "chatcmpl-1");
    assert!(!fields.contains_key("gen_ai.response.finish_reasons"));
    assert!(!fields.contains_key("gen_ai.usage.output_tokens"));
}

#[test]
fn a_canceled_stream_is_recorded_as_canceled() {
    let seen = begin(|wire, stream| {
        block_on(&wire.clock, stream.cancel()).unwrap();
    });
    check_no_error(&seen, "canceled");
    assert_eq!(seen.call().fields["gen_ai.response.id"], "chatcmpl-1");
}

#[test]
fn a_cancel_that_fails_is_an_error() {
    let recorder = Recorder::new(usual);
    let mut answers = Endpoint::Replicate.answers();
    answers[1] = Answer::sse([Piece::Hang]);
    answers[2] = Answer::json(500, "{}");
    let wire = Wire::new(answers);
    recorder.watch(|| {
        let client = Endpoint::Replicate.client(&wire);
        let stream = block_on(&wire.clock, client.stream(PROMPT.into())).unwrap();
        let told = stream.cancel();
        assert!(!recorder.seen().call().closed, "the cancel is being sent");
        block_on(&wire.clock, told).unwrap_err();
    });
    let seen = recorder.seen();
    let fields = &seen.call().fields;
    assert_eq!(fields["inferstream.outcome"], "canceled");
    assert_eq!(fields["error.type"], "server");
    assert!(seen.call().closed);
}

#[test]
fn a_call_dropped_before_the_headers_is_recorded_as_dropped() {
    for endpoint in ENDPOINTS {
        for polls in [false, true] {
            let recorder = Recorder::new(usual);
            let wire = Wire::new([Answer::hang()]);
            recorder.watch(|| {
                let mut call = endpoint.client(&wire).stream(endpoint.request());
                if polls {
                    assert!(poll_once(&mut call).0.is_pending());
                }
                assert!(!recorder.seen().call().closed);
            });
            check_no_error(&recorder.seen(), "dropped");
        }
    }
}

#[test]
fn a_complete_response_dropped_half_way_is_recorded_as_dropped() {
    for endpoint in ENDPOINTS {
        let recorder = Recorder::new(usual);
        let mut answers = endpoint.whole();
        let last = answers.len().min(2) - 1;
        answers[last] = Answer::sse([Piece::from(sse(&[&chunk()]).as_str()), Piece::Hang]);
        let wire = Wire::new(answers);
        recorder.watch(|| {
            let mut call = endpoint.client(&wire).chat(endpoint.request());
            assert!(poll_once(&mut call).0.is_pending());
            assert!(!recorder.seen().call().closed);
        });
        check_no_error(&recorder.seen(), "dropped");
    }
}

#[test]
fn an_error_that_was_returned_stays_the_outcome() {
    for finishes in [false, true] {
        let recorder = Recorder::new(usual);
        let chunk = sse(&[&chunk()]);
        let wire = Wire::new([Answer::sse([Piece::from(chunk.as_str()), broken()])]);
        recorder.watch(|| {
            let client = Endpoint::Cerebras.client(&wire);
            let mut stream = block_on(&wire.clock, client.stream(PROMPT.into())).unwrap();
            block_on(&wire.clock, stream.next()).unwrap().unwrap();
            block_on(&wire.clock, stream.next()).unwrap().unwrap_err();
            assert!(recorder.seen().call().closed);
            assert!(block_on(&wire.clock, stream.next()).is_none());
            if finishes {
                block_on(&wire.clock, stream.finish()).unwrap_err();
            }
        });
        check(&recorder.seen(), "truncated");
    }
}

#[test]
fn a_cancel_whose_future_is_dropped_is_recorded_as_canceled() {
    let recorder = Recorder::new(usual);
    let mut answers = Endpoint::Replicate.answers();
    answers[1] = Answer::sse([Piece::Hang]);
    answers[2] = Answer::hang();
    let wire = Wire::new(answers);
    recorder.watch(|| {
        let client = Endpoint::Replicate.client(&wire);
        let stream = block_on(&wire.clock, client.stream(PROMPT.into())).unwrap();
        drop(stream.cancel());
    });
    check_no_error(&recorder.seen(), "canceled");
}

#[test]
fn a_span_ends_with_the_response_although_the_stream_is_kept() {
    let recorder = Recorder::new(usual);
    let wire = Wire::new(Endpoint::Cerebras.answers());
    recorder.watch(|| {
        let client = Endpoint::Cerebras.client(&wire);
        let mut stream = block_on(&wire.clock, client.stream(PROMPT.into())).unwrap();
        while block_on(&wire.clock, stream.next()).is_some() {}
        assert!(recorder.seen().call().closed);
        assert_eq!(stream.partial().text(), ANSWER);
        assert!(stream.meta().time_to_first_event.is_some());
        block_on(&wire.clock, stream.cancel()).unwrap();
    });
    assert_eq!(
        recorder.seen().call().fields["inferstream.outcome"],
        "whole"
    );
}
