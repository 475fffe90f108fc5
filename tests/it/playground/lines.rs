//! The data stream format: its codes, and how it ends.

use inferstream_core::{ChatEvent, End, ErrorKind, FinishReason};
use serde_json::json;

use super::{Outcome, broken, piece, run, run_raw, whole};
use crate::support::{Piece, seconds};

const END: &str = "d:{\"finishReason\":\"stop\"}\n";

fn ended(lines: &str) -> Outcome {
    whole(format!("{lines}{END}"))
}

#[track_caller]
fn check_text(lines: &str, text: &str) {
    let outcome = ended(lines);
    assert_eq!(outcome.response().text(), text, "{lines}");
}

#[track_caller]
fn check_reason(last: &str, reason: &FinishReason) {
    let outcome = whole(format!("0:\"a\"\n{last}\n"));
    assert_eq!(outcome.response().finish_reason(), Some(reason), "{last}");
}

#[track_caller]
fn check_usage(lines: &str, input: Option<u64>, output: Option<u64>) {
    let outcome = whole(lines);
    let usage = outcome.response().usage;
    let counts = usage.map(|usage| (usage.input_tokens, usage.output_tokens));
    assert_eq!(counts.unwrap_or_default(), (input, output), "{lines}");
}

#[track_caller]
fn check_error(lines: &str, kind: ErrorKind, line: &str) -> Outcome {
    let outcome = whole(lines);
    assert_eq!(outcome.kind(), Some(kind), "{lines}");
    assert_eq!(outcome.error().to_string(), line);
    outcome
}

#[test]
fn text_is_a_string_or_a_scalar() {
    check_text(
        "0:\"a\"\n0:\"\"\n0: \"b\" \n0:null\n0:1\n0:true\n",
        "ab1true",
    );
    check_text("0:\"\\ud83d\"\n0:\"\\ude00\"\n", "😀");
    check_text(
        "0:\"\\ud83d\"\n0:\"a\"\n0:\"\\ude00\"\n0:\"\\ud83d\"\n",
        "\u{fffd}a\u{fffd}\u{fffd}",
    );
    let line = "invalid text fragment from the playground: expected a string";
    check_error("0:{\"a\":1}\n", ErrorKind::Protocol, line);
}

#[test]
fn reasoning_is_not_text() {
    let outcome = ended("g:\"hm\"\n0:\"a\"\n");
    assert_eq!(outcome.reasoning(), "hm");
    assert_eq!(outcome.text(), "a");
}

#[test]
fn other_codes_are_ignored() {
    for code in ["2", "8", "a", "h", "i", "j", "k", "1", "4", "5", "6", "7"] {
        check_text(&format!("0:\"a\"\n{code}:[{{\"x\":1}}]\n0:\"b\"\n"), "ab");
    }
    check_text("0:\"a\"\nz:not JSON\nq:{}\n0:\"b\"\n", "ab");
}

#[test]
fn finish_reasons_are_those_of_the_sdk() {
    check_reason("d:{\"finishReason\":\"stop\"}", &FinishReason::Stop);
    check_reason("d:{\"finishReason\":\"length\"}", &FinishReason::Length);
    check_reason(
        "d:{\"finishReason\":\"content-filter\"}",
        &FinishReason::ContentFilter,
    );
    check_reason(
        "d:{\"finishReason\":\"tool-calls\"}",
        &FinishReason::ToolCalls,
    );
    check_reason(
        "d:{\"finishReason\":\"other\"}",
        &FinishReason::Other("other".into()),
    );
    check_reason("d:{\"finishReason\":\"unknown\"}", &FinishReason::Unknown);
    check_reason("d:{}", &FinishReason::Unknown);
    check_reason("d:null", &FinishReason::Unknown);
    check_reason(
        "e:{\"finishReason\":\"length\"}\nd:{}",
        &FinishReason::Length,
    );
}

#[test]
fn counts_may_be_of_any_type() {
    check_usage(
        "d:{\"usage\":{\"promptTokens\":1,\"completionTokens\":2}}\n",
        Some(1),
        Some(2),
    );
    check_usage(
        "d:{\"usage\":{\"promptTokens\":\"1\",\"completionTokens\":null}}\n",
        Some(1),
        None,
    );
    check_usage(
        "d:{\"usage\":{\"promptTokens\":NaN,\"completionTokens\": NaN}}\n",
        None,
        None,
    );
    check_usage(
        "d:{\"usage\":{\"promptTokens\":\"NaN\",\"completionTokens\":[]}}\n",
        None,
        None,
    );
    check_usage("d:{\"usage\":null}\n", None, None);
    check_usage("d:{\"usage\":[1]}\n", None, None);
}

#[test]
fn the_last_usage_counts_and_is_not_added_up() {
    let steps = "e:{\"usage\":{\"promptTokens\":1,\"completionTokens\":2}}\nf:{}\n0:\"a\"\n\
        e:{\"usage\":{\"promptTokens\":3,\"completionTokens\":4}}\n";
    check_usage(steps, Some(3), Some(4));
    check_usage(
        &format!("{steps}d:{{\"usage\":{{\"promptTokens\":null}}}}\n"),
        Some(3),
        Some(4),
    );
    check_usage(
        &format!("{steps}d:{{\"usage\":{{\"promptTokens\":9}}}}\n"),
        Some(9),
        None,
    );
}

#[test]
fn the_id_is_that_of_the_last_step() {
    let outcome = ended("f:{\"messageId\":\"m1\"}\n0:\"a\"\nf:{\"messageId\":\"m2\"}\nf:{}\n");
    assert_eq!(outcome.response().id.as_deref(), Some("m2"));
}

#[test]
fn an_error_ends_the_response_whatever_follows() {
    let line = "the playground reported an error: Error during inference";
    let outcome = check_error(
        &format!("0:\"a\"\n3:\"Error during inference\"\n0:\"b\"\n{END}"),
        ErrorKind::Provider,
        line,
    );
    assert_eq!(outcome.text(), "a");
    assert_eq!(
        outcome.error().provider_message(),
        Some("Error during inference")
    );
    check_error(
        "0:\"a\"\n3:{\"message\":\"m\"}\n",
        ErrorKind::Provider,
        "the playground reported an error: m",
    );
    // The line ending does not matter here.
    check_error(
        "0:\"a\"\n3:\"Error during inference\"",
        ErrorKind::Provider,
        line,
    );
}

#[test]
fn the_finish_reason_error_is_an_error() {
    let line = "the playground reported an error without a message";
    check_error(
        "0:\"a\"\nd:{\"finishReason\":\"error\"}\n",
        ErrorKind::Provider,
        line,
    );
    check_error(
        "0:\"a\"\ne:{\"finishReason\":\"error\"}\n",
        ErrorKind::Provider,
        line,
    );
    let outcome = run([
        Piece::from("0:\"a\"\ne:{\"finishReason\":\"error\"}\n"),
        broken(),
    ]);
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
}

#[test]
fn invalid_json_is_an_error_and_not_shown() {
    for line in ["0:\"a", "d:{\"x\"", "e:NaN{", "2:[1", "9:{", "3:oops"] {
        let outcome = whole(format!("0:\"a\"\n{line} secret\n{END}"));
        let error = outcome.error();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{line}");
        let expected = format!(
            "invalid line `{}` from the playground: expected JSON",
            &line[..1]
        );
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("secret"));
        assert_eq!(outcome.text(), "a");
    }
}

#[test]
fn a_line_without_a_code_is_an_error() {
    for line in [
        "data: {\"type\":\"finish\"}",
        "hello",
        ":",
        "<html>",
        "{\"error\":1}",
    ] {
        let line = format!("0:\"a\"\n{line}\n{END}");
        check_error(
            &line,
            ErrorKind::Protocol,
            "invalid line from the playground: expected a code before `:`",
        );
    }
}

#[test]
fn the_last_step_is_an_end() {
    let step = "0:\"a\"\ne:{\"finishReason\":\"stop\",\"isContinued\":false}\n";
    let outcome = whole(step);
    assert_eq!(outcome.response().end, Some(End::FinishReason));
    assert_eq!(
        run([Piece::from(step), broken()]).kind(),
        Some(ErrorKind::Truncated)
    );
    // The start of the last line must not be taken for a complete line.
    assert_eq!(
        whole(format!("{step}d:{{\"fin")).response().end,
        Some(End::FinishReason)
    );
    for more in ["f", "f:{}", "f:{}\n", "0:\"b", "0:\"b\"\n", "a:{}\n"] {
        let outcome = whole(format!("{step}{more}"));
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{more}");
    }
    let goes_on = step.replace("false", "true");
    assert_eq!(whole(goes_on).kind(), Some(ErrorKind::Truncated));
}

#[test]
fn a_stream_ends_two_seconds_after_its_last_step() {
    let outcome = run([
        Piece::from("0:\"a\"\ne:{\"finishReason\":\"stop\"}\n"),
        Piece::Hang,
    ]);
    assert_eq!(outcome.elapsed, seconds(2));
    assert_eq!(outcome.response().end, Some(End::FinishReason));
    // A tool that the server runs takes longer.
    let pieces = [
        Piece::from(
            "9:{\"toolCallId\":\"c\",\"toolName\":\"t\"}\ne:{\"finishReason\":\"tool-calls\"}\n",
        ),
        Piece::Wait(seconds(60)),
        Piece::from("f:{}\n0:\"b\"\n"),
        Piece::from(END),
    ];
    assert_eq!(run(pieces).response().text(), "b");
}

#[test]
fn nothing_is_read_after_the_end() {
    for rest in [broken(), Piece::Hang, Piece::from("0:\"b\"\n")] {
        let outcome = run([Piece::from("0:\"a\"\n"), Piece::from(END), rest]);
        assert_eq!(outcome.response().end, Some(End::Marker));
        assert_eq!(outcome.text(), "a");
    }
}

#[test]
fn a_call_in_fragments_is_one_call() {
    let outcome = ended(
        "b:{\"toolCallId\":\"c\",\"toolName\":\"t\"}\n\
         c:{\"toolCallId\":\"c\",\"argsTextDelta\":\"{\\\"a\\\": \"}\n\
         c:{\"toolCallId\":\"c\",\"argsTextDelta\":\"1}\"}\n\
         9:{\"toolCallId\":\"c\",\"toolName\":\"t\",\"args\":{\"a\": 1}}\n\
         9:{\"toolCallId\":\"c\",\"toolName\":\"t\",\"args\":{\"a\": 2}}\n",
    );
    let lines = outcome.lines();
    let expected = [
        json!({"type":"tool_call_start","index":0,"id":"c","name":"t"}),
        json!({"type":"tool_call_delta","index":0,"arguments":"{\"a\": "}),
        json!({"type":"tool_call_delta","index":0,"arguments":"1}"}),
        json!({"type":"tool_call","index":0,"id":"c","name":"t","arguments":"{\"a\":1}"}),
        json!({"type":"finish","reason":"stop"}),
    ];
    let read = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
    assert_eq!(lines.iter().map(read).collect::<Vec<_>>(), expected);
}

#[track_caller]
fn check_arguments(lines: &str, arguments: &str, malformed: bool) {
    let outcome = ended(lines);
    let [call] = outcome.response().tool_calls() else {
        panic!("one call: {outcome:?}");
    };
    assert_eq!(
        (&*call.arguments, call.malformed),
        (arguments, malformed),
        "{lines}"
    );
    let given = outcome.events.iter().filter_map(|event| match event {
        ChatEvent::ToolCallDelta { arguments, .. } => Some(arguments.to_string()),
        _ => None,
    });
    let given = given.collect::<String>();
    assert!(
        given == arguments || given.is_empty() && arguments == "{}",
        "{given}"
    );
}

#[test]
fn arguments_may_be_a_value_or_text() {
    let call = |args: &str| format!("9:{{\"toolCallId\":\"c\",\"toolName\":\"t\"{args}}}\n");
    check_arguments(
        &call(r#","args":{ "b" : [1, 2], "a": 1.50 }"#),
        r#"{"b":[1,2],"a":1.50}"#,
        false,
    );
    check_arguments(&call(r#","args":"{\"a\": 1}""#), r#"{"a": 1}"#, false);
    check_arguments(
        &call(r#","args":"{\"a"""#.trim_end_matches('"')).replace("{\\\"a}", "{\\\"a\"}"),
        "{\"a",
        true,
    );
    check_arguments(&call(""), "{}", false);
    check_arguments(&call(r#","args":null"#), "{}", false);
    check_arguments(&call(r#","args":"""#), "{}", false);
}

#[test]
fn an_incomplete_call_is_delivered_at_the_end() {
    let begun = "b:{\"toolCallId\":\"c\",\"toolName\":\"t\"}\n";
    check_arguments(begun, "{}", false);
    let piece = "c:{\"toolCallId\":\"c\",\"argsTextDelta\":\"{\\\"a\"}\n";
    check_arguments(&format!("{begun}{piece}"), "{\"a", true);
    // A fragment whose call was never started.
    check_arguments(piece, "{\"a", true);
}

#[test]
fn calls_without_ids_are_calls() {
    let outcome = ended(
        "9:{\"toolName\":\"t\",\"args\":{}}\n9:{\"toolName\":\"u\",\"args\":{}}\n9:null\n9:[]\n",
    );
    let names = outcome.response().tool_calls().iter();
    assert_eq!(
        names.map(|call| &*call.name).collect::<Vec<_>>(),
        ["t", "u", "", ""]
    );
}

#[test]
fn calls_have_limits() {
    let call = |number: usize| format!("9:{{\"toolCallId\":\"{number}\",\"toolName\":\"t\"}}\n");
    let many = |count: usize| (0..count).map(call).collect::<String>();
    assert_eq!(ended(&many(128)).response().tool_calls().len(), 128);
    let line = "too many tool calls: expected at most 128 in a response";
    check_error(&many(129), ErrorKind::TooLarge, line);
    let large = format!(
        "c:{{\"toolCallId\":\"c\",\"argsTextDelta\":\"{}\"}}\n",
        "a".repeat(1_000_000)
    );
    let line = "tool calls too large: expected at most 4194304 bytes in a response";
    check_error(&large.repeat(5), ErrorKind::TooLarge, line);
}

#[test]
fn raw_chunks_have_their_code() {
    let outcome = run_raw([piece(b"0:\"a\"\n2: [1]\nz:no\nd:{}\n")], true);
    let raw = outcome.events.iter().filter_map(|event| match event {
        ChatEvent::Raw { chunk, .. } => Some(chunk.to_string()),
        _ => None,
    });
    let expected = [
        r#"{"event":"0","data":"a"}"#,
        r#"{"event":"2","data":[1]}"#,
        r#"{"event":"d","data":{}}"#,
    ];
    assert_eq!(raw.collect::<Vec<_>>(), expected);
}
