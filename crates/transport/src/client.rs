//! The HTTP/1.1 transport: sends a request on a pooled or new connection and checks the response
//! headers.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::Full;
use hyper::body::Incoming;
use inferstream_core::{
    Body, BoxFuture, Error, ErrorKind, ReplayStale, Replays, Result, Sent, Timeouts, Timer,
    Transport,
};

use crate::{
    body::ResponseBody,
    builder::HttpTransportBuilder,
    connect::{Route, connect},
    error::{self, Peer},
    exchange::{Cause, Connection, MAX_HEAD},
    names::Names,
    pool::Pool,
    proxy::Proxies,
    runtime::{self, Runtime},
    switched::Switched,
    tls::Tls,
};

/// A [`Transport`] over HTTP/1.1, with TLS, proxies and a pool of connections.
///
/// Cloning is cheap, and the clones share the pool.
///
/// Behavior:
///
/// - Only `http://` and `https://` URLs are supported. An API key is sent over plain `http://` if
///   the URL says so.
/// - Redirects are not followed. Each is an error that names the origin of the target.
/// - Requests are sent with `accept-encoding: identity`, and an encoded response is an error,
///   because a small one can decompress to any size.
/// - [`Timeouts`] in the request's extensions override the transport's. The timeouts `dns`,
///   `connect`, `tls`, `write` and `head` are enforced here; the reader of the body enforces the
///   rest.
/// - Concurrent requests to one host share its DNS lookup, which occupies one thread of the runtime
///   until the system's resolver returns.
/// - A request with the header `upgrade` gets a new connection. If the response is 101, the
///   connection becomes the body, which also accepts data to send.
/// - Only a request with the extension [`ReplayStale`] is sent on a reused connection. If that
///   connection closes before the first byte of the response, the request is sent again, once, on a
///   new connection. Without the extension a request gets a new connection, because the server may
///   close an idle one while the request is on its way. Nothing else is sent twice.
///
/// The response headers may have up to 64 KiB and 100 fields. The body is read on demand, at most
/// 64 KiB ahead.
#[derive(Clone)]
pub struct HttpTransport {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pool: Arc<Pool>,
    pub(crate) names: Names,
    pub(crate) proxies: Proxies,
    pub(crate) tls: Tls,
    pub(crate) timeouts: Timeouts,
    pub(crate) user_agent: HeaderValue,
    pub(crate) runtime: Runtime,
}

impl HttpTransport {
    /// Creates a transport with the default settings; see [`HttpTransportBuilder`].
    ///
    /// # Errors
    ///
    /// Returns `Config` if an environment variable for a proxy is malformed, or if there is no TLS
    /// crypto provider (neither a feature for one nor an installed rustls provider).
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// Returns a builder, to change the default settings.
    pub fn builder() -> HttpTransportBuilder {
        HttpTransportBuilder::default()
    }

    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            inner.runtime.enter()?;
            // Record this only when polled: a layer may hold the future and wait before sending.
            #[cfg(feature = "tower")]
            crate::tower::Taken::mark(&request);
            inner.send(request).await
        })
    }

    /// Spawns the task on the current runtime, or else on the one that last sent a request. Without
    /// either, the task is dropped.
    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.inner.runtime.detach(task);
    }
}

impl Timer for HttpTransport {
    fn now(&self) -> Duration {
        self.inner.runtime.now()
    }

    /// Sleeps for the duration. Outside a tokio runtime it returns at once, because `send` fails
    /// there anyway.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        runtime::sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport")
            .field("proxies", &self.inner.proxies)
            .field("tls", &self.inner.tls)
            .field("timeouts", &self.inner.timeouts)
            .finish_non_exhaustive()
    }
}

impl Inner {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        let limits = request.extensions().get().copied().unwrap_or(self.timeouts);
        let may_replay = request.extensions().get::<ReplayStale>().is_some();
        let replays = request.extensions().get::<Replays>().cloned();
        let asks_to_switch = request.headers().contains_key(header::UPGRADE);
        let route = Route::new(request.uri(), &self.proxies)?;
        let request = self.prepare(request, &route)?;
        let peer = route.peer();

        // The server may close an idle connection at any time, and then nothing shows whether it
        // processed the request. A request that must not be sent twice gets a new connection.
        let pooled = || self.pool.take(&route);
        let may_reuse = may_replay && !asks_to_switch;
        if let Some(mut connection) = may_reuse.then(pooled).flatten() {
            match connection.exchange(request.clone(), &route, &limits).await {
                Ok(response) => return self.accept(response, connection, route),
                Err(failure) if failure.cause == Cause::Unsent => {}
                Err(failure) if failure.cause == Cause::Stale => {
                    if let Some(replays) = replays {
                        replays.add();
                    }
                }
                Err(failure) => return Err(failure.error),
            }
        }
        let io = connect(&route, &self.names, &self.tls, &limits).await?;
        let mut connection = Connection::new(io, &peer).await?;
        let exchanged = connection.exchange(request, &route, &limits).await;
        let response = exchanged.map_err(|failure| failure.error)?;
        if asks_to_switch && response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return switched(response, connection, &peer);
        }
        self.accept(response, connection, route)
    }

    /// Completes the request for the wire: its target form and the standard headers.
    fn prepare(&self, request: Request<Bytes>, route: &Route) -> Result<Request<Full<Bytes>>> {
        let (mut parts, body) = request.into_parts();
        parts.version = Version::HTTP_11;
        let default_port = if route.https { 443 } else { 80 };
        let host = match route.port {
            port if port == default_port => route.host.clone(),
            port => format!("{}:{port}", route.host),
        };
        let host = HeaderValue::try_from(host).map_err(|cause| {
            Error::config("invalid host in the URL: expected visible ASCII characters")
                .with_source(cause)
        })?;
        parts.headers.insert(header::HOST, host);
        parts.headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        if !parts.headers.contains_key(header::USER_AGENT) {
            parts
                .headers
                .insert(header::USER_AGENT, self.user_agent.clone());
        }
        // "A user agent SHOULD send Content-Length in a request when the method defines a meaning
        // for enclosed content" (RFC 9110, section 8.6), and hyper omits it for an empty body.
        if body.is_empty() && matches!(parts.method, Method::POST | Method::PUT | Method::PATCH) {
            let none = HeaderValue::from_static("0");
            parts.headers.insert(header::CONTENT_LENGTH, none);
        }
        // Only for the hop to the proxy: the service must not see the credentials.
        parts.headers.remove(header::PROXY_AUTHORIZATION);
        if let Some(proxy) = route.forwarder() {
            if let Some(basic) = &proxy.basic {
                parts
                    .headers
                    .insert(header::PROXY_AUTHORIZATION, basic.clone());
            }
        } else {
            let origin_form = parts.uri.path_and_query().cloned();
            parts.uri = origin_form.map_or_else(|| Uri::from_static("/"), Uri::from);
        }
        Ok(Request::from_parts(parts, Full::new(body)))
    }

    /// Rejects responses that no protocol handles, such as redirects, and wraps the body.
    fn accept(
        &self,
        response: Response<Incoming>,
        connection: Connection,
        route: Route,
    ) -> Result<Response<Body>> {
        let (mut parts, incoming) = response.into_parts();
        let peer = route.peer();
        let refusal = if MAX_HEAD < head_size(&parts.headers) {
            // hyper's limit applies to its buffer, which a single read may exceed.
            Some(error::head_too_large(&peer))
        } else if parts.status.is_redirection() {
            let target = redirect_target(parts.headers.get(header::LOCATION), &route);
            Some(Error::new(
                ErrorKind::Redirect,
                format!(
                    "{peer} redirects to {target} ({}), which this transport does not follow",
                    parts.status
                ),
            ))
        } else if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            Some(Error::protocol(format!(
                "unexpected 101 response from {peer}: the request did not ask to switch protocols"
            )))
        } else if let Some(encoding) = foreign_encoding(&parts.headers) {
            if !parts.status.is_success() {
                // The status alone is enough to report; the encoded body is dropped.
                return Ok(Response::from_parts(parts, Body::from("")));
            }
            Some(Error::protocol(format!(
                "unexpected content encoding ({encoding}) in the response from {peer}"
            )))
        } else {
            let forwarder = route.forwarder();
            forwarder.and_then(|proxy| proxy.refusal_of_head(&parts))
        };
        if let Some(error) = refusal {
            return Err(error
                .with_sent(Sent::Yes)
                .with_head(parts.status, parts.headers));
        }
        // After a server error, the next request should use a new connection.
        let home = (!parts.status.is_server_error()).then(|| (Arc::clone(&self.pool), route));
        // hyper's extensions about the connection are internal.
        parts.extensions = http::Extensions::new();
        Ok(Response::from_parts(
            parts,
            Body::new(ResponseBody::new(incoming, connection, home)),
        ))
    }
}

/// Turns a connection that switched protocols into a body.
fn switched(
    response: Response<Incoming>,
    connection: Connection,
    peer: &Peer<'_>,
) -> Result<Response<Body>> {
    let (mut parts, _) = response.into_parts();
    if MAX_HEAD < head_size(&parts.headers) {
        return Err(error::head_too_large(peer).with_sent(Sent::Yes));
    }
    let Some((io, read)) = connection.switch() else {
        let message = format!("connection to {peer} lost while switching protocols");
        return Err(Error::new(ErrorKind::Disconnected, message).with_sent(Sent::Yes));
    };
    parts.extensions = http::Extensions::new();
    let body = Body::duplex(Switched::new(io, read));
    Ok(Response::from_parts(parts, body))
}

/// Returns the approximate size of the headers on the wire.
fn head_size(headers: &http::HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum()
}

/// Returns the origin of a redirect's target. The path and the query are omitted, as they may
/// contain secrets.
fn redirect_target(location: Option<&HeaderValue>, route: &Route) -> String {
    let Some(location) = location else {
        return "nowhere".to_owned();
    };
    let own = if route.https { "https" } else { "http" };
    let text = location.to_str().unwrap_or_default();
    let uri = match text.strip_prefix("//") {
        Some(rest) => format!("{own}://{rest}").parse::<Uri>(),
        None => text.parse(),
    };
    let Ok(uri) = uri else {
        return "an invalid URL".to_owned();
    };
    match (uri.scheme_str(), uri.host()) {
        // A DNS name has at most 253 characters.
        (Some(_), Some(host)) if 253 < host.len() => "an invalid URL".to_owned(),
        (Some(scheme), Some(host)) => match uri.port_u16() {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        },
        (None, None) => format!("{own}://{}:{}", route.host, route.port),
        _ => "an invalid URL".to_owned(),
    }
}

/// Returns the content encoding of a response, if it has an unexpected one.
pub(crate) fn foreign_encoding(headers: &http::HeaderMap) -> Option<&'static str> {
    const KNOWN: [&str; 6] = ["gzip", "br", "deflate", "zstd", "compress", "x-gzip"];
    let of = |name, plain| {
        let values = headers.get_all(name).iter();
        let mut codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        codings.find(move |coding| {
            let coding = coding.trim_ascii();
            !coding.is_empty() && !coding.eq_ignore_ascii_case(plain)
        })
    };
    let coding = of(header::CONTENT_ENCODING, b"identity".as_slice())
        .or(of(header::TRANSFER_ENCODING, b"chunked".as_slice()))?;
    // An unknown name may be anything, even a key, so it is not shown.
    let known = |name: &&str| coding.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
    Some(KNOWN.into_iter().find(known).unwrap_or("unknown"))
}
