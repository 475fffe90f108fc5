//! The `sse` command.

use crate::run_with;

/// Checks the output for an input, with several chunk sizes.
#[track_caller]
fn check(input: &[u8], lines: &[&str]) {
    let whole = run_with(&["sse"], input);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    assert_eq!(whole.stdout.lines().collect::<Vec<_>>(), lines);
    for size in ["1", "2", "3", "7", "100000"] {
        let cut = run_with(&["sse", "--chunk-size", size], input);
        assert_eq!((cut.code, cut.stdout), (Some(0), whole.stdout.clone()));
    }
}

#[test]
fn events_are_json_objects() {
    check(b"", &[]);
    check(
        b"data: a\n\n",
        &[r#"{"event":"message","data":"a","id":""}"#],
    );
    check(
        b"event: ping\nid: 7\ndata: {\"a\":1}\ndata: b\n\ndata\n\n",
        &[
            r#"{"event":"ping","data":"{\"a\":1}\nb","id":"7"}"#,
            r#"{"event":"message","data":"","id":"7"}"#,
        ],
    );
}

#[test]
fn all_line_endings_and_a_byte_order_mark_are_accepted() {
    let frame = r#"{"event":"message","data":"a","id":""}"#;
    for end in ["\n", "\r", "\r\n"] {
        let input = format!("\u{feff}: comment{end}data: a{end}{end}data: a{end}{end}");
        check(input.as_bytes(), &[frame, frame]);
    }
}

#[test]
fn a_reconnection_time_is_printed_in_order() {
    check(
        b"data: a\n\nretry: 2500\nretry: x\ndata: b\n\n",
        &[
            r#"{"event":"message","data":"a","id":""}"#,
            r#"{"retry":2500}"#,
            r#"{"event":"message","data":"b","id":""}"#,
        ],
    );
}

#[test]
fn an_incomplete_event_is_dropped() {
    check(b"data: a", &[]);
    check(b"data: a\n", &[]);
}

#[test]
fn any_bytes_are_accepted() {
    check(
        b"data: \xff\xf0\x9f\x98\x80\xf0\x9f\n\n",
        &[r#"{"event":"message","data":"😀","id":""}"#.replace('😀', "\u{fffd}😀\u{fffd}").as_str()],
    );
    check(b"\0\xff\xfe: \r\r\n\n::\n", &[]);
}

#[test]
fn an_endless_line_is_an_error_after_the_complete_events() {
    let mut input = b"data: a\n\ndata: ".to_vec();
    input.resize(3 << 20, b'x');
    let run = run_with(&["sse"], &input);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.stdout.lines().count(), 1);
    assert!(run.error().contains("line too large"));
}

#[test]
fn a_chunk_size_of_zero_is_a_usage_error() {
    assert_eq!(run_with(&["sse", "--chunk-size", "0"], b"").code, Some(2));
}

#[test]
fn unicode_line_separators_are_escaped() {
    check(
        "data: a\u{85}b\u{2028}c\u{2029}d\n\n".as_bytes(),
        &[r#"{"event":"message","data":"a\u0085b\u2028c\u2029d","id":""}"#],
    );
}
