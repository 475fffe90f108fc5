//! The memory that requests and responses take, as an allocator counts it.

// In a test a panic is the message.
#![allow(clippy::unwrap_used)]

mod decoder;
mod hostile;
mod wire;

use std::{
    pin::pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use inferstream_cerebras::Cerebras;
use inferstream_cloudflare::Cloudflare;
use inferstream_core::{ChatRequest, ErrorKind, Json, Message, Part, Provider, Role, ToolCall};
use inferstream_replicate::Replicate;
use peak_alloc::PeakAlloc;

use self::wire::{Answer, Wire};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What one test allocates, another one must not count.
static ALONE: Mutex<()> = Mutex::new(());

/// What is there beside the texts: buffers, the headers, the decoder.
const CONSTANT: usize = 64 << 10;

/// What a message may take beside its text.
const PER_MESSAGE: usize = 512;

/// What a message may take beside its text while the response is read.
const PER_MESSAGE_HELD: usize = 32;

/// The prompts of a conversation: prose and code, so that some bytes are escaped as JSON.
const TEXTS: [&str; 3] = [
    "Why is the sky blue at noon, and red in the evening? Answer in one paragraph, please.",
    "The light of the sun is scattered by the air,\nand blue light more than red: \"Rayleigh\".",
    "fn main() {\n    println!(\"{}\", scattered(450e-9) / scattered(700e-9));\n}\n// Почему так?",
];

fn clients(answer: Answer) -> Vec<(&'static str, Box<dyn Provider>)> {
    clients_of(&Wire::new(answer))
}

fn clients_of(wire: &Wire) -> Vec<(&'static str, Box<dyn Provider>)> {
    let wire = || wire.clone();
    let cerebras = Cerebras::builder().api_key("csk-5ecret").transport(wire());
    let replicate = Replicate::builder().api_key("r8_5ecret0").transport(wire());
    let cloudflare = Cloudflare::builder()
        .account_id("a0")
        .api_token("t0ken5ecret");
    let cloudflare = cloudflare.transport(wire());
    let playground = Cloudflare::builder().playground().transport(wire());
    vec![
        ("cerebras", Box::new(cerebras.build().unwrap())),
        ("replicate", Box::new(replicate.build().unwrap())),
        ("cloudflare", Box::new(cloudflare.build().unwrap())),
        ("playground", Box::new(playground.build().unwrap())),
    ]
}

/// Makes a request of `messages` messages of `times` texts each.
fn conversation(messages: usize, times: usize) -> ChatRequest {
    let roles = [Role::User, Role::Assistant];
    let message = |at: usize| {
        let text = TEXTS[at % TEXTS.len()].repeat(times);
        // Without the room that a string has for more.
        Message::new(roles[at % 2], text.into_boxed_str().into_string())
    };
    ChatRequest::default().messages((0..messages).map(message))
}

fn length(request: &ChatRequest) -> usize {
    let parts = request.messages.iter().flat_map(|message| &message.content);
    parts.filter_map(Part::as_text).map(str::len).sum()
}

/// Returns three times the bytes of a text, which is JSON two of these times and then 3 % longer.
fn most(text: usize) -> usize {
    text + 2 * (text + text * 4 / 100)
}

/// Polls a future that never waits.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

/// What a call allocated beyond what there was: the most at once, and what is left.
struct Memory {
    peak: usize,
    held: usize,
}

/// Counts what is allocated from the time that a request is made until its call has returned.
fn count<T>(
    request: impl FnOnce() -> ChatRequest,
    call: impl FnOnce(ChatRequest) -> T,
) -> (T, Memory) {
    let before = MEMORY.current_usage();
    let request = request();
    MEMORY.reset_peak_usage();
    let outcome = call(request);
    let memory = Memory {
        peak: MEMORY.peak_usage() - before,
        held: MEMORY.current_usage() - before,
    };
    (outcome, memory)
}

#[test]
fn a_request_takes_three_times_its_text_and_holds_it_once() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, client) in clients(Answer::Stream) {
        for (messages, times) in [(1, 20_000), (2, 10_000), (200, 100), (20_000, 1)] {
            let text = length(&conversation(messages, times));
            let request = || conversation(messages, times);
            let (stream, memory) = count(request, |request| now(client.stream(request)));
            let stream = stream.unwrap();
            let what = format!("{name}, {messages} messages of {text} bytes");
            let peak = most(text) + PER_MESSAGE * messages + CONSTANT;
            assert!(memory.peak <= peak, "{what}: {} at the peak", memory.peak);
            let held = text + PER_MESSAGE_HELD * messages + CONSTANT;
            assert!(memory.held <= held, "{what}: {} are held", memory.held);
            drop(stream);
        }
    }
}

#[test]
fn a_request_that_is_too_large_is_refused_before_it_is_encoded() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, client) in clients(Answer::Stream) {
        for (messages, times) in [(1, 250_000), (20_000, 13)] {
            let request = || conversation(messages, times);
            let made = count(request, |request| request).1.held;
            let (error, memory) = count(request, |request| now(client.stream(request)));
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{name}: {error}");
            let text = length(&request());
            assert!(20_000_000 < text, "{text}");
            let more = memory.peak.saturating_sub(made);
            // A list of references to the messages is not a copy of their texts.
            let most = PER_MESSAGE_HELD * messages + CONSTANT;
            assert!(more <= most, "{name}: {more} bytes more than the request");
        }
    }
}

#[test]
fn the_limit_is_that_of_the_body() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Each byte is escaped, so that the text is below the limit and the body is above it.
    let quotes = "\"".repeat(9 << 20);
    for (name, client) in clients(Answer::Stream) {
        let error = now(client.stream(ChatRequest::from(quotes.as_str()))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{name}: {error}");
    }
    // A text that is not sent does not count.
    let cerebras = &clients(Answer::Stream)[0].1;
    let replaced = ChatRequest::from("x".repeat(20 << 20)).extra(
        "messages",
        Json::from_text(r#"[{"role":"user","content":"hi"}]"#),
    );
    drop(now(cerebras.stream(replaced)).unwrap());
}

#[test]
fn an_error_about_a_long_prompt_takes_three_times_its_text() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, client) in clients(Answer::Refusal(TEXTS[2])) {
        for (messages, times) in [(3, 10_000), (20_000, 1)] {
            let text = length(&conversation(messages, times));
            let request = || conversation(messages, times);
            let (error, memory) = count(request, |request| now(client.stream(request)));
            let error = error.unwrap_err();
            let what = format!("{name}, {messages} messages: {error}");
            let shown = format!("{error:?} {:?}", error.body());
            assert!(!shown.contains("scattered"), "{what}: {shown}");
            let peak = most(text) + PER_MESSAGE * messages + CONSTANT;
            assert!(memory.peak <= peak, "{what}: {} at the peak", memory.peak);
        }
    }
}

#[test]
fn tool_calls_and_parts_are_encoded_without_copies() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let long = |index: usize| TEXTS[index].repeat(10_000).into_boxed_str().into_string();
    let request = || {
        let call = ToolCall::new("a", "f", long(2));
        let assistant = Message::assistant(long(0)).part(long(1)).reasoning(long(0));
        ChatRequest::default()
            .message(Message::user(long(0)).part(long(1)))
            .message(assistant.tool_call(call))
            .message(Message::tool("a", long(2)))
    };
    let text = count(request, |request| request).1.held;
    let client = &clients(Answer::Stream)[0].1;
    let (stream, memory) = count(request, |request| now(client.stream(request)));
    let stream = stream.unwrap();
    assert!(memory.peak <= most(text), "{} of {text} bytes", memory.peak);
    assert!(
        memory.held <= text + CONSTANT,
        "{} of {text} bytes",
        memory.held
    );
    drop(stream);
}
