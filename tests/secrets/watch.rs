//! Everything that a program can see of a run: spans, events, log records and panic messages of the
//! threads that run clients.

use std::{
    cell::Cell,
    fmt::{self, Debug, Write as _},
    panic,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use log::{LevelFilter, Log, Record};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::{Interest, set_global_default},
};

use crate::canaries::secrets_in;

/// The name of the threads of the simulator and the proxies, which see the secrets and are not
/// watched.
pub(crate) const SERVER: &str = "server";

/// The leaks of all tests: where, and which secrets.
static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How many texts were searched.
static SEEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// What this thread runs.
    static SCENARIO: Cell<&'static str> = const { Cell::new("") };
}

/// Starts to watch; the first call takes effect.
pub(crate) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_global_default(Watcher).unwrap();
        log::set_logger(&Watcher).unwrap();
        log::set_max_level(LevelFilter::Trace);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            search("a panic message", &info.to_string());
            before(info);
        }));
    });
}

/// Names what this thread runs from now on.
pub(crate) fn scenario(name: String) {
    // A name lives as long as the test.
    SCENARIO.set(name.leak());
}

/// Searches a text for secrets.
pub(crate) fn search(what: &str, text: &str) {
    search_except(what, text, &[]);
}

/// Searches a text for secrets except those that belong there.
pub(crate) fn search_except(what: &str, text: &str, allowed: &[&str]) {
    SEEN.fetch_add(1, Ordering::Relaxed);
    let mut found = secrets_in(text);
    found.retain(|secret| !allowed.contains(secret));
    if found.is_empty() {
        return;
    }
    let shown: String = text.chars().take(300).collect();
    let scenario = SCENARIO.get();
    let leak = format!("{scenario}: {what} contains {}: {shown}", found.join(", "));
    let mut leaks = LEAKS.lock().unwrap_or_else(PoisonError::into_inner);
    leaks.push(leak);
}

/// Returns how many texts were searched so far.
pub(crate) fn seen() -> u64 {
    SEEN.load(Ordering::Relaxed)
}

/// Removes the leaks of scenarios whose name begins so, and returns them.
pub(crate) fn take_leaks(prefix: &str) -> Vec<String> {
    let mut leaks = LEAKS.lock().unwrap_or_else(PoisonError::into_inner);
    let (found, others) = leaks
        .drain(..)
        .partition(|leak: &String| leak.starts_with(prefix));
    *leaks = others;
    found
}

/// Fails if one of the scenarios had a leak. Shows one leak of each kind.
#[track_caller]
pub(crate) fn check(prefix: &str) {
    let leaks = take_leaks(&format!("{prefix}: "));
    let kind = |leak: &str| leak.split(':').skip(2).take(1).collect::<String>();
    let mut shown: Vec<&str> = Vec::new();
    for leak in &leaks {
        if shown.iter().all(|other| kind(other) != kind(leak)) {
            shown.push(leak);
        }
    }
    let count = leaks.len();
    assert!(
        leaks.is_empty(),
        "{count} leaks, of these kinds:\n{}",
        shown.join("\n")
    );
}

/// Searches the fields of spans, and the fields and messages of events and log records.
struct Watcher;

fn is_server() -> bool {
    thread::current().name() == Some(SERVER)
}

impl Subscriber for Watcher {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::always()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        search_fields(span.metadata(), |fields| span.record(fields));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if !is_server() {
            search("a field of a span", &fields.0);
        }
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        search_fields(event.metadata(), |fields| event.record(fields));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn search_fields(metadata: &Metadata<'_>, record: impl FnOnce(&mut Fields)) {
    if is_server() {
        return;
    }
    let mut fields = Fields::default();
    record(&mut fields);
    search(&format!("a trace of {}", metadata.target()), &fields.0);
}

impl Log for Watcher {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if is_server() {
            return;
        }
        let (target, text) = (record.target(), record.args().to_string());
        // What an agent sends may repeat the conversation: SECURITY.md says to turn these records off.
        let is_received = target.starts_with("tungstenite")
            && ["received frame", "Received message"]
                .iter()
                .any(|start| text.starts_with(start));
        let allowed: &[&str] = if is_received {
            &["prompt", "system prompt"]
        } else {
            &[]
        };
        search_except(&format!("a log record of {target}"), &text, allowed);
    }

    fn flush(&self) {}
}

/// The fields of a span or an event as text.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, " {}={value}", field.name()).unwrap();
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

/// Returns the messages of an error and of all its sources, in each form.
fn messages(error: &inferstream_core::Error) -> String {
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        write!(text, "{error}\n{error:#}\n{error:?}\n{error:#?}\n").unwrap();
        next = error.source();
    }
    text
}

/// Searches an error of a transport for the credentials of the proxy.
///
/// It may repeat what a service sent, such as the target of a redirect, because only the client knows
/// the other secrets.
pub(crate) fn search_transport_error(error: &inferstream_core::Error) {
    let mut found = secrets_in(&messages(error));
    found.retain(|secret| secret.starts_with("proxy"));
    if !found.is_empty() {
        search("an error of the transport", &messages(error));
    }
}

/// Searches an error and all its sources, and what it keeps for its user, in each form.
pub(crate) fn search_error(error: &inferstream_core::Error) {
    search("an error", &messages(error));
    search(
        "the parts of an error",
        &format!(
            "{:?} {:?} {:?} {:?} {:?} {:?}",
            error.provider_message(),
            error.code(),
            error.setting(),
            error.request_id(),
            error.headers(),
            error.rate_limits(),
        ),
    );
    if let Some(body) = error.body() {
        search("the body of an error", &String::from_utf8_lossy(body));
    }
    if let Some(partial) = error.partial() {
        search_debug("the partial response of an error", partial);
    }
}

/// Searches `Debug` of a value.
pub(crate) fn search_debug(what: &str, value: &impl Debug) {
    search(what, &crate::canaries::debug(value));
}

#[test]
fn each_way_to_leak_is_seen() {
    use crate::canaries::{KEY, PROMPT};

    start();
    for (name, leak) in [
        (
            "control: field",
            (|| drop(tracing::info_span!("a", key = KEY))) as fn(),
        ),
        ("control: late field", || {
            tracing::info_span!("a", key = tracing::field::Empty).record("key", KEY);
        }),
        (
            "control: event",
            || tracing::trace!(target: "other", "with {KEY}"),
        ),
        ("control: debug", || tracing::trace!(prompt = ?[PROMPT])),
        ("control: log", || log::trace!("with {KEY}")),
        ("control: bytes", || {
            log::trace!("{:?}", bytes::Bytes::from(PROMPT));
        }),
        ("control: panic", || {
            panic::catch_unwind(|| panic!("with {KEY}")).unwrap_err();
        }),
        ("control: error", || {
            let cause = std::io::Error::other(KEY);
            search_error(&inferstream_core::Error::config("a").with_source(cause));
        }),
        ("control: body", || {
            let body = bytes::Bytes::from(PROMPT);
            search_error(&inferstream_core::Error::config("a").with_body(&body));
        }),
    ] {
        scenario(name.to_owned());
        leak();
        assert!(!take_leaks(name).is_empty(), "{name}");
    }
}
