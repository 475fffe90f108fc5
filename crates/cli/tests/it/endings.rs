//! Responses ended by a token limit or a filter: warnings and exit codes.

use serde_json::{Value, json};

use crate::{ask, serve, serve_stream, simulated};

/// Checks the exit code and the warning in all output formats.
#[track_caller]
fn check(reason: &str, flags: &[&str], code: i32, message: &str) {
    // The program prints other services' names of the token limit as `length`.
    let shown = match reason {
        "max_tokens" | "model_length" => "length",
        reason => reason,
    };
    let url = serve_stream(&[json!({"content": "Half an ans"})], reason);
    for form in [&[][..], &["--json"], &["--jsonl"]] {
        let run = ask(&url, &[form, flags].concat());
        assert_eq!(run.code, Some(code), "{reason} {form:?}: {}", run.stderr);
        assert!(run.stdout.contains("Half an ans"), "{}", run.stdout);
        let warnings = run
            .stderr
            .lines()
            .filter(|line| line.starts_with("warning: "));
        let warnings: Vec<&str> = warnings.collect();
        if message.is_empty() {
            assert_eq!(run.stderr, "", "{reason} {form:?}");
            continue;
        }
        assert_eq!(warnings.len(), 1, "{}", run.stderr);
        assert!(warnings[0].contains(message), "{}", warnings[0]);
        assert!(
            warnings[0].contains(&format!("`{shown}`")),
            "{}",
            warnings[0]
        );
    }
}

#[test]
fn a_response_ended_by_a_limit_or_a_filter_has_a_warning() {
    check(
        "length",
        &[],
        7,
        "token limit; set another with `--max-tokens`",
    );
    check("max_tokens", &[], 7, "token limit");
    check("model_length", &[], 7, "token limit");
    check(
        "context_length_exceeded",
        &["--max-tokens", "5"],
        7,
        "context",
    );
    check("content_filter", &[], 7, "content filter");
    check("sensitive", &["--max-tokens", "5"], 7, "content filter");
    check("SAFETY", &[], 7, "content filter");
    check("repetition", &[], 7, "repetition");
    check("gone_fishing", &[], 7, "unknown finish reason");
}

#[test]
fn a_token_limit_set_by_the_user_is_not_a_failure() {
    let message = "the token limit of the request";
    check("length", &["--max-tokens", "5"], 0, message);
    for option in [
        "max_tokens=5",
        "max_completion_tokens=5",
        "max_new_tokens=5",
    ] {
        check("length", &["-o", option], 0, message);
    }
    check("length", &["-o", "max_tokens=null"], 7, "token limit");
    for provider in ["cerebras", "cloudflare", "replicate"] {
        let run = simulated(&["-p", provider, "--max-tokens", "5"]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains(message), "{provider}: {}", run.stderr);
    }
}

#[test]
fn a_complete_response_has_no_warning() {
    for reason in ["stop", "eos", "end_turn", "stop_sequence", "tool_calls"] {
        check(reason, &[], 0, "");
    }
}

#[test]
fn unstreamed_responses_and_all_choices_are_checked() {
    let choice = |index: u32, reason: &str| {
        let message = json!({"role": "assistant", "content": "Half an ans"});
        json!({"index": index, "message": message, "finish_reason": reason})
    };
    let document = |choices: Vec<Value>| {
        json!({"id": "1", "object": "chat.completion", "model": "m", "choices": choices})
            .to_string()
    };
    let one = serve(
        200,
        "application/json",
        &document(vec![choice(0, "length")]),
    );
    let run = ask(&one, &["--no-stream"]);
    assert_eq!(run.code, Some(7), "{}", run.stderr);
    let two = document(vec![choice(0, "stop"), choice(1, "length")]);
    let two = serve(200, "application/json", &two);
    let run = ask(&two, &["--no-stream", "-o", "n=2"]);
    assert_eq!(run.code, Some(7), "{}", run.stderr);
    assert!(
        run.stderr.contains("warning: choice 1 is incomplete"),
        "{}",
        run.stderr
    );
}
