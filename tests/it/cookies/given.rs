//! Cookies from a browser's export: which are accepted, and when they expire.

use inferstream_session::{GivenCookie, Jar, read_time};

use super::{HOST, NOW, at, jar, sent, set};

fn given(name: &str, host: Option<&str>) -> GivenCookie {
    GivenCookie {
        name: name.to_owned(),
        value: "b".to_owned(),
        host: host.map(str::to_owned),
        below: false,
        path: "/".to_owned(),
        expires: None,
        secure: false,
    }
}

#[test]
fn a_jar_accepts_cookies_of_its_host() {
    for (host, below, is_taken) in [
        (None, false, true),
        (Some(HOST), false, true),
        (Some(HOST), true, true),
        (Some("cloudflare.com"), true, true),
        (Some("cloudflare.com"), false, false),
        (Some("evilcloudflare.com"), true, false),
        (Some("com"), true, false),
        (Some(""), true, false),
        (Some(""), false, false),
        (Some("a b"), true, false),
    ] {
        let cookie = GivenCookie {
            below,
            ..given("a", host)
        };
        let mut jar = jar();
        assert_eq!(jar.give(HOST, &cookie), is_taken, "{cookie:?} {below}");
        assert_eq!(
            (jar.len(), jar.is_empty()),
            (usize::from(is_taken), !is_taken)
        );
        let expected = if is_taken { "a=b" } else { "" };
        assert_eq!(sent(&jar, HOST, "/", false, NOW), expected);
    }
    assert!(!jar().give(HOST, &given("a;", None)));
    assert!(!jar().give("", &given("a", None)));
}

#[test]
fn the_newest_cookie_is_kept() {
    let newest = |cookies: &[(&str, Option<&str>)]| {
        let mut jar = jar();
        for (value, host) in cookies {
            let value = (*value).to_owned();
            assert!(jar.give(
                HOST,
                &GivenCookie {
                    value,
                    ..given("a", *host)
                }
            ));
        }
        sent(&jar, HOST, "/", true, NOW)
    };
    assert_eq!(newest(&[("1", None), ("2", None)]), "a=2");
    assert_eq!(newest(&[("1", Some(HOST)), ("2", Some(HOST))]), "a=2");
    assert_eq!(newest(&[("1", Some(HOST)), ("2", None)]), "a=2");
    assert_eq!(newest(&[("1", None), ("2", Some(HOST))]), "a=2");
}

#[test]
fn a_server_replaces_given_cookies() {
    let mut jar = jar();
    jar.give(HOST, &given("a", None));
    jar.absorb(HOST, "/x/y", true, &set(&["a=new; Path=/x"]), at(NOW));
    assert_eq!(sent(&jar, HOST, "/x/y", true, NOW), "a=new");
}

#[test]
fn a_name_prefix_may_require_tls() {
    for name in ["__Secure-a", "__host-a"] {
        let mut jar = jar();
        jar.give(HOST, &given(name, None));
        assert_eq!(sent(&jar, HOST, "/", false, NOW), "");
        assert_eq!(sent(&jar, HOST, "/", true, NOW), format!("{name}=b"));
    }
}

#[test]
fn the_limits_can_be_set() {
    let fill = |jar: Jar, count: usize| {
        let mut jar = jar;
        for index in 0..count {
            jar.give(HOST, &given(&format!("n{index}"), None));
        }
        jar
    };
    let jar = fill(jar().room(3, 28), 4);
    assert_eq!(jar.len(), 4, "every loss is reported");
    // "cookie: n0=b; n1=b; n2=b" has 24 bytes.
    assert_eq!(sent(&jar, HOST, "/", true, NOW), "n0=b; n1=b; n2=b");
}

#[test]
fn limits_may_be_zero() {
    for (cookies, line, expected) in [(0, 8190, ""), (9, 0, ""), (9, 11, "a=b"), (9, 10, "")] {
        let mut jar = jar().room(cookies, line);
        for lines in [["a=b"], ["a=b"]] {
            jar.absorb(HOST, "/", true, &set(&lines), at(NOW));
        }
        assert_eq!(
            sent(&jar, HOST, "/", true, NOW),
            expected,
            "{cookies} {line}"
        );
    }
}

#[test]
fn cookies_set_by_a_server_respect_the_limit() {
    let mut jar = jar().room(2, 8190);
    for index in 0..9 {
        jar.give(HOST, &given(&format!("n{index}"), None));
    }
    jar.absorb(HOST, "/", true, &set(&["a=b"]), at(NOW));
    assert_eq!(sent(&jar, HOST, "/", true, NOW), "n8=b; a=b");
}

#[test]
fn an_unlimited_header_has_all_cookies() {
    let mut jar = jar().room(usize::MAX, usize::MAX);
    jar.absorb(HOST, "/", true, &set(&["a=b", "c=d"]), at(NOW));
    assert_eq!(sent(&jar, HOST, "/", true, NOW), "a=b; c=d");
}

#[test]
fn times_in_json_and_cookies_are_read() {
    for (text, expected) in [
        ("1970-01-01T00:00:01Z", Some(1)),
        ("2026-03-12T10:00:00.000Z", Some(NOW)),
        (" 2026-03-12t10:00:00z ", Some(NOW)),
        ("2026-03-12 10:00:00", Some(NOW)),
        ("2026-03-12T12:30:00+02:30", Some(NOW)),
        ("2026-03-12T08:00:00.5-02:00", Some(NOW)),
        ("2024-02-29T00:00:00Z", Some(1_709_164_800)),
        ("1601-01-01T00:00:00Z", Some(0)),
        ("Thu, 12 Mar 2026 10:00:00 GMT", Some(NOW)),
        ("Thu, 12-Mar-2026 10:00:00 GMT", Some(NOW)),
        ("2026-03-12", None),
        ("2026-03-12T10:00", None),
        ("2026-03-12T25:00:00Z", None),
        ("2026-00-12T10:00:00Z", None),
        ("2026-03-32T10:00:00Z", None),
        ("2026-02-29T10:00:00Z", None),
        ("2026-11-31T10:00:00Z", None),
        ("2026-03-12T10:00:00X", None),
        ("2026-03-12T10:00:00+é", None),
        ("02026-03-12T10:00:00Z", None),
        ("+2026-03-12T10:00:00Z", None),
        ("", None),
        ("é", None),
    ] {
        assert_eq!(read_time(text), expected, "{text}");
    }
}
