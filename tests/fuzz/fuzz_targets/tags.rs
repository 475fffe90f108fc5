//! Reasoning between tags is separated in the same way wherever the text is split.
#![no_main]

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use fuzz::{input::Input, outcome::Outcome};
use inferstream_compose::ThinkTags;
use inferstream_core::{
    ChatEvent, ChatResponse, ChatStream, End, Error, ErrorKind, FinishReason, Result,
    protocol::EventStream,
};
use inferstream_test::Clock;

const TAGS: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("[", "]"),
    ("aa", "aab"),
    ("<a>", "<a>"),
    ("", "</think>"),
    ("<think>", ""),
    ("é", "éé"),
    ("\n<t>", "\n</t>\n"),
];

/// A stream from a list.
struct List {
    events: VecDeque<Result<ChatEvent>>,
    partial: ChatResponse,
}

impl EventStream for List {
    fn poll_event(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        let next = self.events.pop_front();
        match &next {
            Some(Ok(event)) => self.partial.add(event),
            Some(Err(_)) => {}
            None => self.partial.end = Some(End::FinishReason),
        }
        Poll::Ready(next)
    }

    fn partial(&self) -> &ChatResponse {
        &self.partial
    }

    fn warn(self: Pin<&mut Self>, _: String) {}
}

/// Returns the reasoning and the text, by the documentation's words.
fn naive(text: &str, (open, close): (&str, &str), opened: bool) -> (String, String) {
    let open = open.trim_start();
    let find = |text: &str| text.find(close).filter(|_| !close.is_empty());
    let begin = text.trim_start();
    let (space, _) = text.split_at(text.len() - begin.len());
    let first = find(text).unwrap_or(usize::MAX);
    let inside = match begin.strip_prefix(open) {
        _ if opened => Some(("", text)),
        Some(inside) if !open.is_empty() && space.len() <= first => Some((space, inside)),
        _ => None,
    };
    match inside {
        Some((before, inside)) => {
            let end = find(inside);
            let rest = end.map_or("", |end| &inside[end + close.len()..]);
            let reasoning = &inside[..end.unwrap_or(inside.len())];
            (reasoning.to_owned(), format!("{before}{rest}"))
        }
        None if first < usize::MAX => (String::new(), text.replacen(close, "", 1)),
        None => (String::new(), text.to_owned()),
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    let names = input.pick(TAGS);
    let opened = input.flag();
    let tags = ThinkTags::new(names.0, names.1).opened(opened);
    let fails = input.flag();
    let pieces = input.pieces();
    let pieces: Vec<_> = pieces
        .iter()
        .map(|it| String::from_utf8_lossy(it))
        .collect();
    // The second choice has the pieces in reverse.
    let texts = [
        pieces.concat(),
        pieces.iter().rev().map(|it| &**it).collect::<String>(),
    ];

    let mut events = VecDeque::new();
    for (one, other) in pieces.iter().zip(pieces.iter().rev()) {
        for (choice, text) in [(0, one), (1, other)] {
            if !text.is_empty() {
                events.push_back(Ok(ChatEvent::text(choice, text.to_string())));
            }
        }
    }
    if fails {
        events.push_back(Err(Error::new(ErrorKind::Truncated, "lost")));
    } else {
        let finish = |choice| Ok(ChatEvent::finish(choice, FinishReason::Stop));
        events.extend([finish(0), finish(1)]);
    }
    let partial = ChatResponse::default();
    let stream = tags.split_stream(ChatStream::new(List { events, partial }));
    let outcome = Outcome::read(&Clock::new(), Ok(stream));
    assert_eq!(outcome.end.is_err(), fails);

    let mut whole = ChatResponse::default();
    for (choice, text) in (0..).zip(&texts) {
        if !text.is_empty() {
            whole.add(&ChatEvent::text(choice, text.clone()));
        }
    }
    let whole = tags.split_response(whole);
    for (choice, text) in (0..).zip(&texts) {
        let expected = naive(text, names, opened);
        for response in [&outcome.partial, &whole] {
            let found = response.choice(choice);
            let found = found.map(|it| (it.reasoning.clone(), it.text.clone()));
            assert_eq!(found.unwrap_or_default(), expected, "{pieces:?} {tags:?}");
        }
    }
});
