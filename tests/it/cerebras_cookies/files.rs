//! The formats of cookie files, and invalid files.

use inferstream_cerebras::Cookies;
use inferstream_core::{ErrorKind, Result};
use proptest::prelude::*;

use super::{CANARY, Service, check_hidden, signed_in};
use crate::support::seconds;

/// Returns the cookies that a request for the session has.
#[track_caller]
fn sent(cookies: Cookies) -> String {
    let service = Service::of_session(signed_in("demo-1"));
    let client = service.builder(cookies).build().unwrap();
    service.ask(&client).unwrap();
    service.cookies()
}

#[track_caller]
fn check(text: &str, expected: &str) {
    for text in [
        text.to_owned(),
        format!("\u{feff}{text}"),
        text.replace('\n', "\r\n"),
    ] {
        assert_eq!(sent(Cookies::from_text(&text).unwrap()), expected, "{text}");
    }
}

#[track_caller]
fn check_refused(outcome: Result<Cookies>, says: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(says), "{error}");
    check_hidden(&error);
}

#[test]
fn a_header() {
    for header in [
        "a=b; c=d",
        " a=b;c=d; ",
        "Cookie: a=b; c=d\n",
        "cookie:a=b; ;c=d",
    ] {
        check(header, "a=b; c=d");
        assert_eq!(sent(Cookies::from_header(header).unwrap()), "a=b; c=d");
    }
    check("a=b=c==", "a=b=c==");
    check("a=", "a=");
}

#[test]
fn an_invalid_header_is_an_error() {
    let canary = |rest: &str| Cookies::from_header(&format!("a=b; {CANARY}{rest}"));
    check_refused(canary(""), "invalid cookie 2 in the header");
    check_refused(canary("=\u{7f}"), "invalid cookie 2 in the header");
    check_refused(canary("=a\r\nHost: evil"), "invalid cookie 2 in the header");
    check_refused(canary("=ü"), "invalid cookie 2 in the header");
    check_refused(canary("=\0"), "invalid cookie 2 in the header");
    check_refused(Cookies::from_header(&format!("={CANARY}")), "cookie 1");
    check_refused(
        Cookies::from_header(&format!("a={}", "x".repeat(4096))),
        "cookie 1",
    );
    for empty in ["", " ; ;", "Cookie:"] {
        check_refused(Cookies::from_header(empty), "no cookie");
    }
}

#[test]
fn a_netscape_file_is_read() {
    check(
        "# Netscape HTTP Cookie File\n# https://curl.se/docs/http-cookies.html\n\n\
         .cerebras.ai\tTRUE\t/\tTRUE\t4102444800\twide\t1\n\
         #HttpOnly_inference.cerebras.ai\tFALSE\t/\tTRUE\t4102444800\t__Secure-token\tx=y\n\
         inference.cerebras.ai\tFALSE\t/\tFALSE\t0\tsession\t3\n\
         cerebras.ai\tFALSE\t/\tTRUE\t0\tnarrow\tno\n\
         evilcerebras.ai\tTRUE\t/\tTRUE\t0\tevil\tno\n\
         inference.cerebras.ai\tFALSE\t/other\tFALSE\t0\tpath\tno\n\
         #inference.cerebras.ai\tFALSE\t/\tFALSE\t0\tremark\tno\n\
         inference.cerebras.ai\tFALSE\t/\tFALSE\t0\tempty\t\n\
         inference.cerebras.ai\tFALSE\t/\tFALSE\t0\tnone\n",
        "wide=1; __Secure-token=x=y; session=3; empty=; none=",
    );
}

#[test]
fn invalid_lines_are_ignored() {
    check(
        "inference.cerebras.ai\tFALSE\t/\tFALSE\t0\ta\tb\n\
         inference.cerebras.ai FALSE / FALSE 0 spaces no\n\
         inference.cerebras.ai\tFALSE\t/\tFALSE\tsoon\texpires\tno\n\
         inference.cerebras.ai\tFALSE\tpath\tFALSE\t0\tpath\tno\n\
         inference.cerebras.ai\tFALSE\t/\tFALSE\t0\ttab\tn\to\n\
         inference.cerebras.ai\tFALSE\t/\tFALSE\t0\tname;\tno\n\
         \tFALSE\t/\tFALSE\t0\thost\tno\n\
         inference.cerebras.ai\tFALSE\t/\n",
        "a=b",
    );
    check_refused(
        Cookies::from_text("# Netscape HTTP Cookie File\n"),
        "no cookie",
    );
    check_refused(
        Cookies::from_text(&format!("# Netscape\n{CANARY}\n")),
        "no cookie",
    );
    // An editor replaced the tabs by spaces.
    let spaces = format!("inference.cerebras.ai FALSE / FALSE 0 a {CANARY}\n");
    for text in [
        spaces.clone(),
        format!("# Netscape HTTP Cookie File\n\n{spaces}"),
    ] {
        check_refused(Cookies::from_text(&text), "seven fields separated by tabs");
    }
}

#[test]
fn a_line_may_end_in_blanks() {
    check("inference.cerebras.ai\tFALSE\t/\tFALSE\t0\ta\tb \n", "a=b");
    check("inference.cerebras.ai\tFALSE\t/\tFALSE\t0\ta\tb\t\n", "a=b");
}

#[test]
fn a_huge_expiry_means_never() {
    for end in ["99999999999999999999", "18446744073709551616.5"] {
        check(
            &format!("inference.cerebras.ai\tFALSE\t/\tFALSE\t{end}\ta\tb\n"),
            "a=b",
        );
    }
}

#[test]
fn a_list_of_an_extension_is_read() {
    check(
        r#"[
  {"domain":".cerebras.ai","expirationDate":4102444800.5,"hostOnly":false,"httpOnly":true,
   "name":"wide","path":"/","sameSite":"lax","secure":true,"session":false,"storeId":"0","value":"1"},
  {"domain":"inference.cerebras.ai","hostOnly":true,"name":"own","path":"/api","session":true,"value":"2"},
  {"host":"inference.cerebras.ai","expiry":4102444800000,"name":"other","value":"3"},
  {"name":"bare","value":"4","expires":-1},
  {"domain":".example.com","name":"evil","value":"no"}
]"#,
        "own=2; wide=1; other=3; bare=4",
    );
    check(r#"{"url":"x","cookies":[{"name":"a","value":"b"}]}"#, "a=b");
}

#[test]
fn invalid_cookies_in_a_list_are_ignored() {
    check(
        r#"[{"name":"a","value":"b"},{"name":"x"},{"value":"x"},{"name":1,"value":"x"},
            {"name":"x","value":7},{"name":"x","value":"\n"},{"name":"x;","value":"x"},null,7,"x",[],{},
            {"name":"c","value":"d","path":7,"secure":"x","expires":[],"domain":null}]"#,
        "a=b; c=d",
    );
}

#[test]
fn an_object_of_names_and_values_is_read() {
    check(
        r#"{"a":"b","c":"d","n":7,"bad;":"x","bad":"\n"}"#,
        "a=b; c=d",
    );
    check(
        r#"{"cookies":{"a":"b"},"headers":{"x":"y"},"proxy":null}"#,
        "a=b",
    );
    check(r#"{"cookies":"1","log":"2"}"#, "cookies=1; log=2");
}

const HAR: &str = r#"{"log":{"version":"1.2","creator":{"name":"x"},"entries":[
  {"request":{"method":"GET","url":"https://inference.cerebras.ai/","headers":[],"cookies":[
     {"name":"token","value":"old"},{"name":"kept","value":"1","path":"/","domain":".cerebras.ai","expires":"2100-01-01T00:00:00.000Z","secure":true}]},
   "response":{"status":200,"cookies":[
     {"name":"token","value":"new","path":"/","expires":null,"httpOnly":true},
     {"name":"deep","value":"2","path":"/api/auth"},
     {"name":"elsewhere","value":"no","path":"/chat"}],"content":{"text":"<html>"}}},
  {"request":{"url":"https://inference.cerebras.ai/chat/x","cookies":null},
   "response":{"cookies":[{"name":"default","value":"no"}]}},
  {"request":{"url":"https://evil.example/","cookies":[{"name":"evil1","value":"no"}]},
   "response":{"cookies":[{"name":"evil2","value":"no","domain":".cerebras.ai"},
                          {"name":"evil3","value":"no","domain":"inference.cerebras.ai"}]}},
  {"request":{"url":"https://evilcerebras.ai/","cookies":[]},
   "response":{"cookies":[{"name":"evil4","value":"no","domain":".cerebras.ai"}]}},
  {"request":{"url":"https://api.cerebras.ai/v1","cookies":[{"name":"api","value":"no"}]},
   "response":{"cookies":[{"name":"parent","value":"3","domain":".cerebras.ai"}]}},
  {"request":{"url":"not a url"},"response":null},
  {"request":{"url":"https://inference.cerebras.ai/x","cookies":[7,null,{"name":"x"}]}}]}}"#;

#[test]
fn a_har() {
    check(HAR, "deep=2; kept=1; token=new; parent=3");
    let none = HAR.replace("cookies", "headers");
    check_refused(Cookies::from_text(&none), "sensitive data");
}

/// Creates a HAR of these entries.
fn har(entries: &[&str]) -> String {
    let entries = entries.join(",");
    format!(r#"{{"log":{{"entries":[{entries}]}}}}"#)
}

/// Creates an entry of a page, with the cookies that were sent and those that were set.
fn entry(url: &str, sent: &str, received: &str) -> String {
    format!(
        r#"{{"request":{{"url":"{url}","cookies":[{sent}]}},"response":{{"cookies":[{received}]}}}}"#
    )
}

const PAGE: &str = "https://inference.cerebras.ai/";

#[test]
fn an_invalid_entry_of_a_har_is_skipped() {
    let good = entry(PAGE, r#"{"name":"a","value":"b"}"#, "");
    for odd in [
        "{}",
        "7",
        "null",
        r#"{"request":{}}"#,
        r#"{"request":{"url":7,"cookies":[]}}"#,
        r#"{"request":{"url":"https://inference.cerebras.ai/","cookies":{}}}"#,
        r#"{"request":{"url":"https://inference.cerebras.ai/","cookies":7},"response":[]}"#,
        r#"{"request":{"url":"wss://inference.cerebras.ai/"},"response":{"cookies":"x"}}"#,
        r#"{"request":null,"response":{"cookies":[{"name":"x","value":"y"}]}}"#,
    ] {
        check(&har(&[&good, odd]), "a=b");
        check(&har(&[odd, &good]), "a=b");
    }
}

#[test]
fn a_har_may_have_any_url_that_browsers_accept() {
    let long = format!("{PAGE}?{}", "x".repeat(100_000));
    for url in [
        "https://INFERENCE.cerebras.ai:443/",
        "HTTPS://inference.cerebras.ai",
        "https://inference.cerebras.ai?a=|b {c}",
        "https://inference.cerebras.ai/#/é^`",
        "https://inference.cerebras.ai/a|b\"c?d",
        "https://u:p@inference.cerebras.ai/",
        &long,
    ] {
        let url = url.replace('"', "\\\"");
        check(
            &har(&[&entry(&url, r#"{"name":"a","value":"b"}"#, "")]),
            "a=b",
        );
    }
    for url in [
        "https://inference.cerebras.ai@evil.example/",
        "https://evil.example/inference.cerebras.ai",
        "https://evil.example?@inference.cerebras.ai/",
        "https://evil.example#@inference.cerebras.ai/",
        "https://evil.example\\\\@inference.cerebras.ai/",
        "https://inference.cerebras.ai.evil.example/",
        "data:text/html,https://inference.cerebras.ai/",
        "//inference.cerebras.ai/",
        "",
    ] {
        let evil = entry(url, r#"{"name":"evil","value":"no"}"#, "");
        let good = entry(PAGE, r#"{"name":"a","value":"b"}"#, "");
        check(&har(&[&evil, &good]), "a=b");
    }
}

#[test]
fn a_parent_domain_in_a_har_needs_no_dot() {
    // A cookie of a parent domain is sent and set only by hosts below it.
    let parent = r#"{"name":"a","value":"b","domain":"cerebras.ai"}"#;
    check(&har(&[&entry(PAGE, parent, "")]), "a=b");
    check(&har(&[&entry(PAGE, "", parent)]), "a=b");
    check(
        &har(&[&entry("https://api.cerebras.ai/", "", parent)]),
        "a=b",
    );
    // If the host is the parent domain itself, it is unknown whether subdomains get the cookie.
    let own = entry("https://cerebras.ai/", "", parent);
    let good = entry(PAGE, r#"{"name":"c","value":"d"}"#, "");
    check(&har(&[&own, &good]), "c=d");
}

#[test]
fn a_cookie_with_a_host_replaces_one_without_it_in_a_har() {
    let bare = r#"{"name":"a","value":"old"}"#;
    let wide = r#"{"name":"a","value":"new","domain":".cerebras.ai","path":"/"}"#;
    check(&har(&[&entry(PAGE, bare, wide)]), "a=new");
    let newest = r#"{"name":"a","value":"newest"}"#;
    check(
        &har(&[&entry(PAGE, bare, wide), &entry(PAGE, newest, "")]),
        "a=newest",
    );
    // A deleted cookie is removed, whatever host it was set for.
    let gone =
        r#"{"name":"a","value":"","domain":".cerebras.ai","expires":"1969-01-01T00:00:00Z"}"#;
    let other = r#"{"name":"c","value":"d"}"#;
    let text = har(&[&entry(PAGE, &format!("{bare},{other}"), gone)]);
    let service = Service::of_session(signed_in("demo-1"));
    let client = service
        .builder(Cookies::from_text(&text).unwrap())
        .build()
        .unwrap();
    service.0.clock.advance(seconds(9));
    service.ask(&client).unwrap();
    assert_eq!(service.cookies(), "c=d");
}

#[test]
fn invalid_json_is_an_error() {
    for text in [
        &*format!(r#"[{{"name":"a","value":"{CANARY}"}}"#),
        &*format!(r#"{{"a":"{CANARY}"}} x"#),
        &*format!(r#"{{"a":{CANARY}}}"#),
        &*"[".repeat(1 << 20),
        &*r#"{"a":"#.repeat(100_000),
    ] {
        check_refused(
            Cookies::from_text(text),
            "invalid JSON of cookies at line 1, column ",
        );
    }
    for text in [
        "[]",
        "{}",
        "[[]]",
        r#"{"log":{"entries":[]}}"#,
        r#"{"log":{}}"#,
    ] {
        check_refused(Cookies::from_text(text), "no cookie found");
    }
}

#[test]
fn files_have_limits() {
    let many = |count: usize| -> String {
        let pairs: Vec<String> = (0..count).map(|index| format!("n{index}=v")).collect();
        pairs.join("; ")
    };
    assert_eq!(sent(Cookies::from_header(&many(300)).unwrap()), many(300));
    check_refused(Cookies::from_header(&many(301)), "at most 300");

    let list = |count: usize, domain: &str| {
        let one = |index| format!(r#"{{"name":"n{index}","value":"v","domain":"{domain}"}}"#);
        let all: Vec<String> = (0..count).map(one).collect();
        Cookies::from_text(&format!("[{}]", all.join(","))).unwrap()
    };
    let service = Service::of_session(signed_in("demo-1"));
    assert_eq!(sent(list(300, ".cerebras.ai")), many(300));
    let error = service
        .builder(list(301, ".cerebras.ai"))
        .build()
        .unwrap_err();
    assert!(
        error.to_string().contains("too many cookies for inference"),
        "{error}"
    );
    // Cookies of other hosts do not count.
    let error = service
        .builder(list(5000, "example.com"))
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("no cookie for "), "{error}");

    // A session in four cookies fits, and one in five does not.
    let long = |count: usize| {
        let value = "x".repeat(4000);
        let one = |index| format!(r#"{{"name":"n{index}","value":"{value}"}}"#);
        let all: Vec<String> = (0..count).map(one).collect();
        Cookies::from_text(&format!("[{}]", all.join(","))).unwrap()
    };
    assert_eq!(sent(long(4)).len(), 4 * 4003 + 3 * 2);
    let error = service.builder(long(5)).build().unwrap_err();
    assert!(error.to_string().contains("16 KiB"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Config);
    let header = format!("a={}", "b; c=".repeat(4000));
    check_refused(Cookies::from_header(&header), "16 KiB");
    check_refused(Cookies::from_text(&" ".repeat((16 << 20) + 1)), "16 MiB");
}

#[test]
fn a_file_is_read() {
    let folder = std::env::temp_dir().join(format!("inferstream-cookies-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("cookies.txt");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Cookies::from_file(&path)
    };
    assert_eq!(sent(read(b"\xef\xbb\xbf{\"a\":\"b\"}").unwrap()), "a=b");
    check_refused(
        read(b"\xff\xfea\0=\0b\0"),
        "cookies.txt: invalid text: expected UTF-8",
    );
    check_refused(read(b""), "cookies.txt: no cookie found");
    check_refused(
        read(&vec![b' '; (16 << 20) + 1]),
        "cookies.txt: too large: expected at most 16 MiB",
    );
    std::fs::remove_dir_all(&folder).unwrap();
    check_refused(Cookies::from_file(&path), "cookies.txt: ");
    check_refused(Cookies::from_file(&folder), "inferstream-cookies");
}

#[test]
fn cookies_in_place_of_a_file_are_not_shown() {
    for mistake in [
        format!("token={CANARY}"),
        format!("Cookie: token={CANARY}; c=d"),
        format!("a=/{CANARY}; b=c"),
        format!(r#"{{"token":"{CANARY}"}}"#),
        format!("a={CANARY}{}", "x".repeat(9000)),
        format!("a={CANARY}\0"),
        // A token alone, as some pages show it.
        format!("{CANARY}.{}", "x".repeat(100)),
    ] {
        let error = Cookies::from_file(&mistake).unwrap_err();
        assert!(error.to_string().starts_with("no such file"), "{error}");
        check_refused(Err(error), "the text of the cookies");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*") {
        drop(Cookies::from_text(&text));
        drop(Cookies::from_header(&text));
    }

    #[test]
    fn damaged_files_do_not_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", "\"log\":", "\"entries\":", "\"request\":", "\"url\":", "\"cookies\":",
            "\"name\":", "\"value\":", "\"a\"", "\"https://inference.cerebras.ai/\"", ",", "null", "1e999",
            "\t", "\n", "#HttpOnly_", ".cerebras.ai", "TRUE", "/", "0", "a=b", ";", "\u{feff}", "é",
        ]), 0..40)
    ) {
        let service = Service::of_session(signed_in("demo-1"));
        if let Ok(cookies) = Cookies::from_text(&pieces.concat()) {
            drop(service.builder(cookies).build());
        }
    }
}
