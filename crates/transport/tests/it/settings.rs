//! Invalid settings are errors of `build` that name the setting.

use inferstream_transport::{ErrorKind, HttpTransport, HttpTransportBuilder, Roots, Transport};

#[track_caller]
fn check_refused(builder: HttpTransportBuilder, message: &str) {
    assert!(!format!("{builder:?}").contains("secret"), "{builder:?}");
    let error = builder.build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(message), "{error}");
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
}

fn builder() -> HttpTransportBuilder {
    crate::server::builder()
}

#[test]
fn an_invalid_certificate_is_an_error() {
    check_refused(builder().certificate_pem("rubbish"), "with at least one");
    check_refused(builder().certificate_pem(""), "with at least one");
    let begun = "-----BEGIN CERTIFICATE-----\nMIIB";
    check_refused(builder().certificate_pem(begun), "expected PEM text");
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    check_refused(builder().certificate_pem(key), "with at least one");
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check_refused(
        builder().certificate_pem(empty),
        "expected valid X.509 certificates",
    );
}

#[test]
fn given_roots_require_a_certificate() {
    check_refused(builder().roots(Roots::Given), "certificate_pem");
}

#[test]
fn an_invalid_proxy_url_is_an_error() {
    check_refused(
        builder().proxy("http://user:secret@ host"),
        "invalid proxy URL in `proxy`: expected a URL",
    );
    check_refused(
        builder().proxy("ftp://user:secret@host"),
        "expected the scheme",
    );
    check_refused(builder().proxy(""), "expected a URL");
    check_refused(builder().proxy("http://user:secret@host:0"), "port");
}

#[test]
fn a_user_agent_must_be_a_valid_header_value() {
    check_refused(builder().user_agent("a\r\nb"), "user_agent");
}

#[test]
fn a_transport_can_be_shared() {
    fn shared<T: Transport + Clone>() {}
    shared::<HttpTransport>();
}

#[test]
fn debug_shows_no_credentials() {
    let transport = builder().proxy("http://user:secret@host").build().unwrap();
    assert!(
        !format!("{transport:?}").contains("secret"),
        "{transport:?}"
    );
}
