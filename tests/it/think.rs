//! Reasoning between tags, separated from the text wherever the stream is split.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::FusedStream as _;
use inferstream_compose::ThinkTags;
use inferstream_core::{
    ChatEvent, ChatResponse, ChatStream, End, Error, ErrorKind, FinishReason, Json, Result, Text,
    Usage, protocol::EventStream,
};
use proptest::prelude::*;

use crate::support::{Clock, block_on};

/// A stream from a list.
#[derive(Default)]
struct List {
    events: std::collections::VecDeque<Result<ChatEvent>>,
    partial: ChatResponse,
}

impl EventStream for List {
    fn poll_event(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        let next = self.events.pop_front();
        if let Some(Ok(event)) = &next {
            self.partial.add(event);
        }
        Poll::Ready(next)
    }

    fn partial(&self) -> &ChatResponse {
        &self.partial
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        self.partial.meta.warnings.push(warning);
    }
}

/// A stream from a list that then stalls.
struct Stalls(std::collections::VecDeque<Result<ChatEvent>>);

impl EventStream for Stalls {
    fn poll_event(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        self.0
            .pop_front()
            .map_or(Poll::Pending, |event| Poll::Ready(Some(event)))
    }

    fn partial(&self) -> &ChatResponse {
        static NOTHING: std::sync::LazyLock<ChatResponse> =
            std::sync::LazyLock::new(Default::default);
        &NOTHING
    }

    fn warn(self: Pin<&mut Self>, _: String) {}
}

/// Returns the next event, if there is one.
fn poll(stream: &mut ChatStream) -> Option<Result<ChatEvent>> {
    match crate::support::poll_once(stream.next()).0 {
        Poll::Ready(event) => event,
        Poll::Pending => None,
    }
}

fn stream(events: impl IntoIterator<Item = Result<ChatEvent>>) -> ChatStream {
    ChatStream::new(List {
        events: events.into_iter().collect(),
        ..List::default()
    })
}

fn texts<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Vec<Result<ChatEvent>> {
    let text = |piece: &str| Ok(ChatEvent::text(0, Text::from(piece)));
    let finish = ChatEvent::finish(0, FinishReason::Stop);
    pieces.into_iter().map(text).chain([Ok(finish)]).collect()
}

/// Returns the reasoning and the text.
fn split(pieces: &[&str], tags: &ThinkTags) -> (String, String) {
    let stream = tags.split_stream(stream(texts(pieces.iter().copied())));
    let response = block_on(&Clock::new(), stream.finish()).unwrap();
    (response.reasoning().to_owned(), response.text().to_owned())
}

#[track_caller]
fn check(text: &str, tags: &ThinkTags, thoughts: &str, answer: &str) {
    let expected = (thoughts.to_owned(), answer.to_owned());
    assert_eq!(split(&[text], tags), expected, "{text}");
    let pieces: Vec<String> = text.chars().map(String::from).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    assert_eq!(split(&pieces, tags), expected, "{text}, by characters");
    for (place, _) in text.char_indices() {
        let (before, behind) = text.split_at(place);
        assert_eq!(
            split(&[before, behind], tags),
            expected,
            "{text} at {place}"
        );
    }
    let mut whole = ChatResponse::default();
    whole.add(&ChatEvent::text(0, text));
    let whole = tags.split_response(whole);
    assert_eq!(
        (whole.reasoning(), whole.text()),
        (thoughts, answer),
        "{text}, whole"
    );
}

#[test]
fn reasoning_is_between_the_tags() {
    let tags = ThinkTags::default();
    check("<think>Hm.</think>Yes.", &tags, "Hm.", "Yes.");
    check("<think>Hm.\n</think>\n\nYes.", &tags, "Hm.\n", "\n\nYes.");
    check("\n <think>Hm.</think>Yes.", &tags, "Hm.", "\n Yes.");
    check("<think></think>Yes.", &tags, "", "Yes.");
    check("<think>a < b </thin </think>c", &tags, "a < b </thin ", "c");
}

#[test]
fn text_without_reasoning_is_unchanged() {
    let tags = ThinkTags::default();
    for text in [
        "",
        "Yes.",
        "a <think>b</thin",
        "1 < 2",
        "<thinking>x",
        "<",
        "<think",
        "世界 <think>",
    ] {
        check(text, &tags, "", text);
    }
}

#[test]
fn later_tags_are_text() {
    let tags = ThinkTags::default();
    let answer = "Write <think> and </think>, </think>.";
    check(&format!("<think>Hm.</think>{answer}"), &tags, "Hm.", answer);
}

#[test]
fn reasoning_without_a_closing_tag_is_reasoning() {
    let tags = ThinkTags::default();
    check("<think>Hm. </thin", &tags, "Hm. </thin", "");
    check("<think>", &tags, "", "");
}

#[test]
fn a_closing_tag_alone_is_dropped() {
    let tags = ThinkTags::default();
    check("Hm.</think>Yes.", &tags, "", "Hm.Yes.");
    check("</think>Yes.", &tags, "", "Yes.");
    check("Hm.</think>Yes.</think>", &tags, "", "Hm.Yes.</think>");
}

#[test]
fn reasoning_may_be_open_from_the_start() {
    let tags = ThinkTags::default().opened(true);
    check("Hm.</think>Yes.", &tags, "Hm.", "Yes.");
    check("Hm.", &tags, "Hm.", "");
}

#[test]
fn tags_may_have_other_names() {
    let tags = ThinkTags::new("◁think▷", "◁/think▷");
    check("◁think▷Hm. ◁/◁/think▷Yes.◁", &tags, "Hm. ◁/", "Yes.◁");
}

#[test]
fn only_the_possible_start_of_a_tag_is_held_back() {
    let stream = stream(texts(["</thi", "nk", "er", "x"]));
    let mut stream = ThinkTags::default().split_stream(stream);
    let clock = Clock::new();
    let event = block_on(&clock, stream.next()).unwrap().unwrap();
    assert_eq!(event, ChatEvent::text(0, "</thinker"));
    assert_eq!(stream.partial().text(), "</thinker");
}

#[test]
fn each_choice_has_its_own_reasoning() {
    let text = |choice, text: &str| Ok(ChatEvent::text(choice, Text::from(text)));
    let finish = |choice| Ok(ChatEvent::finish(choice, FinishReason::Stop));
    let events = [
        text(0, "<thi"),
        text(1, "Yes"),
        text(0, "nk>Hm.</th"),
        text(1, "."),
        text(0, "ink>No."),
        finish(0),
        finish(1),
    ];
    let stream = ThinkTags::default().split_stream(stream(events));
    let response = block_on(&Clock::new(), stream.finish()).unwrap();
    assert_eq!(response.choices[0].reasoning, "Hm.");
    assert_eq!(response.choices[0].text, "No.");
    assert_eq!(response.choices[1].text, "Yes.");
}

#[test]
fn held_back_text_is_delivered_before_the_error() {
    let truncated = Error::new(ErrorKind::Truncated, "cut");
    let events = [Ok(ChatEvent::text(0, "<think>Hm.</thi")), Err(truncated)];
    let mut stream = ThinkTags::default().split_stream(stream(events));
    let clock = Clock::new();
    let mut thoughts = String::new();
    let error = loop {
        match block_on(&clock, stream.next()).unwrap() {
            Ok(ChatEvent::Reasoning { text, .. }) => thoughts.push_str(&text),
            Ok(event) => panic!("{event:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(thoughts, "Hm.</thi");
    assert_eq!(error.partial().unwrap().reasoning(), "Hm.</thi");
    assert_eq!(error.partial().unwrap().text(), "");
    assert!(block_on(&clock, stream.next()).is_none());
}

#[test]
fn the_metadata_is_that_of_the_inner_stream() {
    let mut inner = List {
        events: texts(["<think>", "Hm.</think>Yes."]).into(),
        ..List::default()
    };
    inner.partial.model = Some("model".to_owned());
    inner.partial.meta.attempts = 2;
    let mut stream = ThinkTags::default().split_stream(ChatStream::new(inner));
    assert_eq!(stream.meta().attempts, 2, "before the first event");
    assert_eq!(stream.partial().model.as_deref(), Some("model"));
    EventStream::warn(Pin::new(&mut stream), "busy".to_owned());
    assert_eq!(stream.meta().warnings, ["busy"]);
    let response = block_on(&Clock::new(), stream.finish()).unwrap();
    assert_eq!(response.meta.warnings, ["busy"]);
    assert_eq!((response.reasoning(), response.text()), ("Hm.", "Yes."));
}

#[test]
fn text_that_was_read_before_is_kept() {
    let texts = || texts(["<think>H", "m.</th", "ink>Yes."]);
    for read in 0..=3 {
        let mut stream = stream(texts());
        for _ in 0..read {
            poll(&mut stream).unwrap().unwrap();
        }
        let before = stream.partial().text().to_owned();
        let stream = ThinkTags::default().split_stream(stream);
        assert_eq!(stream.partial().text(), before);
        let response = block_on(&Clock::new(), stream.finish()).unwrap();
        let (thoughts, answer) = match read {
            0 => ("Hm.", "Yes."),
            1 => ("m.", "<think>HYes."),
            // The tag had been split, and its start is text to the earlier reader.
            2 => ("ink>Yes.", "<think>Hm.</th"),
            _ => ("", "<think>Hm.</think>Yes."),
        };
        assert_eq!((response.reasoning(), response.text()), (thoughts, answer));
    }
}

#[test]
fn a_failed_stream_is_not_complete() {
    let truncated = Error::new(ErrorKind::Truncated, "cut");
    let mut stream = stream([Ok(ChatEvent::text(0, "Ye")), Err(truncated)]);
    poll(&mut stream).unwrap().unwrap();
    poll(&mut stream).unwrap().unwrap_err();
    let stream = ThinkTags::default().split_stream(stream);
    assert_eq!(stream.partial().text(), "Ye");
    let error = block_on(&Clock::new(), stream.finish()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
}

#[test]
fn a_wrapped_stream_keeps_its_end_and_its_error() {
    let failure = || Err(Error::new(ErrorKind::Truncated, "cut"));
    for (ending, fails) in [(Some(failure()), true), (None, false)] {
        let events = std::iter::once(Ok(ChatEvent::text(0, "Ye"))).chain(ending);
        let mut stream = stream(events).wrap(|stream| stream);
        poll(&mut stream).unwrap().unwrap();
        assert!(!stream.is_terminated());
        assert_eq!(poll(&mut stream).is_some(), fails);
        let mut wrapped = stream.wrap(|stream| stream);
        assert!(wrapped.is_terminated());
        assert!(poll(&mut wrapped).is_none());
        let outcome = block_on(&Clock::new(), wrapped.finish());
        assert_eq!(outcome.is_err(), fails);
    }
}

#[test]
fn the_metadata_is_available_immediately_and_the_end_at_the_end() {
    let mut known = List {
        events: std::iter::once(Ok(ChatEvent::text(0, "Yes <"))).collect(),
        ..List::default()
    };
    known.partial.id = Some("id".to_owned());
    known.partial.end = Some(End::Marker);
    let mut stream = ThinkTags::default().split_stream(ChatStream::new(known));
    assert_eq!(stream.partial().id.as_deref(), Some("id"));
    for text in ["Yes ", "<"] {
        let event = poll(&mut stream).unwrap().unwrap();
        assert_eq!(event, ChatEvent::text(0, text));
        assert_eq!(stream.partial().end, None, "more events may follow");
    }
    assert!(poll(&mut stream).is_none());
    assert_eq!(stream.partial().end, Some(End::Marker));
}

/// The same for the complete text with these tags.
fn reference_of(text: &str, open: &str, close: &str, opened: bool) -> (String, String) {
    let find = |text: &str, tag: &str| (!tag.is_empty()).then(|| text.find(tag)).flatten();
    let begin = text.trim_start();
    let space = text.len() - begin.len();
    let is_open = !open.is_empty() && begin.starts_with(open);
    let closes_before = find(text, close).is_some_and(|place| place < space);
    let (before, rest, has_thoughts) = match (opened, is_open && !closes_before) {
        (true, _) => ("", text, true),
        (false, true) => (&text[..space], &begin[open.len()..], true),
        (false, false) => ("", text, false),
    };
    let (first, answer) = match find(rest, close) {
        Some(place) => (&rest[..place], &rest[place + close.len()..]),
        None => (rest, ""),
    };
    if has_thoughts {
        (first.to_owned(), [before, answer].concat())
    } else {
        (String::new(), [first, answer].concat())
    }
}

fn whole(text: &str, tags: &ThinkTags) -> (String, String) {
    let mut whole = ChatResponse::default();
    whole.add(&ChatEvent::text(0, text));
    let whole = tags.split_response(whole);
    (whole.reasoning().to_owned(), whole.text().to_owned())
}

/// Unusual tags, and the fragments from which texts with them are built.
const TAGS: [(&str, &str); 12] = [
    ("<think>", "</think>"),
    ("", "</think>"),
    ("<think>", ""),
    ("", ""),
    ("|", "|"),
    ("||", "|"),
    ("|", "||"),
    ("<t", "<th"),
    ("<th", "<t"),
    ("<t", "\n</t"),
    ("aa", "aab"),
    ("<t", "\n<tt"),
];

#[test]
fn any_tags_are_recognized_however_the_text_is_split() {
    let letters = [
        "<", "t", "h", "|", "\n", "a", "b", "</t", "<think>", "</think>",
    ];
    for (open, close) in TAGS {
        for opened in [false, true] {
            let tags = ThinkTags::new(open, close).opened(opened);
            for number in 0..letters.len().pow(3) {
                let nth = |place| letters[number / letters.len().pow(place) % letters.len()];
                let text = [nth(0), nth(1), nth(2)].concat();
                let expected = reference_of(&text, open, close, opened);
                assert_eq!(whole(&text, &tags), expected, "{text:?} of {tags:?}");
                let pieces: Vec<String> = text.chars().map(String::from).collect();
                let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
                assert_eq!(split(&pieces, &tags), expected, "{text:?} of {tags:?}");
                let pieces = [nth(0), nth(1), nth(2)];
                assert_eq!(split(&pieces, &tags), expected, "{text:?} of {tags:?}");
            }
        }
    }
}

#[test]
fn white_space_before_an_opening_tag_is_not_part_of_it() {
    let tags = ThinkTags::new("\n <think>\n", "\n</think>\n\n");
    check("<think>\nHm.\n</think>\n\nYes.", &tags, "Hm.", "Yes.");
    check("\n <think>\nHm.\n</think>\n\nYes.", &tags, "Hm.", "\n Yes.");
    check("\n</think>\n\nYes.", &tags, "", "Yes.");
}

#[test]
fn less_than_one_tag_is_held_back() {
    for (open, close) in [
        ("<think>", "</think>"),
        ("◁think▷", "◁/think▷"),
        ("<t", "\n\n\n</t>"),
    ] {
        let longest = open.len().max(close.len()) - 1;
        let mut most = 0;
        let beginning = |tag: &str, less: usize| {
            let length = tag.chars().count() - less;
            tag.chars().take(length).collect::<String>()
        };
        for text in [
            [open, "a", close, "b"].concat(),
            [" \n", close, "b", close].concat(),
            [
                "\n\n\n\n\n",
                &beginning(open, 1),
                "a",
                &beginning(close, 1),
                "a",
            ]
            .concat(),
            ["  ", open, &beginning(close, 1), close, close].concat(),
        ] {
            let letters: Vec<String> = text.chars().map(String::from).collect();
            let tags = ThinkTags::new(open, close);
            for length in 0..=letters.len() {
                // The events so far, and then nothing.
                let events = letters[..length].iter();
                let events = events.map(|text| Ok(ChatEvent::text(0, Text::from(text.as_str()))));
                let mut stream = tags.split_stream(ChatStream::new(Stalls(events.collect())));
                let mut given = 0;
                while let Some(Ok(
                    ChatEvent::Text { text, .. } | ChatEvent::Reasoning { text, .. },
                )) = poll(&mut stream)
                {
                    given += text.len();
                }
                let came = letters[..length].concat();
                let (thoughts, answer) = whole(&came, &tags);
                let held = thoughts.len() + answer.len() - given;
                assert!(held <= longest, "{held} of {came:?}");
                most = most.max(held);
            }
        }
        let last = close.chars().next_back().unwrap().len_utf8();
        assert_eq!(most, close.len() - last, "this much may be a tag");
    }
}

/// The same for the complete text.
fn reference(text: &str) -> (String, String) {
    reference_of(text, "<think>", "</think>", false)
}

proptest! {
    #[test]
    fn the_split_of_the_text_does_not_matter(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "<think>", "</think>", "<", "</", "think", ">", " ", "\n", "a", "世", "<thi", "nk>",
            ]),
            0..12,
        ),
        cuts in prop::collection::vec(0_usize..80, 0..12),
    ) {
        let text = parts.concat();
        let mut places: Vec<usize> = cuts
            .into_iter()
            .filter(|cut| *cut <= text.len() && text.is_char_boundary(*cut))
            .chain([0, text.len()])
            .collect();
        places.sort_unstable();
        let pieces: Vec<&str> = places.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let mut given = String::new();
        let mut stream = ThinkTags::default().split_stream(stream(texts(pieces)));
        let clock = Clock::new();
        while let Some(event) = block_on(&clock, stream.next()) {
            if let ChatEvent::Text { text, .. } | ChatEvent::Reasoning { text, .. } = event.unwrap() {
                prop_assert!(!text.is_empty());
                given.push_str(&text);
            }
        }
        let response = stream.partial();
        let found = (response.reasoning().to_owned(), response.text().to_owned());
        prop_assert_eq!(&found, &reference(&text));
        prop_assert_eq!(given.len(), found.0.len() + found.1.len());
    }

    #[test]
    fn choices_do_not_affect_each_other(
        script in prop::collection::vec((0..3_u32, 0..14_usize), 0..30),
        ending in 0..3_u8,
    ) {
        let texts = ["<think>", "</think>", "<", "</", "think", ">", " ", "a", "<thi", "nk>"];
        let event = |(choice, kind): (u32, usize)| match kind {
            10 => ChatEvent::raw(Json::from("chunk")),
            11 => ChatEvent::logprobs(choice, Json::from(0.5)),
            12 => ChatEvent::usage(Usage::default()),
            13 => ChatEvent::tool_call_start(choice, 0, "id", "tool"),
            kind => ChatEvent::text(choice, texts[kind]),
        };
        let events: Vec<ChatEvent> = script.into_iter().map(event).collect();
        let failed = Error::new(ErrorKind::Truncated, "cut");
        let mut script: Vec<_> = events.iter().cloned().map(Ok).collect();
        match ending {
            0 => {}
            1 => script.push(Err(failed)),
            _ => script.extend((0..3).map(|choice| Ok(ChatEvent::finish(choice, FinishReason::Stop)))),
        }
        let mut stream = ThinkTags::default().split_stream(stream(script));
        let clock = Clock::new();
        let mut sum = ChatResponse::default();
        let mut others = Vec::new();
        while let Some(event) = block_on(&clock, stream.next()) {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    prop_assert_eq!(error.partial(), Some(&sum));
                    break;
                }
            };
            sum.add(&event);
            prop_assert_eq!(stream.partial(), &sum);
            match event {
                ChatEvent::Text { .. } | ChatEvent::Reasoning { .. } | ChatEvent::Finish { .. } => {}
                event => others.push(event),
            }
        }
        let is_text = |event: &&ChatEvent| matches!(event, ChatEvent::Text { .. });
        let expected: Vec<_> = events.iter().filter(|event| !is_text(event)).cloned().collect();
        prop_assert_eq!(others, expected, "in order");
        for choice in 0..3 {
            let (mut text, mut has_call) = (String::new(), false);
            for event in &events {
                match event {
                    ChatEvent::Text { choice: of, text: piece, .. } if *of == choice => text.push_str(piece),
                    ChatEvent::ToolCallStart { choice: of, .. } if *of == choice => has_call = true,
                    _ => {}
                }
            }
            let found = sum.choices.iter().find(|known| known.index == choice);
            let found = found.map(|choice| (choice.reasoning.clone(), choice.text.clone()));
            let found = found.unwrap_or_default();
            let (thoughts, answer) = reference(&text);
            if has_call {
                let given = found.0.len() + found.1.len();
                prop_assert!([0, 7, 8, 15].contains(&(text.len() - given)), "tags at most");
            } else {
                prop_assert_eq!(found, (thoughts, answer));
            }
        }
    }
}
