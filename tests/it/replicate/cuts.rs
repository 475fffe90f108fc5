//! Streams interrupted at every byte, and the requests that resume them.

use inferstream_core::{ChatResponse, Error, ErrorKind};
use serde_json::{Value, json};

use super::{
    Answer, Outcome, Service, What, broken, document, event_id, output, piece, prediction, run_on,
    starting, stream_of, succeeded, trouble,
};

/// The contents of a stream, determined without the code under test.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    pub(super) tokens: Vec<String>,
    /// The complete frames, with their ids.
    frames: Vec<(Option<String>, String)>,
    /// The stream contained `error`.
    error: bool,
    /// The stream contained `done`.
    done: bool,
    /// The stream contained `done` without the blank line after it.
    done_cut: bool,
}

impl Told {
    /// Parses a stream or its start, as the text of the standard says.
    pub(super) fn of(stream: &str) -> Self {
        let stream = stream.trim_start_matches('\u{feff}');
        let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
        let mut told = Self::default();
        let mut frames: Vec<_> = stream.split("\n\n").collect();
        frames.pop();
        for frame in frames {
            let mut data = Vec::new();
            let mut event = "";
            let mut id = None;
            for line in frame.split('\n') {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match name {
                    "data" => data.push(value),
                    "event" => event = value,
                    "id" => id = Some(value.to_owned()),
                    _ => {}
                }
            }
            told.error |= event == "error";
            told.done |= event == "done";
            if event == "output" {
                told.tokens.push(data.join("\n"));
            }
            if !event.is_empty() {
                told.frames.push((id, format!("{frame}\n\n")));
            }
        }
        told
    }

    pub(super) fn text(&self) -> String {
        self.tokens.concat()
    }

    /// Returns the frames after an id, or all if the id is unknown.
    pub(super) fn after(&self, last: Option<&str>) -> String {
        let found = self.frames.iter().position(|(id, _)| id.as_deref() == last);
        let from = match (last, found) {
            (Some(_), Some(place)) => place + 1,
            _ => 0,
        };
        self.frames[from..]
            .iter()
            .map(|(_, frame)| &**frame)
            .collect()
    }

    /// Returns all frames with other ids.
    pub(super) fn renumbered(&self) -> String {
        let frames = self.frames.iter().enumerate();
        let frames: Vec<_> = frames
            .map(|(nth, (id, frame))| match id {
                None => frame.clone(),
                Some(id) => {
                    let (old, new) = (format!("id: {id}\n"), format!("id: new-{nth}\n"));
                    frame.replacen(&old, &new, 1)
                }
            })
            .collect();
        frames.concat()
    }
}

/// A service that sends these streams in turn; the prediction has ended once the last one was
/// requested.
pub(super) struct Server {
    streams: Vec<Answer>,
    told: Value,
}

impl Server {
    pub(super) fn new(streams: &[Answer], told: &Value) -> Self {
        Self {
            streams: streams.to_vec(),
            told: told.clone(),
        }
    }

    pub(super) fn serve(self) -> Service {
        Service::new(move |asked, before| match asked.what {
            What::Create => starting(),
            What::Stream => self.streams[asked.nth.min(self.streams.len() - 1)].clone(),
            What::Prediction => {
                let streams = before.iter().filter(|asked| asked.what == What::Stream);
                if streams.count() < self.streams.len() {
                    document(&prediction("processing", &Value::Null))
                } else {
                    document(&self.told)
                }
            }
            What::Cancel | What::Other => trouble(),
        })
    }
}

/// How a service responds to a request for a stream after an interruption.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Again {
    /// Continues after `Last-Event-ID`.
    Continue,
    /// Sends everything again, with the same ids.
    Replay,
    /// Sends everything again, with other ids.
    Renumber,
    /// Has no stream any longer; the prediction has the complete output.
    TellOnly,
    /// Responds only with 500.
    Fail,
}

pub(super) const ALL: [Again; 5] = [
    Again::Continue,
    Again::Replay,
    Again::Renumber,
    Again::TellOnly,
    Again::Fail,
];

/// A service whose first stream is interrupted.
pub(super) fn cut(
    stream: &[u8],
    place: usize,
    breaks: bool,
    again: Again,
    told: &Value,
) -> Service {
    let whole = Told::of(&String::from_utf8_lossy(stream));
    let ended = Told::of(&String::from_utf8_lossy(&stream[..place])).done;
    let mut first = vec![piece(&stream[..place])];
    if breaks {
        first.push(broken());
    }
    let told = told.clone();
    Service::new(move |asked, before| match asked.what {
        What::Create => starting(),
        What::Stream if asked.nth == 0 => Answer::sse(first.clone()),
        What::Stream => match again {
            Again::Continue => {
                let rest = whole.after(asked.last_event_id());
                Answer::sse([piece(rest.as_bytes())])
            }
            Again::Replay => Answer::sse([piece(whole.after(None).as_bytes())]),
            Again::Renumber => Answer::sse([piece(whole.renumbered().as_bytes())]),
            Again::TellOnly | Again::Fail => trouble(),
        },
        What::Prediction if again == Again::Fail => trouble(),
        What::Prediction => {
            let again_asked = before
                .iter()
                .any(|asked| asked.what == What::Stream && asked.nth > 0);
            if again_asked || ended || again == Again::TellOnly {
                document(&told)
            } else {
                document(&prediction("processing", &Value::Null))
            }
        }
        What::Cancel | What::Other => document(&prediction("canceled", &Value::Null)),
    })
}

/// Checks a stream that is interrupted at every byte: with the service's help the text is complete
/// and not repeated, and without it the response is never a success.
#[track_caller]
pub(super) fn check(name: &str, stream: &[u8], told: &Value) {
    check_places(name, stream, told, 0..=stream.len());
}

#[track_caller]
pub(super) fn check_places(
    name: &str,
    stream: &[u8],
    told: &Value,
    places: impl IntoIterator<Item = usize>,
) {
    let whole = Told::of(&String::from_utf8_lossy(stream));
    for place in places {
        for breaks in [false, true] {
            for again in ALL {
                let end = if breaks { "broken" } else { "clean" };
                let at = format!("{name} cut at {place}, {end}, {again:?}");
                let service = cut(stream, place, breaks, again, told);
                let outcome = run_on(&service);
                let mut beginning = Told::of(&String::from_utf8_lossy(&stream[..place]));
                // All of `done` arrived except its blank line, followed by a clean end.
                beginning.done_cut = !breaks
                    && !beginning.done
                    && stream[place..].iter().all(u8::is_ascii_whitespace);
                check_one(&at, &service, &outcome, &beginning, &whole, again);
            }
        }
    }
}

fn check_one(
    at: &str,
    service: &Service,
    outcome: &Outcome,
    beginning: &Told,
    whole: &Told,
    again: Again,
) {
    let (creates, streams, _) = service.counts();
    assert_eq!(creates, 1, "{at}");
    assert!(streams <= 4, "{at}: {streams} streams");
    let kind = outcome.kind();
    if beginning.done {
        assert_eq!(streams, 1, "{at}: the end had arrived");
    }
    let at_end = beginning.done || beginning.done_cut && kind != Some(ErrorKind::Truncated);
    if again == Again::Fail && !at_end {
        match kind {
            Some(ErrorKind::Truncated) => {}
            Some(ErrorKind::Provider) if beginning.error => {}
            _ => panic!("{at}: {:?}", outcome.end),
        }
        assert_eq!(outcome.text(), beginning.text(), "{at}");
        let partial = outcome.error().partial();
        assert_eq!(
            partial.and_then(|partial| partial.id.as_deref()),
            Some(super::ID),
            "{at}: the prediction is named"
        );
        return;
    }
    assert_eq!(outcome.text(), whole.text(), "{at}");
    if whole.error {
        assert_eq!(kind, Some(ErrorKind::Provider), "{at}");
    } else if whole
        .frames
        .iter()
        .any(|(_, frame)| frame.contains("canceled"))
    {
        assert_eq!(kind, Some(ErrorKind::Canceled), "{at}");
    } else {
        assert_eq!(kind, None, "{at}: {:?}", outcome.end);
    }
}

/// Tokens with everything that is difficult for decoders and comparisons.
pub(super) fn odd_tokens() -> Vec<String> {
    let odd = [
        "Once",
        " upon",
        "\n",
        "\n\n",
        "  ",
        "\n leading",
        "two\nlines",
        "😀",
        "👨‍👩‍👧",
        "é",
        "a",
        "a",
        "a",
        ":",
        ": ",
        "data: x",
        "event: done",
        "{}",
        "[DONE]",
        " ",
        "\t",
        "trailing ",
        "\n\n\n",
        "",
        "ß",
    ];
    odd.map(str::to_owned).into()
}

#[test]
fn odd_text_cut_at_any_byte_is_complete() {
    let tokens = odd_tokens();
    let stream = stream_of(&tokens);
    assert_eq!(Told::of(&stream).tokens, tokens);
    check("odd text", stream.as_bytes(), &succeeded(&tokens));
}

#[test]
fn odd_text_without_ids_cut_at_any_byte_is_complete() {
    let tokens = odd_tokens();
    let stream: String = stream_of(&tokens)
        .lines()
        .filter(|line| !line.starts_with("id:"))
        .flat_map(|line| [line, "\n"])
        .collect();
    check("without ids", stream.as_bytes(), &succeeded(&tokens));
}

#[test]
fn fifty_equal_tokens_cut_between_events_are_complete() {
    let tokens = ["a"; 50];
    let stream = stream_of(&tokens);
    let places: Vec<_> = stream.match_indices("\n\n").map(|(at, _)| at + 2).collect();
    check_places("equal", stream.as_bytes(), &succeeded(&tokens), places);
}

#[test]
fn a_stream_cut_several_times_is_complete() {
    let tokens: Vec<_> = [odd_tokens(), odd_tokens()].concat();
    let stream = stream_of(&tokens);
    let whole = Told::of(&stream);
    for replays in [false, true] {
        for breaks in [false, true] {
            let whole = whole.clone();
            let told = succeeded(&tokens);
            let service = Service::new(move |asked, before| match asked.what {
                What::Create => starting(),
                What::Stream => {
                    let last = asked.last_event_id().filter(|_| !replays);
                    let rest = whole.after(last);
                    // Each connection gets a little further than the one before.
                    let place = match asked.nth {
                        3.. => rest.len(),
                        nth if replays => rest.floor_char_boundary(400 * (nth + 1)),
                        _ => rest.floor_char_boundary(400),
                    };
                    let mut pieces = vec![piece(&rest.as_bytes()[..place])];
                    if breaks {
                        pieces.push(broken());
                    }
                    Answer::sse(pieces)
                }
                What::Prediction => {
                    let streams = before.iter().filter(|asked| asked.what == What::Stream);
                    match streams.count() {
                        4.. => document(&told),
                        _ => document(&prediction("processing", &Value::Null)),
                    }
                }
                What::Cancel | What::Other => trouble(),
            });
            let outcome = run_on(&service);
            let at = format!("replays {replays}, breaks {breaks}");
            assert_eq!(outcome.text(), tokens.concat(), "{at}");
            assert_eq!(outcome.kind(), None, "{at}");
            assert_eq!(service.counts(), (1, 4, 0), "{at}");
        }
    }
}

#[test]
fn the_partial_response_is_kept_with_the_error() {
    let stream = stream_of(&["one ", "two ", "three"]);
    let place = stream.find("three").unwrap();
    let told = prediction("processing", &json!(null));
    let service = cut(stream.as_bytes(), place, true, Again::Fail, &told);
    let outcome = run_on(&service);
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
    let error = outcome.error();
    assert_eq!(error.partial().map(ChatResponse::text), Some("one two "));
    assert!(Error::is_retryable(error));
}

#[test]
fn the_ids_of_a_stream_are_those_of_the_test_server() {
    assert!(output(0, "a").contains(&format!("id: {}\n", event_id(0))));
}
