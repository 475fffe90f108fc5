//! Properties of generated responses split at any byte, and of arbitrary bytes.

use std::fmt::Write;

use inferstream_core::{ErrorKind, sse::Limits};
use proptest::{collection::vec, prelude::*};

use super::{
    Outcome, fixtures,
    frames::{bytewise, frames_of},
    piece, run, sse, whole,
};
use crate::support::strategies::{self, cut, escapes, pieces};

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(any::<usize>(), 0..8)
}

/// Responses with everything that is difficult for a framer.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "0",
        "d",
        "e",
        "f",
        "i",
        "9",
        "g",
        "3",
        ":",
        "0:",
        "d:",
        "e:",
        "i:",
        "data",
        "data: ",
        "event: ",
        "id: 1",
        "retry: 1",
        "\n",
        "\r\n",
        "\r",
        "\n\n",
        " ",
        "\u{feff}",
        "\"a\"",
        "\"\\ud83d\"",
        "{",
        "}",
        "[",
        "]",
        "<",
        "[DONE]",
        "null",
        "1",
        "{\"finishReason\":\"stop\"}",
        "{\"response\":\"a\"}",
        "{\"type\":\"finish\"}",
        "{\"toolCallId\":\"c\",\"toolName\":\"t\"}",
    ]);
    let bytes = prop_oneof![
        8 => token.prop_map(|token| token.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..4),
    ];
    vec(bytes, 0..24).prop_map(|list| list.concat())
}

/// What must be equal in two outcomes: not the messages of errors, and not how text is split.
fn seen(outcome: &Outcome) -> (String, String, Option<ErrorKind>) {
    (outcome.text(), outcome.reasoning(), outcome.kind())
}

/// JSON of any structure that uses the protocol's member names.
fn json() -> impl Strategy<Value = String> {
    let words = &[
        "\"error\"",
        "\"text-delta\"",
        "\"finish\"",
        "\"tool-input-delta\"",
        "\"tool-input-available\"",
        "\"start\"",
    ];
    let names = &[
        "type",
        "delta",
        "response",
        "error",
        "errors",
        "message",
        "errorText",
        "finishReason",
        "usage",
        "promptTokens",
        "isContinued",
        "messageId",
        "toolCallId",
        "toolName",
        "args",
        "argsTextDelta",
        "inputTextDelta",
        "input",
        "messageMetadata",
        "code",
        "\\ud83d",
    ];
    strategies::json(words, names, &[])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_split_of_a_response_does_not_matter(
        reply in reply(),
        cuts in cuts(),
        line in 1_usize..40,
        frame in 1_usize..40,
    ) {
        for limits in [Limits::default(), Limits::default().line(line).frame(frame).document(frame)] {
            let expected = frames_of(limits, cut(&reply, &[]));
            prop_assert_eq!(&frames_of(limits, cut(&reply, &cuts)), &expected);
            prop_assert_eq!(&frames_of(limits, bytewise(&reply)), &expected);
        }
    }

    #[test]
    fn any_response_has_one_end_wherever_it_is_cut(reply in reply(), cuts in cuts()) {
        let expected = seen(&whole(&reply));
        prop_assert_eq!(seen(&run(pieces(&reply, &cuts))), expected);
    }

    #[test]
    fn any_bytes_have_one_end(bytes in vec(any::<u8>(), 0..300), cuts in cuts()) {
        prop_assert_eq!(seen(&run(pieces(&bytes, &cuts))), seen(&whole(&bytes)));
    }

    #[test]
    fn damaged_responses_have_one_end(
        which in any::<prop::sample::Index>(),
        places in vec((any::<usize>(), any::<u8>(), 0..20_usize), 1..5),
        cuts in cuts(),
    ) {
        let mut bytes = which.get(&fixtures::all()).clone();
        for (place, byte, length) in places {
            let place = place % bytes.len();
            let end = (place + length).min(bytes.len());
            bytes.splice(place..end, [byte]);
        }
        prop_assert_eq!(seen(&run(pieces(&bytes, &cuts))), seen(&whole(&bytes)));
    }

    #[test]
    fn any_json_has_one_end(json in json(), code in "[0-9a-l]") {
        whole(format!("0:\"a\"\n{code}:{json}\n{code}:{json}\nd:{{}}\n"));
        whole(format!("0:\"a\"\n{code}:{json}"));
        whole(sse(&[&json, &json, "[DONE]"]));
        whole(format!("event: error\ndata: {json}\n\n"));
        whole(json);
    }

    #[test]
    fn any_text_is_delivered(
        tokens in vec((any::<String>(), any::<bool>()), 0..8),
        crlf in any::<bool>(),
        cuts in cuts(),
    ) {
        let mut lines = String::from("f:{\"messageId\":\"m\"}\n");
        let mut events = sse(&[r#"{"type":"start"}"#]);
        let (mut text, mut thoughts) = (String::new(), String::new());
        for (token, is_text) in &tokens {
            let json = serde_json::to_string(token).unwrap();
            let (code, kind) = if *is_text { ("0", "text") } else { ("g", "reasoning") };
            writeln!(lines, "{code}:{json}").unwrap();
            events += &sse(&[&format!(r#"{{"type":"{kind}-delta","id":"0","delta":{json}}}"#)]);
            if *is_text { &mut text } else { &mut thoughts }.push_str(token);
        }
        lines += "d:{\"finishReason\":\"stop\"}\n";
        events += &sse(&[r#"{"type":"finish"}"#, "[DONE]"]);
        for mut stream in [lines, events] {
            if crlf {
                stream = stream.replace('\n', "\r\n");
            }
            let outcome = run(pieces(stream.as_bytes(), &cuts));
            prop_assert_eq!(outcome.kind(), None);
            prop_assert_eq!(outcome.text(), text.clone());
            prop_assert_eq!(outcome.reasoning(), thoughts.clone());
        }
    }

    #[test]
    fn text_cut_in_the_middle_of_characters_is_the_same(
        text in any::<String>(),
        cuts in vec(any::<usize>(), 0..6),
    ) {
        let mut stream = String::new();
        for part in escapes(&text, &cuts) {
            writeln!(stream, "0:\"{part}\"").unwrap();
        }
        stream.push_str("d:{}\n");
        let outcome = run([piece(stream.as_bytes())]);
        prop_assert_eq!(outcome.response().text(), text);
    }
}
