//! Responses truncated anywhere: a success only if they are complete, or with a warning.
#![no_main]

use std::{
    future::ready,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use inferstream_client::stream_or_document;
use inferstream_cloudflare::{Cloudflare, Endpoint};
use inferstream_core::{
    Body, BoxFuture, ChatRequest, ChatStream, Error, Result, Timeouts, Timer, Transport,
    protocol::{Started, read_stream},
    sse::Decoder,
};
use inferstream_openai_compat::ChatDecode;
use inferstream_replicate::Replicate;

/// The fragments that the bytes of the input stand for; bytes beyond the list stand for themselves.
const FRAGMENTS: &[&str] = &[
    "\n",
    "\n\n",
    "\r\n\r\n",
    "data: ",
    "data:",
    "event: error\n",
    ": wait\n\n",
    "data: [DONE]\n\n",
    "[DONE]",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7}}\n\n",
    "data: {\"response\":\"c\",\"p\":\"x\"}\n\n",
    "data: {\"response\":\"\",\"usage\":{\"prompt_tokens\":7}}\n\n",
    "data: {\"response\":\"\",\"finish_reason\":\"stop\"}\n\n",
    "data: {\"error\":{\"message\":\"m\"}}\n\n",
    "event: output\nid: 1:0\ndata: d\n\n",
    "event: output\nid: 2:0\ndata: e\n\n",
    "event: logs\ndata: l\n\n",
    "event: error\ndata: m\n\n",
    "event: done\ndata: {}\n\n",
    "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"f",
    "\"}}]}",
    "{\"choices\":[],\"usage\":{\"prom",
    "\r",
    "{",
    "}",
];

/// Known events of one `data` line: their text, and whether it ends with a finish reason.
const KNOWN: &[(&str, &str, bool)] = &[
    (
        r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        "a",
        false,
    ),
    (
        r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
        "b",
        true,
    ),
    (
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "",
        true,
    ),
    (
        r#"{"choices":[{"index":0,"delta":{"content":"f"}}]}"#,
        "f",
        false,
    ),
    (r#"{"choices":[],"usage":{"prompt_tokens":7}}"#, "", false),
];
const NATIVE: &[(&str, &str, bool)] = &[
    (r#"{"response":"c","p":"x"}"#, "c", false),
    (r#"{"response":"","usage":{"prompt_tokens":7}}"#, "", false),
    (r#"{"response":"","finish_reason":"stop"}"#, "", true),
];

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Chat,
    WorkersAi(Endpoint),
    Replicate,
}

/// The contents of a stream according to a naive parser, which splits it at blank lines.
#[derive(Debug, Default)]
struct Said {
    text: String,
    has_reason: bool,
    goes_on: bool,
    is_over: bool,
    is_cut: bool,
    /// An event has an unknown format, and may be anything.
    is_unknown: bool,
}

impl Said {
    fn read(protocol: Protocol, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut said = Self::default();
        let mut events = text.split("\n\n").peekable();
        while let Some(event) = events.next() {
            let is_last = events.peek().is_none();
            let mut lines = event.lines().filter(|line| !line.starts_with(':'));
            let name = field(event, "event").pop().unwrap_or("");
            // A line of JSON, or a field of that name, may be an error.
            let is_json = |line: &str| line.starts_with(['{', '[']) && !line.starts_with("[DONE]");
            said.is_unknown |= event.lines().any(is_json) || !field(event, "error").is_empty();
            // The end marker may be on its own line before data.
            let first = event.lines().find(|line| {
                let is_marker = protocol != Protocol::Replicate && *line == "[DONE]";
                is_marker || !field(line, "data").is_empty()
            });
            let mut data = field(event, "data");
            if first == Some("[DONE]") {
                data.insert(0, "[DONE]");
            }
            let data = data.join("\n");
            let is_done = match protocol {
                Protocol::Replicate if is_last => name == "done" && data.contains('}'),
                Protocol::Replicate => name == "done",
                _ => data.trim().trim_start_matches('"').starts_with("[DONE]"),
            };
            if is_done {
                said.is_over = true;
                said.is_unknown |= protocol == Protocol::Replicate && data != "{}";
                return said;
            }
            if is_last {
                said.is_cut = lines.any(|line| !line.trim().is_empty());
                return said;
            }
            said.take(protocol, name, &data);
        }
        said
    }

    fn take(&mut self, protocol: Protocol, name: &str, data: &str) {
        if protocol == Protocol::Replicate {
            match name {
                "output" if self.text.contains(data) => self.is_unknown = true,
                "output" => self.text += data,
                "" | "logs" if data.len() < 2 => {}
                _ => self.is_unknown = true,
            }
            return;
        }
        let native = if protocol == Protocol::Chat {
            &[]
        } else {
            NATIVE
        };
        let known = KNOWN
            .iter()
            .chain(native)
            .find(|(known, ..)| *known == data.trim());
        match known {
            Some((_, text, has_reason)) if name.is_empty() => {
                self.goes_on |= self.has_reason && !text.is_empty();
                self.text += text;
                self.has_reason |= has_reason;
            }
            _ if data.trim().is_empty() && name.is_empty() => {}
            _ => {
                self.is_unknown = true;
                self.has_reason |= data.contains("finish_reason");
            }
        }
    }
}

/// Returns the values of a field.
fn field<'a>(event: &'a str, name: &str) -> Vec<&'a str> {
    let value = |line: &'a str| {
        let rest = line.strip_prefix(name)?;
        let rest = if rest.is_empty() { ":" } else { rest };
        let value = rest.strip_prefix(':')?;
        Some(value.strip_prefix(' ').unwrap_or(value))
    };
    event.lines().filter_map(value).collect()
}

/// A service that sends one stream; time passes when it is waited for.
#[derive(Debug)]
struct Service {
    stream: Bytes,
    now: Mutex<Duration>,
}

impl Transport for Service {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'static, Result<http::Response<Body>>> {
        let path = request.uri().path();
        let (status, body) = match request.uri().host() {
            Some("api.replicate.com") if request.method() == http::Method::POST => (201, Bytes::from_static(
                br#"{"id":"p1","status":"starting","urls":{"get":"https://api.replicate.com/v1/predictions/p1","cancel":"https://api.replicate.com/v1/predictions/p1/cancel","stream":"https://stream.replicate.com/p1"}}"#,
            )),
            Some("api.replicate.com") => (404, Bytes::from_static(b"{}")),
            _ if path.is_empty() => unreachable!(),
            _ => (200, self.stream.clone()),
        };
        let response = http::Response::builder()
            .status(status)
            .header(
                "content-type",
                if status == 200 {
                    "text/event-stream"
                } else {
                    "application/json"
                },
            )
            .body(Body::from(body));
        Box::pin(ready(Ok(response.expect("a response"))))
    }

    fn detach(&self, _: BoxFuture<'static, ()>) {}
}

impl Timer for Service {
    fn now(&self) -> Duration {
        *self.now.lock().expect("the clock")
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        *self.now.lock().expect("the clock") += duration;
        Box::pin(ready(()))
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return value;
        }
    }
}

fn open(protocol: Protocol, stream: Bytes) -> Result<ChatStream> {
    let service = Service {
        stream: stream.clone(),
        now: Mutex::default(),
    };
    match protocol {
        Protocol::Chat => {
            let at = service.now();
            let response = http::Response::new(Body::from(stream));
            let started = Started::new(Arc::new(service), at, Timeouts::default(), response);
            let decoder = Decoder::default().marker("[DONE]");
            let framer = stream_or_document(decoder, &http::HeaderMap::new());
            Ok(read_stream(started, framer, ChatDecode::new("fuzzed")))
        }
        Protocol::WorkersAi(endpoint) => {
            let builder = Cloudflare::builder().account_id("0123456789abcdef0123456789abcdef");
            let builder = builder
                .api_token("fuzzed-token")
                .transport(service)
                .endpoint(endpoint);
            run(builder.build()?.stream(ChatRequest::from("hi")))
        }
        Protocol::Replicate => {
            let builder = Replicate::builder().api_key("r8_fuzzed").transport(service);
            run(builder.metrics(false).build()?.stream("hi"))
        }
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let protocol = match first % 4 {
        0 => Protocol::Chat,
        1 => Protocol::WorkersAi(Endpoint::Native),
        2 => Protocol::WorkersAi(Endpoint::OpenAi),
        _ => Protocol::Replicate,
    };
    let mut bytes = Vec::new();
    for byte in rest {
        match FRAGMENTS.get(usize::from(*byte)) {
            Some(fragment) => bytes.extend_from_slice(fragment.as_bytes()),
            // Removes the end of what was added last.
            None if 0xF0 <= *byte => {
                bytes.truncate(bytes.len().saturating_sub(usize::from(byte - 0xEF)))
            }
            None => bytes.push(*byte),
        }
    }
    let said = Said::read(protocol, &bytes);
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
    let first = bytes.iter().position(|byte| !is_blank(byte));
    let is_document = match &bytes[first.unwrap_or(bytes.len())..] {
        [b'[', b'D', ..] => false,
        [b'{' | b'<' | b'[', ..] => true,
        _ => false,
    };

    let Ok(mut stream) = open(protocol, Bytes::from(bytes.clone())) else {
        return;
    };
    let end: std::result::Result<(), Error> = loop {
        match run(stream.next()) {
            None => break Ok(()),
            Some(Ok(_)) => {}
            Some(Err(error)) => break Err(error),
        }
    };
    let partial = stream.partial();
    let shown = || {
        format!(
            "{said:?} {end:?} {partial:?} {}",
            String::from_utf8_lossy(&bytes)
        )
    };
    if is_document {
        let is_json = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
        assert!(end.is_err() || is_json || !bytes.is_ascii(), "{}", shown());
        return;
    }
    if !said.is_unknown {
        assert_eq!(partial.text(), said.text, "{}", shown());
    }
    if end.is_ok() {
        assert!(said.has_reason || said.is_over, "{}", shown());
        let is_incomplete = said.is_cut && !said.is_over;
        assert!(
            !is_incomplete || !partial.meta.warnings.is_empty(),
            "{}",
            shown()
        );
        assert!(
            !is_incomplete || !said.goes_on || said.is_unknown,
            "{}",
            shown()
        );
    }
});
