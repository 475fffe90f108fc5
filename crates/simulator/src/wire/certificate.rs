//! Certificates that a client must refuse.

use std::{io, sync::Arc};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::wire::fault::Wire;

/// The number of certificates in a long chain.
const CHAIN: usize = 200;

/// Returns a server's TLS configuration with the certificate of the fault.
///
/// It is signed by the simulator's own certificate, which its clients trust, so that the fault is the
/// only reason to refuse it.
pub(super) fn config(fault: Wire, issuer: &Issuer<'_, KeyPair>) -> io::Result<Arc<ServerConfig>> {
    let names: &[&str] = match fault {
        Wire::CertificateHost => &["other.example", "192.0.2.1"],
        Wire::CertificateNameOnly => &[],
        Wire::CertificateWildcard => &["*.com", "*"],
        _ => &["localhost", "127.0.0.1", "::1"],
    };
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    match fault {
        Wire::CertificateExpired => {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        Wire::CertificateFuture => {
            params.not_before = date_time_ymd(2999, 1, 1);
            params.not_after = date_time_ymd(3000, 1, 1);
        }
        _ => {}
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let certificate = match fault {
        Wire::CertificateUnknown => params.self_signed(&key),
        _ => params.signed_by(&key, issuer),
    };
    let certificate = certificate.map_err(io::Error::other)?;
    let count = if fault == Wire::CertificateChain {
        CHAIN
    } else {
        1
    };
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone(); count];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
