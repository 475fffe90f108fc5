//! The destinations of a cookie: host, path and secure connections.

use inferstream_session::Jar;

use super::{HOST, NOW, at, check, check_at, jar, sent, set};

#[test]
fn only_the_host_and_its_listed_parents_are_accepted() {
    for (domain, expected) in [
        ("", "a=b"),
        (HOST, "a=b"),
        (".playground.ai.cloudflare.com", "a=b"),
        ("ai.cloudflare.com", "a=b"),
        (".cloudflare.com", "a=b"),
        ("CloudFlare.COM", "a=b"),
        // Others.
        ("evil.example", ""),
        ("x.playground.ai.cloudflare.com", ""),
        ("evilcloudflare.com", ""),
        ("loudflare.com", ""),
        ("d.ai.cloudflare.com", ""),
        // Parent domains that are not on the list, in any spelling.
        ("com", ""),
        (".com", ""),
        (".COM", ""),
        ("cOm", ""),
        // Trailing dots.
        ("com.", ""),
        (".com.", ""),
        ("cloudflare.com.", ""),
        ("playground.ai.cloudflare.com.", ""),
        // Invalid domains.
        (".", ""),
        ("..", ""),
        ("..cloudflare.com", ""),
        ("ai..cloudflare.com", ""),
        ("cloudflare.com:443", ""),
        ("cloudflare.com/", ""),
        ("*.cloudflare.com", ""),
        ("cloudflare.com,evil.example", ""),
        ("cloudflare\u{3002}com", ""),
        ("%63loudflare.com", ""),
    ] {
        check(&format!("a=b; Domain={domain}"), expected);
    }
    // The last attribute counts.
    check("a=b; Domain=cloudflare.com; Domain=evil.example", "");
}

#[test]
fn addresses_have_no_parents() {
    for host in [
        "192.168.0.1",
        "127.1",
        "0x7f.0x1",
        "[::1]",
        "[2001:db8::1]",
        "1.2.3.4",
    ] {
        let mut jar = Jar::new([
            "0.1",
            "168.0.1",
            "2.3.4",
            "1",
            "0x1",
            "[::1]",
            "cloudflare.com",
        ]);
        let tail = host.split_once('.').map_or("::1", |(_, tail)| tail);
        let lines = [
            &*format!("a=b; Domain={tail}"),
            &*format!("c=d; Domain=.{tail}"),
            "e=f",
        ];
        jar.absorb(host, "/", true, &set(&lines), at(NOW));
        assert_eq!(sent(&jar, host, "/", true, NOW), "e=f", "{host}");
        assert_eq!(
            sent(&jar, &format!("x.{host}"), "/", true, NOW),
            "",
            "{host}"
        );
    }
    check_at("1.2.3.4", "a=b; Domain=1.2.3.4", "a=b");
}

#[test]
fn top_level_domains_in_the_list_are_ignored() {
    for parent in [
        "com",
        ".com",
        "com.",
        "",
        ".",
        "1.2.3.4",
        "a b.com",
        "cloudflare.com.",
    ] {
        let mut jar = Jar::new([parent]);
        let lines = [
            "a=b; Domain=com",
            "c=d; Domain=cloudflare.com",
            "e=f; Domain=ai.cloudflare.com",
        ];
        jar.absorb(HOST, "/", true, &set(&lines), at(NOW));
        assert_eq!(sent(&jar, HOST, "/", true, NOW), "", "{parent}");
    }
}

#[test]
fn cookies_are_sent_only_to_their_hosts() {
    let mut jar = jar();
    let lines = [
        "mine=1",
        "below=2; Domain=ai.cloudflare.com",
        "all=3; Domain=cloudflare.com",
    ];
    jar.absorb(HOST, "/", true, &set(&lines), at(NOW));
    for (host, expected) in [
        (HOST, "mine=1; below=2; all=3"),
        ("PLAYGROUND.AI.CLOUDFLARE.COM", "mine=1; below=2; all=3"),
        ("x.playground.ai.cloudflare.com", "below=2; all=3"),
        ("ai.cloudflare.com", "below=2; all=3"),
        ("dash.cloudflare.com", "all=3"),
        ("cloudflare.com", "all=3"),
        ("evilcloudflare.com", ""),
        ("cloudflare.com.evil.example", ""),
        ("playground.ai.cloudflare.com.", ""),
        ("playground.ai.cloudflare.com:443", ""),
        ("com", ""),
        ("", ""),
    ] {
        assert_eq!(sent(&jar, host, "/", true, NOW), expected, "{host}");
    }
}

#[test]
fn a_domain_equal_to_the_unlisted_host_is_host_only() {
    let mut jar = Jar::default();
    jar.absorb(
        "example.com",
        "/",
        true,
        &set(&["a=b; Domain=example.com"]),
        at(NOW),
    );
    assert_eq!(sent(&jar, "example.com", "/", true, NOW), "a=b");
    assert_eq!(sent(&jar, "x.example.com", "/", true, NOW), "");
}

#[test]
fn paths_are_separate() {
    let mut jar = jar();
    let lines = [
        "root=1; Path=/",
        "api=2; Path=/api",
        "deep=3",
        "odd=4; Path=api",
        "q=5; Path=/api/x/",
    ];
    jar.absorb(HOST, "/api/x/y?z=/w/", true, &set(&lines), at(NOW));
    for (path, expected) in [
        ("/", "root=1"),
        ("", "root=1"),
        ("/apix", "root=1"),
        ("/api", "api=2; root=1"),
        ("/api?x", "api=2; root=1"),
        ("/api/", "api=2; root=1"),
        ("/api/x", "deep=3; odd=4; api=2; root=1"),
        ("/api/x/z", "q=5; deep=3; odd=4; api=2; root=1"),
    ] {
        assert_eq!(sent(&jar, HOST, path, true, NOW), expected, "{path}");
    }
}

#[test]
fn secure_cookies_are_never_sent_unencrypted() {
    let mut jar = jar();
    jar.absorb(HOST, "/", true, &set(&["s=1; Secure", "p=2"]), at(NOW));
    jar.restore(HOST, [("r", "3")]);
    assert_eq!(sent(&jar, HOST, "/", true, NOW), "s=1; p=2; r=3");
    assert_eq!(sent(&jar, HOST, "/", false, NOW), "p=2");
    // It is also not set or replaced over plain HTTP.
    let lines = [
        "s=x",
        "s=x; Path=/y",
        "t=4; Secure",
        "p=5",
        "__Secure-a=6",
        "r=x",
    ];
    jar.absorb(HOST, "/", false, &set(&lines), at(NOW));
    assert_eq!(sent(&jar, HOST, "/y", true, NOW), "s=1; r=3; p=5");
}

#[test]
fn loopback_is_secure_on_request() {
    for (host, trusted) in [
        ("127.0.0.1", true),
        ("127.9.9.9", true),
        ("[::1]", true),
        ("localhost", true),
        ("10.0.0.1", false),
        ("localhost.example.com", false),
        (HOST, false),
    ] {
        for is_asked in [false, true] {
            let mut jar = if is_asked {
                jar().trust_loopback()
            } else {
                jar()
            };
            jar.absorb(host, "/", false, &set(&["s=1; Secure"]), at(NOW));
            jar.restore(host, [("r", "2")]);
            let expected = if trusted && is_asked { "s=1; r=2" } else { "" };
            assert_eq!(sent(&jar, host, "/", false, NOW), expected, "{host}");
        }
    }
}

#[test]
fn name_prefixes_are_enforced() {
    for name in ["__Host-a", "__host-a", "__HOST-a"] {
        check(&format!("{name}=b; Secure; Path=/"), &format!("{name}=b"));
        for attributes in [
            "Secure",
            "Path=/",
            "Secure; Path=/api",
            "Secure; Path=/; Domain=cloudflare.com",
        ] {
            check(&format!("{name}=b; {attributes}"), "");
        }
        check(&format!("{name}=b; Secure; Path=/; Domain="), "");
    }
    for name in ["__Secure-a", "__SECURE-a"] {
        check(&format!("{name}=b; Secure"), &format!("{name}=b"));
        check(&format!("{name}=b; Path=/"), "");
    }
    check("__Hos=b", "__Hos=b");
}
