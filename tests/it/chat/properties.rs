//! Properties of generated text split at any byte, and of arbitrary bytes.

use std::fmt::Write;

use inferstream_core::{ChatEvent, ChatRequest, ErrorKind};
use proptest::{collection::vec, prelude::*};

use super::{Answer, Client, Outcome, fixtures, piece, run, run_request};
use crate::support::{
    Piece,
    strategies::{self, escapes, pieces},
};

/// Text with everything that is difficult for a decoder.
fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z ]{0,8}",
        "[\\\\\"{}\\[\\]:,u/nd8e0]{0,12}",
        "[\u{0}-\u{1f}\u{7f}-\u{9f}\u{2028}\u{2029}\u{feff}]{0,6}",
        "[😀-😿👨👩‍]{0,4}",
        Just("data: [DONE]\n\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("</think>".to_owned()),
    ]
}

/// How a service encodes a string.
#[derive(Clone, Copy, Debug)]
enum Style {
    Plain,
    /// Escapes everything except ASCII, as Python's `json.dumps` does.
    Ascii,
    /// Escapes every character.
    Escape,
}

fn quote(text: &str, style: Style) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        let plain = match style {
            Style::Plain => !char.is_ascii_control(),
            Style::Ascii => char.is_ascii_graphic() || char == ' ',
            Style::Escape => false,
        };
        if plain && !matches!(char, '"' | '\\') {
            quoted.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            write!(quoted, "\\u{unit:04x}").unwrap();
        }
    }
    quoted + "\""
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![Just(Style::Plain), Just(Style::Ascii), Just(Style::Escape)]
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]
}

/// Mutations: a position, and what is inserted there.
fn mutations() -> impl Strategy<Value = Vec<(usize, Mutation)>> {
    vec((any::<usize>(), mutation()), 1..6)
}

#[derive(Clone, Debug)]
enum Mutation {
    Byte(u8),
    Delete(usize),
    Repeat(usize),
    Insert(&'static str),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any::<u8>().prop_map(Mutation::Byte),
        (1..200_usize).prop_map(Mutation::Delete),
        (1..200_usize).prop_map(Mutation::Repeat),
        prop::sample::select(vec![
            "\n\n",
            "\r",
            "{",
            "}",
            "[",
            "]",
            "\"",
            "\\",
            "null",
            "-1",
            "1e999",
            "\\ud83d",
            "\\ude00",
            "data: ",
            "data: [DONE]\n\n",
            "event: error\n",
            ":",
            ",",
            "<",
            "\u{feff}",
            "true",
            "[[[[",
            "\"error\":{\"message\":\"m\"},",
            "\"finish_reason\":\"stop\",",
            "\"choices\":[],",
        ])
        .prop_map(Mutation::Insert),
    ]
}

fn mutate(mut bytes: Vec<u8>, mutations: &[(usize, Mutation)]) -> Vec<u8> {
    for (place, mutation) in mutations {
        let place = place % (bytes.len() + 1);
        let end = |length: &usize| (place + length).min(bytes.len());
        match mutation {
            Mutation::Byte(byte) => {
                if let Some(at) = bytes.get_mut(place) {
                    *at = *byte;
                }
            }
            Mutation::Delete(length) => drop(bytes.drain(place..end(length))),
            Mutation::Repeat(length) => {
                let part = bytes[place..end(length)].to_vec();
                bytes.splice(place..place, part);
            }
            Mutation::Insert(text) => drop(bytes.splice(place..place, text.bytes())),
        }
    }
    bytes
}

fn seen(outcome: &Outcome) -> (Vec<String>, Option<&'static str>) {
    let kind = outcome.kind().map(ErrorKind::as_str);
    (outcome.lines(), kind)
}

proptest! {
    #[test]
    fn text_is_the_same_however_it_is_split(
        tokens in vec((token(), style(), any::<bool>()), 0..8),
        line_end in line_end(),
        cuts in vec(any::<usize>(), 0..12),
        done in any::<bool>(),
    ) {
        let mut stream = String::new();
        let (mut text, mut thoughts) = (String::new(), String::new());
        let mut frame = |json: &str| {
            write!(stream, "data: {json}{line_end}{line_end}").unwrap();
        };
        for (token, style, is_text) in &tokens {
            let name = if *is_text { "content" } else { "reasoning" };
            let quoted = quote(token, *style);
            frame(&format!(r#"{{"choices":[{{"index":0,"delta":{{"{name}":{quoted}}}}}]}}"#));
            if *is_text { &mut text } else { &mut thoughts }.push_str(token);
        }
        frame(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#);
        if done {
            frame("[DONE]");
        }
        let outcome = run(Client::Plain, Answer::sse(pieces(stream.as_bytes(), &cuts)));
        prop_assert_eq!(outcome.kind(), None);
        prop_assert_eq!(outcome.response().text(), text);
        prop_assert_eq!(outcome.response().reasoning(), thoughts);
        let given = outcome.events.iter().filter(|event| {
            matches!(event, ChatEvent::Text { .. } | ChatEvent::Reasoning { .. })
        });
        let sent = tokens.iter().filter(|(token, ..)| !token.is_empty());
        // A part that may repeat the text before it is held back, and joined with the next one.
        prop_assert!(given.count() <= sent.count());
    }

    #[test]
    fn text_cut_in_the_middle_of_characters_is_the_same(
        text in token(),
        cuts in vec(any::<usize>(), 0..6),
    ) {
        // A service that splits tokens in UTF-16 sends halves of surrogate pairs, each as an
        // escape.
        let mut stream = String::new();
        for part in escapes(&text, &cuts) {
            let frame = r#"data: {"choices":[{"index":0,"delta":{"content":"@"}}]}"#;
            stream += &frame.replace('@', &part);
            stream += "\n\n";
        }
        stream.push_str("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
        let outcome = run(Client::Plain, Answer::sse([piece(stream.as_bytes())]));
        prop_assert_eq!(outcome.response().text(), text);
    }

    #[test]
    fn damaged_recordings_have_one_end_wherever_they_are_cut(
        which in any::<prop::sample::Index>(),
        mutations in mutations(),
        cuts in vec(any::<usize>(), 0..12),
        n in 1..3_u32,
    ) {
        let streams = fixtures::streams();
        let (client, bytes) = which.get(&streams);
        let bytes = mutate(bytes.clone(), &mutations);
        // `run` checks that there is one end, and that no `Finish` precedes an error.
        let request = ChatRequest::from("hi").n(n);
        let whole = run_request(*client, Answer::sse([piece(&bytes)]), request.clone());
        let found = run_request(*client, Answer::sse(pieces(&bytes, &cuts)), request);
        prop_assert_eq!(seen(&found), seen(&whole));
    }

    #[test]
    fn any_bytes_have_one_end(bytes in vec(any::<u8>(), 0..300), cuts in vec(any::<usize>(), 0..6)) {
        let whole = run(Client::Plain, Answer::sse([piece(&bytes)]));
        let found = run(Client::Plain, Answer::sse(pieces(&bytes, &cuts)));
        prop_assert_eq!(seen(&found), seen(&whole));
    }

    #[test]
    fn any_json_in_a_chunk_has_one_end(
        json in json(),
        document in any::<bool>(),
    ) {
        let stream = format!("data: {json}\n\ndata: [DONE]\n\n");
        let answer = if document {
            Answer::json(200, &json)
        } else {
            Answer::sse([Piece::from(stream.as_str())])
        };
        run(Client::Plain, answer.clone());
        run(Client::Cerebras, answer);
    }
}

/// JSON of any structure that uses the protocol's member names.
fn json() -> impl Strategy<Value = String> {
    let words = &["\"0\"", "\"[DONE]\""];
    let names = &[
        "choices",
        "index",
        "delta",
        "message",
        "content",
        "reasoning",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "error",
        "code",
        "text",
        "type",
        "status_code",
        "errors",
        "detail",
        "time_info",
        "logprobs",
        "model",
    ];
    let shapes = &[
        r#"{"choices":[{"delta":@}]}"#,
        r#"{"choices":[{"delta":{"content":"a","tool_calls":[@]}}]}"#,
    ];
    strategies::json(words, names, shapes)
}
