//! Responses that a limit or a filter ended: what is said of them, and the exit code.

use serde_json::{Value, json};

use crate::{ask, serve, serve_stream, simulated};

/// Checks the exit code and the warning in all forms.
#[track_caller]
fn check(reason: &str, flags: &[&str], code: i32, says: &str) {
    // The program shows words for the token limit as `length`.
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
        if says.is_empty() {
            assert_eq!(run.stderr, "", "{reason} {form:?}");
            continue;
        }
        assert_eq!(warnings.len(), 1, "{}", run.stderr);
        assert!(warnings[0].contains(says), "{}", warnings[0]);
        assert!(
            warnings[0].contains(&format!("`{shown}`")),
            "{}",
            warnings[0]
        );
    }
}

#[test]
fn a_response_that_ended_by_a_limit_or_a_filter_says_so() {
    check("length", &[], 7, "token limit; `--max-tokens` sets another");
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
    check("repetition", &[], 7, "repeated itself");
    check("gone_fishing", &[], 7, "not known");
}

#[test]
fn a_token_limit_that_the_user_set_is_no_failure() {
    let says = "the token limit that was set";
    check("length", &["--max-tokens", "5"], 0, says);
    for option in [
        "max_tokens=5",
        "max_completion_tokens=5",
        "max_new_tokens=5",
    ] {
        check("length", &["-o", option], 0, says);
    }
    check("length", &["-o", "max_tokens=null"], 7, "token limit");
    for provider in ["cerebras", "cloudflare", "replicate"] {
        let run = simulated(&["-p", provider, "--max-tokens", "5"]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains(says), "{provider}: {}", run.stderr);
    }
}

#[test]
fn a_response_that_is_complete_says_nothing() {
    for reason in ["stop", "eos", "end_turn", "stop_sequence", "tool_calls"] {
        check(reason, &[], 0, "");
    }
}

#[test]
fn a_document_and_each_of_several_choices_count() {
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
