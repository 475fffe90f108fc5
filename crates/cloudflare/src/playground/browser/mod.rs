//! A session from an installed browser that passed the page's check for browsers.

mod pipe;
mod process;

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use http::Uri;
use inferstream_core::{Error, ErrorKind, Phase, Result};
use inferstream_session::is_pair;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use self::{
    pipe::{Pipe, refused},
    process::{Folder, Process},
};
use super::data::SessionData;

/// The default timeout, which includes the time that a person needs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The interval at which the page is checked.
const PAUSE: Duration = Duration::from_millis(250);

/// How long the browser may take to exit before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// The maximum length of a user agent, in bytes; browsers send about a hundred.
const MAX_USER_AGENT: usize = 1024;

/// Reports whether the page has passed its check, its host, and the user agent that it sees.
///
/// gpt4free waits until the body does not have the class `no-js`. A page of Cloudflare's challenge
/// also sets the variable `_cf_chl_opt`, and keeps it after the class was removed.
const LOOK: &str = "({
    passed: !!document.body
        && !document.body.classList.contains('no-js')
        && document.readyState === 'complete'
        && typeof window._cf_chl_opt === 'undefined',
    host: location.hostname,
    userAgent: navigator.userAgent,
})";

/// Opens a page in an installed Chromium or Chrome, waits until the page has passed its check for
/// browsers, and reads the cookies and the user agent.
///
/// The window is visible, so that a person can solve the check. The browser runs as a new process
/// with a profile of its own; it does not see the cookies of a browser that is already open. The
/// page can detect the automation (`navigator.webdriver` is true), and nothing here hides it.
///
/// Use it in [`CloudflareBuilder::refresh`](crate::CloudflareBuilder::refresh):
///
/// ```no_run
/// use inferstream_cloudflare::{Cloudflare, Result, playground::browser::Browser};
///
/// # fn main() -> Result<()> {
/// let browser = Browser::new("https://playground.example/");
/// let cloudflare = Cloudflare::builder()
///     .playground()
///     .base_url("https://playground.example")
///     .refresh(move || {
///         let browser = browser.clone();
///         Box::pin(async move { browser.session().await })
///     })
///     .build()?;
/// # drop(cloudflare);
/// # Ok(())
/// # }
/// ```
///
/// `Debug` does not show the URL.
#[derive(Clone)]
#[must_use = "a browser opens nothing until `session`"]
pub struct Browser {
    page: String,
    program: Option<PathBuf>,
    headless: bool,
    timeout: Duration,
    profile: Option<PathBuf>,
}

impl Browser {
    /// Creates a browser for a page. `page` is an absolute `http` or `https` URL.
    pub fn new(page: impl Into<String>) -> Self {
        Self {
            page: page.into(),
            program: None,
            headless: false,
            timeout: TIMEOUT,
            profile: None,
        }
    }

    /// Sets the browser program: a path, or a name on `PATH`.
    ///
    /// The default is the program in the environment variable `CHROME`, else the first on `PATH` of
    /// `chromium`, `chromium-browser`, `google-chrome`, `google-chrome-stable`, `microsoft-edge`
    /// and `brave-browser`. On macOS, Chrome and Chromium are also searched among the applications.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// Sets whether the browser runs without a window. The default is false.
    ///
    /// Without a window nobody can solve an interactive check, and the user agent contains
    /// `HeadlessChrome`, which the session keeps.
    pub fn headless(mut self, headless: bool) -> Self {
        self.headless = headless;
        self
    }

    /// Sets the timeout from the start of the browser until its cookies are read. The default is
    /// 120 s.
    ///
    /// Afterwards the browser has 3 s to exit before it is killed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the folder of the browser profile, which is kept. No other browser may have it open.
    ///
    /// By default, a new folder is created among the temporary files and removed afterwards.
    pub fn profile(mut self, folder: impl Into<PathBuf>) -> Self {
        self.profile = Some(folder.into());
        self
    }

    /// Opens the page, waits until it has passed its check, and returns its session.
    ///
    /// The session consists of the default headers, with the browser's `user-agent` and the page as
    /// `referer`, and of the cookies that the browser would send to the page, including HTTP-only
    /// ones. The page has passed when it is loaded, its body does not have the class `no-js`, and
    /// it is not a page of Cloudflare's challenge.
    ///
    /// Call it within a Tokio runtime whose I/O and time drivers are enabled. As root, the browser
    /// runs without its sandbox (`--no-sandbox`), because it refuses to start with it; use another
    /// user if you can.
    ///
    /// # Errors
    ///
    /// - `Config` if the URL is invalid, or if no browser is found or can be started.
    /// - `Connect`, `Dns`, `Tls`, `Proxy` or `Protocol` if the page cannot be opened.
    /// - `Challenge` if the page did not pass its check in time.
    /// - `Timeout` if the page was not even loaded in time.
    /// - `Canceled` if the browser or the page was closed or exited.
    /// - `Protocol` or `TooLarge` if the browser's replies are invalid.
    ///
    /// # Panics
    ///
    /// Panics in a Tokio runtime whose I/O or time driver is disabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future kills the browser, waits for it to exit, and removes the temporary
    /// profile. This blocks the thread, usually for about ten milliseconds, as the regular end of a
    /// session does. Nothing is left behind unless this process itself is killed: the browser then
    /// exits, but its temporary profile remains.
    pub async fn session(&self) -> Result<SessionData> {
        let page = Page::parse(&self.page)?;
        let program = process::find(self.program.as_deref())?;
        if Handle::try_current().is_err() {
            return Err(Error::config(
                "the browser requires a Tokio runtime: call `session` within one",
            ));
        }
        let folder = match &self.profile {
            Some(path) => Folder::given(path),
            None => Folder::temporary()?,
        };
        let (mut process, mut pipe) = Process::start(&program, folder, self.headless)?;
        let mut stage = Stage::Start;
        let outcome = timeout(self.timeout, page.session(&mut pipe, &mut stage)).await;
        // A profile that is kept is written when the browser exits. Failures of the exit do not
        // matter.
        let closed = async {
            let _ = pipe.call("Browser.close", json!({}), None).await;
            process.ended().await;
        };
        let _ = timeout(GRACE, closed).await;
        outcome.unwrap_or_else(|_| Err(stage.late(self.timeout)))
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser")
            .field("program", &self.program)
            .field("headless", &self.headless)
            .field("timeout", &self.timeout)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// The progress of a session.
#[derive(Clone, Copy)]
enum Stage {
    Start,
    Load,
    Check,
}

impl Stage {
    fn late(self, limit: Duration) -> Error {
        let what = match self {
            Self::Start => "the browser did not respond",
            Self::Load => "the browser did not load the page",
            Self::Check => {
                let message = format!("the page did not pass its check within {limit:?}");
                return Error::new(ErrorKind::Challenge, message);
            }
        };
        let kind = ErrorKind::Timeout(Phase::Total);
        Error::new(kind, format!("{what} within {limit:?}"))
    }
}

/// The URL of a page without its fragment, and its host in lower case.
struct Page {
    url: String,
    host: String,
}

impl Page {
    fn parse(url: &str) -> Result<Self> {
        let broken =
            || Error::config("invalid page for the browser: expected an `http` or `https` URL");
        let uri = url.parse::<Uri>().map_err(|_| broken())?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().filter(|_| is_web).ok_or_else(broken)?;
        if authority.as_str().contains('@') {
            let message =
                "invalid page for the browser: expected a URL without a user name or password";
            return Err(Error::config(message));
        }
        Ok(Self {
            url: uri.to_string(),
            host: authority.host().to_ascii_lowercase(),
        })
    }

    async fn session(&self, pipe: &mut Pipe, stage: &mut Stage) -> Result<SessionData> {
        let tab = attach(pipe).await?;
        *stage = Stage::Load;
        let url = json!({"url": self.url});
        let navigated = pipe.call("Page.navigate", url, Some(&tab)).await?;
        if let Some(reason) = navigated["errorText"].as_str() {
            return Err(unreached(reason));
        }
        *stage = Stage::Check;
        let user_agent = loop {
            if let Some(user_agent) = self.look(pipe, &tab).await? {
                break user_agent;
            }
            sleep(PAUSE).await;
        };
        let urls = json!({"urls": [self.url]});
        let cookies = pipe.call("Network.getCookies", urls, Some(&tab)).await?;
        let mut session = SessionData::plain();
        session.cookies = self.cookies(cookies)?;
        let headers = &mut session.headers;
        headers.insert("user-agent".to_owned(), user_agent);
        headers.insert("referer".to_owned(), self.url.clone());
        Ok(session)
    }

    /// Returns the user agent once the page has passed its check.
    async fn look(&self, pipe: &mut Pipe, tab: &str) -> Result<Option<String>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Seen {
            passed: bool,
            host: String,
            user_agent: String,
        }

        let expression = json!({"expression": LOOK, "returnByValue": true});
        let asked = pipe.ask("Runtime.evaluate", expression, Some(tab)).await?;
        // The evaluation fails during a navigation.
        let Ok(mut answer) = asked else {
            return Ok(None);
        };
        let Ok(seen) = serde_json::from_value::<Seen>(answer["result"]["value"].take()) else {
            return Ok(None);
        };
        if !seen.passed || seen.host != self.host {
            return Ok(None);
        }
        let user_agent = seen.user_agent;
        let is_plain = user_agent.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !is_plain || user_agent.is_empty() || MAX_USER_AGENT < user_agent.len() {
            return Err(Error::protocol(
                "invalid user agent of the browser: expected visible ASCII",
            ));
        }
        Ok(Some(user_agent))
    }

    fn cookies(&self, mut answer: Value) -> Result<BTreeMap<String, String>> {
        #[derive(Deserialize)]
        struct Cookie {
            name: String,
            value: String,
            domain: String,
        }

        let cookies = serde_json::from_value::<Vec<Cookie>>(answer["cookies"].take())
            .map_err(|_| Error::protocol("invalid reply from the browser: expected cookies"))?;
        let mut pairs = BTreeMap::new();
        for cookie in cookies {
            if self.is_below(&cookie.domain) && is_pair(&cookie.name, &cookie.value) {
                // The browser lists the cookie with the narrowest scope first.
                pairs.entry(cookie.name).or_insert(cookie.value);
            }
        }
        Ok(pairs)
    }

    /// Returns true if a cookie with this domain applies to the page's host.
    fn is_below(&self, domain: &str) -> bool {
        let domain = domain.trim_start_matches('.').to_ascii_lowercase();
        let above = self.host.strip_suffix(&domain);
        !domain.is_empty() && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    }
}

/// Attaches to the browser's first blank page, or to a new one, and returns the id of the debugging
/// session.
async fn attach(pipe: &mut Pipe) -> Result<String> {
    let targets = pipe.call("Target.getTargets", json!({}), None).await?;
    let targets = targets["targetInfos"].as_array();
    let mut blank = targets.into_iter().flatten().filter(|target| {
        // A profile that is kept may reopen its previous pages.
        target["type"] == "page" && target["url"] == "about:blank"
    });
    let target = if let Some(target) = blank.next() {
        target["targetId"].clone()
    } else {
        let blank = json!({"url": "about:blank"});
        let mut created = pipe.call("Target.createTarget", blank, None).await?;
        created["targetId"].take()
    };
    let method = "Target.attachToTarget";
    let target = json!({"targetId": target, "flatten": true});
    let attached = pipe.call(method, target, None).await?;
    let tab = attached["sessionId"].as_str();
    tab.map(str::to_owned).ok_or_else(|| refused(method))
}

/// Returns the error for a page that the browser could not open.
fn unreached(reason: &str) -> Error {
    let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let code = reason.strip_prefix("net::").unwrap_or_default();
    let code = Some(code).filter(|code| code.len() < 64 && code.bytes().all(is_code));
    let code = code.filter(|code| !code.is_empty()).unwrap_or("no reason");
    let starts = |starts: &[&str]| starts.iter().any(|start| code.starts_with(start));
    let kind = if starts(&["ERR_NAME_"]) {
        ErrorKind::Dns
    } else if starts(&["ERR_CERT_", "ERR_SSL_"]) {
        ErrorKind::Tls
    } else if starts(&["ERR_PROXY_", "ERR_TUNNEL_"]) {
        ErrorKind::Proxy
    } else if starts(&["ERR_ADDRESS_", "ERR_CONNECTION_", "ERR_INTERNET_"]) {
        ErrorKind::Connect
    } else {
        ErrorKind::Protocol
    };
    Error::new(kind, format!("the browser could not open the page: {code}"))
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use inferstream_core::ErrorKind;
    use serde_json::json;

    use super::{Browser, Page, unreached};

    #[track_caller]
    fn check(domain: &str, is_taken: bool) {
        let page = Page::parse("https://Play.Example.com/a#b").unwrap();
        assert_eq!(page.is_below(domain), is_taken, "{domain}");
    }

    #[test]
    fn cookies_of_the_host_and_its_parents_are_kept() {
        check("play.example.com", true);
        check(".example.com", true);
        check(".EXAMPLE.com", true);
        check("lay.example.com", false);
        check("a.play.example.com", false);
        check("example.org", false);
        check("", false);
        check(".", false);
    }

    #[test]
    fn invalid_cookies_are_dropped_or_errors() {
        let page = Page::parse("http://a.example/").unwrap();
        let cookie = |name: &str, value: &str, domain: &str| json!({"name": name, "value": value, "domain": domain});
        let cookies = page.cookies(json!({"cookies": [
            cookie("a", "1", "a.example"),
            cookie("a", "2", ".example"),
            cookie("b", "x\r\nevil: 1", "a.example"),
            cookie("c", "3", "b.example"),
        ]}));
        let cookies = cookies.unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(cookies, [("a".to_owned(), "1".to_owned())]);
        let error = page.cookies(json!({"cookies": [{"name": 1}]})).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(page.cookies(json!(null)).is_err());
    }

    #[test]
    fn a_page_url_has_no_password() {
        for url in ["", "a", "/a", "file:///a", "ftp://a/", "http://u:p@a/"] {
            let error = Page::parse(url).map(|page| page.url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        }
        let page = Page::parse("https://Play.Example.com:8443/a?b#c").unwrap();
        assert_eq!(page.host, "play.example.com");
        assert!(!page.url.contains('#'));
        let shown = format!("{:?}", Browser::new("https://a.example/?secret"));
        assert!(!shown.contains("secret"));
    }

    #[test]
    fn without_a_runtime_no_browser_is_started() {
        let browser = Browser::new("https://a.example/").program("/bin/sh");
        let mut session = pin!(browser.session());
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Err(error)) = session.as_mut().poll(&mut context) else {
            panic!("it waits");
        };
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("Tokio"));
    }

    #[test]
    fn navigation_errors_show_only_the_code() {
        let error = unreached("net::ERR_CONNECTION_REFUSED");
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(error.to_string().ends_with("ERR_CONNECTION_REFUSED"));
        let error = unreached("net::ERR_NAME_NOT_RESOLVED");
        assert_eq!(error.kind(), ErrorKind::Dns);
        let error = unreached("see http://a.example/?secret");
        assert!(error.to_string().ends_with("no reason"));
    }
}
