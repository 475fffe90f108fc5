//! Thoughts between tags, told apart from the answer however the text is cut.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use inferstream_core::{
    ChatEvent, ChatResponse, ChatStream, Error, ErrorKind, EventStream, FinishReason, Result, Text,
    ThinkTags,
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

/// Returns the thoughts and the answer.
fn split(pieces: &[&str], tags: ThinkTags) -> (String, String) {
    let stream = stream(texts(pieces.iter().copied())).split_thinking(tags);
    let response = block_on(&Clock::new(), stream.finish()).unwrap();
    (response.reasoning().to_owned(), response.text().to_owned())
}

#[track_caller]
fn check(text: &str, tags: &ThinkTags, thoughts: &str, answer: &str) {
    let expected = (thoughts.to_owned(), answer.to_owned());
    assert_eq!(split(&[text], tags.clone()), expected, "{text}");
    let pieces: Vec<String> = text.chars().map(String::from).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    assert_eq!(
        split(&pieces, tags.clone()),
        expected,
        "{text}, by characters"
    );
    for (place, _) in text.char_indices() {
        let (before, behind) = text.split_at(place);
        assert_eq!(
            split(&[before, behind], tags.clone()),
            expected,
            "{text} at {place}"
        );
    }
    let mut whole = ChatResponse::default();
    whole.add(&ChatEvent::text(0, text));
    let whole = whole.split_thinking(tags);
    assert_eq!(
        (whole.reasoning(), whole.text()),
        (thoughts, answer),
        "{text}, whole"
    );
}

#[test]
fn thoughts_stand_between_the_tags() {
    let tags = ThinkTags::default();
    check("<think>Hm.</think>Yes.", &tags, "Hm.", "Yes.");
    check("<think>Hm.\n</think>\n\nYes.", &tags, "Hm.\n", "\n\nYes.");
    check("\n <think>Hm.</think>Yes.", &tags, "Hm.", "\n Yes.");
    check("<think></think>Yes.", &tags, "", "Yes.");
    check("<think>a < b </thin </think>c", &tags, "a < b </thin ", "c");
}

#[test]
fn text_without_thoughts_is_untouched() {
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
fn what_looks_like_a_tag_later_on_is_text() {
    let tags = ThinkTags::default();
    let answer = "Write <think> and </think>, </think>.";
    check(&format!("<think>Hm.</think>{answer}"), &tags, "Hm.", answer);
}

#[test]
fn thoughts_that_do_not_end_are_thoughts() {
    let tags = ThinkTags::default();
    check("<think>Hm. </thin", &tags, "Hm. </thin", "");
    check("<think>", &tags, "", "");
}

#[test]
fn a_closing_tag_alone_is_left_out() {
    let tags = ThinkTags::default();
    check("Hm.</think>Yes.", &tags, "", "Hm.Yes.");
    check("</think>Yes.", &tags, "", "Yes.");
    check("Hm.</think>Yes.</think>", &tags, "", "Hm.Yes.</think>");
}

#[test]
fn thoughts_may_be_open_from_the_start() {
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
fn what_is_no_tag_is_held_back_for_less_than_one() {
    let mut stream = stream(texts(["</thi", "nk", "er", "x"])).split_thinking(ThinkTags::default());
    let clock = Clock::new();
    let event = block_on(&clock, stream.next()).unwrap().unwrap();
    assert_eq!(event, ChatEvent::text(0, "</thinker"));
    assert_eq!(stream.partial().text(), "</thinker");
}

#[test]
fn each_choice_has_thoughts_of_its_own() {
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
    let stream = stream(events).split_thinking(ThinkTags::default());
    let response = block_on(&Clock::new(), stream.finish()).unwrap();
    assert_eq!(response.choices[0].reasoning, "Hm.");
    assert_eq!(response.choices[0].text, "No.");
    assert_eq!(response.choices[1].text, "Yes.");
}

#[test]
fn an_error_comes_behind_what_was_held_back() {
    let truncated = Error::new(ErrorKind::Truncated, "cut");
    let events = [Ok(ChatEvent::text(0, "<think>Hm.</thi")), Err(truncated)];
    let mut stream = stream(events).split_thinking(ThinkTags::default());
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
fn what_came_with_the_answer_is_that_of_the_stream() {
    let mut inner = List {
        events: texts(["<think>", "Hm.</think>Yes."]).into(),
        ..List::default()
    };
    inner.partial.model = Some("model".to_owned());
    inner.partial.meta.attempts = 2;
    let mut stream = ChatStream::new(inner).split_thinking(ThinkTags::default());
    assert_eq!(stream.meta().attempts, 2, "before the first event");
    assert_eq!(stream.partial().model.as_deref(), Some("model"));
    EventStream::warn(Pin::new(&mut stream), "busy".to_owned());
    assert_eq!(stream.meta().warnings, ["busy"]);
    let response = block_on(&Clock::new(), stream.finish()).unwrap();
    assert_eq!(response.meta.warnings, ["busy"]);
    assert_eq!((response.reasoning(), response.text()), ("Hm.", "Yes."));
}

/// The same by the text as a whole.
fn reference(text: &str) -> (String, String) {
    let begin = text.trim_start();
    let space = &text[..text.len() - begin.len()];
    if let Some(rest) = begin.strip_prefix("<think>") {
        return match rest.split_once("</think>") {
            Some((thoughts, answer)) => (thoughts.to_owned(), format!("{space}{answer}")),
            None => (rest.to_owned(), space.to_owned()),
        };
    }
    (String::new(), text.replacen("</think>", "", 1))
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
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
        let mut stream = stream(texts(pieces)).split_thinking(ThinkTags::default());
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
}
