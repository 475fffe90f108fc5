//! A cursor that finds the position at which a resumed stream continues.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
};

use http::HeaderValue;

/// The text delivered so far, and the position of the next fragment in it.
///
/// A resumed stream may continue after the last event, repeat events that were delivered, or start
/// again with other ids. Ids are opaque: they suggest the position of a fragment, and its text
/// confirms or refutes it. If neither decides, the cursor gives up instead of guessing, and the
/// caller requests the prediction's output.
#[derive(Debug, Default)]
pub(crate) struct ResumeCursor {
    delivered: String,
    at: At,
    /// Where the fragment of an id starts, by the id's hash; `None` for an id that occurred twice.
    starts: HashMap<u64, Option<usize>>,
    hasher: RandomState,
    last_id: String,
    /// The event that began the text had an id.
    begins_with_id: bool,
    /// Where the fragment of the last id starts and ends.
    last: (usize, usize),
}

/// The result of comparing the prediction's output with the text delivered so far.
pub(crate) enum Compared {
    Same,
    /// The output continues the text with this.
    More(String),
    /// The output is only the start of the text.
    Less,
    Other,
}

#[derive(Debug, Default)]
enum At {
    /// All further text is new.
    #[default]
    End,
    /// On a new connection, before its first fragment.
    Unknown { asked_after_id: bool },
    /// In text that was delivered before, at this byte.
    Again(usize),
}

/// The maximum number of ids that are kept. Beyond it, only the text and the last id can locate
/// repeated fragments.
const MAX_IDS: usize = 1 << 16;

/// The maximum length of an id; longer ones are ignored. The service's ids have about 12 bytes.
const MAX_ID: usize = 1 << 10;

impl ResumeCursor {
    /// Returns the text that was delivered.
    pub(crate) fn delivered(&self) -> &str {
        &self.delivered
    }

    /// Compares the prediction's output with the text delivered so far.
    pub(crate) fn compare(&self, output: &str) -> Compared {
        let delivered = &*self.delivered;
        // The line breaks of an event stream are all decoded as `\n`.
        let unified = if output.starts_with(delivered) {
            Cow::Borrowed(output)
        } else {
            Cow::Owned(output.replace("\r\n", "\n").replace('\r', "\n"))
        };
        match unified.strip_prefix(delivered) {
            Some("") => Compared::Same,
            Some(more) => Compared::More(more.to_owned()),
            None if delivered.starts_with(&*unified) => Compared::Less,
            None => Compared::Other,
        }
    }

    /// Returns true if no text is being repeated on this connection.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self.at, At::End)
    }

    /// Adds text that did not come from the stream.
    pub(crate) fn add(&mut self, text: &str) {
        self.delivered.push_str(text);
    }

    /// Starts a new connection. Returns the value of `Last-Event-ID`, if there is a last id.
    pub(crate) fn reconnect(&mut self) -> Option<HeaderValue> {
        let id = HeaderValue::from_bytes(self.last_id.as_bytes()).ok();
        let id = id.filter(|_| !self.last_id.is_empty());
        self.at = At::Unknown {
            asked_after_id: id.is_some(),
        };
        id
    }

    /// Takes a fragment and the id in effect. Returns its new part, which may be empty, or `None`
    /// if its position is unclear.
    pub(crate) fn take<'a>(&mut self, id: &str, text: &'a str) -> Option<&'a str> {
        let id = if id.len() <= MAX_ID { id } else { "" };
        if text.is_empty() {
            if matches!(self.at, At::End) {
                self.note(id, self.delivered.len(), self.delivered.len());
            }
            return Some("");
        }
        let start = match self.at {
            At::End => self.delivered.len(),
            At::Again(at) => at,
            At::Unknown { asked_after_id } => self.seek(id, text, asked_after_id)?,
        };
        // A fragment may repeat a part of the known text, continue beyond it, or contradict it.
        let known = &self.delivered[start..];
        let new = match text.strip_prefix(known) {
            Some(new) => new,
            None if known.starts_with(text) => "",
            None => return None,
        };
        self.delivered.push_str(new);
        let end = start + text.len();
        self.at = if end < self.delivered.len() {
            At::Again(end)
        } else {
            At::End
        };
        self.note(id, start, end);
        Some(new)
    }

    /// Returns the position at which the first fragment of a new connection starts.
    fn seek(&mut self, id: &str, text: &str, asked_after_id: bool) -> Option<usize> {
        let delivered = &self.delivered;
        if delivered.is_empty() {
            return Some(0);
        }
        // A known id locates the fragment, unless it occurred twice. Text alone could match at a wrong
        // position, because texts repeat themselves.
        if !id.is_empty() {
            match self.starts.get(&self.hasher.hash_one(id)) {
                Some(start) => return *start,
                None if id == self.last_id => return Some(self.last.0),
                None => {}
            }
        }
        let matches = |known: &str| known.starts_with(text) || text.starts_with(known);
        let is_beginning = matches(delivered);
        if !asked_after_id {
            return is_beginning.then_some(0);
        }
        // We asked for what follows the last id, and fragments without ids may have followed its
        // event. A fragment that matches there continues the stream. One that matches the start of
        // the text may mean that the service ignored `Last-Event-ID` and started again. If both are
        // possible, guessing could repeat or lose text, unless the ids decide: only a fragment
        // without one can be the next of those that followed, and the start is not one of them if
        // it had an id.
        let rest = &delivered[self.last.1..];
        let is_start_excluded = !rest.is_empty() && id.is_empty() && self.begins_with_id;
        match (matches(rest), is_beginning && !is_start_excluded) {
            (true, true) => None,
            (true, false) => Some(self.last.1),
            (false, is_beginning) => is_beginning.then_some(0),
        }
    }

    /// Records the position of an id's fragment.
    fn note(&mut self, id: &str, start: usize, end: usize) {
        // An event without an id inherits the id of the event before it.
        if id.is_empty() || id == self.last_id {
            return;
        }
        self.begins_with_id |= start == 0;
        let is_full = self.starts.len() == MAX_IDS;
        match self.starts.entry(self.hasher.hash_one(id)) {
            Entry::Occupied(mut known) if *known.get() != Some(start) => {
                known.insert(None);
            }
            Entry::Vacant(free) if !is_full => {
                free.insert(Some(start));
            }
            _ => {}
        }
        id.clone_into(&mut self.last_id);
        self.last = (start, end);
    }
}

#[cfg(test)]
mod tests {
    use super::{Compared, ResumeCursor};

    /// Takes fragments of `id text`, where `id` may be `-`; returns the new text.
    fn take(cursor: &mut ResumeCursor, pieces: &[(&str, &str)]) -> Option<String> {
        pieces
            .iter()
            .map(|(id, text)| cursor.take(id, text))
            .collect()
    }

    /// Checks the new text on a second connection after `a1 b2 c3`.
    #[track_caller]
    fn check(pieces: &[(&str, &str)], expected: Option<&str>) {
        let mut cursor = ResumeCursor::default();
        let first = [("1", "The "), ("2", "cat "), ("3", "sat")];
        assert_eq!(take(&mut cursor, &first).as_deref(), Some("The cat sat"));
        assert_eq!(cursor.reconnect().unwrap(), "3");
        assert_eq!(take(&mut cursor, pieces).as_deref(), expected);
    }

    #[test]
    fn continued_text_is_new() {
        check(&[("4", " on"), ("5", " it")], Some(" on it"));
    }

    #[test]
    fn repeated_text_is_not_new() {
        check(&[("3", "sat"), ("4", " on")], Some(" on"));
        check(
            &[("1", "The "), ("2", "cat "), ("3", "sat"), ("4", " on")],
            Some(" on"),
        );
        check(&[("1", "The cat "), ("3", "sat on")], Some(" on"));
    }

    #[test]
    fn a_known_id_with_other_text_is_unclear() {
        check(&[("1", "A ")], None);
        check(&[("2", "cat "), ("3", "lay")], None);
    }

    #[test]
    fn the_start_with_new_ids_is_unclear() {
        check(&[("9", "The ")], None);
        check(&[("9", "The cat sat on")], None);
    }

    #[test]
    fn fragments_without_ids_may_follow_the_last_id() {
        let mut cursor = ResumeCursor::default();
        take(&mut cursor, &[("1", "x"), ("1", "x"), ("1", "x")]).unwrap();
        cursor.reconnect();
        // The events after the one with id 1 are repeated, without ids of their own.
        let again = [("", "x"), ("", "x"), ("2", "x"), ("2", "y")];
        assert_eq!(take(&mut cursor, &again).as_deref(), Some("xy"));
    }

    #[test]
    fn the_start_and_the_events_after_the_last_id_may_be_equal() {
        let first = |ids: [&str; 3]| {
            let mut cursor = ResumeCursor::default();
            let pieces = ids.map(|id| (id, "x"));
            take(&mut cursor, &pieces).unwrap();
            cursor.reconnect();
            cursor
        };
        // The service may have started again with other ids, or without any.
        assert_eq!(first(["1", "", ""]).take("9", "x"), None);
        assert_eq!(first(["", "1", ""]).take("", "x"), None);
        assert_eq!(first(["", "1", ""]).take("9", "x"), None);
        // A start would have an id.
        assert_eq!(first(["1", "", ""]).take("", "x"), Some(""));
        assert_eq!(first(["1", "2", ""]).take("", "x"), Some(""));
    }

    #[test]
    fn the_last_id_is_known_beyond_the_limit() {
        let mut cursor = ResumeCursor::default();
        for id in 0..=super::MAX_IDS {
            cursor.take(&id.to_string(), "x").unwrap();
        }
        let last = super::MAX_IDS.to_string();
        assert_eq!(cursor.reconnect().unwrap(), *last);
        assert_eq!(cursor.take(&last, "x"), Some(""));
    }

    #[test]
    fn an_id_beyond_the_limit_is_not_kept() {
        let mut cursor = ResumeCursor::default();
        for id in 0..super::MAX_IDS + 2 {
            cursor.take(&id.to_string(), "x").unwrap();
        }
        assert_eq!(cursor.starts.len(), super::MAX_IDS);
        cursor.reconnect();
        assert_eq!(cursor.take(&super::MAX_IDS.to_string(), "x"), None);
        cursor.reconnect();
        let kept = (super::MAX_IDS - 1).to_string();
        assert_eq!(cursor.take(&kept, "x"), Some(""));
    }

    #[test]
    fn a_fragment_without_text_has_an_id() {
        let mut cursor = ResumeCursor::default();
        take(&mut cursor, &[("1", "a"), ("2", ""), ("3", "b"), ("4", "")]).unwrap();
        assert_eq!(cursor.reconnect().unwrap(), "4");
        // It starts where the fragment after it starts.
        let again = [("2", ""), ("2", "b"), ("4", ""), ("5", "c")];
        assert_eq!(take(&mut cursor, &again).as_deref(), Some("c"));
        assert_eq!(cursor.reconnect().unwrap(), "5");
        // Before the position on this connection is known, it is not recorded.
        assert_eq!(cursor.take("9", ""), Some(""));
        assert_eq!(cursor.reconnect().unwrap(), "5");
    }

    #[test]
    fn without_ids_the_text_decides() {
        let mut cursor = ResumeCursor::default();
        take(&mut cursor, &[("", "The cat "), ("", "sat")]).unwrap();
        assert!(cursor.reconnect().is_none());
        let again = [("", "The "), ("", "cat sat on")];
        assert_eq!(take(&mut cursor, &again).as_deref(), Some(" on"));
        cursor.reconnect();
        assert_eq!(take(&mut cursor, &[("", " it")]), None);
        // If there were ids, a fragment without one may be the rest or the start.
        check(&[("", "The cat ")], None);
        check(&[("", " on")], Some(" on"));
    }

    #[test]
    fn repeated_ids_are_not_used() {
        let mut cursor = ResumeCursor::default();
        take(&mut cursor, &[("1", "a"), ("2", "b"), ("1", "c")]).unwrap();
        cursor.reconnect();
        assert_eq!(take(&mut cursor, &[("1", "d")]), None);
        // Neither its first position nor its last one is the right one.
        for text in ["a", "c"] {
            cursor.reconnect();
            assert_eq!(cursor.take("1", text), None, "{text}");
        }
    }

    #[test]
    fn events_without_ids_follow_the_last_id() {
        let mut cursor = ResumeCursor::default();
        take(&mut cursor, &[("1", "a"), ("1", "b"), ("1", "c")]).unwrap();
        cursor.reconnect();
        let again = [("1", "a"), ("1", "b"), ("1", "c"), ("1", "d")];
        assert_eq!(take(&mut cursor, &again).as_deref(), Some("d"));
        cursor.reconnect();
        // The text after the event of the id, which is not the end of the text.
        assert_eq!(
            take(&mut cursor, &[("2", "bcd"), ("3", "e")]).as_deref(),
            Some("e")
        );
    }

    #[test]
    fn the_output_is_compared_regardless_of_its_line_breaks() {
        let mut cursor = ResumeCursor::default();
        take(&mut cursor, &[("1", "a\n"), ("2", "b")]).unwrap();
        assert_eq!(cursor.delivered(), "a\nb");
        for same in ["a\nb", "a\r\nb", "a\rb"] {
            assert!(matches!(cursor.compare(same), Compared::Same), "{same:?}");
        }
        for less in ["", "a", "a\n", "a\r\n"] {
            assert!(matches!(cursor.compare(less), Compared::Less), "{less:?}");
        }
        for other in ["b", "a b", "a\nc", "a\n\nb"] {
            assert!(
                matches!(cursor.compare(other), Compared::Other),
                "{other:?}"
            );
        }
        let more = |output| match cursor.compare(output) {
            Compared::More(more) => more,
            _ => panic!("{output:?}"),
        };
        assert_eq!(more("a\nb\r\n"), "\r\n");
        assert_eq!(more("a\r\nb\r\n"), "\n");
    }

    #[test]
    fn an_id_that_no_header_can_hold_is_ignored() {
        let mut cursor = ResumeCursor::default();
        take(&mut cursor, &[("\u{7f}", "a")]).unwrap();
        assert!(cursor.reconnect().is_none());
        let mut cursor = ResumeCursor::default();
        take(&mut cursor, &[(&"1".repeat(2000), "a")]).unwrap();
        assert!(cursor.reconnect().is_none());
    }
}
