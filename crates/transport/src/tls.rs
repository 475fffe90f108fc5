//! A socket into a TLS session, with the authorities that the user chose.

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use inferstream_core::{Error, ErrorKind, Phase, Repeat, Result};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore, crypto::CryptoProvider,
    time_provider::TimeProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::{
    error::Peer,
    timeout,
    watch::{BoxIo, Seen, Watched},
};

/// Whose signature makes a server's certificate good.
///
/// The certificates given with [`certificate_pem`](crate::HttpTransportBuilder::certificate_pem)
/// count with each of them.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
#[non_exhaustive]
pub enum Roots {
    /// The bundled list of Mozilla's and the operating system's together: the default.
    ///
    /// It works in a container without certificates and in a company with an authority of its own.
    #[default]
    All,
    /// The bundled list of Mozilla's.
    Bundled,
    /// The certificates given, and no other.
    Given,
    /// The operating system's, or those of the file that `SSL_CERT_FILE` names.
    System,
}

/// How TLS is spoken: made once per transport, the authorities read at the first use.
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    roots: Roots,
    given: RootCertStore,
    clock: Clock,
    connector: OnceCell<TlsConnector>,
}

/// The calendar's time, which certificates are checked against.
///
/// The time provider of rustls panics where the system's clock is before 1970.
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
                "`Roots::Given` trusts nobody without a certificate; add one with `certificate_pem`",
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

    /// Shakes hands with the peer, which must prove to be `host`.
    pub(crate) async fn connect(
        &self,
        io: BoxIo,
        peer: &Peer<'_>,
        limit: Option<Duration>,
    ) -> Result<BoxIo> {
        // Reading the authorities takes some 20 ms once, which is not the peer's fault.
        let connector = self.connector.get_or_try_init(|| self.load()).await?;
        let bare = peer.host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|cause| {
            let message = format!(
                "`{}` is no host name that a certificate can be for",
                peer.host
            );
            Error::config(message).with_source(cause)
        })?;
        let (io, seen) = Watched::new(io);
        timeout::within(limit, Phase::Tls, peer, async {
            let stream = connector.connect(name, io).await;
            stream
                .map(|stream| Box::new(stream) as BoxIo)
                .map_err(|cause| failed(peer, cause, &seen))
        })
        .await
    }

    async fn load(&self) -> Result<TlsConnector> {
        let mut store = self.given.clone();
        if matches!(self.roots, Roots::All | Roots::Bundled) {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        if matches!(self.roots, Roots::All | Roots::System) {
            // A system's store may hold certificates that nobody can parse; the others count.
            let system = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
            store.add_parsable_certificates(system.map(|found| found.certs).unwrap_or_default());
        }
        if store.is_empty() {
            return Err(Error::config(
                "this system has no certificate authorities; use `Roots::Bundled`, or name a file \
                 of them in SSL_CERT_FILE",
            ));
        }
        let provider = Arc::clone(&self.provider);
        let mut config = ClientConfig::builder_with_details(provider, Arc::new(self.clock))
            .with_safe_default_protocol_versions()
            .map_err(|cause| {
                Error::config("the cryptography provider lacks TLS 1.2 and 1.3").with_source(cause)
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

fn add_pem(store: &mut RootCertStore, pem: &[u8]) -> Result<()> {
    let before = store.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|cause| {
            Error::config("what `certificate_pem` was given is not PEM").with_source(cause)
        })?;
        store.add(certificate).map_err(|cause| {
            let message = "a certificate given to `certificate_pem` cannot be read";
            Error::config(message).with_source(cause)
        })?;
    }
    if store.len() == before {
        return Err(Error::config(
            "what `certificate_pem` was given holds no certificate; PEM begins with \
             `-----BEGIN CERTIFICATE-----`",
        ));
    }
    Ok(())
}

/// Returns the program's own choice, else that of the features.
fn provider() -> Result<Arc<CryptoProvider>> {
    // Whoever turned the second one on wants it; ring is there by default.
    #[cfg(feature = "aws-lc-rs")]
    let built_in = Some(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    let built_in = Some(rustls::crypto::ring::default_provider());
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    let built_in = None;

    let installed = CryptoProvider::get_default().cloned();
    installed.or_else(|| built_in.map(Arc::new)).ok_or_else(|| {
        Error::config(
            "TLS has no cryptography: turn on the feature `ring` or `aws-lc-rs` of \
             inferstream-transport, or install a rustls `CryptoProvider` before the transport is \
             made",
        )
    })
}

/// Returns true for the error `CaUsedAsEndEntity`, which comes of a self-signed certificate as
/// `openssl req -x509` makes it by default.
fn is_authoritys(reason: &CertificateError) -> bool {
    // It is an error of `webpki`, which rustls does not re-export, so that its type has no name here.
    matches!(reason, CertificateError::Other(cause) if format!("{cause:?}").contains("CaUsedAsEndEntity"))
}

fn failed(peer: &Peer<'_>, cause: io::Error, seen: &Seen) -> Error {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };

    let reset = cause.kind() == io::ErrorKind::ConnectionReset;
    if reset && seen.counts().read == 0 {
        // Nothing was said: a listener without room, not a matter of certificates.
        return peer.unreachable(cause);
    }
    let refused = |message: String| {
        peer.error(ErrorKind::Tls, message)
            .with_repeat(Repeat::Never)
    };
    let certificate = match cause.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(UnknownIssuer)) => {
            let message = format!(
                "the certificate of {peer} is signed by an authority that is not trusted; a private \
                 one is added with `certificate_pem`"
            );
            return refused(message)
                .with_setting("certificate_pem")
                .with_source(cause);
        }
        Some(rustls::Error::InvalidCertificate(reason)) => Some(match reason {
            Expired | ExpiredContext { .. } => "expired",
            NotValidYet | NotValidYetContext { .. } => "not valid yet; is the clock right?",
            NotValidForName | NotValidForNameContext { .. } => "for another host",
            other if is_authoritys(other) => {
                "an authority's own (CA:TRUE), which a server must not present; issue one for the \
                 server with `basicConstraints=CA:FALSE`"
            }
            _ => "not accepted",
        }),
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            let message = format!("{peer} wants to see a certificate of ours, and there is none");
            return refused(message).with_source(cause);
        }
        Some(rustls::Error::FailedToGetCurrentTime) => {
            let message = format!(
                "the certificate of {peer} cannot be checked: the system's clock is before 1970"
            );
            return refused(message).with_source(cause);
        }
        _ => None,
    };
    let message = match certificate {
        Some(reason) => format!("the certificate of {peer} is {reason}"),
        None if seen.first().starts_with(b"HTTP/") => {
            format!("the port of {peer} does not speak TLS; is the URL meant to be http://?")
        }
        None if seen.counts().read == 0 => {
            format!("{peer} ended the TLS handshake without a word; does the port speak TLS?")
        }
        None => format!("the TLS handshake with {peer} failed"),
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
        let error = error.err().expect("no certificate is valid then");
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert_eq!(error.repeat(), Repeat::Never);
        let message = error.to_string();
        assert!(
            message.ends_with("the system's clock is before 1970"),
            "{message}"
        );
        assert!(connect(SystemTime::now).await.is_ok());
    }
}
