//! What a session keeps, writes to its file, and discards.

mod refresh;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderValue, Uri, header::SET_COOKIE};
use inferstream_cloudflare::playground::session::{DEFAULT_HEADERS, Lease, Session, SessionData};
use inferstream_core::{Error, ErrorKind};
use inferstream_session::{CacheFile, Jar, Warning};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATH: &str = "/api/inference";
const CANARY: &str = "canary-31f0";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_773_309_600)
}

fn memory() -> Session {
    let url = Uri::from_static("https://playground.ai.cloudflare.com/api/inference");
    Session::new(&url, Jar::new(["cloudflare.com"]))
}

/// A session file, and sessions that use it.
struct Place {
    _root: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let path = root.path().join("kept").join("auth_Cloudflare.json");
        Self { _root: root, path }
    }

    fn with(content: &Value) -> Self {
        let place = Self::new();
        place.put(content);
        place
    }

    fn put(&self, content: &Value) {
        let file = CacheFile::new(&self.path).unwrap();
        let bytes = content.to_string().into_bytes();
        let whole = |bytes: &[u8]| Some(bytes.to_vec());
        file.update(whole, |_| Some(bytes), &mut Vec::new());
    }

    fn session(&self) -> Session {
        memory().file(CacheFile::new(&self.path).unwrap())
    }

    fn content(&self) -> Value {
        serde_json::from_slice(&fs::read(&self.path).unwrap()).unwrap()
    }
}

fn load(session: &Session) -> (Lease, Vec<Warning>) {
    let mut warnings = Vec::new();
    session.load(&mut warnings);
    (session.lease(PATH, now()), warnings)
}

fn cookies(lease: &Lease) -> &str {
    let value = lease.headers().get("cookie");
    value.map_or("", |value| value.to_str().unwrap())
}

fn set(session: &Session, lease: &Lease, line: &str) {
    let mut headers = HeaderMap::new();
    headers.insert(SET_COOKIE, HeaderValue::from_str(line).unwrap());
    session.absorb(lease, PATH, &headers, now());
}

fn save(session: &Session, lease: &Lease) -> Vec<Warning> {
    let mut warnings = Vec::new();
    session.save(lease, now(), &mut warnings);
    warnings
}

fn forget(session: &Session, lease: &Lease) -> Vec<Warning> {
    let mut warnings = Vec::new();
    session.forget(lease, now(), &mut warnings);
    warnings
}

fn data(cookies: &[(&str, &str)]) -> SessionData {
    let mut data = SessionData::plain();
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    data.cookies = cookies.iter().map(own).collect();
    data
}

#[test]
fn default_headers_are_sent_without_a_session() {
    let (lease, warnings) = load(&Place::new().session());
    assert!(warnings.is_empty());
    for (name, value) in DEFAULT_HEADERS {
        let sent = lease.headers().get(name).map(|sent| sent.to_str().unwrap());
        assert_eq!(
            sent,
            Some(value).filter(|value| !value.is_empty()),
            "{name}"
        );
    }
    assert_eq!(lease.headers()["accept-encoding"], "identity");
    assert_eq!(cookies(&lease), "");
}

#[test]
fn the_file_format_of_gpt4free_is_read() {
    let place = Place::with(&json!({
        "impersonate": "chrome",
        "cookies": {"cf_clearance": "c", "__cf_bm": "b"},
        "headers": {
            "user-agent": "Mine/1", "accept-encoding": "gzip, deflate, br", "referer": "https://x/",
            "Cookie": "x=y", "Host": "evil.example", "Transfer-Encoding": "chunked", "proxy": null,
        },
        "proxy": null,
    }));
    let (lease, warnings) = load(&place.session());
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(cookies(&lease), "__cf_bm=b; cf_clearance=c");
    assert_eq!(lease.headers()["user-agent"], "Mine/1");
    assert_eq!(lease.headers()["accept-encoding"], "identity");
    assert_eq!(lease.headers().len(), 4, "{:?}", lease.headers().keys());
    assert!(
        lease.headers()["user-agent"].is_sensitive() && lease.headers()["cookie"].is_sensitive()
    );
}

#[test]
fn unusual_files_are_read_in_part() {
    for (content, sent, count) in [
        (json!({}), "", 0),
        (
            json!({"cookies": null, "proxy": null, "headers": null}),
            "",
            0,
        ),
        (json!({"cookies": {"a": "b"}}), "a=b", 0),
        (json!({"cookies": {"a": "b", "c": null}}), "a=b", 0),
        (
            json!({"cookies": {"a": "b", "c": 1, "d": "e\n", "f;g": "h"}}),
            "a=b",
            1,
        ),
        (
            json!({"cookies": ["a"], "headers": 1, "proxy": {}, "impersonate": []}),
            "",
            4,
        ),
        (
            json!({"cookies": {"a": "b"}, "headers": {"a b": "c", "d": "e\r\nf: g"}}),
            "a=b",
            1,
        ),
    ] {
        let place = Place::with(&content);
        let (lease, warnings) = load(&place.session());
        assert_eq!(cookies(&lease), sent, "{content}");
        assert_eq!(warnings.len(), count, "{content} {warnings:?}");
        assert!(lease.headers().contains_key("user-agent"), "{content}");
        assert!(place.path.exists(), "none of it is damage");
    }
}

#[test]
fn a_damaged_file_is_set_aside() {
    let place = Place::new();
    place.put(&json!([1]));
    let (lease, warnings) = load(&place.session());
    assert_eq!(warnings.len(), 1);
    assert!(lease.headers().contains_key("user-agent"));
    assert!(place.path.with_extension("json.corrupt").exists());
}

#[test]
fn unknown_members_are_preserved() {
    let text = r#"{"cookies":{"a":"b"},"headers":{"x":"y"},"proxy":"http://u:p@h/","impersonate":"safari",
        "later":{"n":1.0,"big":123456789012345678901234567890,"deep":[[null]],"f":0.1000}}"#;
    let data = SessionData::from_json(text.as_bytes(), &mut Vec::new()).unwrap();
    assert_eq!(
        String::from_utf8(data.to_json()).unwrap(),
        r#"{"impersonate":"safari","cookies":{"a":"b"},"headers":{"x":"y"},"proxy":"http://u:p@h/","later":{"n":1.0,"big":123456789012345678901234567890,"deep":[[null]],"f":0.1000}}"#
    );
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(SessionData::from_json(deep.as_bytes(), &mut Vec::new()).is_none());
}

#[test]
fn a_complete_stream_writes_the_cookies() {
    let place =
        Place::with(&json!({"cookies": {"a": "1", "b": "2"}, "headers": {"x": "y"}, "later": 1}));
    let session = place.session();
    let (lease, _) = load(&session);
    set(&session, &lease, "a=new; Domain=cloudflare.com; Secure");
    set(&session, &lease, "b=; Max-Age=0");
    set(&session, &lease, "c=3; Max-Age=60");
    assert_eq!(
        place.content()["cookies"],
        json!({"a": "1", "b": "2"}),
        "an incomplete response is not stored"
    );
    assert_eq!(save(&session, &lease), []);
    assert_eq!(
        place.content(),
        json!({"impersonate": null, "cookies": {"a": "new", "c": "3"}, "headers": {"x": "y"}, "proxy": null, "later": 1})
    );
    assert_eq!(cookies(&session.lease(PATH, now())), "a=new; c=3");
    // A cookie that has expired is removed from the file, too.
    let mut warnings = Vec::new();
    session.save(&lease, now() + Duration::from_secs(61), &mut warnings);
    assert_eq!(place.content()["cookies"], json!({"a": "new"}));
    // J21: the file is created again.
    fs::remove_dir_all(place.path.parent().unwrap()).unwrap();
    save(&session, &lease);
    assert_eq!(place.content()["later"], 1);
}

#[test]
fn two_clients_preserve_each_others_cookies() {
    let place =
        Place::with(&json!({"cookies": {"a": "1", "b": "1", "c": "1"}, "headers": {"x": "y"}}));
    let (one, two) = (place.session(), place.session());
    let (lease_one, _) = load(&one);
    let (lease_two, _) = load(&two);
    set(&one, &lease_one, "a=one");
    set(&one, &lease_one, "c=; Max-Age=0");
    save(&one, &lease_one);
    set(&two, &lease_two, "b=two");
    save(&two, &lease_two);
    assert_eq!(place.content()["cookies"], json!({"a": "one", "b": "two"}));
    assert_eq!(cookies(&two.lease(PATH, now())), "b=two; a=one");
}

#[test]
fn a_session_of_another_browser_replaces_ours() {
    let place = Place::with(&json!({"cookies": {"a": "1"}, "headers": {"user-agent": "old"}}));
    let session = place.session();
    let (lease, _) = load(&session);
    set(&session, &lease, "a=mine");
    place.put(&json!({"cookies": {"a": "2", "b": "3"}, "headers": {"user-agent": "new"}}));
    save(&session, &lease);
    assert_eq!(place.content()["cookies"], json!({"a": "2", "b": "3"}));
    let lease = session.lease(PATH, now());
    assert_eq!(cookies(&lease), "a=2; b=3");
    assert_eq!(lease.headers()["user-agent"], "new");
}

#[test]
fn forgetting_clears_memory_and_file() {
    let place = Place::with(&json!({"cookies": {"a": "1"}}));
    let session = place.session();
    let (lease, _) = load(&session);
    assert_eq!(forget(&session, &lease), []);
    assert!(!place.path.exists());
    let (fresh, _) = load(&session);
    assert_eq!(cookies(&fresh), "");
    // Operations with the old lease have no effect.
    set(&session, &lease, "late=1");
    save(&session, &lease);
    forget(&session, &lease);
    assert!(!place.path.exists());
    assert_eq!(cookies(&session.lease(PATH, now())), "");
    set(&session, &fresh, "new=1");
    save(&session, &fresh);
    assert_eq!(place.content()["cookies"], json!({"new": "1"}));
}

#[test]
fn forgetting_keeps_a_newer_file() {
    let place = Place::with(&json!({"cookies": {"a": "1"}}));
    let session = place.session();
    let (lease, _) = load(&session);
    place.put(&json!({"cookies": {"a": "2"}}));
    forget(&session, &lease);
    let (lease, _) = load(&session);
    assert_eq!(cookies(&lease), "a=2");
    forget(&session, &lease);
    assert!(!place.path.exists());
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_deleted_is_not_read_again() {
    let place = Place::with(&json!({"cookies": {"a": "1"}}));
    let session = place.session();
    let (lease, _) = load(&session);
    let folder = place.path.parent().unwrap();
    set_mode(folder, 0o777);
    assert_eq!(forget(&session, &lease).len(), 1);
    set_mode(folder, 0o700);
    assert_eq!(cookies(&load(&session).0), "");
}

#[test]
fn only_some_errors_forget_by_default() {
    let kinds = [
        (ErrorKind::Auth, true),
        (ErrorKind::Permission, true),
        (ErrorKind::Challenge, true),
        (ErrorKind::Server, false),
        (ErrorKind::RateLimited, false),
        (ErrorKind::Truncated, false),
    ];
    for (kind, expected) in kinds {
        let error = Error::new(kind, "x");
        assert_eq!(memory().forgets(&error), expected, "{kind}");
        assert!(memory().forget_on_any_error().forgets(&error));
    }
}

#[test]
fn two_accounts_share_nothing() {
    let (one, two) = (memory(), memory());
    let lease = one.lease(PATH, now());
    set(&one, &lease, "account=1");
    assert_eq!(cookies(&one.lease(PATH, now())), "account=1");
    assert_eq!(cookies(&two.lease(PATH, now())), "");
}

#[test]
fn debug_output_shows_no_values() {
    let place = Place::with(&json!({
        "cookies": {"a": CANARY, "bad;": CANARY}, "headers": {"x": CANARY, "y z": CANARY},
        "proxy": format!("http://u:{CANARY}@h/"), "impersonate": 1, "later": CANARY,
    }));
    let session = place.session();
    let (lease, mut warnings) = load(&session);
    assert_eq!(session.secrets(now()), [CANARY]);
    warnings.extend(save(&session, &lease));
    let bytes = fs::read(&place.path).unwrap();
    let data = SessionData::from_json(&bytes, &mut warnings).unwrap();
    warnings.extend(forget(&session, &lease));
    let shown = format!(
        "{session:?}{lease:?}{:?}{data:?}{warnings:?}",
        lease.headers()
    );
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(
        !shown.contains(place.path.parent().unwrap().to_str().unwrap()),
        "{shown}"
    );
}

#[test]
fn sessions_are_send_and_sync() {
    fn is_send<T: Send + Sync>() {}
    is_send::<Session>();
    is_send::<Lease>();
    is_send::<CacheFile>();
    is_send::<Jar>();
}

#[test]
fn a_session_of_a_newer_version_is_neither_used_nor_written_nor_deleted() {
    let newer = json!({ "version": 2, "headers": {}, "cookies": { "a": "b" } });
    let place = Place::with(&newer);
    let session = place.session();
    let (lease, warnings) = load(&session);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].as_str().contains("a newer version"));
    assert_eq!(cookies(&lease), "");
    set(&session, &lease, "c=d");
    save(&session, &lease);
    assert_eq!(place.content(), newer);
    forget(&session, &lease);
    assert_eq!(place.content(), newer);
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
