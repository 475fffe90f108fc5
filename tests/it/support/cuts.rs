//! Streams truncated at every byte: their events and their endings.

use inferstream_core::ErrorKind;

use super::{Outcome, Piece, broken, piece};

/// The contents of the start of a stream, determined without the code under test.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beginning {
    /// The number of complete frames.
    pub(crate) frames: usize,
    pub(crate) came: Came,
    /// Text arrived after a finish reason.
    pub(crate) goes_on: bool,
    /// The content of the incomplete event after the last complete frame.
    pub(crate) rest: Rest,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Rest {
    /// Nothing but comments and blank lines.
    #[default]
    Nothing,
    Beginning,
    /// Some of its text.
    Text,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Came {
    /// Nothing that ends the response.
    #[default]
    Part,
    /// A finish reason, which is enough for a clean end.
    Reason,
    /// The end marker without the blank line after it, which is enough for a clean end.
    MarkerCut,
    /// The end marker as an unterminated line, which a clean end terminates.
    MarkerLineCut,
    /// The end as the protocol announces it: the marker, or its equivalent.
    Marker,
    /// The service's error.
    Error,
    /// The service's error as an unterminated line, which a clean end terminates.
    ErrorLineCut,
}

/// A provider's streams, for tests that truncate them.
pub(crate) trait Streams {
    fn run(&self, pieces: Vec<Piece>) -> Outcome;

    fn judge(&self, bytes: &[u8]) -> Beginning;

    /// Returns the events that are delivered before the end is known.
    fn content(&self, outcome: &Outcome) -> Vec<String> {
        outcome.content()
    }

    /// Checks further properties of a truncated stream with a clean end.
    fn check(&self, _bytes: &[u8], _clean: &Outcome) {}
}

/// Evaluates the start of an event stream whose JSON has no spaces, frame by frame.
pub(crate) fn judge_events(bytes: &[u8], frame_says: impl Fn(&str) -> Came) -> Beginning {
    let text = String::from_utf8_lossy(bytes);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = text.trim_start_matches('\u{feff}');
    let mut beginning = Beginning::default();
    let mut frame = String::new();
    for line in text.split_inclusive('\n') {
        if line != "\n" {
            frame.push_str(line);
            continue;
        }
        beginning.frames += 1;
        beginning.goes_on |= beginning.came == Came::Reason && has_text(&frame);
        let said = if is_marker(&frame) {
            Came::Marker
        } else {
            frame_says(&frame)
        };
        match said {
            Came::Part => {}
            Came::Reason => beginning.came = Came::Reason,
            end => {
                beginning.came = end;
                return beginning;
            }
        }
        frame.clear();
    }
    if is_marker(&frame) {
        beginning.came = Came::MarkerCut;
    }
    beginning.rest = if has_text(&frame) {
        Rest::Text
    } else if frame.lines().any(|line| !line.starts_with(':')) {
        Rest::Beginning
    } else {
        Rest::Nothing
    };
    beginning
}

/// Like `judge_events`, for a protocol that recognizes an error without a blank line after it.
pub(crate) fn judge_events_and_error(bytes: &[u8], frame_says: impl Fn(&str) -> Came) -> Beginning {
    let mut beginning = judge_events(bytes, frame_says);
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\r', '\n']);
    let line = text.rsplit(['\r', '\n']).next().unwrap_or_default();
    let json = |name| {
        let json = line.strip_prefix(name)?;
        serde_json::from_str::<serde_json::Value>(json).ok()
    };
    let is_envelope =
        |json: serde_json::Value| json.get("error").is_some() || json.get("errors").is_some();
    let is_error = json("data:").is_some_and(is_envelope) || json("error:").is_some();
    if is_error && matches!(beginning.came, Came::Part | Came::Reason) {
        beginning.came = Came::ErrorLineCut;
    }
    beginning
}

/// Returns true if an event, or its start, contains text that is not a copy of earlier text.
fn has_text(frame: &str) -> bool {
    if frame.contains("\"message\":{") {
        return false;
    }
    ["content", "response", "reasoning", "text", "delta"]
        .iter()
        .filter_map(|name| frame.split_once(&format!("\"{name}\":\"")))
        .any(|(_, rest)| !rest.is_empty() && !rest.starts_with(['"', '\\']))
}

fn is_marker(frame: &str) -> bool {
    let data = frame.lines().last().unwrap_or_default();
    let data = data.strip_prefix("data:").unwrap_or(data).trim_start();
    data.starts_with("[DONE]") || data.starts_with("\"[DONE]\"")
}

/// Checks a stream truncated at every byte, with a clean end there and with a broken connection.
///
/// Exactly the content of complete frames must be delivered. A clean end is a success after a finish
/// reason or the end marker, and `Truncated` otherwise; inside an event after the finish reason, it
/// is `Truncated` or a success with a warning. A broken connection is a success only if the protocol
/// had announced the end, and `Truncated` otherwise.
#[track_caller]
pub(crate) fn check_cuts(name: &str, streams: &impl Streams, bytes: &[u8]) {
    let whole = streams.run(vec![piece(bytes)]);
    let whole_lines = streams.content(&whole);
    let mut before = (0, Vec::new());
    for place in 0..=bytes.len() {
        let beginning = streams.judge(&bytes[..place]);
        let Beginning { frames, came, .. } = beginning;
        let at = format!("{name} cut at {place}: {beginning:?}");
        let is_cut = came == Came::Reason && beginning.rest != Rest::Nothing;
        let holds_more = is_cut && (beginning.goes_on || beginning.rest == Rest::Text);
        let clean = streams.run(vec![piece(&bytes[..place])]);
        let kind = match came {
            Came::Error | Came::ErrorLineCut => whole.kind(),
            Came::Part => Some(ErrorKind::Truncated),
            _ if holds_more => Some(ErrorKind::Truncated),
            _ => None,
        };
        assert_eq!(clean.kind(), kind, "{at}, clean");
        let warnings = &clean.meta().warnings;
        let is_reported = warnings
            .iter()
            .any(|warning| warning.contains("cut off inside an event"));
        assert_eq!(is_reported, is_cut && !holds_more, "{at}: {warnings:?}");
        streams.check(&bytes[..place], &clean);

        let lost = streams.run(vec![piece(&bytes[..place]), broken()]);
        let kind = match came {
            Came::Error => whole.kind(),
            Came::Marker => None,
            _ => Some(ErrorKind::Truncated),
        };
        assert_eq!(lost.kind(), kind, "{at}, broken");

        let lines = streams.content(&lost);
        assert_eq!(lines, whole_lines[..lines.len()], "{at}");
        if frames == before.0 {
            assert_eq!(lines, before.1, "{at}: a frame that is not whole");
        }
        if matches!(came, Came::Marker | Came::Error) {
            assert_eq!(lines, whole_lines, "{at}: all had come");
        }
        if !matches!(came, Came::MarkerLineCut | Came::ErrorLineCut) {
            assert_eq!(streams.content(&clean), lines, "{at}: clean and broken");
        }
        assert!(clean.text().starts_with(&lost.text()), "{at}");
        assert!(whole.text().starts_with(&clean.text()), "{at}");
        before = (frames, lines);
    }
}
