//! The hosts and paths to which cookies are sent.

use http::header::COOKIE;
use inferstream_cerebras::Cookies;
use inferstream_core::ErrorKind;

use super::{
    Answer, CANARY, CHAT, HOST, SESSION, Service, check_error, cookies, refused, signed_in, whole,
};
use crate::support::seconds;

/// Creates a list of one cookie with these members, and of one that is always sent.
fn list(members: &str) -> Cookies {
    let sure = r#"{"name":"sure","value":"1","domain":"inference.cerebras.ai"}"#;
    Cookies::from_text(&format!(r#"[{{"name":"a","value":"b",{members}}},{sure}]"#)).unwrap()
}

#[track_caller]
fn check(members: &str, goes: bool) {
    check_at("https://inference.cerebras.ai", members, goes);
}

#[track_caller]
fn check_at(url: &str, members: &str, goes: bool) {
    let service = Service::of_session(signed_in("demo-1"));
    let builder = service.builder(list(members)).session_url(url);
    let client = match builder.build() {
        Ok(client) => client,
        Err(error) => {
            assert!(!goes, "{members}: {error}");
            return assert_eq!(error.kind(), ErrorKind::Config);
        }
    };
    service.0.clock.advance(seconds(1000));
    service.ask(&client).unwrap();
    let requests = service.all();
    let sent = requests[0].headers()[COOKIE].to_str().unwrap();
    assert_eq!(
        sent.split("; ").any(|pair| pair == "a=b"),
        goes,
        "{members}: {sent}"
    );
    assert!(!requests[1].headers().contains_key(COOKIE));
}

#[test]
fn only_cookies_of_the_host_are_sent() {
    for (domain, goes) in [
        (HOST, true),
        ("INFERENCE.Cerebras.AI", true),
        (".inference.cerebras.ai", true),
        (".cerebras.ai", true),
        ("cerebras.ai", false),
        ("evilcerebras.ai", false),
        (".evilcerebras.ai", false),
        ("inference.cerebras.ai.evil.com", false),
        (".cerebras.ai.evil.com", false),
        ("api.cerebras.ai", false),
        (".api.cerebras.ai", false),
        ("x.inference.cerebras.ai", false),
        (".ai", false),
        (".", false),
        ("..cerebras.ai", true),
        (".cerebras.ai.", false),
        ("ference.cerebras.ai", false),
        ("127.0.0.1", false),
    ] {
        check(&format!(r#""domain":"{domain}""#), goes);
    }
}

#[test]
fn a_host_only_cookie_is_sent_only_to_its_host() {
    check(r#""domain":"cerebras.ai","hostOnly":false"#, true);
    check(r#""domain":".cerebras.ai","hostOnly":true"#, false);
    check(r#""domain":"inference.cerebras.ai","hostOnly":true"#, true);
}

#[test]
fn only_cookies_of_the_path_are_sent() {
    for (path, goes) in [
        ("/", true),
        ("/api", true),
        ("/api/", true),
        ("/api/auth/session", true),
        ("/api/auth/session/", false),
        ("/ap", false),
        ("/chat", false),
        ("/API", false),
    ] {
        check(&format!(r#""domain":"{HOST}","path":"{path}""#), goes);
    }
}

#[test]
fn expired_cookies_are_not_sent() {
    // The time is 1000 s after 1970.
    for (member, goes) in [
        (r#""expires":1"#, false),
        (r#""expires":1000"#, false),
        (r#""expires":1001"#, true),
        (r#""expirationDate":999.5"#, false),
        (r#""expirationDate":1001.5"#, true),
        (r#""expires":0"#, true),
        (r#""expires":-1"#, true),
        (r#""expires":null"#, true),
        (r#""expires":"Session""#, true),
        (r#""expires":"1970-01-01T00:00:01.000Z""#, false),
        (r#""expires":"1960-01-01T00:00:01.000Z""#, false),
        (r#""expires":"2970-01-01T00:00:01.000Z""#, true),
        (r#""expires":"Thu, 01 Jan 1970 00:00:01 GMT""#, false),
        (r#""expires":"999""#, false),
        (r#""expires":1e300"#, true),
    ] {
        check(&format!(r#""domain":"{HOST}",{member}"#), goes);
    }
}

#[test]
fn secure_cookies_are_sent_only_over_tls() {
    let plain = "http://inference.cerebras.ai";
    check_at(plain, &format!(r#""domain":"{HOST}","secure":true"#), false);
    check_at(plain, &format!(r#""domain":"{HOST}","secure":false"#), true);
    check(&format!(r#""domain":"{HOST}","secure":true"#), true);
    // Because of its name prefix.
    let named = Cookies::from_header("__Secure-a=b").unwrap();
    let service = Service::of_session(signed_in("demo-1"));
    let error = service
        .builder(named)
        .session_url("http://127.0.0.1:1")
        .build();
    check_error(
        &error.unwrap_err(),
        ErrorKind::Config,
        "no cookie for this URL of 127.0.0.1: its cookies are for other paths or for https only",
    );
}

#[test]
fn cookies_without_a_host_are_sent_to_another_session_url() {
    for url in [
        "https://127.0.0.1:7/x",
        "http://localhost:7",
        "https://example.com",
    ] {
        let service = Service::of_session(signed_in("demo-1"));
        let host = url.parse::<http::Uri>().unwrap().host().unwrap().to_owned();
        let text = format!(
            r#"[{{"name":"a","value":"b"}},{{"name":"own","value":"1","domain":"{host}"}},
                {{"name":"c","value":"d","domain":".cerebras.ai"}}]"#
        );
        let cookies = Cookies::from_text(&text).unwrap();
        let client = service.builder(cookies).session_url(url).build().unwrap();
        drop(service.ask(&client));
        let request = &service.all()[0];
        assert_eq!(*request.uri(), *format!("{url}/api/auth/session"));
        assert_eq!(request.headers()[COOKIE], "a=b; own=1");
    }
}

#[test]
fn cookies_of_other_hosts_are_not_used() {
    let other = r#"[{"name":"a","value":"c4nary-0f-the-session","domain":"evilcerebras.ai"}]"#;
    let service = Service::of_session(signed_in("demo-1"));
    let error = service.builder(Cookies::from_text(other).unwrap()).build();
    check_error(
        &error.unwrap_err(),
        ErrorKind::Config,
        "no cookie for inference.cerebras.ai: export the cookies of that page",
    );
}

#[test]
fn a_session_whose_cookies_have_all_expired_is_an_error() {
    let text = format!(
        r#"[{{"name":"a","value":"{CANARY}","domain":"{HOST}","expires":5}},
            {{"name":"b","value":"{CANARY}","domain":"{HOST}","expires":9}}]"#
    );
    let service = Service::of_session(signed_in("demo-1"));
    let client = service
        .builder(Cookies::from_text(&text).unwrap())
        .build()
        .unwrap();
    service.0.clock.advance(seconds(9));
    check_error(
        &service.ask(&client).unwrap_err(),
        ErrorKind::Auth,
        "cerebras: the cookies have expired: sign in at https://inference.cerebras.ai and export \
         the cookies again",
    );
    assert_eq!(service.all().len(), 0);
}

#[test]
fn no_cookie_is_sent_to_the_api_or_after_a_redirect() {
    let target = "https://evilcerebras.ai/api/auth/session";
    for answer in [
        signed_in("demo-1"),
        signed_in("demo-1").header("set-cookie", "x=y; Domain=.cerebras.ai; Secure"),
        Answer::empty(302).header("location", target),
    ] {
        let service = Service::new([answer], |_| refused(401));
        drop(service.ask(&service.client()));
        for request in service.all() {
            let is_session = *request.uri() == *SESSION;
            assert!(is_session || *request.uri() == *CHAT, "{}", request.uri());
            assert_eq!(request.headers().contains_key(COOKIE), is_session);
            let authorized = request.headers().contains_key("authorization");
            assert_eq!(
                authorized, !is_session,
                "the key did not come from the session"
            );
            let shown = format!("{request:?}");
            assert!(!shown.contains(CANARY), "{shown}");
        }
    }
}

#[test]
fn headers_of_the_user_are_sent_only_with_the_chat() {
    let service = Service::new([signed_in("demo-1")], |_| whole());
    let value = http::HeaderValue::from_static("gateway-token");
    let name = http::HeaderName::from_static("x-gateway");
    let client = service
        .builder(cookies())
        .header(name, value)
        .build()
        .unwrap();
    service.ask(&client).unwrap();
    let [session, chat] = &service.all()[..] else {
        panic!("two requests");
    };
    assert!(!session.headers().contains_key("x-gateway"));
    assert!(chat.headers().contains_key("x-gateway"));
}

#[test]
fn an_invalid_session_url_is_an_error() {
    let service = Service::of_session(signed_in("demo-1"));
    for url in ["", "ftp://x", "https://u:p@x", "https://x/?a"] {
        let built = service.builder(cookies()).session_url(url).build();
        let error = built.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().starts_with("the session: "), "{error}");
    }
    let builder = service
        .builder(cookies())
        .session_url("https://u:hunter2@x");
    assert!(!format!("{builder:?}").contains("hunter2"));
}

#[test]
fn debug_shows_no_cookie() {
    let service = Service::of_session(signed_in("demo-k3y-canary"));
    let builder = service.builder(cookies());
    let before = format!("{:?} {:#?} {builder:?}", cookies(), cookies());
    let client = builder.build().unwrap();
    service.ask(&client).unwrap();
    let shown = format!("{before} {client:?} {client:#?}");
    assert!(
        !shown.contains(CANARY) && !shown.contains("demo-k3y"),
        "{shown}"
    );
    assert_eq!(format!("{:?}", cookies()), "Cookies { count: 2, .. }");
}
