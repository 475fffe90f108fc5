//! Tools in requests, and the schemas of their arguments.

use inferstream_core::{ErrorKind, Json, ResponseFormat, Tool, ToolChoice};
use serde_json::{Value, json};

use super::{
    Client,
    requests::{check_refused, new, send},
};

#[test]
fn tools_are_functions() {
    let schema = r#"{"type":"object","properties":{"z":{},"a":{}},"required":["z"]}"#;
    let tools = [
        Tool::new("f", Json::from_text(schema)),
        Tool::new("g", Json::from_text("{}"))
            .description("d")
            .strict(true),
    ];
    let [f, g] = tools;
    let wire = send(Client::Cerebras, new().user("hi").tool(f).tool(g));
    let parameters = serde_json::from_str::<Value>(schema).unwrap();
    let none = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    let expected = json!([
        { "type": "function", "function": { "name": "f", "parameters": parameters } },
        { "type": "function",
          "function": { "name": "g", "description": "d", "parameters": none, "strict": true } },
    ]);
    assert_eq!(wire.json()["tools"], expected);
    assert!(wire.text().contains(schema), "the order of members is kept");
}

#[test]
fn the_choice_of_tools_has_four_forms() {
    let choice = |choice| {
        let tool = Tool::new("f", Json::from_text("{}"));
        let request = new().user("hi").tool(tool).tool_choice(choice);
        send(Client::Cerebras, request).json()
    };
    assert_eq!(choice(ToolChoice::Auto)["tool_choice"], "auto");
    assert_eq!(choice(ToolChoice::None)["tool_choice"], "none");
    assert_eq!(choice(ToolChoice::Required)["tool_choice"], "required");
    assert_eq!(
        choice(ToolChoice::Tool("f".to_owned()))["tool_choice"],
        json!({ "type": "function", "function": { "name": "f" } }),
    );
}

#[test]
fn a_schema_keeps_the_order_of_its_members() {
    let schema = r#"{"type":"object","properties":{"zebra":{"type":"string"},"ant":{"type":"number"}},"additionalProperties":false}"#;
    let format = |format| {
        let wire = send(Client::Cerebras, new().user("hi").response_format(format));
        assert!(!wire.text().contains("null"), "{}", wire.text());
        (wire.json()["response_format"].clone(), wire.text())
    };
    assert_eq!(format(ResponseFormat::Text).0, json!({ "type": "text" }));
    assert_eq!(
        format(ResponseFormat::JsonObject).0,
        json!({ "type": "json_object" })
    );
    for strict in [None, Some(true), Some(false)] {
        let (value, text) = format(ResponseFormat::JsonSchema {
            name: "n".to_owned(),
            schema: Json::from_text(schema),
            strict,
        });
        assert!(text.contains(schema), "{text}");
        assert_eq!(value["type"], "json_schema");
        assert_eq!(value["json_schema"]["name"], "n");
        assert_eq!(value["json_schema"]["strict"].as_bool(), strict);
    }
}

#[test]
fn a_schema_read_from_json_keeps_its_order_too() {
    let text = r#"{"type":"json_schema","name":"n","schema":{"b":1,"a":2}}"#;
    let format = serde_json::from_str::<ResponseFormat>(text).unwrap();
    let wire = send(Client::Plain, new().user("hi").response_format(format));
    assert!(
        wire.text().contains(r#""schema":{"b":1,"a":2}"#),
        "{}",
        wire.text()
    );
}

#[test]
fn invalid_json_is_not_sent() {
    let tool = Tool::new("f", Json::from_text("{"));
    check_refused(
        Client::Cerebras,
        new().user("hi").tool(tool),
        ErrorKind::Config,
    );
}
