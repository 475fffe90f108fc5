//! Settings that are refused before the first request, by name.

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
fn a_certificate_must_be_one() {
    check_refused(builder().certificate_pem("rubbish"), "holds no certificate");
    check_refused(builder().certificate_pem(""), "holds no certificate");
    let begun = "-----BEGIN CERTIFICATE-----\nMIIB";
    check_refused(builder().certificate_pem(begun), "not PEM");
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    check_refused(builder().certificate_pem(key), "holds no certificate");
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check_refused(builder().certificate_pem(empty), "cannot be read");
}

#[test]
fn trusting_only_given_certificates_needs_one() {
    check_refused(builder().roots(Roots::Given), "certificate_pem");
}

#[test]
fn a_proxy_must_have_a_url_that_means_one() {
    check_refused(
        builder().proxy("http://user:secret@ host"),
        "given to `proxy` is not a URL",
    );
    check_refused(
        builder().proxy("ftp://user:secret@host"),
        "scheme other than",
    );
    check_refused(builder().proxy(""), "is not a URL");
    check_refused(builder().proxy("http://user:secret@host:0"), "port");
}

#[test]
fn a_user_agent_must_fit_into_a_header() {
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
