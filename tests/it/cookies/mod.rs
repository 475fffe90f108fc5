//! A cookie jar: `Set-Cookie` headers and the cookies of the next request.

mod given;
mod places;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header::SET_COOKIE};
use inferstream_session::Jar;
use proptest::prelude::*;

const HOST: &str = "playground.ai.cloudflare.com";

/// 2026-03-12 10:00:00 UTC.
const NOW: u64 = 1_773_309_600;

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

fn jar() -> Jar {
    Jar::new(["cloudflare.com"])
}

fn set(lines: &[&str]) -> HeaderMap {
    let lines = lines
        .iter()
        .map(|line| HeaderValue::from_bytes(line.as_bytes()).unwrap());
    lines.map(|line| (SET_COOKIE, line)).collect()
}

#[track_caller]
fn sent(jar: &Jar, host: &str, path: &str, https: bool, second: u64) -> String {
    let value = jar.header(host, path, https, at(second));
    let value = value.inspect(|value| assert!(value.is_sensitive()));
    value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

/// Sets one cookie at the host, and checks the cookies of the next request.
#[track_caller]
fn check(line: &str, expected: &str) {
    check_at(HOST, line, expected);
}

#[track_caller]
fn check_at(host: &str, line: &str, expected: &str) {
    let mut jar = jar();
    jar.absorb(host, "/api/inference", true, &set(&[line]), at(NOW));
    assert_eq!(
        sent(&jar, host, "/api/inference", true, NOW),
        expected,
        "{line}"
    );
}

#[test]
fn a_cookie_is_sent_back() {
    check("a=b", "a=b");
    check(" a = b c ; Path=/", "a=b c");
    check("a=", "a=");
    check("a=b==\"c\",d", "a=b==\"c\",d");
    check(
        "__cf_bm=x.y-z; path=/; expires=Thu, 12-Mar-26 10:30:00 GMT; domain=.ai.cloudflare.com; \
           HttpOnly; Secure; SameSite=None",
        "__cf_bm=x.y-z",
    );
}

#[test]
fn invalid_cookies_are_refused() {
    for line in [
        "",
        ";",
        "a",
        "a; Path=/",
        "=b",
        " =b",
        "a b=c",
        "a,b=c",
        "\u{e9}=b",
        "a=\u{e9}",
    ] {
        check(line, "");
    }
    check("a=b\tc", "");
    check("a\tb=c", "");
    check("\ta\t=\tb\t", "a=b");
}

#[test]
fn control_bytes_cannot_be_restored() {
    let mut jar = jar();
    let bad = [
        ("a", "b\nSet: x"),
        ("a", "b\r"),
        ("a\0", "b"),
        ("a", "\0"),
        ("a", "b; c=d"),
        ("a;b", "c"),
        ("a=b", "c"),
        ("", "b"),
        ("a", "\u{7f}"),
        ("a", " b"),
        ("\u{e9}", "b"),
        ("a b", "c"),
    ];
    assert_eq!(jar.restore(HOST, bad), bad.len());
    assert_eq!(sent(&jar, HOST, "/", true, NOW), "");
    assert_eq!(jar.restore("a host\n", [("a", "b")]), 1);
}

#[test]
fn ages_saturate_delete_or_are_ignored() {
    let year = 365 * 24 * 60 * 60;
    // How long from now it is sent.
    for (attributes, alive) in [
        ("Max-Age=60", 60),
        ("Max-Age=100000000000000000000", 400 * 24 * 60 * 60),
        ("Max-Age=18446744073709551615", 400 * 24 * 60 * 60),
        ("Max-Age=0", 0),
        ("Max-Age=-1", 0),
        ("Max-Age=-100000000000000000000", 0),
        // Values that are not numbers are ignored.
        ("Max-Age=1e20", u64::MAX),
        ("Max-Age=", u64::MAX),
        ("Max-Age=-", u64::MAX),
        ("Max-Age=+5", u64::MAX),
        ("Max-Age=5s", u64::MAX),
        ("Max-Age=\"5\"", u64::MAX),
        ("Expires=Thu, 12 Mar 2026 10:01:00 GMT", 60),
        ("Expires=Thu, 12-Mar-26 10:01:00 GMT", 60),
        ("Expires=Thursday, 12-Mar-26 10:01:00 GMT", 60),
        ("Expires=Thu Mar 12 10:01:00 2026", 60),
        ("expires=12 mar 2026 10:1:0", 60),
        ("Expires=Mon, 01 Jan 1601 00:00:00 GMT", 0),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Expires=Thu, 01-Jan-70 00:00:01 GMT", 0),
        ("Expires=Thu, 12 Mar 2026 10:00:00 GMT", 0),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", 400 * 24 * 60 * 60),
        ("Expires=Sun, 01 Jan 1600 00:00:00 GMT", u64::MAX),
        ("Expires=Fri, 31 Dec 99999 23:59:59 GMT", u64::MAX),
        ("Expires=garbage", u64::MAX),
        ("Expires=", u64::MAX),
        ("Expires=0", u64::MAX),
        ("Expires=Thu, 32 Mar 2026 10:01:00 GMT", u64::MAX),
        // "If no such date exists, abort these steps and fail to parse the cookie-date."
        ("Expires=Thu, 30 Feb 2023 10:01:00 GMT", u64::MAX),
        ("Expires=Thu, 29 Feb 2023 10:01:00 GMT", u64::MAX),
        ("Expires=Thu, 29 Feb 2100 10:01:00 GMT", u64::MAX),
        ("Expires=Thu, 29 Feb 2000 10:01:00 GMT", 0),
        ("Expires=Thu, 29 Feb 2024 10:01:00 GMT", 0),
        ("Expires=Thu, 31 Apr 2024 10:01:00 GMT", u64::MAX),
        ("Expires=Thu, 0 Apr 2024 10:01:00 GMT", u64::MAX),
        ("Expires=Thu, 12 Foo 2026 10:01:00 GMT", u64::MAX),
        ("Expires=Thu, 12 Mar 2026 25:01:00 GMT", u64::MAX),
        ("Expires=12:34:56:78 \u{e9}\u{e9}\u{e9} Mar", u64::MAX),
        // `Max-Age` takes precedence.
        ("Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 60),
        ("Max-Age=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ] {
        let mut jar = jar();
        jar.absorb(HOST, "/", true, &set(&["a=old"]), at(NOW));
        jar.absorb(
            HOST,
            "/",
            true,
            &set(&[&format!("a=b; {attributes}")]),
            at(NOW),
        );
        if 0 < alive {
            let last = NOW.saturating_add(alive - 1).min(NOW + 10 * year);
            assert_eq!(sent(&jar, HOST, "/", true, last), "a=b", "{attributes}");
        }
        if alive < u64::MAX {
            assert_eq!(sent(&jar, HOST, "/", true, NOW + alive), "", "{attributes}");
        }
    }
}

#[test]
fn a_clock_may_have_any_time() {
    let mut jar = jar();
    let before = UNIX_EPOCH - Duration::from_secs(1 << 32);
    jar.absorb(HOST, "/", true, &set(&["a=b; Max-Age=60", "c=d"]), before);
    assert!(jar.header(HOST, "/", true, before).is_some());
    let late = UNIX_EPOCH + Duration::from_secs(1 << 40);
    jar.absorb(HOST, "/", true, &set(&["a=b; Max-Age=60"]), late);
    assert_eq!(jar.pairs(HOST, late).len(), 2);
}

#[test]
fn a_response_sets_at_most_fifty_cookies() {
    let lines: Vec<String> = (0..1000).map(|n| format!("c{n}=v; Path=/")).collect();
    let lines: Vec<&str> = lines.iter().map(|line| &**line).collect();
    let mut jar = jar();
    jar.absorb(HOST, "/", true, &set(&lines), at(NOW));
    let pairs = jar.pairs(HOST, at(NOW));
    assert_eq!(pairs.len(), 50);
    assert!(pairs.contains_key("c0") && pairs.contains_key("c49"));
    for part in lines.chunks(50) {
        jar.absorb(HOST, "/", true, &set(part), at(NOW));
    }
    // The newest cookies are kept.
    let pairs = jar.pairs(HOST, at(NOW));
    assert_eq!(pairs.len(), 150);
    assert!(pairs.contains_key("c999") && pairs.contains_key("c850"));
}

#[test]
fn large_cookies_are_refused() {
    check(&format!("a={}", "x".repeat(60_000)), "");
    check(&format!("a={}", "x".repeat(4096)), "");
    check(&format!("{}=x", "a".repeat(4096)), "");
    let largest = format!("a={}", "x".repeat(4095));
    check(&largest, &largest);
    // An attribute with a value that is too long is ignored.
    check(&format!("a=b; Domain={}.example", "x".repeat(1100)), "a=b");
}

#[test]
fn the_length_of_the_header_is_limited() {
    let mut jar = jar();
    let large = |name: &str, size| format!("{name}={}", "x".repeat(size));
    let lines = [
        large("a", 4000),
        large("b", 4000),
        large("c", 4000),
        "d=e".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(|line| &**line).collect();
    jar.absorb(HOST, "/", true, &set(&lines), at(NOW));
    let line = sent(&jar, HOST, "/", true, NOW);
    assert!("cookie: ".len() + line.len() <= 8190, "{}", line.len());
    // Cookies that still fit are sent.
    assert!(line.starts_with("a=x") && line.contains("; b=x") && line.ends_with("; d=e"));
}

#[test]
fn the_host_replaces_restored_cookies() {
    let mut jar = jar();
    jar.restore(
        HOST,
        [("__cf_bm", "old"), ("cf_clearance", "kept"), ("gone", "x")],
    );
    let lines = [
        "__cf_bm=new; Domain=.cloudflare.com; Path=/api",
        "gone=; Max-Age=0; Domain=cloudflare.com",
    ];
    jar.absorb(HOST, "/", true, &set(&lines), at(NOW));
    assert_eq!(
        sent(&jar, HOST, "/api", true, NOW),
        "__cf_bm=new; cf_clearance=kept"
    );
    jar.restore(HOST, [("__cf_bm", "newest")]);
    assert_eq!(
        sent(&jar, HOST, "/", true, NOW),
        "cf_clearance=kept; __cf_bm=newest"
    );
    jar.discard(HOST, "cf_clearance");
    assert_eq!(sent(&jar, HOST, "/", true, NOW), "__cf_bm=newest");
}

#[test]
fn two_jars_share_nothing() {
    let (mut one, two) = (jar(), jar());
    one.absorb(HOST, "/", true, &set(&["account=1"]), at(NOW));
    assert_eq!(sent(&two, HOST, "/", true, NOW), "");
    let mut copy = one.clone();
    copy.absorb(HOST, "/", true, &set(&["account=2"]), at(NOW));
    assert_eq!(sent(&one, HOST, "/", true, NOW), "account=1");
}

#[test]
fn debug_shows_no_value() {
    let mut jar = jar();
    jar.absorb(HOST, "/", true, &set(&["name=canary-5d1f"]), at(NOW));
    jar.restore(HOST, [("other", "canary-5d1f")]);
    let shown = format!(
        "{jar:?} {jar:#?} {:?}",
        jar.header(HOST, "/", true, at(NOW))
    );
    assert!(
        shown.contains("name") && !shown.contains("canary"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn no_header_panics_or_leaks(lines in prop::collection::vec("[ -~]{0,80}", 0..8), path in "[ -~]{0,20}") {
        let lines: Vec<&str> = lines.iter().map(|line| &**line).collect();
        let mut jar = jar();
        jar.absorb(HOST, &path, true, &set(&lines), at(NOW));
        prop_assert_eq!(sent(&jar, "evil.example", &path, true, NOW), "");
        let line = sent(&jar, HOST, &path, true, NOW);
        prop_assert_eq!(line.split("; ").filter(|pair| !pair.contains('=')).count(), usize::from(line.is_empty()));
    }

    #[test]
    fn no_attribute_panics(
        key in "(?i)domain|expires|max-age|path|secure",
        value in "[ -:<-~\u{80}-\u{2ff}]{0,40}",
    ) {
        let mut jar = jar();
        jar.absorb(HOST, "/", true, &set(&[&format!("a=b; {key}={value}")]), at(NOW));
        prop_assert_eq!(sent(&jar, "evil.example", "/", true, NOW), "");
    }

    #[test]
    fn no_date_panics(value in "[0-9: -]{0,30}|([0-9]{1,5}[ :-]?|jan|feb|dec|gmt| |:){0,12}") {
        let mut jar = jar();
        jar.absorb(HOST, "/", true, &set(&[&format!("a=b; Expires={value}")]), at(NOW));
    }
}
