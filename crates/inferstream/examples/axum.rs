//! A web server that passes a stream on to a browser.
//!
//! `cargo run -p inferstream --example axum --features cerebras`, and then open the printed address.
//!
//! Without `CEREBRAS_API_KEY`, it uses the simulator in this process.

#![allow(clippy::print_stdout, reason = "the program prints its address")]

use std::{convert::Infallible, env, error::Error as StdError};

use axum::{
    Router,
    extract::State,
    response::{
        Html,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{get, post},
};
use futures_util::{Stream, stream};
use inferstream::{ChatStream, Error, ErrorKind, Result, cerebras::Cerebras};
use inferstream_simulator::Simulator;
use tokio::net::TcpListener;

/// `EventSource` sends only GET, so the page reads the stream of a POST itself. It shows a response as
/// complete only after `done`.
const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>Chat</title>
<form><input name="prompt" value="Why is the sky blue?"> <button>Ask</button></form>
<p></p>
<script>
document.forms[0].onsubmit = async (event) => {
  event.preventDefault();
  const out = document.querySelector("p");
  out.textContent = "";
  const body = event.target.prompt.value;
  const response = await fetch("/chat", { method: "POST", body });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", end = "incomplete";
  for (let read; !(read = await reader.read()).done;) {
    const frames = (rest + read.value).split("\n\n");
    rest = frames.pop();
    for (const frame of frames) {
      const name = /^event: (.*)$/m.exec(frame)?.[1];
      const data = /^data: (.*)$/m.exec(frame)?.[1];
      if (name === "text") out.textContent += JSON.parse(data);
      if (name === "error") end = data;
      if (name === "done") end = "";
    }
  }
  if (end) out.textContent += " [" + end + "]";
};
</script>
"#;

async fn chat(
    State(cerebras): State<Cerebras>,
    prompt: String,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let opened = cerebras.stream(prompt).await;
    // Comments keep proxies from closing an idle connection while the model prepares its response.
    Sse::new(events(opened)).keep_alive(KeepAlive::default())
}

/// Each fragment of text, and then how the response ended.
fn events(opened: Result<ChatStream>) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some(opened), |state| async {
        let mut stream = match state? {
            Ok(stream) => stream,
            Err(error) => return Some((Ok(failed(&error)), None)),
        };
        match stream.text().next().await {
            // JSON, because a fragment may contain line ends.
            Some(Ok(text)) => {
                let data = serde_json::Value::from(text.as_str()).to_string();
                Some((
                    Ok(Event::default().event("text").data(data)),
                    Some(Ok(stream)),
                ))
            }
            Some(Err(error)) => Some((Ok(failed(&error)), None)),
            None => Some((Ok(Event::default().event("done").data("{}")), None)),
        }
    })
}

/// Returns only the kind: a message may name hosts and settings that the browser must not see.
fn failed(error: &Error) -> Event {
    let data = match error.kind() {
        ErrorKind::RateLimited | ErrorKind::Overloaded => "busy",
        ErrorKind::Truncated | ErrorKind::Disconnected => "incomplete",
        _ => "failed",
    };
    Event::default().event("error").data(data)
}

fn app(cerebras: Cerebras) -> Router {
    Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/chat", post(chat))
        .with_state(cerebras)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn StdError + Send + Sync>> {
    let simulator = Simulator::builder().tokens_per_second(20.0).start().await?;
    let cerebras = match env::var_os("CEREBRAS_API_KEY") {
        Some(_) => Cerebras::from_env()?,
        None => simulated(&simulator)?,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app(cerebras)).await?;
    Ok(())
}

fn simulated(simulator: &Simulator) -> Result<Cerebras> {
    Cerebras::builder()
        .base_url(simulator.base_url())
        .api_key("any")
        .build()
}

#[tokio::test]
async fn it_runs() {
    let simulator = Simulator::builder().start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = app(simulated(&simulator).unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = browser.get(&url).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("<form>"));
    let request = browser.post(format!("{url}/chat")).body("Hi");
    let events = request.send().await.unwrap().text().await.unwrap();
    assert!(events.starts_with("event: text\ndata: \""), "{events}");
    assert!(events.ends_with("event: done\ndata: {}\n\n"), "{events}");
}
