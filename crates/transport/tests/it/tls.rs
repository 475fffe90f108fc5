//! TLS: valid and invalid certificates, and ports that do not use the expected protocol.

use std::sync::Arc;

use inferstream_core::Repeat;
use inferstream_transport::{ErrorKind, HttpTransport, Roots, Sent};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, GeneralSubtree, IsCa,
    KeyPair, NameConstraints,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use crate::server::{
    HELLO, Server, builder, check_error, fetch, listen, post, repeatable, transport,
};

/// Returns the PEM of an authority, and an acceptor with a certificate of that authority for the
/// host.
pub(crate) fn authority(host: &str) -> (String, TlsAcceptor) {
    authority_with(host, &[])
}

/// Does the same for a server that offers these protocols by ALPN.
fn authority_with(host: &str, protocols: &[&str]) -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority_by(params, host, protocols)
}

/// Does the same for an authority with these parameters.
fn authority_by(
    params: CertificateParams,
    host: &str,
    protocols: &[&str],
) -> (String, TlsAcceptor) {
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([host.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (issuer.pem(), acceptor(certificate, key, protocols))
}

/// Returns an acceptor with a certificate, its key and protocols for ALPN.
fn acceptor(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    protocols: &[&str],
) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
    config.alpn_protocols = protocols.collect();
    TlsAcceptor::from(Arc::new(config))
}

pub(crate) fn trusting(pem: &str) -> HttpTransport {
    builder()
        .roots(Roots::Given)
        .certificate_pem(pem)
        .build()
        .unwrap()
}

#[tokio::test]
async fn an_unknown_authority_is_rejected_and_an_added_one_trusted() {
    let (pem, acceptor) = authority("127.0.0.1");
    let server = Server::start_tls(acceptor, &[HELLO, HELLO]).await;
    let url = format!("https://127.0.0.1:{}/secret", server.port);

    let result = fetch(&transport(), post(&url)).await;
    let error = check_error(result, ErrorKind::Tls, "signed by an untrusted authority");
    assert_eq!(error.sent(), Some(Sent::No));
    assert!(server.requests().is_empty());

    for roots in [Roots::Given, Roots::All, Roots::Bundled] {
        let transport = builder()
            .roots(roots)
            .certificate_pem(&pem)
            .build()
            .unwrap();
        for _ in 0..2 {
            let text = fetch(&transport, repeatable(&url)).await;
            assert_eq!(text.unwrap(), "hello");
        }
    }
    assert_eq!(server.accepted(), 4);
}

#[tokio::test]
async fn a_server_that_offers_http_2_only_is_recognized() {
    let (pem, acceptor) = authority_with("127.0.0.1", &["h2"]);
    let server = Server::start_tls(acceptor, &[HELLO]).await;
    let url = format!("https://127.0.0.1:{}/secret", server.port);
    let result = fetch(&trusting(&pem), post(&url)).await;
    let error = check_error(result, ErrorKind::Tls, "speaks HTTP/2 only");
    assert_eq!(error.sent(), Some(Sent::No));
    assert_eq!(error.repeat(), Repeat::Never);

    let (pem, acceptor) = authority_with("127.0.0.1", &["h2", "http/1.1"]);
    let server = Server::start_tls(acceptor, &[HELLO]).await;
    let url = format!("https://127.0.0.1:{}/secret", server.port);
    let text = fetch(&trusting(&pem), post(&url)).await;
    assert_eq!(text.unwrap(), "hello");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_rejected() {
    let (pem, acceptor) = authority("example.com");
    let server = Server::start_tls(acceptor, &[HELLO]).await;
    let url = format!("https://127.0.0.1:{}/secret", server.port);
    check_error(
        fetch(&trusting(&pem), post(&url)).await,
        ErrorKind::Tls,
        "for another host",
    );
}

#[tokio::test]
async fn a_ca_certificate_presented_by_a_server_is_explained() {
    // A certificate as created by `openssl req -x509`: self-signed, with CA:TRUE.
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let acceptor = acceptor(certificate.der().clone(), key, &[]);
    let server = Server::start_tls(acceptor, &[HELLO]).await;
    let url = format!("https://127.0.0.1:{}/secret", server.port);
    let result = fetch(&trusting(&certificate.pem()), post(&url)).await;
    check_error(result, ErrorKind::Tls, "basicConstraints=CA:FALSE");
}

#[tokio::test]
async fn an_authority_may_be_restricted_to_some_names() {
    let authority_for = |subnet| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::IpAddress(subnet)],
            excluded_subtrees: Vec::new(),
        });
        authority_by(params, "127.0.0.1", &[])
    };
    for (network, is_trusted) in [([127, 0, 0, 0], true), ([10, 0, 0, 0], false)] {
        let (pem, acceptor) = authority_for(CidrSubnet::V4(network, [255, 0, 0, 0]));
        let server = Server::start_tls(acceptor, &[HELLO]).await;
        let url = format!("https://127.0.0.1:{}/secret", server.port);
        let result = fetch(&trusting(&pem), post(&url)).await;
        if is_trusted {
            assert_eq!(result.unwrap(), "hello");
        } else {
            let error = check_error(result, ErrorKind::Tls, "is invalid");
            assert_eq!(error.sent(), Some(Sent::No));
            assert!(server.requests().is_empty());
        }
    }
}

#[tokio::test]
async fn signatures_of_weak_algorithms_are_rejected() {
    for (files, is_trusted) in [
        (include_str!("certificates/good.pem"), true),
        (include_str!("certificates/sha1.pem"), false),
        (include_str!("certificates/rsa1024.pem"), false),
    ] {
        let mut certificates = CertificateDer::pem_slice_iter(files.as_bytes());
        let _authority = certificates.next().unwrap().unwrap();
        let certificate = certificates.next().unwrap().unwrap();
        let key = PrivateKeyDer::from_pem_slice(files.as_bytes()).unwrap();
        let server = Server::start_tls(acceptor(certificate, key, &[]), &[HELLO]).await;
        let url = format!("https://127.0.0.1:{}/secret", server.port);
        let end = "-----END CERTIFICATE-----\n";
        let authority = &files[..files.find(end).unwrap() + end.len()];
        let result = fetch(&trusting(authority), post(&url)).await;
        if is_trusted {
            assert_eq!(result.unwrap(), "hello");
        } else {
            let error = check_error(result, ErrorKind::Tls, "is invalid");
            assert_eq!(error.sent(), Some(Sent::No));
            assert!(server.requests().is_empty());
        }
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_truncated() {
    let (pem, acceptor) = authority("127.0.0.1");
    let port = listen(move |socket| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(socket).await.unwrap();
            crate::server::read_request(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf")
                .await
                .unwrap();
            stream.flush().await.unwrap();
            // Only TCP is closed, which an attacker on the path could do as well.
            stream.get_mut().0.shutdown().await.unwrap();
        }
    })
    .await;
    let result = fetch(&trusting(&pem), post(&format!("https://127.0.0.1:{port}/"))).await;
    check_error(result, ErrorKind::Truncated, "connection lost");
}

#[tokio::test]
async fn tls_to_a_plain_http_port_is_explained() {
    let port = listen(|mut socket| async move {
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
    })
    .await;
    let result = fetch(
        &transport(),
        post(&format!("https://127.0.0.1:{port}/secret")),
    )
    .await;
    check_error(result, ErrorKind::Tls, "should start with http://");
}

#[tokio::test]
async fn plain_http_to_a_tls_port_is_explained() {
    let (_, acceptor) = authority("127.0.0.1");
    let port = listen(move |socket| {
        let acceptor = acceptor.clone();
        async move {
            // rustls sends an alert in response to data that is not TLS.
            let _ = acceptor.accept(socket).await;
        }
    })
    .await;
    let result = fetch(
        &transport(),
        post(&format!("http://127.0.0.1:{port}/secret")),
    )
    .await;
    check_error(result, ErrorKind::Tls, "should start with https://");
}
