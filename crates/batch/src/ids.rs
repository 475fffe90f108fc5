//! The ids of an output, as hashes: 24 bytes each.

/// A set of rows by the hash of their id, each with a part of the hash of its request.
///
/// The entries are sorted, and a table leads from the first bits of an id to its entries.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    entries: Vec<Entry>,
    /// The index of the first entry of each bucket, and the number of entries at the end.
    starts: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Entry {
    // Two numbers, because 16 bytes in one would be aligned to 16.
    id: (u64, u64),
    /// The last 32 bits of the hash of the request.
    request: u32,
    /// The line in the input, from 1; 0 if it was not found there yet.
    line: u32,
}

/// The bits of an id that select its bucket.
const BITS: u32 = 16;

impl Ids {
    /// Adds a row. It is found after [`sort`](Self::sort).
    pub(crate) fn push(&mut self, id: u128, request: u128) {
        self.entries.push(Entry {
            id: halves(id),
            request: low(request),
            line: 0,
        });
    }

    /// Prepares the set for look-ups.
    pub(crate) fn sort(&mut self) {
        self.entries.sort_unstable();
        self.starts.clear();
        for (index, entry) in self.entries.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            self.starts.resize(bucket(entry.id) + 1, index);
        }
        let count = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.starts.resize((1 << BITS) + 1, count);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if the set has the id, with any request.
    pub(crate) fn contains(&self, id: u128) -> bool {
        self.position(id).is_some()
    }

    /// Looks a row of the input up.
    pub(crate) fn find(&mut self, id: u128, request: u128, line: u64) -> Found {
        let Some(position) = self.position(id) else {
            return Found::No;
        };
        let entry = &mut self.entries[position];
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        match std::mem::replace(&mut entry.line, line) {
            0 if entry.request == low(request) => Found::Same,
            0 => Found::Changed,
            earlier => Found::Twice(earlier.into()),
        }
    }

    /// Returns the lines of two entries with one id.
    pub(crate) fn double(&self) -> Option<(u64, u64)> {
        let pairs = self.entries.windows(2);
        let mut same = pairs.filter(|pair| pair[0].id == pair[1].id);
        same.next().map(|pair| {
            let lines = [pair[0].line, pair[1].line].map(u64::from);
            (lines[0].min(lines[1]), lines[0].max(lines[1]))
        })
    }

    /// Adds a row of the input that is new.
    pub(crate) fn push_line(&mut self, id: u128, line: u64) {
        self.entries.push(Entry {
            id: halves(id),
            request: 0,
            line: u32::try_from(line).unwrap_or(u32::MAX),
        });
    }

    fn position(&self, id: u128) -> Option<usize> {
        let id = halves(id);
        let bucket = bucket(id);
        let bound = |at: usize| Some(usize::try_from(*self.starts.get(at)?).unwrap_or(usize::MAX));
        let (start, end) = (bound(bucket)?, bound(bucket + 1)?);
        let entries = self.entries.get(start..end)?;
        let found = entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        Some(start + found)
    }
}

/// A row of the input in the set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// The set does not have the id.
    No,
    /// It has the id with the same request.
    Same,
    /// It has the id with another request.
    Changed,
    /// The id was found before, on this line.
    Twice(u64),
}

fn halves(id: u128) -> (u64, u64) {
    // Truncation is the purpose.
    #[allow(clippy::cast_possible_truncation)]
    ((id >> 64) as u64, id as u64)
}

fn low(request: u128) -> u32 {
    // Truncation is the purpose.
    #[allow(clippy::cast_possible_truncation)]
    let low = request as u32;
    low
}

fn bucket(id: (u64, u64)) -> usize {
    usize::try_from(id.0 >> (u64::BITS - BITS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Found, Ids};
    use crate::hash::of_id;

    #[test]
    fn every_id_is_found_and_no_other() {
        let mut ids = Ids::default();
        ids.sort();
        assert!(!ids.contains(0));
        for number in 0..5_000_u32 {
            ids.push(of_id(&number.to_string()), number.into());
        }
        // The first and the last bucket.
        ids.push(0, 1);
        ids.push(u128::MAX, 2);
        ids.sort();
        assert_eq!(ids.len(), 5_002);
        for number in 0..5_000_u32 {
            let id = of_id(&number.to_string());
            assert_eq!(ids.find(id, number.into(), 7), Found::Same);
            assert_eq!(ids.find(id, number.into(), 9), Found::Twice(7));
            assert!(!ids.contains(of_id(&format!("x{number}"))));
        }
        assert_eq!(ids.find(0, 3, 1), Found::Changed);
        assert_eq!(ids.find(u128::MAX, 2, 1), Found::Same);
        assert_eq!(ids.find(1, 2, 1), Found::No);
    }

    #[test]
    fn double_ids_are_reported_with_their_lines() {
        let mut ids = Ids::default();
        for (id, line) in [(5, 1), (3, 2), (5, 30), (9, 4)] {
            ids.push_line(id, line);
        }
        ids.sort();
        assert_eq!(ids.double(), Some((1, 30)));
    }
}
