//! Recorded responses: files of bytes with their expected events.

use std::{env, fs, path::PathBuf};

use super::{Outcome, Piece, piece};

pub(crate) fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fixtures", name]
        .iter()
        .collect()
}

pub(crate) fn read(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn is(name: &str, extension: &str) -> bool {
    path(name).extension().is_some_and(|end| end == extension)
}

/// Checks an outcome against the file of events next to a recorded response.
#[track_caller]
pub(crate) fn check(name: &str, outcome: &Outcome) {
    let found = outcome.transcript();
    let beside = path(name).with_extension("events");
    if env::var_os("UPDATE").is_some() {
        fs::write(&beside, &found).unwrap();
    }
    let expected = fs::read_to_string(&beside).unwrap_or_default();
    assert_eq!(found, expected, "{name}; UPDATE=1 writes what was found");
}

/// Checks that no recorded response of a folder is missing from the tests.
#[track_caller]
pub(crate) fn check_table(folder: &str, known: &[&str]) {
    for entry in fs::read_dir(path(folder)).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = format!("{folder}/{file}");
        let is_known = known.contains(&&*name) || is(&name, "events");
        assert!(is_known, "{name} is not run");
    }
}

/// The same stream with other line endings, and with a byte-order mark.
pub(crate) fn variants(bytes: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let text = str::from_utf8(bytes).unwrap();
    let with_mark = ["\u{feff}", text].concat();
    [
        ("CRLF", text.replace('\n', "\r\n").into_bytes()),
        ("CR", text.replace('\n', "\r").into_bytes()),
        ("with a mark", with_mark.into_bytes()),
    ]
}

/// Checks that a response is the same in one fragment, byte by byte and in any two fragments.
#[track_caller]
pub(crate) fn check_splits(
    name: &str,
    bytes: &[u8],
    expected: &str,
    run: impl Fn(Vec<Piece>) -> Outcome,
) {
    let found = run(vec![piece(bytes)]).transcript();
    assert_eq!(found, expected, "{name} in one");
    let found = run(bytes.chunks(1).map(piece).collect()).transcript();
    assert_eq!(found, expected, "{name} byte by byte");
    for place in 0..=bytes.len() {
        let (left, right) = bytes.split_at(place);
        let found = run(vec![piece(left), piece(right)]).transcript();
        assert_eq!(found, expected, "{name} in two at {place}");
    }
}
