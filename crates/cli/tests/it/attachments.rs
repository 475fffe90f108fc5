//! Images, schemas and tools.

use std::fs;

use serde_json::{Value, json};

use crate::{Run, run, serve_recorded, stream};

/// Sends a request to a compatible service; returns the run and the request.
fn sent(deltas: &[Value], args: &[&str]) -> (Run, Value) {
    let body = stream(deltas, "stop");
    let (url, requests) = serve_recorded(200, "text/event-stream", &body);
    let service = ["chat", "-p", "openai-compat", "-m", "m", "--base-url", &url];
    let run = run(&[&service[..], args].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    (run, requests.recv().unwrap())
}

/// Checks that nothing is sent.
#[track_caller]
fn refused(args: &[&str], what: &str) {
    let service = ["chat", "-p", "openai-compat", "-m", "m"];
    let nowhere = ["--base-url", "http://127.0.0.1:1/v1", "--attempts", "1"];
    let run = run(&[&service[..], &nowhere, args].concat());
    assert_eq!(run.code, Some(2), "{args:?}: {}", run.stderr);
    assert!(run.error().contains(what), "{}", run.error());
    assert_eq!(run.stdout, "");
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0";

#[test]
fn images_are_sent_as_urls() {
    let folder = tempfile::tempdir().unwrap();
    // The content decides, not the name.
    let path = folder.path().join("picture.txt");
    fs::write(&path, PNG).unwrap();
    let path = path.to_str().unwrap();
    let url = "https://h.test/a.jpg";
    let (_, request) = sent(&[], &["What is this?", "--image", path, "--image", url]);
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let content = json!([
        {"type": "text", "text": "What is this?"},
        image("data:image/png;base64,iVBORw0KGgoAAA=="),
        image(url),
    ]);
    assert_eq!(
        request["messages"],
        json!([{"role": "user", "content": content}])
    );

    // A prompt is not required, and a session keeps the image.
    let session = folder.path().join("s.json");
    let session = session.to_str().unwrap();
    let (_, request) = sent(
        &[json!({"content": "A."})],
        &["--image", path, "--session", session],
    );
    assert_eq!(
        request["messages"][0]["content"].as_array().unwrap().len(),
        1
    );
    let (_, request) = sent(&[], &["And?", "--session", session]);
    assert_eq!(request["messages"][0]["content"], json!([content[1]]));
}

#[test]
fn an_image_that_cannot_be_sent_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    refused(
        &["Hi", "--image", &write("a.svg", b"<svg/>")],
        "expected PNG, JPEG, GIF or WebP",
    );
    refused(
        &["Hi", "--image", &write("empty", b"")],
        "expected PNG, JPEG, GIF or WebP",
    );
    let mut large = PNG.to_vec();
    large.resize((10 << 20) + 1, 0);
    refused(
        &["Hi", "--image", &write("large.png", &large)],
        "at most 10 MiB",
    );
    refused(
        &["Hi", "--image", "/no/such.png"],
        "cannot read /no/such.png",
    );

    // What the model does not support is refused, whatever the policy.
    let image = write("a.png", PNG);
    for service in [
        &["-p", "cerebras"][..],
        &["-p", "cablyai"],
        &["-p", "cloudflare", "-m", "@cf/meta/llama-3.1-8b-instruct"],
        &["-p", "cloudflare", "--playground"],
        &["-p", "replicate"],
    ] {
        let args = [
            "chat",
            "Hi",
            "--simulate",
            "--image",
            &image,
            "--on-unsupported",
            "ignore",
        ];
        let run = run(&[&args[..], service].concat());
        assert_eq!(run.code, Some(2), "{service:?}: {}", run.stderr);
        assert!(run.error().contains("support images"), "{}", run.error());
    }
}

#[test]
fn a_schema_is_a_file_or_the_short_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schema.json");
    let path = path.to_str().unwrap();
    let format = |args: &[&str]| sent(&[], &[&["Hi"], args].concat()).1["response_format"].clone();

    let schema = json!({"type": "object", "properties": {"b": {"type": "string"}, "a": {}}});
    fs::write(path, schema.to_string()).unwrap();
    let expected = json!({"type": "json_schema",
        "json_schema": {"name": "response", "schema": schema}});
    assert_eq!(format(&["--schema", path]), expected);
    assert_eq!(format(&["--schema", &schema.to_string()]), expected);

    let named = json!({"name": "film", "schema": schema, "strict": true});
    fs::write(path, named.to_string()).unwrap();
    assert_eq!(format(&["--schema", path])["json_schema"], named);

    let short = format(&["--schema", "name, age int"]);
    let schema = json!({"type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"], "additionalProperties": false});
    let expected = json!({"name": "response", "schema": schema, "strict": true});
    assert_eq!(short["json_schema"], expected);

    refused(
        &["Hi", "--schema", "no-such-file"],
        "cannot read no-such-file",
    );
    refused(
        &["Hi", "--schema", "name, age number"],
        "`number` is not a type",
    );
    refused(&["Hi", "--schema", "{\"type\":"], "expected a JSON object");
    fs::write(path, "[1]").unwrap();
    refused(&["Hi", "--schema", path], "expected a JSON object");
    refused(
        &["Hi", "--schema", "a, b", "-o", "response_format=1"],
        "`--schema` sets",
    );

    // The simulator generates what the schema describes.
    let args = [
        "chat",
        "Hi",
        "--simulate",
        "--tps",
        "0",
        "--schema",
        "name, age int",
    ];
    let run = run(&args);
    assert!(run.json()["age"].is_i64(), "{}", run.stdout);
}

#[test]
fn tool_calls_are_printed_and_their_results_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (bare, list, session) = (path("bare.json"), path("list.json"), path("s.json"));
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let weather = json!({"name": "weather", "description": "Now", "parameters": parameters});
    fs::write(&bare, weather.to_string()).unwrap();
    let others = json!([{"type": "function", "function": {"name": "time", "strict": true,
        "parameters": parameters}}, {"name": "stop"}]);
    fs::write(&list, others.to_string()).unwrap();

    let call = |index: u32, id: &str| {
        json!({"index": index, "id": id, "type": "function",
            "function": {"name": "weather", "arguments": "{\"city\":\"\u{202e}Oslo\"}"}})
    };
    let deltas = [
        json!({"content": "Let me see."}),
        json!({"tool_calls": [call(0, "a"), call(1, "b")]}),
    ];
    let tools = ["--tool", &bare, "--tool", &list];
    let ask = [&["Weather?", "--session", &session], &tools[..]].concat();
    let (run, request) = sent(&deltas, &ask);
    let names = request["tools"].as_array().unwrap().iter();
    let names: Vec<_> = names
        .map(|tool| tool["function"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["weather", "time", "stop"]);
    assert_eq!(request["tools"][0]["function"], weather);
    assert_eq!(request["tools"][1]["function"]["strict"], true);
    assert_eq!(
        request["tools"][2]["function"]["parameters"]["type"],
        "object"
    );
    let lines: Vec<&str> = run.stdout.lines().collect();
    let line = |index: u32, id: &str| {
        format!(
            r#"{{"type":"tool_call","index":{index},"id":"{id}","name":"weather","arguments":"{{\"city\":\"\u202eOslo\"}}"}}"#
        )
    };
    assert_eq!(lines, ["Let me see.", &line(0, "a"), &line(1, "b")]);

    // Every call needs a result, and a result needs a call.
    let more = |args: &[&'static str]| [&["--session", &session], args].concat();
    refused(&more(&["Go on"]), "missing results of tool calls");
    refused(&more(&["--tool-result", "a=1"]), "for b");
    refused(&more(&["--tool-result", "c=1"]), "no tool call `c`");
    refused(
        &more(&["--tool-result", "a=1", "--tool-result", "a=1"]),
        "no tool call `a`",
    );
    refused(&["--tool-result", "a=1"], "no tool call `a`");
    let results = more(&["--tool-result", "a=3 °C = cold", "--tool-result", "b="]);
    let (run, request) = sent(&[json!({"content": "Cold."})], &results);
    assert_eq!(run.stdout, "Cold.\n");
    let messages = &request["messages"];
    assert_eq!(messages[1]["tool_calls"][1]["id"], "b");
    let result =
        |id: &str, text: &str| json!({"role": "tool", "tool_call_id": id, "content": text});
    assert_eq!(messages[2], result("a", "3 °C = cold"));
    assert_eq!(messages[3], result("b", ""));
    let saved: Value = serde_json::from_slice(&fs::read(&session).unwrap()).unwrap();
    assert_eq!(saved[4], json!({"role": "assistant", "content": "Cold."}));
}

#[test]
fn an_invalid_tool_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tools.json");
    let path = path.to_str().unwrap();
    for (content, what) in [
        ("{", "expected a definition or an array"),
        ("7", "expected a definition or an array"),
        (
            r#"{"name":"f","paramters":{}}"#,
            "unknown field `paramters`",
        ),
        (
            r#"{"description":"f"}"#,
            "expected either `name` or `function`",
        ),
        (r#"{"type":"web_search","name":"f"}"#, "the type `function`"),
        (r#"[{"name":"f"},{"name":"f"}]"#, "`f` is repeated"),
        (
            r#"{"type":"function","function":{"parameters":{}}}"#,
            "missing field `name`",
        ),
    ] {
        fs::write(path, content).unwrap();
        refused(&["Hi", "--tool", path], what);
    }
    fs::write(path, r#"{"name":"f"}"#).unwrap();
    refused(&["Hi", "--tool", path, "-o", "tools=[]"], "`--tool` sets");
    let run = run(&[
        "chat",
        "Hi",
        "--simulate",
        "-p",
        "replicate",
        "--tool",
        path,
    ]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
}
