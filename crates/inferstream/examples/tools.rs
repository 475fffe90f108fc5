//! A conversation of three turns in which the model calls a tool.
//!
//! `cargo run -p inferstream --example tools --features openai-compat,json`
//!
//! It sends the requests to a simulator in this process, without a key. To use an engine of yours,
//! set `OPENAI_COMPAT_BASE_URL=http://localhost:11434/v1 OPENAI_COMPAT_MODEL=…`.

#![allow(clippy::print_stdout)] // an example prints

use std::{
    error::Error,
    io::{Write, stdout},
};

use inferstream::{
    ChatEvent, ChatRequest, Json, Message, Provider, Tool, ToolCall, ToolChoice,
    openai_compat::CompatibleBuilder,
};
use inferstream_simulator::Simulator;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    run(CompatibleBuilder::from_env()?).await?;
    Ok(())
}

async fn run(mut builder: CompatibleBuilder) -> Result<Vec<Message>> {
    // The simulator stops when it is dropped.
    let simulator = Simulator::builder().start().await?;
    if !builder.has_base_url() {
        builder = builder.base_url(simulator.compatible_url());
    }
    let model = std::env::var("OPENAI_COMPAT_MODEL").unwrap_or_else(|_| "any".to_owned());
    let provider = builder.default_model(model).build()?;

    talk(&provider).await
}

/// Asks three questions, and returns the conversation.
async fn talk(provider: &impl Provider) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    for question in [
        "How warm is it in Bern?",
        "And in Oslo?",
        "Look both up again: which is the warmer one?",
    ] {
        println!("> {question}");
        messages.push(Message::user(question));
        let call = turn(provider, &messages, ToolChoice::Required).await?;
        let answers = call.tool_calls.iter().map(answer).collect::<Vec<_>>();
        messages.push(call);
        messages.extend(answers);
        messages.push(turn(provider, &messages, ToolChoice::None).await?);
        println!();
    }
    Ok(messages)
}

/// Sends the conversation so far, prints the response, and returns it as the next message.
async fn turn(
    provider: &impl Provider,
    messages: &[Message],
    choice: ToolChoice,
) -> Result<Message> {
    let parameters = Json::from_text(
        r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#,
    );
    let tool =
        Tool::new("temperature", parameters).description("The temperature in a city, in °C.");
    let request = ChatRequest::from(messages.to_vec())
        .tool(tool)
        .tool_choice(choice)
        .parallel_tool_calls(false)
        .max_tokens(256);

    let mut stream = provider.stream(request).await?;
    while let Some(event) = stream.next().await {
        match event? {
            ChatEvent::Text { text, .. } => print!("{text}"),
            // A complete call, checked to be JSON; its fragments arrived before.
            ChatEvent::ToolCall { call, .. } => println!("{}({})", call.name, call.arguments),
            _ => {}
        }
        stdout().flush()?;
    }
    Ok(stream.finish().await?.message())
}

/// Runs the tool. Errors are returned to the model as text.
fn answer(call: &ToolCall) -> Message {
    let found = match call.parse::<serde_json::Value>() {
        Ok(arguments) if arguments["city"] == "Oslo" => "4 °C".to_owned(),
        Ok(arguments) if arguments["city"].is_string() => "12 °C".to_owned(),
        Ok(_) => "error: missing `city`".to_owned(),
        Err(error) => format!("error: {error}"),
    };
    Message::tool(call.id.as_str(), found)
}

#[tokio::test]
async fn it_runs() {
    let messages = run(CompatibleBuilder::default()).await.unwrap();
    assert_eq!(messages.len(), 3 * 4);
}
