//! Event streams into JSON.

use crate::run_with;

/// Checks what an input gives, however it is cut.
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
fn frames_are_objects() {
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
fn line_ends_and_the_byte_order_mark() {
    let frame = r#"{"event":"message","data":"a","id":""}"#;
    for end in ["\n", "\r", "\r\n"] {
        let input = format!("\u{feff}: comment{end}data: a{end}{end}data: a{end}{end}");
        check(input.as_bytes(), &[frame, frame]);
    }
}

#[test]
fn a_reconnection_time_is_in_its_place() {
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
fn a_frame_that_is_cut_off_is_dropped() {
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
fn a_line_without_end_is_an_error_after_what_was_whole() {
    let mut input = b"data: a\n\ndata: ".to_vec();
    input.resize(3 << 20, b'x');
    let run = run_with(&["sse"], &input);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.stdout.lines().count(), 1);
    assert!(run.error().contains("limit"));
}

#[test]
fn pieces_without_size_are_wrong_usage() {
    assert_eq!(run_with(&["sse", "--chunk-size", "0"], b"").code, Some(2));
}

#[test]
fn a_line_is_a_line_to_every_reader() {
    check(
        "data: a\u{85}b\u{2028}c\u{2029}d\n\n".as_bytes(),
        &[r#"{"event":"message","data":"a\u0085b\u2028c\u2029d","id":""}"#],
    );
}
