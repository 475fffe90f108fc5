//! A cookie jar without I/O: from `Set-Cookie` headers to the next `Cookie` header.

mod given;
mod set_cookie;

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};

pub use self::given::GivenCookie;
use self::set_cookie::SetCookie;
pub use inferstream_core::provider::read_time;

/// The most `Set-Cookie` headers that are read from one response, as in curl.
const MAX_SET_COOKIES: usize = 50;

/// The most bytes of a cookie's name and value together: RFC 6265bis, section 5.6.
const MAX_PAIR: usize = 4096;

/// The most bytes of the `Cookie` line: what curl sends and Apache accepts by default.
const MAX_LINE: usize = 8190;

/// The most cookies that are kept and sent: curl's limit for sending.
const MAX_COOKIES: usize = 150;

/// The cookies of one session, by RFC 6265bis, with a list of parent domains in place of the public
/// suffix list.
///
/// A cookie belongs to the host that set it, or, by its `Domain`, to a parent of that host that is on
/// the list or below an entry of it. A cookie with any other `Domain` is dropped without an error.
///
/// Jars share no state: use one for each session. `Debug` shows no value.
#[derive(Clone, Default)]
pub struct Jar {
    parents: Vec<String>,
    trusts_loopback: bool,
    room: Room,
    cookies: Vec<Cookie>,
}

/// The limits of a jar.
#[derive(Clone, Copy)]
struct Room {
    cookies: usize,
    line: usize,
}

#[derive(Clone)]
struct Cookie {
    name: String,
    value: String,
    host: String,
    scope: Scope,
    path: String,
    /// Seconds since 1970, or `None` for a cookie that lives as long as the jar.
    expires: Option<u64>,
    secure: bool,
    http_only: bool,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            cookies: MAX_COOKIES,
            line: MAX_LINE,
        }
    }
}

/// The hosts that a cookie is sent to.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    /// To its host, and those below.
    Domain,
    /// To its host alone.
    Host,
    /// Only to its host, until that sets a cookie of the same name. The original scope is unknown.
    Restored,
}

impl Jar {
    /// Creates an empty jar, with the hosts that cookies may name as their `Domain`.
    ///
    /// An entry such as `cloudflare.com` stands for itself and all of its subdomains. Top-level domains
    /// (entries without a dot), addresses and invalid host names are ignored: they would allow too
    /// much.
    pub fn new<S: AsRef<str>>(parents: impl IntoIterator<Item = S>) -> Self {
        let parents = parents.into_iter();
        let parents = parents.filter_map(|parent| canonical(parent.as_ref()));
        Self {
            parents: parents
                .filter(|parent| parent.contains('.') && !is_address(parent))
                .collect(),
            ..Self::default()
        }
    }

    /// Treats plain HTTP to loopback as secure.
    #[must_use]
    pub fn trust_loopback(mut self) -> Self {
        self.trusts_loopback = true;
        self
    }

    /// Sets the most cookies that are kept, 150 by default, and the most bytes of the `Cookie` line,
    /// 8190 by default.
    #[must_use]
    pub fn room(mut self, cookies: usize, line: usize) -> Self {
        self.room = Room { cookies, line };
        self
    }

    /// Stores and deletes cookies by the `Set-Cookie` headers of a response from this host to a
    /// request for this path.
    pub fn absorb(
        &mut self,
        host: &str,
        path: &str,
        https: bool,
        headers: &HeaderMap,
        now: SystemTime,
    ) {
        let Some(host) = canonical(host) else {
            return;
        };
        let now = seconds(now);
        let is_secure = self.is_secure(&host, https);
        self.cookies.retain(|cookie| cookie.is_alive(now));
        let lines = headers.get_all(SET_COOKIE).into_iter();
        for line in lines.take(MAX_SET_COOKIES) {
            let cookie = SetCookie::parse(line.as_bytes())
                .and_then(|set| self.admit(&set, &host, path, is_secure, now));
            if let Some(cookie) = cookie {
                self.store(cookie, &host, is_secure, now);
            }
        }
    }

    /// Adds cookies of which only name and value are known, such as those of a session file.
    ///
    /// Each replaces the cookies of the same name that this host would get. It is sent only to this
    /// host and only over TLS, until the host sets a cookie of the same name. Returns how many were
    /// refused.
    pub fn restore<'a>(
        &mut self,
        host: &str,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> usize {
        let host = canonical(host);
        let mut refused = 0;
        for (name, value) in pairs {
            match &host {
                Some(host) if is_pair(name, value) && self.cookies.len() < self.room.cookies => {
                    self.discard(host, name);
                    self.cookies.push(Cookie {
                        name: name.to_owned(),
                        value: value.to_owned(),
                        host: host.clone(),
                        scope: Scope::Restored,
                        path: "/".to_owned(),
                        expires: None,
                        secure: true,
                        http_only: true,
                    });
                }
                _ => refused += 1,
            }
        }
        refused
    }

    /// Adds a cookie if this host would get it, on some path and at some time; returns true if it was
    /// added.
    ///
    /// The newest cookie of the same name, host and path is kept; a cookie of unknown host replaces,
    /// and is replaced by, any of its name. Cookies beyond the limit are added too, so that
    /// [`len`](Self::len) counts them.
    pub fn give(&mut self, host: &str, given: &GivenCookie) -> bool {
        let Some((host, place)) = canonical(host).and_then(|host| {
            let place = match &given.host {
                None => (host.clone(), Scope::Restored),
                Some(own) if own.is_empty() => return None,
                Some(own) if given.below => self.domain(&host, Some(own))?,
                Some(own) => (canonical(own).filter(|own| *own == host)?, Scope::Host),
            };
            is_pair(&given.name, &given.value).then_some((host, place))
        }) else {
            return false;
        };
        let is_prefixed = |prefix| has_prefix(&given.name, prefix);
        let cookie = Cookie {
            name: given.name.clone(),
            value: given.value.clone(),
            host: place.0,
            scope: place.1,
            path: given.path.clone(),
            expires: given.expires,
            secure: given.secure || is_prefixed("__Host-") || is_prefixed("__Secure-"),
            http_only: true,
        };
        self.replace(&cookie, &host);
        self.cookies.push(cookie);
        true
    }

    /// Removes the cookies with a name that this host would get.
    pub fn discard(&mut self, host: &str, name: &str) {
        if let Some(host) = canonical(host) {
            self.cookies
                .retain(|cookie| cookie.name != name || !cookie.goes_to(&host));
        }
    }

    /// Returns the value of the `Cookie` header for a request, marked sensitive, if there is one.
    ///
    /// Cookies that do not fit into the line are omitted.
    pub fn header(
        &self,
        host: &str,
        path: &str,
        https: bool,
        now: SystemTime,
    ) -> Option<HeaderValue> {
        let host = canonical(host)?;
        let now = seconds(now);
        let is_secure = self.is_secure(&host, https);
        let mut cookies: Vec<&Cookie> = self
            .cookies
            .iter()
            .filter(|cookie| cookie.goes_to(&host) && cookie.is_alive(now))
            .filter(|cookie| cookie.is_below(path) && (is_secure || !cookie.secure))
            .collect();
        // "Cookies with longer paths are listed before cookies with shorter paths."
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let name = COOKIE.as_str().len() + ": ".len();
        let room = self.room.line.saturating_sub(name);
        let mut line = String::new();
        for Cookie { name, value, .. } in cookies {
            let separator = if line.is_empty() { "" } else { "; " };
            if line.len() + separator.len() + name.len() + 1 + value.len() <= room {
                line.extend([separator, name, "=", value]);
            }
        }
        let mut value = HeaderValue::try_from(line).ok()?;
        value.set_sensitive(true);
        (!value.is_empty()).then_some(value)
    }

    /// Returns names and values of the cookies that this host would get over TLS, on any path.
    ///
    /// Of several with the same name, the newest is returned.
    pub fn pairs(&self, host: &str, now: SystemTime) -> BTreeMap<String, String> {
        let now = seconds(now);
        let Some(host) = canonical(host) else {
            return BTreeMap::new();
        };
        self.cookies
            .iter()
            .filter(|cookie| cookie.goes_to(&host) && cookie.is_alive(now))
            .map(|cookie| (cookie.name.clone(), cookie.value.clone()))
            .collect()
    }

    /// Returns the number of cookies, expired ones included.
    pub fn len(&self) -> usize {
        self.cookies.len()
    }

    /// Returns true if there are no cookies.
    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty()
    }

    /// Creates a cookie from what a response sets, if the rules allow it.
    fn admit(
        &self,
        set: &SetCookie<'_>,
        host: &str,
        path: &str,
        is_secure: bool,
        now: u64,
    ) -> Option<Cookie> {
        let (domain, scope) = self.domain(host, set.domain)?;
        let path = match set.path {
            Some(path) if path.starts_with('/') => path,
            _ => default_path(path),
        };
        // "If the scheme component of the request-uri does not denote a 'secure' protocol and the
        // cookie's secure-only-flag is true, abort these steps and ignore the cookie entirely."
        let is_allowed = is_secure || !set.secure;
        let keeps_prefix = if has_prefix(set.name, "__Host-") {
            set.secure && set.domain.is_none() && set.path == Some("/")
        } else {
            set.secure || !has_prefix(set.name, "__Secure-")
        };
        (is_allowed && keeps_prefix).then(|| Cookie {
            name: set.name.to_owned(),
            value: set.value.to_owned(),
            host: domain,
            scope,
            path: path.to_owned(),
            expires: set.expires(now),
            secure: set.secure,
            http_only: set.http_only,
        })
    }

    /// Returns the scope of a cookie, or `None` if it is refused.
    fn domain(&self, host: &str, attribute: Option<&str>) -> Option<(String, Scope)> {
        let Some(attribute) = attribute.filter(|attribute| !attribute.is_empty()) else {
            return Some((host.to_owned(), Scope::Host));
        };
        let domain = canonical(attribute.strip_prefix('.').unwrap_or(attribute))?;
        let is_listed = self.parents.iter().any(|parent| is_within(&domain, parent));
        if domain == host && (is_address(host) || !is_listed) {
            return Some((domain, Scope::Host));
        }
        (is_listed && is_within(host, &domain)).then_some((domain, Scope::Domain))
    }

    fn store(&mut self, cookie: Cookie, host: &str, is_secure: bool, now: u64) {
        let is_rival = |other: &Cookie| other.name == cookie.name && other.goes_to(host);
        // "Leave Secure Cookies Alone": plain HTTP does not replace a secure cookie.
        if !is_secure && self.cookies.iter().any(|old| old.secure && is_rival(old)) {
            return;
        }
        self.replace(&cookie, host);
        if cookie.is_alive(now) && 0 < self.room.cookies {
            // The cookies from a browser may exceed the limit.
            let beyond = (self.cookies.len() + 1).saturating_sub(self.room.cookies);
            self.cookies.drain(..beyond);
            self.cookies.push(cookie);
        }
    }

    /// Drops the cookies that a new one replaces.
    fn replace(&mut self, cookie: &Cookie, host: &str) {
        let is_same = |old: &Cookie| {
            (&old.name, &old.host, &old.path) == (&cookie.name, &cookie.host, &cookie.path)
        };
        let is_unknown = |old: &Cookie| {
            let either = [old.scope, cookie.scope].contains(&Scope::Restored);
            either && old.name == cookie.name && old.goes_to(host)
        };
        self.cookies.retain(|old| !is_same(old) && !is_unknown(old));
    }

    fn is_secure(&self, host: &str, https: bool) -> bool {
        https || (self.trusts_loopback && is_loopback(host))
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jar")
            .field("cookies", &self.cookies)
            .finish_non_exhaustive()
    }
}

impl Cookie {
    fn is_alive(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn goes_to(&self, host: &str) -> bool {
        host == self.host || (self.scope == Scope::Domain && is_within(host, &self.host))
    }

    /// RFC 6265, section 5.1.4: path-match.
    fn is_below(&self, path: &str) -> bool {
        let path = if path.starts_with('/') { path } else { "/" };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let rest = path.strip_prefix(&*self.path);
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/')
        })
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookie")
            .field("name", &self.name)
            .field("host", &self.host)
            .field("path", &self.path)
            .field("expires", &self.expires)
            .field("secure", &self.secure)
            .field("http_only", &self.http_only)
            .finish_non_exhaustive()
    }
}

/// Returns true if name and value are valid in a `Cookie` line: neither can end the line or the pair,
/// and together they have at most 4096 bytes.
pub fn is_pair(name: &str, value: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b';' | b',');
    let is_value = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b';';
    !name.is_empty()
        && name.len() + value.len() <= MAX_PAIR
        && name.bytes().all(is_name)
        && value.bytes().all(is_value)
        && trim(value) == value
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    let start = name.get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Returns the host in lower case, if it is a plain name or address without a port.
fn canonical(host: &str) -> Option<String> {
    let is_literal = host.starts_with('[') && host.ends_with(']') && is_address(host);
    let is_label = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.len() < 64 && label.bytes().all(is_plain)
    };
    let is_host = is_literal || (host.len() < 254 && host.split('.').all(is_label));
    is_host.then(|| host.to_ascii_lowercase())
}

/// Returns true for an address, and for what other parsers accept as one: `127.1`, `0x7f.1`.
fn is_address(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    bare.parse::<IpAddr>().is_ok() || is_number(last) || last.starts_with("0x")
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns true if a host is this domain or below it.
fn is_within(host: &str, domain: &str) -> bool {
    let before = host.strip_suffix(domain);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Returns the default path of a cookie that a response to this path sets: RFC 6265, section 5.1.4.
pub(crate) fn default_path(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    match path.rfind('/') {
        Some(end) if 0 < end && path.starts_with('/') => &path[..end],
        _ => "/",
    }
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
