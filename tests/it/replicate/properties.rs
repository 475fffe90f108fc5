//! Properties of generated tokens interrupted at any byte, with a service that resumes in any way.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::{
    Answer, Outcome, Service, broken, document, done, double::What, frame, piece, prediction,
    run_on, starting, succeeded, trouble,
};
use crate::support::Piece;

/// Text with everything that is difficult for decoders and comparisons; an event stream cannot
/// contain a CR.
fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ab]{0,3}",
        2 => "[a-z ]{0,8}",
        1 => "[\n ]{0,4}",
        1 => "[😀-😿👨👩é]{0,3}",
        1 => "[^\r\u{0}]{0,6}".prop_map(|text: String| text),
        1 => Just("event: done\ndata: {}\n\n".to_owned()),
    ]
}

/// How the service continues after an interruption.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Continue,
    Replay,
    Renumber,
    NoIds,
    OtherText,
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        Just(Way::Continue),
        Just(Way::Replay),
        Just(Way::Renumber),
        Just(Way::NoIds),
        Just(Way::OtherText),
    ]
}

/// The prediction's document.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tells {
    All,
    Nothing,
}

#[derive(Clone, Debug)]
struct Case {
    tokens: Vec<String>,
    /// The positions at which connections are interrupted, as a fraction of 65536.
    cuts: Vec<(u16, bool)>,
    way: Way,
    tells: Tells,
}

fn case() -> impl Strategy<Value = Case> {
    let tells = prop_oneof![4 => Just(Tells::All), 1 => Just(Tells::Nothing)];
    let cuts = vec((any::<u16>(), any::<bool>()), 0..6);
    (vec(token(), 0..12), cuts, way(), tells).prop_map(|(tokens, cuts, way, tells)| Case {
        tokens,
        cuts,
        way,
        tells,
    })
}

impl Case {
    /// Returns the frames of a connection, starting at a token.
    fn frames(&self, connection: usize, from: usize, tokens: &[String]) -> String {
        let outputs: Vec<_> = (from..tokens.len())
            .map(|nth| {
                let id = match self.way {
                    Way::NoIds => String::new(),
                    Way::Renumber | Way::OtherText => format!("{connection}-{nth}"),
                    _ => format!("169:{nth}"),
                };
                frame("output", &id, &tokens[nth])
            })
            .collect();
        format!(": hi\n\n{}{}", outputs.concat(), done())
    }

    /// Returns the response to a connection, and whether it has the complete stream.
    fn stream(&self, connection: usize, last: Option<&str>) -> (Answer, bool) {
        let other: Vec<_> = self.other();
        let tokens = match (self.way, connection) {
            (Way::OtherText, 1..) => &other,
            _ => &self.tokens,
        };
        let from = match self.way {
            Way::Continue => {
                let nth = last.and_then(|last| last.strip_prefix("169:")?.parse::<usize>().ok());
                nth.map_or(0, |nth| nth + 1)
            }
            _ => 0,
        };
        let stream = self.frames(connection, from.min(tokens.len()), tokens);
        match self.cuts.get(connection) {
            None => (Answer::sse([piece(stream.as_bytes())]), true),
            Some((place, breaks)) => {
                let place = stream.len() * usize::from(*place) / 65536;
                let mut pieces = vec![piece(&stream.as_bytes()[..place])];
                if *breaks {
                    pieces.push(broken());
                }
                (Answer::sse(pieces), stream.len() <= place + 1)
            }
        }
    }

    fn other(&self) -> Vec<String> {
        let other = |token: &String| format!("~{token}");
        self.tokens.iter().map(other).collect()
    }

    fn run(&self) -> Outcome {
        let case = self.clone();
        let told = match case.way {
            // The prediction has the output of the later connections.
            Way::OtherText if !case.cuts.is_empty() => succeeded(&case.other()),
            _ => succeeded(&case.tokens),
        };
        let ended = AtomicBool::new(false);
        let service = Service::new(move |asked, _| match asked.what {
            What::Create => starting(),
            What::Stream => {
                let (answer, whole) = case.stream(asked.nth, asked.last_event_id());
                ended.fetch_or(whole, SeqCst);
                answer
            }
            What::Prediction if case.tells == Tells::Nothing => trouble(),
            // The prediction has ended once a stream was complete, or after some time.
            What::Prediction if asked.nth < 6 && !ended.load(SeqCst) => {
                document(&prediction("processing", &Value::Null))
            }
            What::Prediction => document(&told),
            What::Cancel | What::Other => document(&json!({})),
        });
        let outcome = run_on(&service);
        let (creates, streams, _) = service.counts();
        assert_eq!(creates, 1);
        assert!(streams <= 4);
        outcome
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_text_is_complete_or_the_end_is_an_error(case in case()) {
        let whole = case.tokens.concat();
        let outcome = case.run();
        let text = outcome.text();
        match outcome.kind() {
            None => prop_assert!(
                text == whole || case.way == Way::OtherText && text == case.other().concat(),
                "a success with other text: {text:?} for {whole:?}"
            ),
            Some(_) if case.way == Way::OtherText => {}
            Some(_) => prop_assert!(
                whole.starts_with(&text) || outcome.is_diverged(),
                "an error after other text: {text:?} for {whole:?}"
            ),
        }
    }

    #[test]
    fn a_cooperative_service_always_gives_a_complete_response(mut case in case()) {
        case.tells = Tells::All;
        if case.way == Way::OtherText {
            case.way = Way::Replay;
        }
        let outcome = case.run();
        prop_assert_eq!(outcome.kind(), None);
        prop_assert_eq!(outcome.text(), case.tokens.concat());
    }

    #[test]
    fn different_text_is_an_error(mut case in case()) {
        case.way = Way::OtherText;
        case.tells = Tells::All;
        case.tokens.insert(0, "begin".to_owned());
        case.tokens.push("end".to_owned());
        // The first connection is interrupted after its first token, and the others are not.
        let first = case.frames(0, 0, &case.tokens);
        let place = first.find("begin").unwrap() + "begin\n\n".len();
        let share = u16::try_from((place * 65536).div_ceil(first.len())).unwrap();
        case.cuts = vec![(share, true)];
        let outcome = case.run();
        prop_assert!(outcome.is_diverged(), "{:?}", outcome.end);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200), rest in vec(any::<u8>(), 0..200)) {
        let service = super::scene_of([piece(&bytes)])
            .prediction([Answer::new(200, [Piece::from("x"), piece(&rest)])])
            .serve();
        run_on(&service);
    }

    #[test]
    fn no_document_panics(bytes in vec(any::<u8>(), 0..100), place in 0_usize..1000) {
        let mut document = succeeded(&["a"]).to_string().into_bytes();
        let place = place % document.len();
        document.splice(place..place, bytes);
        let service = super::healthy(&["a"])
            .create([Answer::new(201, [piece(&document)])])
            .prediction([Answer::new(200, [piece(&document)])])
            .serve();
        run_on(&service);
    }
}
