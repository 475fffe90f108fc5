//! Conversations in files: `--session` and `--messages`.

use std::{fs, path::Path, sync::mpsc::Receiver};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Run, run, serve_recorded, serve_stream, stream};

/// Serves a response with this text; returns the base URL and the requests.
fn serve_text(text: &str) -> (String, Receiver<Value>) {
    let body = stream(&[json!({"content": text})], "stop");
    serve_recorded(200, "text/event-stream", &body)
}

/// Runs `chat` against a compatible service.
fn chat(url: &str, args: &[&str]) -> Run {
    let service = ["-p", "openai-compat", "-m", "m", "--base-url", url];
    run(&[&["chat", "--attempts", "1"], &service[..], args].concat())
}

fn parse(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Creates a folder, and a file in it with this content if there is one.
fn file(content: Option<&str>) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.json");
    if let Some(content) = content {
        fs::write(&path, content).unwrap();
    }
    (folder, path.to_str().unwrap().to_owned())
}

/// Returns the names of the files in a folder.
fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_session_continues_in_later_calls() {
    let (url, requests) = serve_text("Blue.");
    let (folder, path) = file(None);
    let first = chat(&url, &["Why?", "-s", "Be brief.", "--session", &path]);
    assert_eq!((first.code, first.stdout.as_str()), (Some(0), "Blue.\n"));
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
    ]);
    assert_eq!(requests.recv().unwrap()["messages"], messages);
    assert_eq!(
        chat(&url, &["Since when?", "--session", &path]).code,
        Some(0)
    );
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Blue."},
        {"role": "user", "content": "Since when?"},
    ]);
    assert_eq!(requests.recv().unwrap()["messages"], messages);

    // Another system message replaces the first one. JSON output saves, too.
    let third = chat(
        &url,
        &["More", "-s", "Be long.", "--json", "--session", &path],
    );
    assert_eq!(third.json()["error"], Value::Null);
    let saved = parse(Path::new(&path));
    assert_eq!(saved[0], json!({"role": "system", "content": "Be long."}));
    assert_eq!(saved.as_array().unwrap().len(), 7);
    assert_eq!(names(&folder), ["s.json"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link.json");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let run = chat(&url, &["Hi", "--session", link.to_str().unwrap()]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(link.is_symlink());
        assert_eq!(mode(&path), 0o640);
        assert_eq!(parse(Path::new(&path)).as_array().unwrap().len(), 9);
    }
}

#[test]
fn members_that_the_program_does_not_know_are_kept() {
    let given = json!([
        {"role": "user", "name": "ada", "content": [{"type": "text", "text": "Hi"},
            {"type": "image_url", "image_url": {"url": "https://h.test/a.png", "detail": "low"}}]},
        {"role": "assistant", "content": null, "refusal": null, "reasoning_content": "Hm.",
            "tool_calls": [{"id": "a", "type": "function",
                "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]);
    let (url, requests) = serve_text("Done \u{9b}31m.");
    let (_folder, path) = file(Some(&given.to_string()));
    // The last message is a tool's, so no prompt is required.
    assert_eq!(chat(&url, &["--session", &path]).code, Some(0));
    let sent = requests.recv().unwrap();
    let sent = &sent["messages"];
    assert_eq!(sent[0]["content"][1], given[0]["content"][1]);
    assert_eq!(sent[1]["tool_calls"], given[1]["tool_calls"]);
    assert_eq!(sent[2], given[2]);
    let saved = parse(Path::new(&path));
    assert_eq!(
        saved.as_array().unwrap()[..3],
        given.as_array().unwrap()[..]
    );
    assert_eq!(
        saved[3],
        json!({"role": "assistant", "content": "Done \u{9b}31m."})
    );
    // `cat` does not execute control sequences of a response.
    assert!(fs::read_to_string(&path).unwrap().contains("\\u009b31m"));
}

#[test]
fn messages_are_only_read() {
    let given = r#"[{"role":"user","content":"Hi"}]"#;
    let (url, requests) = serve_text("Hello.");
    let (folder, path) = file(Some(given));
    let run = chat(&url, &["--messages", &path]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "Hello.\n"));
    assert_eq!(
        requests.recv().unwrap()["messages"],
        parse(Path::new(&path))
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), given);
    assert_eq!(names(&folder), ["s.json"]);

    // They work with services of other protocols.
    for service in [
        &["-p", "replicate"][..],
        &["-p", "cloudflare", "--playground"],
    ] {
        let simulated = ["chat", "--simulate", "--tps", "0", "--messages", &path];
        let run = crate::run(&[&simulated[..], service].concat());
        assert_eq!(run.code, Some(0), "{service:?}: {}", run.stderr);
    }
}

#[test]
fn an_incomplete_response_is_marked() {
    for (flags, code) in [
        (&["--fault", "truncate"][..], 6),
        (&["--max-tokens", "20"], 0),
        (&["--fault", "truncate", "--no-stream"], 6),
    ] {
        let (_folder, path) = file(None);
        let simulated = ["chat", "Hi", "--simulate", "--tps", "0", "--session", &path];
        let run = run(&[&simulated[..], flags].concat());
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        let Ok(saved) = fs::read(&path) else {
            // A document that was cut off has no text.
            assert_eq!(run.stdout, "");
            continue;
        };
        let saved: Value = serde_json::from_slice(&saved).unwrap();
        assert_eq!(saved[1]["truncated"], true);
        let text = saved[1]["content"].as_str().unwrap();
        assert_eq!(format!("{text}\n"), run.stdout);

        // The text is sent later, without the mark.
        let (url, requests) = serve_text("More.");
        assert_eq!(chat(&url, &["Go on", "--session", &path]).code, Some(0));
        let sent = &requests.recv().unwrap()["messages"];
        assert_eq!(sent[1], json!({"role": "assistant", "content": text}));
        assert_eq!(parse(Path::new(&path))[1], saved[1]);
    }
}

#[test]
fn tool_calls_of_an_incomplete_response_are_not_sent() {
    let given = r#"[{"role":"user","content":"Hi"},{"role":"assistant","content":"Let me see.",
        "tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}],"truncated":true}]"#;
    let (url, requests) = serve_text("Hello.");
    let (_folder, path) = file(Some(given));
    assert_eq!(chat(&url, &["Go on", "--session", &path]).code, Some(0));
    let expected = json!({"role": "assistant", "content": "Let me see."});
    assert_eq!(requests.recv().unwrap()["messages"][1], expected);
    assert!(parse(Path::new(&path))[1]["tool_calls"].is_array());
}

#[test]
fn a_request_without_a_response_changes_nothing() {
    let given = r#"[ {"role":"user","content":"a"}, {"role":"assistant","content":"b"} ]"#;
    for content in [None, Some(given), Some("")] {
        let (folder, path) = file(content);
        let url = crate::serve(500, "application/json", r#"{"error":{"message":"no"}}"#);
        assert_eq!(chat(&url, &["Hi", "--session", &path]).code, Some(1));
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), content);
        assert_eq!(names(&folder).len(), usize::from(content.is_some()));
    }
}

#[test]
fn an_invalid_file_is_one_error_and_stays_unchanged() {
    // A request to this port fails with another exit code.
    let nowhere = "http://127.0.0.1:1/v1";
    let large = format!("[{}]", " ".repeat(17 << 20));
    for (content, what) in [
        ("not JSON", "expected a JSON array of messages"),
        (
            r#"[{"role":"user","content":"Hi"},{"ro"#,
            "line 1 column 36",
        ),
        (r#"{"role":"user","content":"Hi"}"#, "expected a JSON array"),
        (
            r#"[{"role":"user","content":"Hi"}] x"#,
            "trailing characters",
        ),
        (
            r#"[{"role":"owner","content":"Hi"}]"#,
            "invalid `messages[0].role`: expected `system`",
        ),
        (
            r#"[{"role":"user","content":7}]"#,
            "invalid `messages[0].content`: expected a string",
        ),
        (r#"[{"content":"Hi"}]"#, "missing `messages[0].role`"),
        (
            r#"[{"role":"tool","content":"Hi"}]"#,
            "missing `messages[0].tool_call_id`",
        ),
        (
            r#"[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]"#,
            "invalid `messages[0].content[0].type`: expected `text`",
        ),
        ("\u{1}", "expected a JSON array"),
        (&large, "at most 16 MiB"),
    ] {
        for flag in ["--session", "--messages"] {
            let (folder, path) = file(Some(content));
            let run = chat(nowhere, &["Hi", flag, &path]);
            assert_eq!(run.code, Some(2), "{what}: {}", run.stderr);
            assert!(run.error().contains(what), "{what}: {}", run.error());
            assert!(run.error().contains("s.json"), "{}", run.error());
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(names(&folder), ["s.json"]);
        }
    }
    let (folder, path) = file(None);
    let run = chat(nowhere, &["Hi", "--messages", &path]);
    assert!(
        run.error().ends_with("s.json: not found"),
        "{}",
        run.error()
    );
    let folder_path = folder.path().to_str().unwrap();
    let missing = format!("{folder_path}/no/s.json");
    for path in [folder_path, &missing] {
        let run = chat(nowhere, &["Hi", "--session", path]);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.error().contains(path), "{}", run.error());
    }
    // The conversation has no message to respond to.
    let (_folder, path) = file(Some("[]"));
    let run = chat(nowhere, &["--session", &path]);
    assert!(run.error().contains("missing prompt"), "{}", run.error());
    let option = ["Hi", "--session", &path, "-o", "messages=[]"];
    assert!(chat(nowhere, &option).error().contains("the prompt sets"));
    let both = ["Hi", "--session", &path, "--messages", &path];
    assert_eq!(chat(nowhere, &both).code, Some(2));
}

#[cfg(unix)]
#[test]
fn a_change_by_another_program_is_kept() {
    use std::io::Read as _;

    let (folder, path) = file(None);
    let args = [
        "chat",
        "Hi",
        "--simulate",
        "--tps",
        "0",
        "--fault",
        "stall",
        "--session",
        &path,
    ];
    let mut child = crate::command(&args).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 20]).unwrap();
    fs::write(&path, "[]").unwrap();
    crate::unix::interrupt(&child);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(130));
    assert!(run.error().contains("s.json.conflict"), "{}", run.error());
    assert_eq!(fs::read_to_string(&path).unwrap(), "[]");
    assert_eq!(names(&folder), ["s.json", "s.json.conflict"]);
    let kept = parse(&folder.path().join("s.json.conflict"));
    assert_eq!(kept[1]["truncated"], true);
    assert!(
        kept[1]["content"]
            .as_str()
            .unwrap()
            .starts_with("You asked")
    );
}

#[test]
fn a_response_that_cannot_be_saved_is_an_error() {
    let (folder, path) = file(None);
    let (url, _) = serve_text("Blue.");
    // The name is too long for the temporary file, which is created before the request.
    let long = folder.path().join("x".repeat(254));
    let run = chat(&url, &["Hi", "--session", long.to_str().unwrap()]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.error().contains("cannot write"), "{}", run.error());
    drop(path);
    let url = serve_stream(&[json!({"content": "Blue."})], "length");
    let (_folder, path) = file(None);
    let run = chat(&url, &["Hi", "--session", &path]);
    assert_eq!(run.code, Some(7));
    assert_eq!(parse(Path::new(&path))[1]["truncated"], true);
}
