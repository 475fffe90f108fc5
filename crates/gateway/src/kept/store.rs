//! The kept responses in memory, with their limits, and the requests in progress.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::sync::watch;

use super::id::{Fingerprint, Id};
use crate::{config::KeptResponses, refusal::Refusal};

/// A complete response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Document {
    /// The JSON of the response, without line breaks.
    pub(crate) json: Bytes,
    /// The model that responded, for a header.
    pub(crate) model: Option<String>,
    /// The value of the header with warnings; empty without warnings.
    pub(crate) warnings: String,
}

/// A kept response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: Id,
    pub(crate) fingerprint: Fingerprint,
    /// The id of the request that was sent.
    pub(crate) request_id: String,
    /// In seconds since 1970.
    pub(crate) time: u64,
    pub(crate) document: Arc<Document>,
}

impl Entry {
    /// Returns about how much memory it takes.
    fn size(&self) -> u64 {
        /// The maps, the counters and the allocations.
        const OVERHEAD: usize = 512;
        let document = &self.document;
        let texts = [
            self.id.client.as_ref().map_or(0, String::len),
            // The map has a copy.
            2 * self.id.key.len(),
            self.request_id.len(),
            document.json.len(),
            document.model.as_ref().map_or(0, String::len),
            document.warnings.len(),
        ];
        let size = texts.into_iter().fold(OVERHEAD, usize::saturating_add);
        u64::try_from(size).unwrap_or(u64::MAX)
    }
}

/// How a request that is sent to a provider ends.
pub(crate) type Outcome = Result<Arc<Document>, Refusal>;

/// The result of a request in progress, once there is one.
pub(crate) type Pending = watch::Receiver<Option<Outcome>>;

/// What is known of a request.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing: the caller sends it, and sets the result.
    Absent(watch::Sender<Option<Outcome>>),
    /// Its response.
    Kept(Arc<Document>),
    /// Its key belongs to a request with another body.
    Other,
    /// It is in progress.
    Running(Pending),
}

#[derive(Debug)]
pub(super) struct Store {
    limits: KeptResponses,
    kept: HashMap<Id, Arc<Entry>>,
    /// All that count for the limits, the oldest first.
    order: VecDeque<Arc<Entry>>,
    bytes: u64,
    running: HashMap<Id, (Fingerprint, Pending)>,
}

impl Store {
    pub(super) fn new(limits: KeptResponses) -> Self {
        Self {
            limits,
            kept: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            running: HashMap::new(),
        }
    }

    /// Finds a request, or notes that it is in progress from now on.
    pub(super) fn find(&mut self, id: &Id, fingerprint: Fingerprint, now: u64) -> Found {
        self.drop_expired(now);
        let entry = self.kept.get(id);
        if let Some(entry) = entry.filter(|entry| !self.is_expired(entry, now)) {
            return if entry.fingerprint == fingerprint {
                Found::Kept(Arc::clone(&entry.document))
            } else {
                Found::Other
            };
        }
        match self.running.get(id) {
            Some((other, _)) if *other != fingerprint => Found::Other,
            Some((_, pending)) => Found::Running(pending.clone()),
            None => {
                let (sender, pending) = watch::channel(None);
                self.running.insert(id.clone(), (fingerprint, pending));
                Found::Absent(sender)
            }
        }
    }

    /// Notes that a request is no longer in progress.
    pub(super) fn ended(&mut self, id: &Id) {
        self.running.remove(id);
    }

    /// Keeps a response, and drops the oldest ones above the limits. Returns false if it is too large
    /// or too old to be kept.
    pub(super) fn insert(&mut self, entry: Entry, now: u64) -> bool {
        self.drop_expired(now);
        if !self.can_keep(&entry, now) {
            return false;
        }
        self.bytes += entry.size();
        let entry = Arc::new(entry);
        self.kept.insert(entry.id.clone(), Arc::clone(&entry));
        self.order.push_back(entry);
        while self.limits.entries < self.order.len() || self.limits.bytes < self.bytes {
            self.drop_oldest();
        }
        true
    }

    /// Returns false for a response that alone exceeds the limits.
    pub(super) fn can_keep(&self, entry: &Entry, now: u64) -> bool {
        let fits = entry.size() <= self.limits.bytes && self.limits.entries != 0;
        fits && !self.is_expired(entry, now)
    }

    /// Returns the kept responses, the oldest first.
    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        let is_current = |entry: &&Arc<Entry>| {
            let current = self.kept.get(&entry.id);
            current.is_some_and(|current| Arc::ptr_eq(current, entry))
        };
        self.order.iter().filter(is_current).cloned().collect()
    }

    /// Returns about how much memory the kept responses take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_expired(&self, entry: &Entry, now: u64) -> bool {
        // A clock that was set back makes a response younger, never older.
        self.limits.time <= Duration::from_secs(now.saturating_sub(entry.time))
    }

    fn drop_expired(&mut self, now: u64) {
        while self
            .order
            .front()
            .is_some_and(|entry| self.is_expired(entry, now))
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(entry) = self.order.pop_front() else {
            return;
        };
        self.bytes -= entry.size();
        // A later response may have taken its place.
        if let Some(current) = self.kept.get(&entry.id) {
            if Arc::ptr_eq(current, &entry) {
                self.kept.remove(&entry.id);
            }
        }
    }
}

/// Returns the current time in seconds since 1970.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

#[cfg(test)]
pub(super) mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{Document, Entry, Fingerprint, Found, Id, Store};
    use crate::config::KeptResponses;

    pub(in crate::kept) fn id(key: &str) -> Id {
        Id {
            client: Some("team".to_owned()),
            key: key.to_owned(),
        }
    }

    pub(in crate::kept) fn entry(key: &str, time: u64, text: &str) -> Entry {
        Entry {
            id: id(key),
            fingerprint: Fingerprint::of(key.as_bytes()),
            request_id: "req_1".to_owned(),
            time,
            document: Arc::new(Document {
                json: format!("{{\"text\":\"{text}\"}}").into(),
                model: Some("m".to_owned()),
                warnings: String::new(),
            }),
        }
    }

    fn kept(store: &mut Store, key: &str, now: u64) -> bool {
        let found = store.find(&id(key), Fingerprint::of(key.as_bytes()), now);
        store.ended(&id(key));
        matches!(found, Found::Kept(_))
    }

    #[test]
    fn a_response_is_kept_for_its_time() {
        let limits = KeptResponses {
            time: Duration::from_secs(100),
            ..KeptResponses::default()
        };
        let mut store = Store::new(limits);
        assert!(store.insert(entry("a", 1_000, ""), 1_000));
        assert!(kept(&mut store, "a", 1_099));
        // The clock was set back.
        assert!(kept(&mut store, "a", 0));
        assert!(!kept(&mut store, "a", 1_100));
        assert_eq!((store.bytes(), store.entries().len()), (0, 0));
        assert!(!store.insert(entry("b", 1_000, ""), 1_100));
    }

    #[test]
    fn the_oldest_responses_are_dropped_above_the_number() {
        let limits = KeptResponses {
            entries: 3,
            ..KeptResponses::default()
        };
        let mut store = Store::new(limits);
        for (time, key) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
            assert!(store.insert(entry(key, time, ""), 4));
        }
        let found = ["a", "b", "c", "d"].map(|key| kept(&mut store, key, 4));
        assert_eq!(found, [false, true, true, true]);
    }

    #[test]
    fn the_oldest_responses_are_dropped_above_the_size() {
        let size = entry("a", 1, &"x".repeat(1_000)).size();
        let limits = KeptResponses {
            bytes: 3 * size,
            ..KeptResponses::default()
        };
        let mut store = Store::new(limits);
        for key in ["a", "b", "c"] {
            assert!(store.insert(entry(key, 1, &"x".repeat(1_000)), 1));
        }
        assert_eq!(store.bytes(), 3 * size);
        assert!(kept(&mut store, "a", 1));
        assert!(store.insert(entry("d", 1, ""), 1));
        assert!(!kept(&mut store, "a", 1) && kept(&mut store, "b", 1));
        // One that alone exceeds the limit drops nothing.
        assert!(!store.insert(entry("e", 1, &"x".repeat(6_000)), 1));
        assert!(kept(&mut store, "b", 1) && !kept(&mut store, "e", 1));
    }

    #[test]
    fn a_limit_of_0_keeps_nothing() {
        for limits in [
            KeptResponses {
                entries: 0,
                ..KeptResponses::default()
            },
            KeptResponses {
                time: Duration::ZERO,
                ..KeptResponses::default()
            },
        ] {
            let mut store = Store::new(limits);
            assert!(!store.insert(entry("a", 1, ""), 1));
        }
    }

    #[test]
    fn a_later_response_of_the_same_request_stays_when_the_earlier_one_is_dropped() {
        let limits = KeptResponses {
            time: Duration::from_secs(100),
            entries: 3,
            ..KeptResponses::default()
        };
        let mut store = Store::new(limits);
        // `b` is behind one with a later time, because the clock was set back.
        store.insert(entry("a", 1_000, ""), 1_000);
        store.insert(entry("b", 900, ""), 900);
        assert!(!kept(&mut store, "b", 1_050));
        store.insert(entry("b", 1_050, "new"), 1_050);
        store.insert(entry("c", 1_050, ""), 1_050);
        store.insert(entry("d", 1_050, ""), 1_050);
        assert!(kept(&mut store, "b", 1_050));
        assert_eq!(store.entries().len(), 3);
    }

    #[test]
    fn a_key_with_another_body_is_found_in_progress_and_kept() {
        let mut store = Store::new(KeptResponses::default());
        let (one, other) = (Fingerprint::of(b"a"), Fingerprint::of(b"b"));
        let Found::Absent(sender) = store.find(&id("a"), one, 1) else {
            panic!("it was found");
        };
        assert!(matches!(store.find(&id("a"), one, 1), Found::Running(_)));
        assert!(matches!(store.find(&id("a"), other, 1), Found::Other));
        let client = Id {
            client: None,
            key: "a".to_owned(),
        };
        assert!(matches!(store.find(&client, other, 1), Found::Absent(_)));
        store.insert(entry("a", 1, ""), 1);
        store.ended(&id("a"));
        drop(sender);
        assert!(matches!(store.find(&id("a"), one, 1), Found::Kept(_)));
        assert!(matches!(store.find(&id("a"), other, 1), Found::Other));
    }
}
