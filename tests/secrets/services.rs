//! The clients of the sweep, each with every secret that it can have.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use inferstream_cablyai::CablyAi;
use inferstream_cerebras::{Cerebras, Cookies};
use inferstream_cloudflare::{Cloudflare, CloudflareBuilder, playground::session::SessionData};
use inferstream_core::{
    Body, BoxFuture, Error, Provider, Result, RetryPolicy, Timeouts, Timer, Transport,
};
use inferstream_openai_compat::Compatible;
use inferstream_replicate::Replicate;
use inferstream_session::CacheFile;
use inferstream_simulator::Simulator;
use inferstream_transport::HttpTransport;

use crate::{
    canaries::{COOKIE, EMAIL, GATEWAY_TOKEN, KEY},
    watch::{search, search_debug, search_error, search_transport_error},
};

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// What a client is built with.
pub(crate) struct Setup<'a> {
    pub(crate) simulator: &'a Simulator,
    pub(crate) transport: Shown,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: RetryPolicy,
    /// The folder of session files.
    pub(crate) folder: &'a Path,
}

/// A kind of client.
#[derive(Clone, Copy)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) model: &'static str,
    pub(crate) has_tools: bool,
    pub(crate) has_tls: bool,
    /// The credentials that the chat service receives and the client knows beforehand.
    pub(crate) credentials: &'static [&'static str],
    pub(crate) client: fn(Setup<'_>) -> Arc<dyn Provider>,
}

/// Builds a client, and searches its builder and itself.
macro_rules! built {
    ($setup:expr, $builder:expr) => {{
        let setup = $setup;
        let builder = $builder
            .retry(setup.retry)
            .timeouts(setup.timeouts)
            .transport(setup.transport);
        search_debug("a builder", &builder);
        let client = builder.build().unwrap();
        search_debug("a client", &client);
        Arc::new(client) as Arc<dyn Provider>
    }};
}

pub(crate) const CEREBRAS: Service = Service {
    name: "cerebras",
    model: "gpt-oss-120b",
    has_tools: true,
    has_tls: false,
    credentials: &[KEY],
    client: |setup| {
        let url = setup.simulator.base_url();
        built!(setup, Cerebras::builder().api_key(KEY).base_url(url))
    },
};

pub(crate) const COOKIES: Service = Service {
    name: "cookies",
    model: "gpt-oss-120b",
    has_tools: true,
    has_tls: true,
    credentials: &[],
    client: |setup| {
        let file = format!(
            "# Netscape HTTP Cookie File\n#HttpOnly_127.0.0.1\tFALSE\t/\tTRUE\t4102444800\t\
             __Secure-session-token\t{COOKIE}\n"
        );
        let cookies = Cookies::from_text(&file).unwrap();
        search_debug("cookies", &cookies);
        let builder = Cerebras::builder()
            .base_url(setup.simulator.base_url())
            .session_url(setup.simulator.cerebras_session_url());
        built!(setup, builder.cookies(cookies))
    },
};

pub(crate) const CABLYAI: Service = Service {
    name: "cablyai",
    model: "gpt-4o",
    has_tools: true,
    has_tls: false,
    credentials: &[KEY],
    client: |setup| {
        let url = setup.simulator.compatible_url();
        built!(setup, CablyAi::builder().api_key(KEY).base_url(url))
    },
};

pub(crate) const COMPATIBLE: Service = Service {
    name: "compatible",
    model: "any",
    has_tools: true,
    has_tls: false,
    credentials: &[KEY, GATEWAY_TOKEN],
    client: |setup| {
        let gateway = HeaderValue::from_static(GATEWAY_TOKEN);
        let builder = Compatible::new(setup.simulator.compatible_url())
            .api_key(KEY)
            .header(HeaderName::from_static("x-gateway-key"), gateway);
        built!(setup, builder)
    },
};

pub(crate) const CLOUDFLARE: Service = Service {
    name: "cloudflare",
    model: "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
    has_tools: true,
    has_tls: false,
    credentials: &[KEY, GATEWAY_TOKEN],
    client: |setup| {
        let builder = Cloudflare::builder()
            .account_id(ACCOUNT)
            .api_token(KEY)
            .gateway("g")
            .gateway_token(GATEWAY_TOKEN)
            .base_url(setup.simulator.gateway_url());
        built!(setup, builder)
    },
};

pub(crate) const CLOUDFLARE_KEY: Service = Service {
    name: "cloudflare-key",
    model: "@cf/openai/gpt-oss-120b",
    has_tools: true,
    has_tls: false,
    credentials: &[KEY, EMAIL],
    client: |setup| {
        let builder = Cloudflare::builder()
            .account_id(ACCOUNT)
            .api_key(EMAIL, KEY)
            .base_url(setup.simulator.cloudflare_url());
        built!(setup, builder)
    },
};

pub(crate) const REPLICATE: Service = Service {
    name: "replicate",
    model: "meta/meta-llama-3-8b-instruct",
    has_tools: false,
    has_tls: false,
    credentials: &[KEY],
    client: |setup| {
        let origin = format!("http://{}", setup.simulator.stream_authority());
        let builder = Replicate::builder()
            .api_key(KEY)
            .base_url(setup.simulator.replicate_url())
            .stream_origin(origin);
        built!(setup, builder)
    },
};

pub(crate) const PLAYGROUND: Service = Service {
    name: "playground",
    model: "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
    has_tools: false,
    has_tls: false,
    credentials: &[COOKIE],
    client: |setup| {
        let builder = Cloudflare::builder().playground();
        let builder = session(builder, &setup);
        built!(setup, builder)
    },
};

pub(crate) const AGENT: Service = Service {
    name: "agent",
    model: "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
    has_tools: false,
    has_tls: false,
    credentials: &[COOKIE],
    client: |setup| {
        let builder = Cloudflare::builder().playground_agent();
        let builder = session(builder, &setup);
        built!(setup, builder)
    },
};

/// Adds a session with a cookie: from a file, and from a refresh.
fn session(builder: CloudflareBuilder, setup: &Setup<'_>) -> CloudflareBuilder {
    let path = session_file(setup.folder);
    builder
        .base_url(setup.simulator.playground_url())
        .session_file(path)
        .refresh(|| Box::pin(async { Ok(session_data()) }))
}

fn session_data() -> SessionData {
    let mut session = SessionData::plain();
    session
        .cookies
        .insert("cf_clearance".to_owned(), COOKIE.to_owned());
    search_debug("session data", &session);
    session
}

/// Writes a session file, and returns its path.
pub(crate) fn session_file(folder: &Path) -> PathBuf {
    let path = folder.join("sessions").join("session.json");
    let file = CacheFile::new(&path).unwrap();
    search_debug("a cache file", &file);
    let bytes = session_data().to_json();
    let mut warnings = Vec::new();
    file.update(
        |bytes| SessionData::from_json(bytes, &mut Vec::new()),
        |_| Some(bytes),
        &mut warnings,
    );
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(fs::exists(&path).unwrap());
    path
}

/// A transport that searches what it is given, as a layer for logging would see it.
#[derive(Clone, Debug)]
pub(crate) struct Shown(pub(crate) HttpTransport);

impl Timer for Shown {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    fn system_time(&self) -> std::time::SystemTime {
        self.0.system_time()
    }
}

impl Transport for Shown {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        search("the URL of a request", &request.uri().to_string());
        search_debug("the headers of a request", request.headers());
        search_debug("the extensions of a request", request.extensions());
        let sent = self.0.send(request);
        Box::pin(async move {
            let outcome = sent.await;
            match &outcome {
                Ok(response) => search_debug("a body", response.body()),
                Err(error) => search_transport_error(error),
            }
            outcome
        })
    }

    fn detach(&self, work: BoxFuture<'static, ()>) {
        self.0.detach(work);
    }

    fn on_retry(&self, error: &Error, wait: Duration) {
        search_error(error);
        self.0.on_retry(error, wait);
    }
}
