//! Every fault of the simulator, with each client.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use inferstream_core::{ChatRequest, Provider, RetryPolicy, Timeouts};
use inferstream_simulator::{Answer, Fault, Piece, Simulator, SimulatorBuilder};
use inferstream_transport::HttpTransport;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{
    canaries::{conversation, echo, secrets_in},
    files::{search_sessions, search_temporary},
    proxy::{self, Proxy, SERVERS},
    services::{
        AGENT, CABLYAI, CEREBRAS, CLOUDFLARE, CLOUDFLARE_KEY, COMPATIBLE, COOKIES, PLAYGROUND,
        REPLICATE, Service, Setup, Shown,
    },
    watch::{self, scenario, search_debug, search_error},
};

/// The statuses of errors.
const STATUSES: std::ops::RangeInclusive<u16> = 400..=599;

/// The statuses of redirects.
const REDIRECTS: std::ops::RangeInclusive<u16> = 300..=308;

/// The sweep of one kind of client.
struct Sweep {
    service: Service,
    runtime: Runtime,
    proxy: String,
    folder: TempDir,
    start: SystemTime,
}

impl Sweep {
    fn new(service: Service) -> Self {
        watch::start();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self {
            service,
            runtime,
            proxy: proxy::start(Proxy::Works, "http"),
            folder: TempDir::new().unwrap(),
            start: SystemTime::now(),
        }
    }

    fn name(&self, what: &str) {
        scenario(format!("{}: {what}", self.service.name));
    }

    fn serve(&self, simulator: SimulatorBuilder) -> Simulator {
        let simulator = simulator.tls(self.service.has_tls);
        SERVERS.block_on(simulator.start()).unwrap()
    }

    fn client(
        &self,
        simulator: &Simulator,
        proxy: &str,
        timeouts: Timeouts,
        retry: RetryPolicy,
    ) -> Arc<dyn Provider> {
        let builder = HttpTransport::builder().proxy(proxy).timeouts(timeouts);
        let builder = match simulator.certificate_pem() {
            None => builder,
            Some(pem) => builder.certificate_pem(pem),
        };
        search_debug("a builder of a transport", &builder);
        let transport = builder.build().unwrap();
        search_debug("a transport", &transport);
        (self.service.client)(Setup {
            simulator,
            transport: Shown(transport),
            timeouts,
            retry,
            folder: self.folder.path(),
        })
    }

    fn echo(&self) -> String {
        echo(self.service.credentials, self.service.has_tools)
    }

    fn request(&self) -> ChatRequest {
        conversation(self.service.model, self.service.has_tools)
    }

    /// Runs a stream, a request without streaming, and the list of models.
    fn ask(&self, client: &dyn Provider) {
        self.runtime.block_on(async {
            read(client, self.request()).await;
            chat(client, self.request()).await;
        });
    }

    /// Without a fault, responses are complete, and the service gets the secrets.
    fn without_faults(&self) {
        self.name("no fault");
        let simulator = self.serve(Simulator::builder());
        let before = watch::seen();
        let timeouts = Timeouts::default();
        let client = self.client(&simulator, &self.proxy, timeouts, RetryPolicy::default());
        self.runtime.block_on(async {
            let stream = client.stream(self.request()).await.unwrap();
            search_debug("a response", &stream.finish().await.unwrap());
            search_debug("a response", &client.chat(self.request()).await.unwrap());
            match client.models().await {
                Ok(models) => search_debug("models", &models),
                Err(error) => search_error(&error),
            }
            let mut stream = client.stream(self.request()).await.unwrap();
            stream.next().await.unwrap().unwrap();
            search_debug("a text stream", &stream.text());
            search_debug("a canceled response", &stream.cancel().await);
            let mut stream = client.stream(self.request()).await.unwrap();
            stream.next().await.unwrap().unwrap();
            drop(stream);
        });
        let mut sent = String::new();
        for request in simulator.requests() {
            sent.push_str(&String::from_utf8_lossy(&request.body));
            for value in request.headers.values() {
                sent.push_str(&String::from_utf8_lossy(value.as_bytes()));
            }
        }
        sent.extend(simulator.agent_messages());
        for secret in ["prompt", "system prompt"] {
            assert!(secrets_in(&sent).contains(&secret), "{secret} was not sent");
        }
        let sent = secrets_in(&sent);
        // A proxy for plain `http` forwards the request here as it is; a tunnel hides it from the proxy.
        let has_proxy = sent.iter().any(|secret| secret.starts_with("proxy"));
        assert_ne!(has_proxy, self.service.has_tls, "{sent:?}");
        assert!(
            sent.contains(&"key") || sent.contains(&"cookie"),
            "{sent:?}"
        );
        assert!(before + 20 < watch::seen(), "nothing was searched");
    }

    fn named_faults(&self) {
        let limit = Duration::from_millis(250);
        let timeouts = Timeouts::default()
            .head(limit)
            .first_event(limit)
            .idle(limit)
            .progress(limit)
            .total(2 * limit);
        let retry = RetryPolicy::default()
            .max_attempts(2)
            .base_delay(Duration::ZERO);
        let streams = STATUSES
            .step_by(20)
            .map(|status| Fault::StreamStatus { status });
        for fault in Fault::all().chain(streams) {
            self.name(&fault.to_string());
            let simulator = self.serve(Simulator::builder().every_fault(fault));
            let client = self.client(&simulator, &self.proxy, timeouts, retry);
            self.ask(&*client);
        }
    }

    /// Sends each error status, with the service's own body.
    fn statuses(&self) {
        self.name("statuses");
        let mut simulator = Simulator::builder();
        for status in STATUSES {
            let retry_after = self
                .service
                .credentials
                .first()
                .map(|key| (*key).to_owned())
                .filter(|_| status % 3 == 0);
            let fault = Fault::Status {
                status,
                retry_after,
            };
            simulator = simulator.fault(fault.clone()).fault(fault);
        }
        self.ask_for_each_status(simulator);
    }

    /// Sends each error status with a response that repeats the secrets, in the forms of services.
    fn echoes(&self) {
        self.name("echoes");
        let mut simulator = Simulator::builder();
        for status in STATUSES.chain(REDIRECTS) {
            for form in [status, status / 2] {
                simulator = simulator.answer(repeating(
                    status,
                    form,
                    &self.echo(),
                    self.service.credentials.first().unwrap_or(&"no-key"),
                ));
            }
        }
        self.ask_for_each_status(simulator);
    }

    fn ask_for_each_status(&self, simulator: SimulatorBuilder) {
        let simulator = self.serve(simulator);
        let limit = Duration::from_secs(10);
        let timeouts = Timeouts::default().total(limit);
        let client = self.client(&simulator, &self.proxy, timeouts, RetryPolicy::never());
        for _ in STATUSES.chain(REDIRECTS) {
            self.ask(&*client);
        }
    }

    /// Sends streams that repeat the secrets in an error, or in what cannot be parsed.
    fn streams(&self) {
        let echo = self.echo();
        let quoted = serde_json::to_string(&echo).unwrap();
        for (name, last) in [
            (
                "error object",
                format!("data: {{\"error\":{{\"message\":{quoted},\"code\":{quoted}}}}}\n\n"),
            ),
            ("error text", format!("data: {{\"error\":{quoted}}}\n\n")),
            (
                "list of errors",
                format!(
                    "data: {{\"success\":false,\"errors\":[{{\"code\":7,\"message\":{quoted}}}]}}\n\n"
                ),
            ),
            ("error event", format!("event: error\ndata: {quoted}\n\n")),
            (
                "error event with text",
                format!("event: error\ndata: {echo}\n\n"),
            ),
            (
                "invalid JSON",
                format!("data: {{\"choices\":[{{\"delta\":{{\"content\":{quoted}\n\n"),
            ),
            ("text", format!("data: {echo}\n\n")),
            (
                "another type",
                format!("data: {{\"choices\":{quoted}}}\n\n"),
            ),
            ("a number", format!("data: [{quoted}]\n\n")),
            ("another line", format!("3:{quoted}\n")),
            ("half an event", format!("data: {echo}")),
        ] {
            self.name(&format!("stream with {name}"));
            let first = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
            let pieces = [first.to_owned(), last].map(|text| Piece::from(Bytes::from(text)));
            let answer = Answer::raw(200, &[("content-type", "text/event-stream")], pieces);
            let simulator = self.serve(Simulator::builder().answer(answer.clone()).answer(answer));
            let timeouts = Timeouts::default().total(Duration::from_secs(10));
            let client = self.client(&simulator, &self.proxy, timeouts, RetryPolicy::never());
            self.ask(&*client);
        }
    }

    /// Proxies that fail, and repeat their credentials.
    fn proxies(&self) {
        let limit = Duration::from_millis(500);
        let timeouts = Timeouts::default().connect(limit).tls(limit).head(limit);
        for scheme in ["http", "socks5", "socks5h"] {
            for proxy in [
                Proxy::Refuses(407),
                Proxy::Refuses(502),
                Proxy::Refuses(302),
                Proxy::Refuses(200),
                Proxy::Babbles,
                Proxy::Closes,
            ] {
                self.name(&format!("{scheme} proxy: {proxy:?}"));
                let simulator = self.serve(Simulator::builder());
                let url = proxy::start(proxy, scheme);
                let client = self.client(&simulator, &url, timeouts, RetryPolicy::never());
                self.ask(&*client);
            }
        }
    }

    /// A panic of the caller while it reads a stream.
    fn panics(&self) {
        self.name("panic");
        let simulator = self.serve(Simulator::builder());
        let timeouts = Timeouts::default();
        let client = self.client(&simulator, &self.proxy, timeouts, RetryPolicy::default());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            self.runtime.block_on(async {
                let mut stream = client.stream(self.request()).await.unwrap();
                let event = stream.next().await;
                panic!("a panic of the caller: {stream:?} of {client:?} after {event:?}");
            })
        }));
        assert!(panicked.is_err());
    }

    /// Fails if anything leaked.
    fn check(&self) {
        self.name("files");
        if self.service.name == PLAYGROUND.name || self.service.name == AGENT.name {
            assert_ne!(search_sessions(self.folder.path()), 0);
        }
        search_temporary(self.start);
        watch::check(self.service.name);
    }
}

/// Creates a response that repeats the secrets.
fn repeating(status: u16, form: u16, echo: &str, key: &str) -> Answer {
    let quoted = serde_json::to_string(echo).unwrap();
    let (kind, body) = match form % 8 {
        0 => (
            "application/json",
            format!(
                "{{\"error\":{{\"message\":{quoted},\"type\":{quoted},\"code\":{quoted},\"param\":{quoted}}}}}"
            ),
        ),
        1 => (
            "application/json",
            format!("{{\"message\":{quoted},\"code\":\"{key}\"}}"),
        ),
        2 => (
            "application/json",
            format!("{{\"success\":false,\"errors\":[{{\"code\":7,\"message\":{quoted}}}]}}"),
        ),
        3 => (
            "application/problem+json",
            format!("{{\"title\":{quoted},\"detail\":{quoted},\"status\":{status}}}"),
        ),
        4 => (
            "text/html",
            format!("<html><title>{echo}</title>{echo}</html>"),
        ),
        5 => ("text/plain", echo.to_owned()),
        6 => ("application/json", format!("{{\"error\":{quoted}}}")),
        _ => (
            "application/json",
            format!("{{\"error\":{{\"message\":{quoted}"),
        ),
    };
    let redirect = format!("http://{key}.test/?key={key}");
    let headers = [
        ("content-type", kind),
        ("x-request-id", key),
        ("cf-ray", key),
        ("x-echo", echo),
        ("retry-after", key),
        ("x-ratelimit-remaining-tokens", key),
        ("location", &*redirect),
        ("www-authenticate", echo),
    ];
    Answer::raw(status, &headers, [Piece::from(Bytes::from(body))])
}

/// Reads a stream and searches it before, during and after its events.
async fn read(client: &dyn Provider, request: ChatRequest) {
    let mut stream = match client.stream(request).await {
        Ok(stream) => stream,
        Err(error) => return search_error(&error),
    };
    search_debug("a stream before its events", &stream);
    search_debug("metadata before the events", stream.meta());
    let mut count = 0;
    while let Some(event) = stream.next().await {
        count += 1;
        match event {
            Ok(_) if 2 < count => {}
            Ok(event) => {
                search_debug("an event", &event);
                search_debug("a stream among its events", &stream);
                search_debug("a partial response", stream.partial());
            }
            Err(error) => search_error(&error),
        }
    }
    search_debug("a stream after its events", &stream);
    search_debug("a response", stream.partial());
}

async fn chat(client: &dyn Provider, request: ChatRequest) {
    match client.chat(request).await {
        Ok(response) => search_debug("a response", &response),
        Err(error) => search_error(&error),
    }
}

fn sweep(service: Service) {
    let sweep = Sweep::new(service);
    sweep.without_faults();
    sweep.named_faults();
    sweep.statuses();
    sweep.echoes();
    sweep.streams();
    sweep.proxies();
    sweep.panics();
    sweep.check();
}

#[test]
fn cerebras_leaks_nothing() {
    sweep(CEREBRAS);
}

#[test]
fn cookies_leak_nothing() {
    sweep(COOKIES);
}

#[test]
fn cablyai_leaks_nothing() {
    sweep(CABLYAI);
}

#[test]
fn a_compatible_service_leaks_nothing() {
    sweep(COMPATIBLE);
}

#[test]
fn cloudflare_behind_a_gateway_leaks_nothing() {
    sweep(CLOUDFLARE);
}

#[test]
fn cloudflare_with_a_global_key_leaks_nothing() {
    sweep(CLOUDFLARE_KEY);
}

#[test]
fn replicate_leaks_nothing() {
    sweep(REPLICATE);
}

#[test]
fn the_playground_leaks_nothing() {
    sweep(PLAYGROUND);
}

#[test]
fn the_playgrounds_agent_leaks_nothing() {
    sweep(AGENT);
}
