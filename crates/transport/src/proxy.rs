//! Proxy settings from the builder or the environment, and tunnels through HTTP and SOCKS proxies.

use std::{
    convert::Infallible,
    ffi::OsString,
    fmt,
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{HeaderValue, Uri, header};
use hyper_util::{
    client::{
        legacy::connect::proxy::{SocksV5, Tunnel},
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioIo,
};
use inferstream_core::{Error, ErrorKind, Repeat, Result};
use tower_service::Service;

use crate::{
    error::{self, Peer, Role},
    watch::{BoxIo, Seen, Watched},
};

/// Where the proxies are configured.
#[derive(Clone, Default)]
pub(crate) enum Setting {
    #[default]
    Environment,
    Never,
    Url(String),
}

/// `Debug` omits the URL, which may contain a password.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::Never => "Never",
            Self::Url(_) => "Url(..)",
        })
    }
}

/// The proxies in use, by the scheme of the request's URL.
#[derive(Debug)]
pub(crate) struct Proxies(Option<Matcher>);

impl Proxies {
    pub(crate) fn new(setting: &Setting) -> Result<Self> {
        match setting {
            Setting::Environment => Self::from_variables(|name| std::env::var_os(name)),
            Setting::Never => Ok(Self(None)),
            Setting::Url(url) => {
                check(url).map_err(|why| {
                    let message = format!("invalid proxy URL in `proxy`: {why}");
                    Error::config(message).with_setting("proxy")
                })?;
                Ok(Self(Some(Matcher::builder().all(url.as_str()).build())))
            }
        }
    }

    /// Reads the environment variables as curl does: lower case takes precedence, and an empty
    /// variable counts as unset.
    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        // In a CGI program, `HTTP_PROXY` is the request's header `Proxy`, so clients could choose
        // the proxy.
        let cgi = variable("REQUEST_METHOD").is_some();
        let http = if cgi {
            &["http_proxy"][..]
        } else {
            &["http_proxy", "HTTP_PROXY"]
        };
        let all = url_in(&variable, &["all_proxy", "ALL_PROXY"])?;
        let http = url_in(&variable, http)?;
        let https = url_in(&variable, &["https_proxy", "HTTPS_PROXY"])?;
        if all.is_none() && http.is_none() && https.is_none() {
            return Ok(Self(None));
        }
        let no = first(&variable, &["no_proxy", "NO_PROXY"])
            .map(|(_, value)| value.to_string_lossy().into_owned());
        let matcher = Matcher::builder()
            .all(all.unwrap_or_default())
            .http(http.unwrap_or_default())
            .https(https.unwrap_or_default())
            .no(no.unwrap_or_default());
        Ok(Self(Some(matcher.build())))
    }

    /// Returns the proxy for the URL, if any.
    pub(crate) fn of(&self, uri: &Uri) -> Option<Proxy> {
        self.0
            .as_ref()?
            .intercept(uri)
            .map(|intercept| Proxy::new(&intercept))
    }
}

fn first<'n>(
    variable: &impl Fn(&str) -> Option<OsString>,
    names: &[&'n str],
) -> Option<(&'n str, OsString)> {
    names.iter().find_map(|name| {
        let value = variable(name).filter(|value| !value.is_empty())?;
        Some((*name, value))
    })
}

fn url_in(variable: &impl Fn(&str) -> Option<OsString>, names: &[&str]) -> Result<Option<String>> {
    let Some((name, value)) = first(variable, names) else {
        return Ok(None);
    };
    let url = value.into_string().map_err(|_| "expected UTF-8");
    let checked = url.and_then(|url| check(&url).map(|()| url));
    checked.map(Some).map_err(|why| {
        Error::config(format!(
            "invalid proxy URL in the environment variable {name}: {why}; correct it or call \
             `no_proxy`"
        ))
        .with_setting("no_proxy")
    })
}

/// Validates a proxy's URL. The error omits the URL, which may contain a password.
fn check(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "expected a URL")?;
    let socks = match uri.scheme_str() {
        None | Some("http" | "https") => false,
        Some("socks5" | "socks5h") => true,
        Some(_) => return Err("expected the scheme http, https, socks5 or socks5h"),
    };
    let authority = uri.authority().ok_or("expected a host")?.as_str();
    let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    if uri.host().is_none_or(str::is_empty) {
        return Err("expected a host");
    }
    if place.len() != uri.host().map_or(0, str::len) && uri.port_u16().is_none_or(|port| port == 0)
    {
        return Err("expected a port from 1 to 65535");
    }
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    if socks && 255 < user.len().max(password.len()) {
        return Err("expected a user name and a password of at most 255 bytes for SOCKS");
    }
    Ok(())
}

/// A proxy and its credentials.
#[derive(Clone, Hash, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) scheme: Scheme,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of `Proxy-Authorization`, for the HTTP kinds.
    pub(crate) basic: Option<HeaderValue>,
    raw: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
    /// Host names are resolved locally.
    Socks5,
    /// Host names are resolved by the proxy.
    Socks5h,
}

impl Proxy {
    fn new(intercept: &Intercept) -> Self {
        let uri = intercept.uri();
        let (scheme, port) = match uri.scheme_str() {
            Some("https") => (Scheme::Https, 443),
            Some("socks5") => (Scheme::Socks5, 1080),
            Some("socks5h") => (Scheme::Socks5h, 1080),
            _ => (Scheme::Http, 80),
        };
        Self {
            scheme,
            host: uri.host().unwrap_or_default().to_owned(),
            port: uri.port_u16().unwrap_or(port),
            basic: intercept.basic_auth().cloned(),
            raw: intercept
                .raw_auth()
                .map(|(user, word)| (user.to_owned(), word.to_owned())),
        }
    }

    pub(crate) fn peer(&self) -> Peer<'_> {
        Peer {
            host: &self.host,
            port: self.port,
            role: Role::Proxy,
        }
    }

    pub(crate) fn is_socks(&self) -> bool {
        matches!(self.scheme, Scheme::Socks5 | Scheme::Socks5h)
    }

    /// Opens a tunnel to the target (`host:port` as a URL) over a connection to the proxy.
    pub(crate) async fn tunnel(&self, io: BoxIo, target: Uri) -> Result<BoxIo> {
        let (io, seen) = Watched::new(io);
        let once = Once(Some(TokioIo::new(io)));
        // The connector ignores the proxy's address, because the connection exists already.
        let nowhere = Uri::from_static("http://proxy");
        if self.is_socks() {
            let mut socks = SocksV5::new(nowhere, once);
            if let Some((user, password)) = &self.raw {
                socks = socks.with_auth(user.clone(), password.clone());
            }
            match socks.call(target).await {
                Ok(io) => Ok(Box::new(io.into_inner())),
                Err(cause) => Err(self.socks_refusal(&cause.to_string(), &seen)),
            }
        } else {
            let mut tunnel = Tunnel::new(nowhere, once);
            if let Some(basic) = &self.basic {
                tunnel = tunnel.with_auth(basic.clone());
            }
            match tunnel.call(target).await {
                Ok(io) => Ok(Box::new(io.into_inner())),
                Err(cause) => Err(self.connect_refusal(&seen).with_source(cause)),
            }
        }
    }

    /// Creates the error of a failed `CONNECT`. The library does not expose the status as a number.
    fn connect_refusal(&self, seen: &Seen) -> Error {
        let peer = self.peer();
        let first = seen.first();
        let status = first
            .strip_prefix(b"HTTP/1.")
            .and_then(|rest| rest.get(2..5));
        match status.and_then(|digits| http::StatusCode::from_bytes(digits).ok()) {
            Some(http::StatusCode::OK) => peer.error(
                ErrorKind::Proxy,
                format!("{peer} closed the connection before the end of the response headers"),
            ),
            // The response of Tor's SOCKS port is "HTTP/1.0 501 Tor is not an HTTP Proxy".
            Some(http::StatusCode::NOT_IMPLEMENTED) if first.ends_with(b" Tor") => self.is_tor(),
            Some(status) => self.refusal(status),
            None => error::not_http(&peer, &first),
        }
    }

    /// Returns the error if a response to a forwarded request comes from the proxy itself.
    pub(crate) fn refusal_of_head(&self, head: &http::response::Parts) -> Option<Error> {
        let names_tinyproxy = || {
            let server = head.headers.get(header::SERVER);
            server.is_some_and(|server| server.as_bytes().starts_with(b"tinyproxy"))
        };
        match head.status.as_u16() {
            407 => Some(self.refusal(head.status)),
            // A service does not send 407. tinyproxy responds with 407 to missing credentials and
            // with 401 to wrong ones (`handle_connection` in its src/reqs.c); the responses that it
            // forwards keep the service's `Server` header.
            401 if head.headers.contains_key(header::PROXY_AUTHENTICATE) || names_tinyproxy() => {
                Some(self.refusal(head.status))
            }
            501 => {
                let reason = head.extensions.get::<hyper::ext::ReasonPhrase>()?;
                let is_tor = reason.as_bytes().starts_with(b"Tor is not an HTTP Proxy");
                is_tor.then(|| self.is_tor().with_status(head.status))
            }
            _ => None,
        }
    }

    fn is_tor(&self) -> Error {
        error::not_http(&self.peer(), &[5])
    }

    /// Creates the error for a status with which the proxy refuses a request.
    pub(crate) fn refusal(&self, status: http::StatusCode) -> Error {
        let peer = self.peer();
        match status.as_u16() {
            // Some proxies send 401 instead of 407.
            401 | 407 => self.wrong_credentials(self.basic.is_some()),
            _ => peer.error(
                ErrorKind::Proxy,
                format!("{peer} responded with status {status}"),
            ),
        }
        .with_status(status)
    }

    fn socks_refusal(&self, cause: &str, seen: &Seen) -> Error {
        let peer = self.peer();
        match (seen.first().as_slice(), self.raw.is_some()) {
            ([5, 0xFF, ..], given) => self.wrong_credentials(given),
            ([5, 2, 1, status, ..], true) if *status != 0 => self.wrong_credentials(true),
            (first, _) if first.starts_with(b"HTTP/") => {
                let message = format!(
                    "{peer} uses HTTP instead of SOCKS; the URL of an HTTP proxy should start with http://"
                );
                peer.error(ErrorKind::Proxy, message)
                    .with_repeat(Repeat::Never)
            }
            _ => {
                let cause = cause.strip_prefix("SOCKS error: ").unwrap_or(cause);
                peer.error(
                    ErrorKind::Proxy,
                    format!("{peer} refused the tunnel: {cause}"),
                )
            }
        }
    }

    fn wrong_credentials(&self, given: bool) -> Error {
        let peer = self.peer();
        let message = if given {
            format!("{peer} rejected the user name and password")
        } else {
            format!("{peer} requires credentials: add `user:password@` to its URL")
        };
        peer.error(ErrorKind::Proxy, message)
            .with_repeat(Repeat::Never)
    }
}

/// A connector that returns an existing connection.
struct Once<T>(Option<T>);

impl<T> Service<Uri> for Once<T> {
    type Response = T;
    type Error = Infallible;
    type Future = Ready<Result<T, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(Ok(self.0.take().expect("a tunnel connects once")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies> {
        Proxies::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[track_caller]
    fn check_proxy(variables: &[(&str, &str)], url: &'static str, expected: Option<&str>) {
        let proxy = proxies(variables).unwrap().of(&Uri::from_static(url));
        let found = proxy.map(|proxy| format!("{:?} {}:{}", proxy.scheme, proxy.host, proxy.port));
        assert_eq!(found.as_deref(), expected);
    }

    #[track_caller]
    fn check_refused(name: &str, value: &str) {
        let error = proxies(&[(name, value)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(name), "{error}");
        assert!(
            !format!("{error} {error:?}").contains("secret"),
            "{error:?}"
        );
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let both = [("HTTP_PROXY", "http://a:1"), ("https_proxy", "https://b")];
        check_proxy(&both, "http://x/", Some("Http a:1"));
        check_proxy(&both, "https://x/", Some("Https b:443"));
        check_proxy(&[("HTTP_PROXY", "http://a:1")], "https://x/", None);
    }

    #[test]
    fn all_proxy_fills_the_gaps() {
        let all = [("ALL_PROXY", "socks5h://s"), ("HTTP_PROXY", "a:1")];
        check_proxy(&all, "https://x/", Some("Socks5h s:1080"));
        check_proxy(&all, "http://x/", Some("Http a:1"));
    }

    #[test]
    fn lower_case_takes_precedence_and_an_empty_variable_is_unset() {
        check_proxy(
            &[("HTTPS_PROXY", "a:1"), ("https_proxy", "b:2")],
            "https://x/",
            Some("Http b:2"),
        );
        check_proxy(
            &[("HTTPS_PROXY", "a:1"), ("https_proxy", "")],
            "https://x/",
            Some("Http a:1"),
        );
    }

    #[test]
    fn no_proxy_excepts_hosts() {
        let except = [
            ("ALL_PROXY", "a:1"),
            ("NO_PROXY", "example.com, 10.0.0.0/8"),
        ];
        check_proxy(&except, "https://api.EXAMPLE.com/", None);
        check_proxy(&except, "https://10.1.2.3/", None);
        check_proxy(&except, "https://notexample.com/", Some("Http a:1"));
        check_proxy(
            &[("ALL_PROXY", "a:1"), ("no_proxy", "*")],
            "https://x/",
            None,
        );
    }

    #[test]
    fn a_cgi_program_ignores_http_proxy() {
        check_proxy(
            &[("HTTP_PROXY", "a:1"), ("REQUEST_METHOD", "GET")],
            "http://x/",
            None,
        );
        check_proxy(
            &[("http_proxy", "a:1"), ("REQUEST_METHOD", "GET")],
            "http://x/",
            Some("Http a:1"),
        );
    }

    #[test]
    fn a_malformed_variable_is_named_and_not_shown() {
        check_refused("HTTPS_PROXY", "http://user:secret@ not a url");
        check_refused("https_proxy", "ftp://user:secret@host");
        check_refused("ALL_PROXY", "socks4://user:secret@host");
        check_refused("HTTP_PROXY", "http://user:secret@host:99999");
        check_refused("HTTP_PROXY", "http://user:secret@");
    }

    #[test]
    fn credentials_are_parsed_from_the_url() {
        let proxy = |url: &str| {
            Proxies::new(&Setting::Url(url.to_owned()))
                .unwrap()
                .of(&Uri::from_static("https://x/"))
                .unwrap()
        };
        assert_eq!(
            proxy("http://us%40er:p@h:1").basic.unwrap(),
            "Basic dXNAZXI6cA=="
        );
        assert_eq!(
            proxy("socks5://u:p@h").raw,
            Some(("u".to_owned(), "p".to_owned()))
        );
    }
}
