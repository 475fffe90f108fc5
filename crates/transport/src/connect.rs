//! Connection setup: DNS lookup, TCP, proxy and TLS, each with its own timeout and error kind.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    net::SocketAddr,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use http::Uri;
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use inferstream_core::{Error, ErrorKind, Phase, Result, Timeouts};
use tower_service::Service;

use crate::{
    error::{self, Peer, Role},
    names::Names,
    proxy::{Proxies, Proxy, Scheme},
    timeout,
    tls::Tls,
    watch::BoxIo,
};

/// Delay before addresses of the other family (IPv4 or IPv6) are tried in parallel.
const OTHER_FAMILY_AFTER: Duration = Duration::from_millis(250);

/// TCP keep-alive: a peer that disappeared is detected after 15 s of silence and three probes.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The destination of a connection and the proxy on the way. Connections with equal routes are
/// interchangeable.
#[derive(Clone, Hash, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) https: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Most routes have none, and each open response has a route.
    pub(crate) proxy: Option<Box<Proxy>>,
}

impl Route {
    /// Parses the route from a request's URL.
    pub(crate) fn new(uri: &Uri, proxies: &Proxies) -> Result<Self> {
        let (https, default_port) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => {
                return Err(Error::config(
                    "invalid URL: expected it to start with https:// or http://",
                ));
            }
        };
        let Some(host) = uri.host().filter(|host| !host.is_empty()) else {
            return Err(Error::config("invalid URL: expected a host"));
        };
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(Error::config(
                "invalid URL: expected no user name or password (send an `authorization` header instead)",
            ));
        }
        // `http` parses `host:99999` as a host without a port, which would send the request
        // elsewhere.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if uri.port_u16().is_none() && authority != host {
            return Err(Error::config(
                "invalid port in the URL: expected 0 to 65535",
            ));
        }
        Ok(Self {
            https,
            host: host.to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or(default_port),
            proxy: proxies.of(uri).map(Box::new),
        })
    }

    pub(crate) fn peer(&self) -> Peer<'_> {
        Peer {
            host: &self.host,
            port: self.port,
            role: Role::Origin,
        }
    }

    /// Returns the peer that the connection is opened to: the forwarding proxy, or else the origin.
    pub(crate) fn hop(&self) -> Peer<'_> {
        self.forwarder().map_or_else(|| self.peer(), Proxy::peer)
    }

    /// Returns the proxy if it forwards requests (absolute form) rather than tunnelling them.
    pub(crate) fn forwarder(&self) -> Option<&Proxy> {
        self.proxy
            .as_deref()
            .filter(|proxy| !self.https && !proxy.is_socks())
    }
}

/// Opens a connection.
pub(crate) async fn connect(
    route: &Route,
    names: &Names,
    tls: &Tls,
    limits: &Timeouts,
) -> Result<BoxIo> {
    let origin = route.peer();
    let io = match &route.proxy {
        None => reach(&origin, names, limits).await?,
        Some(proxy) => {
            let io = reach(&proxy.peer(), names, limits).await?;
            let io = match proxy.scheme {
                Scheme::Https => tls.connect(io, &proxy.peer(), limits.tls).await?,
                _ => io,
            };
            if route.forwarder().is_some() {
                return Ok(io);
            }
            let target = target(route, proxy, names, limits).await?;
            let tunnel = pin!(proxy.tunnel(io, target));
            timeout::within(limits.connect, Phase::Connect, &proxy.peer(), tunnel).await?
        }
    };
    if route.https {
        tls.connect(io, &origin, limits.tls).await
    } else {
        Ok(io)
    }
}

/// Returns the target of the tunnel: the host name, or its address if the proxy does not resolve
/// names.
async fn target(route: &Route, proxy: &Proxy, names: &Names, limits: &Timeouts) -> Result<Uri> {
    let origin = route.peer();
    if proxy.scheme != Scheme::Socks5 {
        return place(&origin);
    }
    let addresses = look_up(&origin, names, limits).await?;
    // Prefer IPv4: a proxy without IPv6 is common, one without IPv4 is rare.
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    let address = v4
        .or(addresses.first())
        .ok_or_else(|| no_address(&origin))?;
    let host = match address.ip() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    };
    place(&Peer {
        host: &host,
        ..origin
    })
}

/// Opens a TCP connection to the peer.
async fn reach(peer: &Peer<'_>, names: &Names, limits: &Timeouts) -> Result<BoxIo> {
    let addresses = look_up(peer, names, limits).await?;
    open(addresses, peer, limits).await
}

/// Opens a TCP connection to one of the peer's addresses.
async fn open(addresses: Vec<SocketAddr>, peer: &Peer<'_>, limits: &Timeouts) -> Result<BoxIo> {
    let mut connector = HttpConnector::new_with_resolver(Resolved(addresses));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEP_ALIVE));
    connector.set_keepalive_interval(Some(KEEP_ALIVE));
    connector.set_keepalive_retries(Some(3));
    connector.set_happy_eyeballs_timeout(Some(OTHER_FAMILY_AFTER));
    // The connector divides the timeout among the addresses, so that one silent address does not
    // use all of it.
    connector.set_connect_timeout(limits.connect);
    let place = place(peer)?;
    let connecting = pin!(async {
        match connector.call(place).await {
            Ok(stream) => Ok(Box::new(stream.into_inner()) as BoxIo),
            Err(cause) => Err(match (error::io_kind(&cause), limits.connect) {
                // The share of the last address may expire just before the whole timeout.
                (Some(io::ErrorKind::TimedOut), Some(limit)) => peer.timeout(Phase::Connect, limit),
                _ => peer.unreachable(cause),
            }),
        }
    });
    timeout::within(limits.connect, Phase::Connect, peer, connecting).await
}

/// Looks up the peer's addresses. Returns at least one.
async fn look_up(peer: &Peer<'_>, names: &Names, limits: &Timeouts) -> Result<Vec<SocketAddr>> {
    let bare = peer.host.trim_start_matches('[').trim_end_matches(']');
    let lookup = pin!(async {
        match names.look_up(bare).await {
            Ok(mut addresses) => {
                for address in &mut addresses {
                    address.set_port(peer.port);
                }
                Ok(addresses)
            }
            Err(cause) => {
                let message = match error::exhausted(&cause) {
                    Some(reason) => format!("DNS lookup of {peer} failed: {reason}"),
                    None => format!("DNS lookup of {peer} failed"),
                };
                Err(peer.error(ErrorKind::Dns, message).with_source(cause))
            }
        }
    });
    let found = timeout::within(limits.dns, Phase::Dns, peer, lookup).await;
    found.and_then(|found| at_least_one(found, peer))
}

fn at_least_one(found: Vec<SocketAddr>, peer: &Peer<'_>) -> Result<Vec<SocketAddr>> {
    if found.is_empty() {
        Err(no_address(peer))
    } else {
        Ok(found)
    }
}

fn no_address(peer: &Peer<'_>) -> Error {
    peer.error(
        ErrorKind::Dns,
        format!("DNS lookup of {peer} returned no address"),
    )
}

/// Returns the peer as a URL for the connector.
fn place(peer: &Peer<'_>) -> Result<Uri> {
    Uri::builder()
        .scheme("http")
        .authority(format!("{}:{}", peer.host, peer.port))
        .path_and_query("/")
        .build()
        .map_err(|cause| {
            Error::config(format!(
                "invalid address {peer}: expected a host and a port"
            ))
            .with_source(cause)
        })
}

/// A resolver that returns addresses which were looked up before.
#[derive(Clone)]
struct Resolved(Vec<SocketAddr>);

impl Service<Name> for Resolved {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(std::mem::take(&mut self.0).into_iter()))
    }
}

// Other systems have only one IPv4 address on loopback, and refuse connections when a backlog is full.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use inferstream_core::Sent;
    use tokio::{
        net::{TcpListener, TcpSocket, TcpStream},
        time::timeout,
    };

    use super::*;

    fn address(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], port))
    }

    fn peer(port: u16) -> Peer<'static> {
        Peer {
            host: "many.test",
            port,
            role: Role::Origin,
        }
    }

    async fn open_any(addresses: Vec<SocketAddr>, limit: Duration) -> Result<BoxIo> {
        let peer = peer(addresses[0].port());
        open(addresses, &peer, &Timeouts::default().connect(limit)).await
    }

    #[tokio::test]
    async fn the_first_good_address_of_many_is_used() {
        let listener = TcpListener::bind(address(64, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses: Vec<_> = (1..=64).map(|last| address(last, port)).collect();
        let refused = open_any(addresses[..63].to_vec(), Duration::from_secs(60)).await;
        assert_eq!(refused.err().unwrap().kind(), ErrorKind::Connect);
        assert!(open_any(addresses, Duration::from_secs(60)).await.is_ok());
    }

    #[tokio::test]
    async fn a_silent_address_leaves_time_for_the_next_one() {
        // A listener with a full backlog ignores further connections.
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind(address(1, 0)).unwrap();
        let silent = silent.listen(1).unwrap();
        let port = silent.local_addr().unwrap().port();
        let mut crowd = Vec::new();
        for _ in 0..4 {
            let connect = TcpStream::connect(address(1, port));
            crowd.push(timeout(Duration::from_millis(50), connect).await);
        }
        let limit = Duration::from_secs(1);
        let error = open_any(vec![address(1, port)], limit).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Connect));
        let _good = TcpListener::bind(address(2, port)).await.unwrap();
        let addresses = vec![address(1, port), address(2, port)];
        assert!(open_any(addresses, limit).await.is_ok());
    }

    #[test]
    fn a_name_without_addresses_is_a_dns_error() {
        let error = at_least_one(Vec::new(), &peer(80)).unwrap_err();
        assert_eq!(
            (error.kind(), error.sent()),
            (ErrorKind::Dns, Some(Sent::No))
        );
        assert_eq!(
            error.to_string(),
            "DNS lookup of many.test:80 returned no address"
        );
    }
}
