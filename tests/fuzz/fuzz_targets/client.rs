//! A client over a scripted transport: a success is complete, nothing is lost or doubled, and a
//! request is sent again only if the policy allows it.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use fuzz::{input::Input, outcome::Outcome, service::Service};
use inferstream_core::{Error, Phase};
use inferstream_core::{ErrorKind, RetryPolicy, Sent, Timeouts};
use inferstream_test::{Piece, Reply, ScriptedTransport};
use serde_json::json;

const SERVICES: &[Service] = &[
    Service::Compatible,
    Service::Cerebras,
    Service::CablyAi,
    Service::WorkersAi,
];

const STATUSES: &[u16] = &[
    429, 500, 502, 503, 504, 520, 521, 524, 529, 530, 408, 409, 425, 400, 401, 403, 404, 413, 301,
    418,
];

/// Values of `retry-after`, and the seconds that they ask for.
const HINTS: &[(&str, Option<f64>)] = &[
    ("", None),
    ("0", Some(0.0)),
    ("1", Some(1.0)),
    ("59.5", Some(59.5)),
    ("61", Some(61.0)),
    ("1e9", Some(1e9)),
    ("-1", None),
    ("soon", None),
    ("Thu, 01 Jan 1970 00:20:00 GMT", None),
];

const TOKENS: &[&str] = &[
    "a",
    "b",
    "ab",
    " ",
    "é",
    "😀",
    "\n",
    "\"",
    "\\",
    "data: [DONE]",
    "\n\n",
    "{\"error\":1}",
    "<think>",
];

/// What one reply is, and whether a policy may send the request again after it.
#[derive(Debug)]
enum Script {
    Refuse { repeats: bool },
    Stream(Stream),
}

/// What is known about a stream that was truncated, without the code under test.
#[derive(Debug, Default)]
struct Stream {
    /// The text of each complete event, until the end marker.
    text: String,
    /// The text of the complete stream.
    all: String,
    has_finish: bool,
    has_marker: bool,
    /// An event of the service's error arrived.
    has_error: bool,
    /// It was truncated within an event that is complete but for its blank line.
    tail_may_count: bool,
    is_complete: bool,
    /// Text follows a finish reason.
    goes_on: bool,
}

fn refuse(input: &mut Input<'_>, policy: &RetryPolicy) -> (Reply, bool) {
    let status = input.pick(STATUSES);
    let (hint, seconds) = input.pick(HINTS);
    let should = input.pick(&["", "true", "false"]);
    let body = input.pick(&[
        "",
        r#"{"error":{"message":"m","code":"c"}}"#,
        "<html>Bad Gateway</html>",
        r#"{"error":"#,
    ]);
    let mut reply = Reply::json(status, body);
    if !hint.is_empty() {
        reply = reply.header("retry-after", hint);
    }
    if !should.is_empty() {
        reply = reply.header("x-should-retry", should);
    }
    let by_status = match status {
        408 | 429 | 500 | 502 | 503 | 504 | 521 | 529 | 530 => true,
        520 | 524 => policy.retry_ambiguous,
        _ => false,
    };
    let repeats = match should {
        "false" => false,
        "true" => by_status || matches!(status, 409 | 425 | 500..=599),
        _ => by_status,
    };
    let is_server_error = status == 408 || (500..600).contains(&status);
    let is_allowed = policy.retry_server_errors || !is_server_error;
    let is_soon = seconds.is_none_or(|seconds| seconds <= policy.max_retry_after.as_secs_f64());
    (reply, repeats && is_allowed && is_soon)
}

fn fail(input: &mut Input<'_>, policy: &RetryPolicy) -> (Reply, bool) {
    let head = || ErrorKind::Timeout(Phase::Head);
    let (kind, sent) = match input.below(8) {
        0 => (ErrorKind::Connect, Sent::No),
        1 => (ErrorKind::Dns, Sent::No),
        2 => (ErrorKind::Disconnected, Sent::No),
        3 => (ErrorKind::Disconnected, Sent::Maybe),
        4 => (ErrorKind::Disconnected, Sent::Yes),
        5 => (ErrorKind::Tls, Sent::No),
        6 => (ErrorKind::Config, Sent::No),
        _ => (head(), Sent::Yes),
    };
    let repeats = match (kind, sent) {
        (ErrorKind::Tls | ErrorKind::Config, _) => false,
        (_, Sent::No) => true,
        _ => policy.retry_ambiguous,
    };
    (
        Reply::error(Error::new(kind, "failed").with_sent(sent)),
        repeats,
    )
}

/// The kinds of events that a stream is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Text(&'static str),
    Comment,
    Finish,
    Usage,
    Error,
    Marker,
}

impl Event {
    fn bytes(self) -> String {
        let data = |value: serde_json::Value| format!("data: {value}\n\n");
        match self {
            Self::Text(text) => {
                data(json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
            }
            Self::Comment => ": wait\n\n".to_owned(),
            Self::Finish => {
                data(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }))
            }
            Self::Usage => data(
                json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 1 } }),
            ),
            Self::Error => data(json!({ "error": { "message": "m" } })),
            Self::Marker => "data: [DONE]\n\n".to_owned(),
        }
    }
}

fn stream(input: &mut Input<'_>) -> (Reply, Stream) {
    let mut events = Vec::new();
    for _ in 0..input.below(8) {
        events.push(match input.below(20) {
            0 => Event::Comment,
            1 => Event::Usage,
            2 => Event::Error,
            3 => Event::Finish,
            _ => Event::Text(input.pick(TOKENS)),
        });
    }
    let ends = input.below(4);
    if ends != 1 {
        events.push(Event::Finish);
    }
    if ends != 2 {
        events.push(Event::Marker);
    }
    let length = events.iter().map(|event| event.bytes().len()).sum();
    let fault = input.below(4);
    let place = if fault == 0 {
        length
    } else {
        input.place(length)
    };

    let mut stream = Stream::default();
    let mut bytes = String::new();
    let (mut is_over, mut has_finished) = (false, false);
    for event in &events {
        let start = bytes.len();
        bytes += &event.bytes();
        if is_over {
            continue;
        }
        if let Event::Text(text) = event {
            stream.goes_on |= has_finished;
            stream.all += text;
        }
        if bytes.len() <= place {
            match event {
                Event::Text(text) => stream.text += text,
                Event::Finish => stream.has_finish = true,
                Event::Error => stream.has_error = true,
                Event::Marker => stream.has_marker = true,
                Event::Comment | Event::Usage => {}
            }
        } else if start < place {
            let rest = &bytes.as_bytes()[place..];
            stream.tail_may_count = rest.trim_ascii().is_empty();
        }
        has_finished |= *event == Event::Finish;
        // The service ends a response by its marker or an error.
        is_over = matches!(event, Event::Marker | Event::Error);
    }
    // After a lost connection there is a success only if the marker came.
    stream.is_complete = place == length && (fault != 2 || stream.has_marker);
    let mut pieces = vec![Piece::Bytes(Bytes::copy_from_slice(
        &bytes.as_bytes()[..place],
    ))];
    match fault {
        2 => pieces.push(Piece::disconnect()),
        3 => pieces.push(Piece::Hang),
        _ => {}
    }
    let size = input.below(64) + 1;
    (Reply::sse(pieces).split_every(size), stream)
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let service = input.pick(SERVICES);
    let policy = RetryPolicy::default()
        .max_attempts(input.below(5) as u32)
        .retry_ambiguous(input.flag())
        .retry_server_errors(input.pick(&[true, false]));
    let total = input.pick(&[None, Some(Duration::from_secs(30))]);
    let (mut replies, mut scripts) = (Vec::new(), Vec::new());
    for _ in 0..=input.below(5) {
        let (reply, script) = match input.below(4) {
            0 => {
                let (reply, repeats) = refuse(&mut input, &policy);
                (reply, Script::Refuse { repeats })
            }
            1 => {
                let (reply, repeats) = fail(&mut input, &policy);
                (reply, Script::Refuse { repeats })
            }
            2 if input.below(8) == 0 => {
                let repeats = policy.retry_ambiguous;
                (Reply::hang(), Script::Refuse { repeats })
            }
            _ => {
                let (reply, stream) = stream(&mut input);
                let delay = Duration::from_secs(input.pick(&[0, 0, 0, 1, 20, 59]));
                (reply.after(delay), Script::Stream(stream))
            }
        };
        replies.push(reply);
        scripts.push(script);
    }
    let transport = ScriptedTransport::new(replies);
    let client = service.client(&transport).expect("a client");
    let request = service
        .request()
        .retry(policy)
        .timeouts(Timeouts::default().total(total));
    let opened = transport.block_on(client.stream(request));
    let is_open = opened.is_ok();
    let attempts = match &opened {
        Ok(stream) => stream.meta().attempts,
        Err(error) => error.attempts(),
    };
    let outcome = Outcome::read(transport.clock(), opened);
    transport.run_detached();

    let sent = transport.requests().len();
    let told = || format!("{sent} of {scripts:?} {policy:?} {total:?} {outcome:?}");
    assert_eq!(attempts as usize, sent, "{}", told());
    assert!(
        (1..=policy.max_attempts.max(1) as usize).contains(&sent),
        "{}",
        told()
    );
    for script in scripts.iter().take(sent - 1) {
        let repeats = matches!(script, Script::Refuse { repeats: true });
        assert!(repeats, "sent again after {script:?}: {}", told());
    }
    let elapsed = transport.clock().elapsed();
    assert!(
        elapsed <= total.unwrap_or(Duration::from_secs(1200)),
        "{elapsed:?} {}",
        told()
    );
    let Some(Script::Stream(stream)) = scripts.get(sent - 1) else {
        // There may be more requests than replies.
        assert!(!is_open && outcome.end.is_err(), "{}", told());
        return;
    };
    let text = outcome.text();
    if !is_open {
        assert_eq!(text, "", "{}", told());
        return;
    }
    assert!(stream.all.starts_with(text), "{}", told());
    let has_end = stream.has_finish || stream.has_marker;
    match &outcome.end {
        Ok(()) => {
            assert!(has_end || stream.tail_may_count, "{}", told());
            assert!(!stream.has_error || stream.has_finish, "{}", told());
            let is_all = text.starts_with(&*stream.text);
            assert!(is_all || stream.goes_on, "{}", told());
        }
        Err(error) => {
            // The text of complete events is delivered before the error.
            assert!(
                text.starts_with(&*stream.text) || stream.goes_on,
                "{}",
                told()
            );
            // A response without a choice is an error.
            let has_choice = stream.has_finish || !stream.text.is_empty();
            let is_fine =
                stream.is_complete && has_end && has_choice && !stream.has_error && !stream.goes_on;
            let is_late = error.kind() == ErrorKind::Timeout(Phase::Total);
            assert!(!is_fine || is_late, "{}", told());
        }
    }
});
