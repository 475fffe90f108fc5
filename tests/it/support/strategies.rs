//! Strategies for property tests: splits, surrogate halves, arbitrary JSON.

use std::fmt::Write;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::select};

use super::Piece;

/// Splits bytes at the given positions, each modulo their length.
pub(crate) fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Bytes> {
    let pairs = pairs(bytes.len(), cuts);
    let part = |[start, end]: [usize; 2]| Bytes::copy_from_slice(&bytes[start..end]);
    pairs.into_iter().map(part).collect()
}

pub(crate) fn pieces(bytes: &[u8], cuts: &[usize]) -> Vec<Piece> {
    cut(bytes, cuts).into_iter().map(Piece::Bytes).collect()
}

/// Splits a text in UTF-16, which creates surrogate halves, and writes each part as escapes.
pub(crate) fn escapes(text: &str, cuts: &[usize]) -> Vec<String> {
    let units: Vec<_> = text.encode_utf16().collect();
    let escaped = |[start, end]: [usize; 2]| {
        let mut part = String::new();
        for unit in &units[start..end] {
            write!(part, "\\u{unit:04X}").unwrap();
        }
        part
    };
    let pairs = pairs(units.len(), cuts);
    pairs.into_iter().map(escaped).collect()
}

fn pairs(len: usize, cuts: &[usize]) -> Vec<[usize; 2]> {
    let mut places: Vec<_> = cuts.iter().map(|place| place % (len + 1)).collect();
    places.extend([0, len]);
    places.sort_unstable();
    let pairs = places.windows(2);
    pairs.map(|pair| [pair[0], pair[1]]).collect()
}

/// Values that are difficult for protocols.
const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1e9",
    "1e400",
    "0.5",
    "\"\"",
    "\"a\"",
    "\"stop\"",
    "\"\\ud83d\"",
    "\"{}\"",
    "[]",
    "{}",
];

/// JSON of any structure that uses a protocol's names and its formats, in which `@` is replaced by
/// arbitrary JSON.
pub(crate) fn json(
    words: &[&'static str],
    names: &[&'static str],
    shapes: &[&'static str],
) -> impl Strategy<Value = String> + use<> {
    let name = select(names.to_vec());
    let shape = select([shapes, &["[@]"]].concat());
    let shapes = u32::try_from(shapes.len()).unwrap();
    let scalar = select([SCALARS, words].concat()).prop_map(str::to_owned);
    scalar.prop_recursive(8, 64, 5, move |inner| {
        let members = vec((name.clone(), inner.clone()), 0..5).prop_map(|members| {
            let members = members.iter();
            let members = members.map(|(name, value)| format!("\"{name}\":{value}"));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        });
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(","))),
            1 => members,
            1 + shapes => (shape.clone(), inner)
                .prop_map(|(shape, inner)| shape.replace('@', &inner)),
        ]
    })
}
