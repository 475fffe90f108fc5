//! Requests of a conversation, and a service that answers them at once.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use inferstream_core::{
    Body, BoxFuture, ChatRequest, ChatStream, Error, Message, Part, Result, Role, Timer, Transport,
};
use inferstream_openai_compat::Compatible;

/// Conversations, by their number of messages.
pub const CONVERSATIONS: [(usize, &str); 3] = [
    (2, "request of 2 messages"),
    (2000, "request of 2,000 messages"),
    (20_000, "request of 20,000 messages"),
];

/// What people and models write: prose and code, so that some bytes are escaped as JSON.
const TEXTS: [&str; 4] = [
    "Why is the sky blue at noon, and red in the evening? I have read that it has to do with how \
     the air scatters light, but the air is the same all day. Answer in one paragraph, please, \
     and show how strong the effect is for blue and for red light.",
    "The light of the sun is scattered by the molecules of the air, and blue light much more than \
     red: the strength falls with the fourth power of the wavelength (\"Rayleigh scattering\"). At \
     noon the way through the air is short, and from all over the sky you see the blue light that \
     was scattered. In the evening the way is some forty times as long; most of the blue light is \
     gone before it reaches you, and what is left is red.",
    "How did you get to forty? Show me the formula in code, with the radius of the earth.",
    "```rust\nfn way(height: f64, radius: f64) -> f64 {\n    ((radius + height).powi(2) - \
     radius.powi(2)).sqrt()\n}\n\nfn main() {\n    println!(\"{:.0}\", way(8.0, 6371.0) / \
     8.0);\n}\n```\nIt prints 40.",
];

/// Makes a request of so many messages.
pub fn conversation(messages: usize) -> ChatRequest {
    let message = |at: usize| {
        let role = [Role::User, Role::Assistant][at % 2];
        Message::new(role, TEXTS[at % TEXTS.len()])
    };
    ChatRequest::new("m").messages((0..messages).map(message))
}

/// Makes a request with a prompt of 20 MB, more than is sent.
pub fn too_large() -> ChatRequest {
    let texts = TEXTS.concat();
    let prompt = texts.repeat(20_000_000_usize.div_ceil(texts.len()));
    // Without the room that a string has for more.
    ChatRequest::new("m").user(prompt.into_boxed_str().into_string())
}

/// Returns the bytes of the texts.
pub fn length(request: &ChatRequest) -> usize {
    let parts = request.messages.iter().flat_map(|message| &message.content);
    parts.filter_map(Part::as_text).map(str::len).sum()
}

/// Creates a client of a service in this process.
pub fn client() -> Compatible {
    let builder = Compatible::new("http://localhost/v1").api_key("sk-5ecret0fTheBenchmark");
    let client = builder.transport(Service);
    client.build().expect("the settings are valid")
}

/// Sends a request, and returns the response's stream, whose head has come.
///
/// # Errors
///
/// That of the request.
pub fn head(client: &Compatible, request: ChatRequest) -> Result<ChatStream> {
    match pin!(client.stream(request)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("the service answers at once"),
    }
}

/// Takes a request, and answers with the head of a stream.
#[derive(Debug)]
struct Service;

impl Transport for Service {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        drop(request);
        let response = Response::builder()
            .header("content-type", "text/event-stream; charset=utf-8")
            .header("date", "Sun, 29 Nov 2026 12:00:00 GMT")
            .header("server", "cloudflare")
            .header("cache-control", "no-cache, no-store, must-revalidate")
            .header(
                "strict-transport-security",
                "max-age=31536000; includeSubDomains",
            )
            .header("x-request-id", "req_8f1c2a647f5d4c269a350d6f5a1f2b3c")
            .header("x-ratelimit-remaining-requests", "9999")
            .header("x-content-type-options", "nosniff")
            .header(
                "set-cookie",
                "__cf_bm=xBqFb0x2f9; path=/; HttpOnly; Secure; SameSite=None",
            )
            .body(Body::new(Silent));
        Box::pin(std::future::ready(Ok(
            response.expect("the response is valid")
        )))
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        drop(task);
    }
}

impl Timer for Service {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// A body that has not begun.
struct Silent;

impl HttpBody for Silent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        Poll::Pending
    }
}
