//! Properties of generated responses truncated at any byte.

use inferstream_core::ErrorKind;
use proptest::{collection::vec, prelude::*};

use super::{
    protocols::{ALL, Part, Protocol, Stream},
    text,
};
use crate::{
    replicate,
    support::{Answer, Piece, piece},
};

/// What the first bytes of a stream contain, computed from the ends of its events.
#[derive(Debug, Default)]
// The flags are independent.
#[allow(clippy::struct_excessive_bools)]
struct Said {
    text: String,
    /// The finish reason arrived, and nothing that revokes it.
    has_reason: bool,
    /// Text arrived after it.
    goes_on: bool,
    /// The end was announced.
    is_over: bool,
    /// The bytes end inside an event that is neither a comment nor the end marker.
    is_cut: bool,
    /// Enough of that event's text arrived to read some of it.
    holds_text: bool,
    /// A part starts with all text before it, so it may be a copy.
    may_repeat: bool,
}

impl Said {
    fn new(stream: &Stream, place: usize) -> Self {
        let mut said = Self::default();
        let mut begin = 0;
        for (part, end) in &stream.parts {
            if place < *end {
                said.end_inside(
                    stream.protocol,
                    part,
                    &stream.bytes.as_bytes()[begin..place],
                );
                break;
            }
            begin = *end;
            match part {
                Part::Text(text) => {
                    said.may_repeat |= !said.text.is_empty() && text.starts_with(&said.text);
                    said.text += text;
                    said.goes_on |= said.has_reason && !text.is_empty();
                    // Another step of the same response.
                    let is_step = matches!(stream.protocol, Protocol::Lines | Protocol::Messages);
                    said.has_reason &= !is_step;
                    said.goes_on &= !is_step;
                }
                Part::Reason => said.has_reason |= stream.protocol != Protocol::Replicate,
                Part::Usage if stream.protocol == Protocol::Cerebras && said.has_reason => {
                    said.is_over = true;
                }
                Part::Usage | Part::Comment => {}
                Part::Marker => said.is_over = true,
            }
            if said.is_over {
                break;
            }
        }
        said
    }

    fn end_inside(&mut self, protocol: Protocol, part: &Part, rest: &[u8]) {
        let marker: &[u8] = match protocol {
            Protocol::Lines => b"d:{\"finishReason\":\"stop\"}",
            Protocol::Replicate => b"event: done\nid: 99:0\ndata: {}",
            _ => b"data: [DONE]",
        };
        self.is_over = *part == Part::Marker && rest.starts_with(marker);
        let is_comment = *part == Part::Comment && protocol != Protocol::Lines;
        self.is_cut = !rest.is_empty() && !is_comment && !self.is_over;
        if let Part::Text(text) = part {
            // The code of a line shows that it is text.
            let is_step = protocol == Protocol::Lines && !rest.is_empty();
            self.has_reason &= !is_step;
            let event = protocol.event(part, 0);
            let quoted = serde_json::to_string(text).unwrap();
            let begin = event.find(&quoted).unwrap_or(event.len());
            // The longest escape has six bytes, and the longest character four.
            self.holds_text = !text.is_empty() && begin + 1 + 6 <= rest.len();
        }
    }
}

/// The start of the warning about text that may be a copy.
const COPY: &str = "a chunk repeated all text before it";

/// Checks a stream that is truncated at a byte and then ends cleanly.
fn check(stream: &Stream, place: usize, pieces: Vec<Piece>) -> Result<(), TestCaseError> {
    let said = Said::new(stream, place);
    let outcome = stream.protocol.run(pieces);
    let mut warnings = outcome
        .meta
        .clone()
        .map_or(Vec::new(), |meta| meta.warnings);
    if said.may_repeat {
        warnings.retain(|warning| !warning.starts_with(COPY));
    }
    let at = format!("{said:?}, {:?}, {warnings:?}", outcome.end.as_ref().err());
    prop_assert_eq!(outcome.text(), &*said.text, "{}", at);
    let is_complete = said.is_over || said.has_reason && !said.is_cut;
    match outcome.kind() {
        None if is_complete => {
            // The prediction cannot be read for the token counts.
            let count = usize::from(stream.protocol == Protocol::Replicate);
            prop_assert_eq!(warnings.len(), count, "{}", at);
        }
        None => {
            prop_assert!(said.has_reason && said.is_cut, "{}", at);
            prop_assert!(!said.goes_on && !said.holds_text, "{}", at);
            prop_assert_eq!(warnings.len(), 1, "{}", at);
        }
        // A service that cannot be asked for the rest.
        Some(ErrorKind::Server) if stream.protocol == Protocol::Replicate => {
            prop_assert!(!is_complete && said.text.is_empty(), "{}", at);
        }
        kind => {
            prop_assert_eq!(kind, Some(ErrorKind::Truncated), "{}", at);
            prop_assert!(!is_complete, "{}", at);
            let is_warning = said.has_reason && !said.goes_on;
            let may_hold = said.holds_text || !said.text.is_empty();
            prop_assert!(!is_warning || may_hold, "{}", at);
        }
    }
    Ok(())
}

fn check_all_places(stream: &Stream) -> Result<(), TestCaseError> {
    for place in 0..=stream.bytes.len() {
        check(
            stream,
            place,
            vec![piece(&stream.bytes.as_bytes()[..place])],
        )?;
    }
    Ok(())
}

fn any_text() -> impl Strategy<Value = Part> {
    let words = prop_oneof![
        4 => "[a-z ]{1,6}",
        1 => "[a-z]\\PC{0,3}",
        1 => "[a-z😀é\\\\\"{}:\\[\\]]{1,4}",
        1 => Just("[DONE]".to_owned()),
        1 => Just("\"finish_reason\":\"stop\"".to_owned()),
    ];
    words.prop_map(Part::Text)
}

fn any_part() -> impl Strategy<Value = Part> {
    prop_oneof![
        4 => any_text(),
        3 => Just(Part::Reason),
        2 => Just(Part::Usage),
        1 => Just(Part::Comment),
        1 => Just(Part::Marker),
    ]
}

fn any_stream() -> impl Strategy<Value = Stream> {
    let protocol = prop::sample::select(ALL.to_vec());
    (protocol, any_text(), vec(any_part(), 0..6)).prop_map(|(protocol, first, rest)| {
        let parts: Vec<_> = std::iter::once(first).chain(rest).collect();
        Stream::new(protocol, &parts)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_incomplete_last_event_is_a_success_without_a_warning(stream in any_stream()) {
        check_all_places(&stream)?;
    }
}

proptest! {
    #[test]
    fn how_the_bytes_arrive_does_not_matter(
        stream in any_stream(),
        place in any::<prop::sample::Index>(),
        split in any::<prop::sample::Index>(),
    ) {
        let place = place.index(stream.bytes.len() + 1);
        let (first, second) = stream.bytes.as_bytes()[..place].split_at(split.index(place + 1));
        check(&stream, place, vec![piece(first), piece(second)])?;
    }
}

#[test]
fn common_streams_cut_at_every_byte_are_handled() {
    let usual = [
        vec![
            text("He"),
            text("llo"),
            Part::Reason,
            Part::Usage,
            Part::Marker,
        ],
        vec![
            text("He"),
            Part::Reason,
            text("llo"),
            Part::Usage,
            Part::Marker,
        ],
        vec![
            text("He"),
            Part::Reason,
            Part::Comment,
            text("llo"),
            Part::Reason,
            Part::Usage,
        ],
        vec![text("He"), text("llo"), Part::Marker],
    ];
    for protocol in ALL {
        for parts in &usual {
            check_all_places(&Stream::new(protocol, parts)).unwrap();
        }
    }
}

#[test]
fn a_prediction_cut_at_every_byte_is_a_warning_after_its_stream() {
    let stream = Stream::new(Protocol::Replicate, &[text("Hello"), Part::Marker]).bytes;
    let document = replicate::succeeded_document("Hello");
    for place in 0..=document.len() {
        let told = Answer::json(200, &document[..place]);
        let outcome = replicate::run_stream(vec![piece(stream.as_bytes())], told);
        assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
        let is_cut = place < document.len();
        let warnings = &outcome.meta().warnings;
        assert_eq!(warnings.len(), usize::from(is_cut), "{place}: {warnings:?}");
        assert_eq!(outcome.response().usage.is_none(), is_cut, "{place}");
    }
}
