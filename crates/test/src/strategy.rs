//! Strategies of `proptest` for event streams, and for the reads in which they arrive.
//!
//! Use them to test your own parser. In this example, the parser under test is `Decoder`:
//!
//! ```
//! use inferstream_core::sse::{Decoder, OwnedFrame};
//! use inferstream_test::strategy;
//! use proptest::prelude::*;
//!
//! // The body of a `#[test]`: frames do not depend on the reads in which they arrive.
//! proptest!(|(stream in strategy::valid_streams(), cuts in strategy::cuts())| {
//!     let mut parser = Decoder::default();
//!     let mut frames = Vec::new();
//!     for read in cuts.split(&stream.bytes) {
//!         parser.push(read);
//!         while let Some(frame) = parser.next_frame()? {
//!             frames.push(OwnedFrame::from(frame));
//!         }
//!     }
//!     prop_assert_eq!(frames, stream.frames);
//! });
//! ```

use bytes::Bytes;
use proptest::{
    collection::vec,
    option,
    prelude::{Strategy, any, prop_oneof},
    sample::{Index, select},
};

use inferstream_core::{
    Text,
    sse::{Frame, OwnedFrame},
};

/// Places at which a stream is cut into reads.
///
/// They are relative, so that they apply to a stream of any length.
#[derive(Clone, Debug)]
pub struct Cuts {
    places: Vec<Index>,
}

impl Cuts {
    /// Splits bytes into reads, some of which may be empty. Joined, they are the same bytes.
    pub fn split(&self, bytes: &[u8]) -> Vec<Bytes> {
        let mut places: Vec<_> = self
            .places
            .iter()
            .map(|place| place.index(bytes.len() + 1))
            .collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let read = |ends: &[usize]| match ends {
            [start, end] => Bytes::copy_from_slice(&bytes[*start..*end]),
            _ => Bytes::new(),
        };
        places.windows(2).map(read).collect()
    }
}

/// An event stream, and its frames according to the standard.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ValidStream {
    /// The bytes of the stream.
    pub bytes: Vec<u8>,
    /// The frames. If the stream ends inside a frame, that frame is not among them.
    pub frames: Vec<OwnedFrame>,
}

/// Creates up to 11 places at which a stream is cut into reads.
pub fn cuts() -> impl Strategy<Value = Cuts> {
    vec(any::<Index>(), 0..12).prop_map(|places| Cuts { places })
}

/// Creates bytes that are mostly the syntax of event streams: fields, line ends of all kinds, marks,
/// invalid UTF-8, long numbers. Most streams are malformed somewhere.
///
/// There are no frames to compare with. Compare two parsers, or one parser with itself for different
/// reads: the standard defines a result for every input.
pub fn streams() -> impl Strategy<Value = Vec<u8>> {
    let syntax = select(vec![
        &b"data"[..],
        b"data:",
        b"data: ",
        b"event: ",
        b"id: ",
        b"id",
        b"retry: ",
        b"retry:",
        b":",
        b" ",
        b"Data: ",
        b"foo: ",
        b"[DONE]",
    ]);
    let line_end = select(vec![
        &b"\n"[..],
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\n\r\n",
        b"\r\r",
    ]);
    let odd = select(vec![
        &b"\xEF\xBB\xBF"[..],
        b"\xEF",
        b"\xBB",
        b"\xBF",
        b"\0",
        b"\xFF",
        b"\xF0\x9F",
        b"\x98\x80",
        b"\xE2\x80\xA8",
        b"\xC2\x85",
        b"\x0B",
        b"\x0C",
        b"\xC0\xAF",
        b"\xED\xA0\x80",
    ]);
    let part = prop_oneof![
        6 => syntax.prop_map(<[u8]>::to_vec),
        8 => line_end.prop_map(<[u8]>::to_vec),
        3 => odd.prop_map(<[u8]>::to_vec),
        2 => "[0-9]{1,22}".prop_map(String::into_bytes),
        2 => "[a-zé漢😀 :]{0,6}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(part, 0..40).prop_map(|parts| parts.concat())
}

/// Creates well-formed event streams with the frames that they contain.
///
/// They vary in everything that the standard allows: line ends, optional spaces, a byte-order mark,
/// comments, unknown fields, several data fields, frames without a new id, and an end inside a frame.
pub fn valid_streams() -> impl Strategy<Value = ValidStream> {
    let blocks = vec((vec(line(), 0..6), vec(end(), 1..3)), 0..8);
    let rest = option::weighted(0.3, line());
    (any::<bool>(), blocks, rest).prop_map(|(has_mark, blocks, rest)| {
        let mut writer = Writer::new(has_mark);
        for (lines, blank) in blocks {
            writer.block(&lines, &blank);
        }
        if let Some(line) = rest {
            writer.line(&line);
        }
        ValidStream {
            bytes: writer.bytes,
            frames: writer.frames,
        }
    })
}

/// A line with its meaning, and how it is written.
#[derive(Clone, Debug)]
struct Line {
    field: Field,
    value: String,
    style: Style,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Comment,
    Data,
    Event,
    Id,
    Retry,
    Unknown(&'static str),
}

/// How the colon is written.
#[derive(Clone, Copy, Debug)]
enum Style {
    /// Without a colon, if the value is empty.
    Bare,
    Colon,
    ColonAndSpace,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Cr,
    CrLf,
    Lf,
}

fn end() -> impl Strategy<Value = End> {
    select(vec![End::Lf, End::CrLf, End::Cr])
}

fn line() -> impl Strategy<Value = Line> {
    // No line ends, and no NUL, with which an id is ignored.
    let text = || "[a-zé漢😀 :{}\"\u{2028}\u{85}\u{FEFF}]{0,10}";
    let line = prop_oneof![
        8 => ("[a-zé漢😀 :{}\"\u{2028}\u{85}\u{FEFF}\0]{0,10}").prop_map(|value| (Field::Data, value)),
        2 => text().prop_map(|value| (Field::Event, value)),
        2 => text().prop_map(|value| (Field::Id, value)),
        1 => "[0-9]{1,6}".prop_map(|value| (Field::Retry, value)),
        2 => text().prop_map(|value| (Field::Comment, value)),
        1 => (select(vec!["foo", "Data", "datum", " data"]), text())
            .prop_map(|(name, value)| (Field::Unknown(name), value)),
    ];
    let style = select(vec![Style::ColonAndSpace, Style::Colon, Style::Bare]);
    (line, style, end()).prop_map(|((field, value), style, end)| Line {
        field,
        value,
        style,
        end,
    })
}

/// Writes a stream, and records its frames.
struct Writer {
    bytes: Vec<u8>,
    frames: Vec<OwnedFrame>,
    /// The last event id.
    id: String,
}

impl Writer {
    fn new(has_mark: bool) -> Self {
        Self {
            bytes: if has_mark {
                "\u{FEFF}".into()
            } else {
                Vec::new()
            },
            frames: Vec::new(),
            id: String::new(),
        }
    }

    /// Writes the lines of a frame, and the blank lines behind it.
    fn block(&mut self, lines: &[Line], blank: &[End]) {
        let mut event = "";
        let mut data = Vec::new();
        for line in lines {
            self.line(line);
            match line.field {
                Field::Data => data.push(line.value.as_str()),
                Field::Event => event = &line.value,
                Field::Id => self.id.clone_from(&line.value),
                Field::Comment | Field::Retry | Field::Unknown(_) => {}
            }
        }
        for end in blank {
            self.end(*end);
        }
        if !data.is_empty() {
            let mut frame = OwnedFrame::from(Frame::new("", &Bytes::new()));
            if !event.is_empty() {
                event.clone_into(&mut frame.event);
            }
            frame.id.clone_from(&self.id);
            frame.data = Text::from(data.join("\n"));
            self.frames.push(frame);
        }
    }

    fn line(&mut self, line: &Line) {
        let name = match line.field {
            Field::Comment => "",
            Field::Data => "data",
            Field::Event => "event",
            Field::Id => "id",
            Field::Retry => "retry",
            Field::Unknown(name) => name,
        };
        let colon = match line.style {
            Style::Bare if line.value.is_empty() && !name.is_empty() => "",
            // One space is removed, so a value that begins with one needs another.
            Style::Colon if !line.value.starts_with(' ') => ":",
            Style::Bare | Style::Colon | Style::ColonAndSpace => ": ",
        };
        for part in [name, colon, &line.value] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
        self.end(line.end);
    }

    fn end(&mut self, end: End) {
        let end = match end {
            // After a CR, an LF would be the rest of the same line end.
            End::Lf if self.bytes.ends_with(b"\r") => "\r\n",
            End::Lf => "\n",
            End::Cr => "\r",
            End::CrLf => "\r\n",
        };
        self.bytes.extend_from_slice(end.as_bytes());
    }
}
