//! Cookies of any text are refused by the rules or sent to their host only, and what was read from
//! one form is the same in another.
#![no_main]

use std::time::{Duration, SystemTime};

use fuzz::input::Input;
use http::{HeaderMap, HeaderValue, Uri, header::SET_COOKIE};
use inferstream_session::{Cookies, Jar, is_pair};

const HOST: &str = "chat.example.com";
const PARENTS: [&str; 1] = ["example.com"];
/// A host that shares no listed parent with the others.
const FOREIGN: &str = "example.org";
const HOSTS: &[&str] = &[
    HOST,
    "example.com",
    "a.chat.example.com",
    "CHAT.example.com",
    "127.0.0.1",
    "localhost",
    "[::1]",
    "com",
    "chat.example.com:8080",
    "chat.example.com.",
];
const PATHS: &[&str] = &["/", "/a", "/a/b", "/a?q=/x", "", "a", "/ab"];

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Returns the pairs of a `Cookie` line, all of which must be valid.
fn pairs(line: &HeaderValue) -> Vec<(String, String)> {
    assert!(line.is_sensitive());
    let line = line.to_str().expect("visible ASCII");
    let pairs = line.split("; ").map(|pair| {
        let (name, value) = pair.split_once('=').expect("a pair");
        assert!(is_pair(name, value), "{line}");
        (name.to_owned(), value.to_owned())
    });
    pairs.collect()
}

/// Checks a file of any content.
fn check_text(text: &str) {
    let Ok(cookies) = Cookies::from_text(text) else {
        return;
    };
    for url in [
        "https://chat.example.com/a",
        "http://chat.example.com/",
        "https://example.com/",
    ] {
        let uri = Uri::from_static(url);
        let host = uri.host().expect("a host");
        let https = url.starts_with("https");
        let Ok(jar) = cookies.jar(PARENTS, &uri) else {
            continue;
        };
        let line = jar
            .header(host, uri.path(), https, at(0))
            .expect("a jar with cookies");
        assert!(line.len() <= 16 << 10);
        assert_eq!(jar.header(FOREIGN, "/", true, at(0)), None, "{text}");
        let sent = pairs(&line);
        assert!(sent.len() <= 300);
        for (name, value) in &sent {
            let is_prefixed = ["__secure-", "__host-"]
                .iter()
                .any(|prefix| name.to_ascii_lowercase().starts_with(prefix));
            assert!(https || !is_prefixed, "{name} without TLS: {text}");
            // The name of the header itself is optional in a file.
            if name.to_ascii_lowercase().starts_with("cookie:") {
                return;
            }
            let shown = format!("{jar:?} {cookies:?}");
            // Other values may be equal to a name, a host or a time, which are shown.
            let is_letters = value.bytes().all(|byte| byte.is_ascii_alphabetic());
            let is_once = text.matches(&**value).count() == 1;
            let is_secret = 12 <= value.len() && is_letters && is_once;
            assert!(!is_secret || !shown.contains(value), "{shown}");
        }
        // The line is read as it was written; of two with one name, the last one counts.
        let line = line.to_str().expect("visible ASCII");
        let again = Cookies::from_header(line).expect("the line of a jar");
        let again = again.jar(PARENTS, &uri).expect("the cookies of a line");
        let all = again.pairs(host, at(0));
        for (name, _) in &sent {
            assert!(all.contains_key(name), "{name} of {line}");
        }
        let last: std::collections::BTreeMap<_, _> = sent.into_iter().collect();
        assert_eq!(all, last, "{line}");
    }
}

/// Checks the responses of hosts.
fn check_responses(input: &mut Input<'_>) {
    let mut jar = Jar::new(PARENTS);
    let mut now = 1000;
    for _ in 0..=input.below(3) {
        let (host, path, https) = (input.pick(HOSTS), input.pick(PATHS), input.flag());
        now += u64::from(input.byte());
        let mut headers = HeaderMap::new();
        let count = input.below(4);
        for _ in 0..count {
            let length = input.byte();
            let line: Vec<_> = (0..length).map(|_| input.byte()).collect();
            if let Ok(line) = HeaderValue::from_bytes(&line) {
                headers.append(SET_COOKIE, line);
            }
        }
        let before = jar.header(FOREIGN, "/", true, at(now));
        jar.absorb(host, path, https, &headers, at(now));
        assert_eq!(before, None, "{jar:?}");
        assert!(jar.len() <= 150);
        let line = jar.header(host, path, https, at(now));
        for (name, _) in line.iter().flat_map(pairs) {
            let is_prefixed = ["__secure-", "__host-"]
                .iter()
                .any(|prefix| name.to_ascii_lowercase().starts_with(prefix));
            assert!(https || !is_prefixed, "{name} without TLS: {jar:?}");
        }
        // Without a listed parent, a cookie belongs to its host alone.
        let mut alone = Jar::new(PARENTS);
        alone.absorb(host, path, https, &headers, at(now));
        let theirs = alone.header(HOST, "/", true, at(now));
        let goes_up = host.ends_with("example.com") || host.starts_with("CHAT");
        assert!(goes_up || theirs.is_none(), "{alone:?}");
    }
    // A session file keeps the pairs.
    let kept = jar.pairs(HOST, at(now));
    let mut restored = Jar::new(PARENTS);
    let list = kept.iter().map(|(name, value)| (&**name, &**value));
    assert_eq!(restored.restore(HOST, list), 0, "{jar:?}");
    assert_eq!(restored.pairs(HOST, at(now)), kept);
    assert_eq!(restored.header(HOST, "/", false, at(now)), None);
    assert_eq!(restored.header("example.com", "/", true, at(now)), None);
    // All cookies end with the longest lifetime, but those without one.
    let later = jar.pairs(HOST, at(now + 400 * 86_400));
    assert!(
        later
            .iter()
            .all(|(name, value)| kept.get(name) == Some(value)),
        "{jar:?}"
    );
}

/// Checks that a `cookies.txt` and a JSON list of the same cookies are the same.
fn check_forms(input: &mut Input<'_>) {
    let text = String::from_utf8_lossy(input.rest()).into_owned();
    let (mut lines, mut list) = (String::new(), Vec::new());
    for line in text.lines() {
        let mut dice = Input::new(line.as_bytes());
        let host = dice.pick(&["chat.example.com", ".example.com", "example.com", "b.org"]);
        let path = dice.pick(&["/", "/a", "/a/b"]);
        let (secure, ends) = (dice.flag(), dice.byte());
        let pair = String::from_utf8_lossy(dice.rest()).into_owned();
        let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
        if !is_pair(name, value) || name.starts_with('#') {
            continue;
        }
        let below = if host.starts_with('.') {
            "TRUE"
        } else {
            "FALSE"
        };
        let is_secure = if secure { "TRUE" } else { "FALSE" };
        lines += &format!("{host}\t{below}\t{path}\t{is_secure}\t{ends}\t{name}\t{value}\n");
        list.push(serde_json::json!({
            "domain": host, "path": path, "secure": secure, "expirationDate": ends,
            "name": name, "value": value,
        }));
    }
    let list = serde_json::Value::from(list).to_string();
    let uri = Uri::from_static("https://chat.example.com/a/b/c");
    let jar = |text: &str| Cookies::from_text(text)?.jar(PARENTS, &uri);
    match (jar(&lines), jar(&list)) {
        (Err(_), Err(_)) => {}
        (Ok(one), Ok(other)) => {
            for (https, now) in [(true, 0), (false, 0), (true, 100), (true, 1000)] {
                let header = |jar: &Jar| jar.header(HOST, "/a/b", https, at(now));
                assert_eq!(header(&one), header(&other), "{lines} {list}");
            }
        }
        (one, other) => panic!("{one:?} {other:?} {lines} {list}"),
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut input = Input::new(input);
    match input.below(3) {
        0 => check_text(&String::from_utf8_lossy(input.rest())),
        1 => check_responses(&mut input),
        _ => check_forms(&mut input),
    }
});
