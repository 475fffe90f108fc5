//! Token counts in any chunk and of any JSON type.

use inferstream_core::{ChatEvent, Usage};

use super::{Answer, Client, FINISH, TEXT, chunks, frames, run, tolerance::check};

#[test]
fn usage_may_be_in_any_chunk_and_the_last_one_counts() {
    let usage = |count| {
        let mut usage = Usage::default();
        usage.input_tokens = Some(count);
        usage
    };
    let first = r#"{"choices":[],"usage":{"prompt_tokens":1}}"#;
    let last = r#"{"choices":[],"usage":{"prompt_tokens":2}}"#;
    let with_text =
        r#"{"choices":[{"index":0,"delta":{"content":"b"}}],"usage":{"prompt_tokens":2}}"#;
    for (list, text) in [
        (&[first, TEXT, FINISH, last][..], "a"),
        (&[first, TEXT, last, FINISH], "a"),
        (&[TEXT, FINISH, first, last, last], "a"),
        (&[first, with_text, FINISH], "b"),
    ] {
        let outcome = chunks(list);
        assert_eq!(outcome.response().usage, Some(usage(2)), "{list:?}");
        assert_eq!(outcome.text(), text);
    }
}

#[test]
fn counts_may_be_of_any_type() {
    for (wire, count) in [
        ("3", Some(3)),
        ("3.0", Some(3)),
        ("\"3\"", Some(3)),
        ("0", Some(0)),
        ("null", None),
        ("-1", None),
        ("\"many\"", None),
        ("[]", None),
        ("{}", None),
        ("1e400", None),
        ("1e30", None),
    ] {
        let chunk =
            format!(r#"{{"choices":[],"usage":{{"prompt_tokens":{wire},"total_tokens":9}}}}"#);
        let outcome = check(&[&chunk], "");
        let usage = outcome.response().usage.unwrap();
        assert_eq!(
            (usage.input_tokens, usage.total_tokens),
            (count, Some(9)),
            "{wire}"
        );
    }
    for usage in ["null", "{}"] {
        let chunk = format!(r#"{{"choices":[],"usage":{usage},"time_info":{usage}}}"#);
        let outcome = check(&[&chunk], "");
        assert_eq!(
            (outcome.response().usage, outcome.response().timing),
            (None, None)
        );
    }
    let odd = r#"{"choices":[],"usage":{"prompt_tokens":1,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":"2","image_tokens":{}}}}"#;
    assert_eq!(
        check(&[odd], "").response().usage.unwrap().reasoning_tokens,
        Some(2)
    );
}

#[test]
fn the_same_usage_and_timing_are_delivered_once() {
    let counts = |chunk: &str, count: u64| {
        chunk.replacen(
            '{',
            &format!(
                r#"{{"usage":{{"prompt_tokens":{count}}},"time_info":{{"total_time":{count}}},"#
            ),
            1,
        )
    };
    let list = [
        counts(TEXT, 1),
        counts(TEXT, 1),
        counts(TEXT, 2),
        counts(FINISH, 2),
        counts(r#"{"choices":[]}"#, 1),
        counts(r#"{"choices":[]}"#, 1),
    ];
    let outcome = chunks(&list.iter().map(String::as_str).collect::<Vec<_>>());
    let mut usages = Vec::new();
    let mut timings = 0;
    for event in &outcome.events {
        match event {
            ChatEvent::Usage { usage, .. } => usages.push(usage.input_tokens),
            ChatEvent::Timing { .. } => timings += 1,
            _ => {}
        }
    }
    assert_eq!(usages, [Some(1), Some(2), Some(1)]);
    assert_eq!(timings, 3);
    assert_eq!(outcome.text(), "aaa");
}

#[test]
fn usage_of_another_type_is_ignored() {
    for usage in ["\"n/a\"", "0", "false", "[]"] {
        let c = format!(r#"{{"choices":[],"usage":{usage}}}"#);
        let outcome = chunks(&[TEXT, &c, FINISH]);
        assert_eq!(outcome.kind(), None, "{usage} {:?}", outcome.end);
    }
}

#[test]
fn usage_of_an_earlier_chunk_does_not_end_the_stream() {
    let early = r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}"#;
    let late = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;
    let outcome = run(
        Client::Cerebras,
        Answer::sse([frames(&[early, FINISH, late, "[DONE]"])]),
    );
    assert_eq!(outcome.response().usage.unwrap().output_tokens, Some(2));
}
