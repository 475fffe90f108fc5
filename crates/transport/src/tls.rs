//! TLS on a connected socket, with the configured certificate authorities.

use std::{
    fmt, io,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use inferstream_core::{Error, ErrorKind, Phase, Repeat, Result, Sent};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, PeerMisbehaved, RootCertStore,
    crypto::CryptoProvider, time_provider::TimeProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::{
    error::{self, Peer},
    timeout,
    watch::{BoxIo, Seen, Watched},
};

/// The certificate authorities that a transport trusts.
///
/// Certificates added with [`certificate_pem`](crate::HttpTransportBuilder::certificate_pem) are
/// trusted with every variant.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
#[non_exhaustive]
pub enum Roots {
    /// Mozilla's bundled authorities and the operating system's. The default.
    ///
    /// Works in a container without certificates and in a company with a private authority.
    #[default]
    All,
    /// Mozilla's bundled authorities only.
    Bundled,
    /// Only the certificates added with `certificate_pem`.
    Given,
    /// The operating system's authorities, or those in the file named by `SSL_CERT_FILE`.
    System,
}

/// The TLS configuration, created once per transport. The authorities are loaded at the first use.
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    roots: Roots,
    given: RootCertStore,
    clock: Clock,
    connector: OnceCell<TlsConnector>,
}

/// The system clock, used to check the validity of certificates.
///
/// rustls' own time provider panics if the system clock is before 1970.
#[derive(Clone, Copy, Debug)]
struct Clock(fn() -> SystemTime);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since_1970 = (self.0)().duration_since(UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since_1970))
    }
}

impl Tls {
    pub(crate) fn new(roots: Roots, pems: &[Vec<u8>]) -> Result<Self> {
        let mut given = RootCertStore::empty();
        for pem in pems {
            add_pem(&mut given, pem).map_err(|error| error.with_setting("certificate_pem"))?;
        }
        if roots == Roots::Given && given.is_empty() {
            return Err(Error::config(
                "invalid roots: `Roots::Given` requires a certificate (add one with `certificate_pem`)",
            )
            .with_setting("certificate_pem"));
        }
        Ok(Self {
            provider: provider()?,
            roots,
            given,
            clock: Clock(SystemTime::now),
            connector: OnceCell::new(),
        })
    }

    /// Performs the TLS handshake and verifies the peer's certificate for `peer.host`.
    pub(crate) async fn connect(
        &self,
        io: BoxIo,
        peer: &Peer<'_>,
        limit: Option<Duration>,
    ) -> Result<BoxIo> {
        // Loading the authorities takes about 20 ms once and must not count towards the peer's
        // timeout.
        let connector = self.connector.get_or_try_init(|| self.load()).await?;
        let bare = peer.host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|cause| {
            let message = format!(
                "invalid host name `{}`: expected a DNS name or an IP address",
                peer.host
            );
            Error::config(message).with_source(cause)
        })?;
        let (io, seen) = Watched::new(io);
        let handshake = pin!(async {
            let stream = connector.connect(name, io).await;
            stream
                .map(|stream| Box::new(stream) as BoxIo)
                .map_err(|cause| failed(peer, cause, &seen))
        });
        timeout::within(limit, Phase::Tls, peer, handshake).await
    }

    async fn load(&self) -> Result<TlsConnector> {
        let mut store = self.given.clone();
        if matches!(self.roots, Roots::All | Roots::Bundled) {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        if matches!(self.roots, Roots::All | Roots::System) {
            // A system store may contain certificates that cannot be parsed; they are skipped.
            let system = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
            let system = system.unwrap_or_default();
            if let Some(reason) = system.errors.iter().find_map(exhausted) {
                // The result is kept for all later connections, so it must be complete.
                let message = format!("cannot read the system's certificate authorities: {reason}");
                return Err(Error::new(ErrorKind::Connect, message).with_sent(Sent::No));
            }
            store.add_parsable_certificates(system.certs);
        }
        if store.is_empty() {
            return Err(Error::config(
                "no certificate authorities found on this system: use `Roots::Bundled`, or set \
                 SSL_CERT_FILE to a PEM file",
            ));
        }
        let provider = Arc::clone(&self.provider);
        let mut config = ClientConfig::builder_with_details(provider, Arc::new(self.clock))
            .with_safe_default_protocol_versions()
            .map_err(|cause| {
                Error::config("the rustls crypto provider supports neither TLS 1.2 nor TLS 1.3")
                    .with_source(cause)
            })?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("roots", &self.roots)
            .field("given", &self.given.len())
            .finish_non_exhaustive()
    }
}

/// Returns what the process has run out of, if the certificates could not be read for that.
fn exhausted(error: &rustls_native_certs::Error) -> Option<&'static str> {
    match &error.kind {
        rustls_native_certs::ErrorKind::Io { inner, .. } => error::exhausted(inner),
        _ => None,
    }
}

fn add_pem(store: &mut RootCertStore, pem: &[u8]) -> Result<()> {
    let before = store.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|cause| {
            Error::config("invalid `certificate_pem`: expected PEM text").with_source(cause)
        })?;
        store.add(certificate).map_err(|cause| {
            let message = "invalid `certificate_pem`: expected valid X.509 certificates";
            Error::config(message).with_source(cause)
        })?;
    }
    if store.len() == before {
        return Err(Error::config(
            "invalid `certificate_pem`: expected PEM text with at least one \
             `-----BEGIN CERTIFICATE-----`",
        ));
    }
    Ok(())
}

/// Returns the crypto provider installed for the process, or else the one of the features.
fn provider() -> Result<Arc<CryptoProvider>> {
    // `ring` is a default feature, so a user who enables `aws-lc-rs` as well wants the latter.
    #[cfg(feature = "aws-lc-rs")]
    let built_in = Some(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    let built_in = Some(rustls::crypto::ring::default_provider());
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    let built_in = None;

    let installed = CryptoProvider::get_default().cloned();
    installed.or_else(|| built_in.map(Arc::new)).ok_or_else(|| {
        Error::config(
            "no TLS crypto provider: enable the feature `ring` or `aws-lc-rs` of \
             inferstream-transport, or install a rustls `CryptoProvider` before creating \
             the transport",
        )
    })
}

/// Returns true for webpki's `CaUsedAsEndEntity`, which a server causes by presenting a self-signed
/// certificate as `openssl req -x509` creates it by default.
fn is_ca_certificate(reason: &CertificateError) -> bool {
    // rustls does not re-export webpki's error type, so its `Debug` output is matched.
    matches!(reason, CertificateError::Other(cause) if format!("{cause:?}").contains("CaUsedAsEndEntity"))
}

fn failed(peer: &Peer<'_>, cause: io::Error, seen: &Seen) -> Error {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };

    let reset = cause.kind() == io::ErrorKind::ConnectionReset;
    if reset && seen.counts().read == 0 {
        // Nothing was received: the listener's backlog is full, which has nothing to do with TLS.
        return peer.unreachable(cause);
    }
    let refused = |message: String| {
        peer.error(ErrorKind::Tls, message)
            .with_repeat(Repeat::Never)
    };
    let certificate = match cause.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(UnknownIssuer)) => {
            let message = format!(
                "the certificate of {peer} is signed by an untrusted authority; add a private authority \
                 with `certificate_pem`"
            );
            return refused(message)
                .with_setting("certificate_pem")
                .with_source(cause);
        }
        Some(rustls::Error::InvalidCertificate(reason)) => Some(match reason {
            Expired | ExpiredContext { .. } => "expired",
            NotValidYet | NotValidYetContext { .. } => "not valid yet; check the system clock",
            NotValidForName | NotValidForNameContext { .. } => "for another host",
            other if is_ca_certificate(other) => {
                "a CA certificate (CA:TRUE), which a server must not present; issue one for the \
                 server with `basicConstraints=CA:FALSE`"
            }
            _ => "invalid",
        }),
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            let message = format!(
                "{peer} requires a client certificate, which this transport does not support"
            );
            return refused(message).with_source(cause);
        }
        // The server selected none of the offered protocols, or one that was not offered.
        Some(
            rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
            | rustls::Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol),
        ) => return refused(error::http2_only(peer)).with_source(cause),
        Some(rustls::Error::FailedToGetCurrentTime) => {
            let message =
                format!("cannot check the certificate of {peer}: the system clock is before 1970");
            return refused(message).with_source(cause);
        }
        _ => None,
    };
    let message = match certificate {
        Some(reason) => format!("the certificate of {peer} is {reason}"),
        None if seen.first().starts_with(b"HTTP/") => {
            format!("{peer} does not use TLS; check whether the URL should start with http://")
        }
        None if seen.counts().read == 0 => {
            format!(
                "{peer} closed the connection during the TLS handshake; check whether the port uses TLS"
            )
        }
        None => format!("TLS handshake with {peer} failed"),
    };
    refused(message).with_source(cause)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::error::Role;

    async fn connect(clock: fn() -> SystemTime) -> Result<BoxIo> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["host.test".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider().unwrap())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let (near, far) = tokio::io::duplex(64 << 10);
        let accepted = tokio::spawn(TlsAcceptor::from(Arc::new(config)).accept(far));
        let mut tls = Tls::new(Roots::Given, &[cert.pem().into_bytes()]).unwrap();
        tls.clock = Clock(clock);
        let peer = Peer {
            host: "host.test",
            port: 443,
            role: Role::Origin,
        };
        let connected = tls.connect(Box::new(near), &peer, None).await;
        drop(accepted);
        connected
    }

    #[tokio::test]
    async fn a_clock_before_1970_is_an_error_and_not_a_panic() {
        let error = connect(|| UNIX_EPOCH - Duration::from_secs(1)).await;
        let error = error.err().expect("no certificate is valid before 1970");
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert_eq!(error.repeat(), Repeat::Never);
        let message = error.to_string();
        assert!(
            message.ends_with("the system clock is before 1970"),
            "{message}"
        );
        assert!(connect(SystemTime::now).await.is_ok());
    }
}
