//! The `doctor` command: checks the configuration, the keys and the way to each service.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use clap::Args;
use http::{StatusCode, Uri, header::AUTHORIZATION};
use inferstream::{
    ApiKey, Body, BoxFuture, Error, ErrorKind, Phase, Provider, Result, Timer, Transport,
    transport::HttpTransport,
};
use inferstream_simulator::{Fault, Simulator};

use crate::{
    args::Service as Flags,
    check,
    config::{Config, Route, Target},
    exit::Failure,
    files::Files,
    inspect,
    kind::Kind,
    limit::Limit,
    report::Report,
    runtime::{self, Interrupt},
    service,
};

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Send nothing: check the configuration, keys, proxies and certificates only
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    service: Flags,
}

/// The timeout of a response, unless a flag or the configuration sets one.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A key that is never sent.
const NO_KEY: &str = "none";

/// Runs the `doctor` command.
pub(crate) fn run(args: &Doctor) -> Result<(), Failure> {
    let flags = &args.service;
    let config = Config::load(flags.config.as_deref())?;
    let targets = targets(&config, args)?;
    let route =
        Route::of_targets(&targets).map_or_else(|| service::route(&config, flags, None), Ok)?;
    check::flags(&route, flags)?;
    if let Some(fault) = flags.fault.iter().find(|fault| !is_about_connection(fault)) {
        return Err(Error::config(format!(
            "invalid fault `{fault}` for `doctor`: expected a fault of the connection"
        ))
        .into());
    }
    let files = Files::read(flags)?;
    runtime::run(async |interrupt| {
        let mut report = Report::new();
        inspect::configuration(&mut report, &config)?;
        if flags.provider.is_none() && !service::has_default(&config) {
            let found = "none, so requests without a model or provider go to cerebras; set \
                         INFERSTREAM_MODEL, or `default` in the configuration";
            report.note("default model", found)?;
        }
        inspect::proxies(&mut report, flags)?;
        inspect::certificates(&mut report, flags)?;
        let simulator = service::simulator_of(flags).await?;
        let mut patient = Patient {
            args,
            config: &config,
            files,
            simulator: simulator.as_ref(),
            interrupt,
        };
        let transport = service::transport(flags, &mut patient.files, simulator.as_ref());
        let transport = match transport {
            Ok(transport) => transport,
            Err(Failure::Request(error)) => {
                let remedy = "correct the proxy or the certificates";
                report.fail("connection settings", &error.to_string(), remedy)?;
                return report.end();
            }
            Err(failure) => return Err(failure),
        };
        for target in &targets {
            patient.examine(target, &transport, &mut report).await?;
        }
        report.end()
    })
}

/// Returns the providers to check: that of `-p`, or else all that are configured in the file or by
/// environment variables. Without any, it is the
/// built-in default.
fn targets(config: &Config, args: &Doctor) -> Result<Vec<Target>> {
    let route = service::route(config, &args.service, None)?;
    let selected = route.targets().cloned();
    if args.service.provider.is_some() {
        return Ok(selected.collect());
    }
    let aliases = config.models.values().flatten().cloned();
    let tables = config
        .providers
        .keys()
        .filter_map(|name| config.target(name));
    let kinds = Kind::all().filter(|kind| kind.has_key_variable());
    let kinds = kinds.filter_map(|kind| config.target(kind.name()));
    let configured = aliases.chain(tables).chain(kinds);
    let mut targets: Vec<Target> = if service::has_default(config) {
        selected.chain(configured).collect()
    } else {
        configured.collect()
    };
    let mut known = HashSet::new();
    targets.retain(|target| known.insert(target.name.clone()));
    if targets.is_empty() {
        targets.extend(route.targets().cloned());
    }
    Ok(targets)
}

fn is_about_connection(fault: &Fault) -> bool {
    matches!(fault, Fault::Wire(fault) if fault.is_before_http())
}

struct Patient<'a> {
    args: &'a Doctor,
    config: &'a Config,
    files: Files,
    simulator: Option<&'a Simulator>,
    interrupt: &'a Interrupt,
}

impl Patient<'_> {
    /// Checks a provider: its settings, its key, and a request that costs nothing.
    async fn examine(
        &mut self,
        target: &Target,
        transport: &HttpTransport,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let name = &target.name;
        let origin = match (self.simulator, &self.args.service.key_file) {
            (Some(_), _) => None,
            (None, Some(path)) => {
                report.ok(&format!("{name} key"), &format!("from {}", path.display()))?;
                None
            }
            (None, None) => Some(self.config.key_origin(target)),
        };
        let probe = Probe::new(transport, false);
        let provider = match self.provider(target, None, &probe) {
            Ok(provider) => provider,
            Err(error) => {
                let is_key = matches!(error.setting(), Some("api_key" | "api_token"))
                    || error.kind() == ErrorKind::Auth;
                if let Some(origin) = origin.filter(|_| is_key) {
                    inspect::key(report, name, &origin, Some(&error))?;
                } else {
                    let remedy = format!("correct the settings of {name}");
                    report.fail(&format!("{name} settings"), &error.to_string(), &remedy)?;
                }
                return Ok(());
            }
        };
        if let Some(origin) = &origin {
            inspect::key(report, name, origin, None)?;
        }
        if self.args.offline {
            return Ok(());
        }
        let mut outcome = self.interrupt.or(provider.models()).await?;
        let mut seen = probe.seen();
        let is_unsent = seen.host.is_none();
        let lacks_key = matches!(&outcome, Err(error) if error.kind() == ErrorKind::Auth);
        if is_unsent && lacks_key {
            // The way to the service can be checked without a key.
            let probe = Probe::new(transport, true);
            let provider = self.provider(target, ApiKey::new(NO_KEY).ok(), &probe)?;
            outcome = self.interrupt.or(provider.models()).await?;
            seen = probe.seen();
            network(report, name, &seen, outcome.as_ref().err())?;
            return Ok(());
        }
        network(report, name, &seen, outcome.as_ref().err())?;
        if seen.answered.is_some() {
            service(report, name, provider.info().login_url(), &outcome)?;
        }
        Ok(())
    }

    fn provider(
        &mut self,
        target: &Target,
        key: Option<ApiKey>,
        probe: &Probe,
    ) -> Result<Arc<dyn Provider>> {
        let flags = &self.args.service;
        let (config, files) = (self.config, &mut self.files);
        let mut settings = service::settings(config, target, flags, files, self.simulator)?;
        settings.key = settings.key.or(key);
        settings.attempts = Some(1);
        settings.first_event_timeout = settings.first_event_timeout.or(Some(Limit(Some(TIMEOUT))));
        settings.build(target.kind, probe.clone())
    }
}

/// Reports how far a request came: name resolution, connection, TLS, first byte.
fn network(report: &mut Report, name: &str, seen: &Seen, error: Option<&Error>) -> io::Result<()> {
    let host = seen.host.as_deref().unwrap_or("the service");
    if let Some((_, time)) = seen.answered {
        let phases = if host.starts_with("https:") {
            "name resolution, connection and TLS"
        } else {
            "name resolution and connection"
        };
        let time = time.as_secs_f64();
        let found = format!("{host}: {phases} succeeded; first byte after {time:.2} s");
        return report.ok(&format!("{name} network"), &found);
    }
    let Some(error) = error else {
        return Ok(());
    };
    let (phase, remedy) = match error.kind() {
        ErrorKind::Dns | ErrorKind::Timeout(Phase::Dns) => (
            "name resolution",
            "check the host name in `base_url`, and the network and its name server; if there is \
             a proxy, set HTTPS_PROXY",
        ),
        ErrorKind::Connect | ErrorKind::Timeout(Phase::Connect) => (
            "connection",
            "check the host and port in `base_url`, and firewalls; if the service is a local \
             engine, start it",
        ),
        ErrorKind::Tls | ErrorKind::Timeout(Phase::Tls) => (
            "TLS",
            "check the system clock and the host in `base_url`; if a proxy intercepts TLS, trust \
             its certificate with `--cacert FILE` or SSL_CERT_FILE",
        ),
        ErrorKind::Proxy => (
            "proxy",
            "check `--proxy`, HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or use `--no-proxy`",
        ),
        ErrorKind::Config | ErrorKind::Auth => ("settings", "correct the settings"),
        _ => (
            "first byte",
            "the server accepts connections but does not respond as an HTTP server: check the \
             scheme and port in `base_url`, or try again later",
        ),
    };
    report.fail(&format!("{name} {phase}"), &error.to_string(), remedy)
}

/// Reports what the service responded.
fn service<T>(
    report: &mut Report,
    name: &str,
    login: &str,
    outcome: &Result<Vec<T>>,
) -> io::Result<()> {
    let what = format!("{name} service");
    let error = match outcome {
        Ok(models) => return report.ok(&what, &format!("lists {} models", models.len())),
        Err(error) => error,
    };
    let found = error.to_string();
    let status = error.status().unwrap_or_default();
    match error.kind() {
        ErrorKind::Auth | ErrorKind::Permission => {
            report.fail(&what, &found, &format!("check the key; keys: {login}"))
        }
        ErrorKind::Challenge => report.fail(
            &what,
            &found,
            "a browser is required: renew the session, or use another network",
        ),
        ErrorKind::RateLimited | ErrorKind::Quota => report.note(&what, &found),
        _ if status.is_client_error() => {
            let found =
                format!("{found}; the service may have no model list, or `base_url` is wrong");
            report.note(&what, &found)
        }
        _ if status.is_server_error() => report.fail(&what, &found, "try again later"),
        _ => report.fail(
            &what,
            &found,
            "check `base_url`: the response is not of this kind of service",
        ),
    }
}

/// What was seen of the first request.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Scheme, host and port.
    host: Option<String>,
    answered: Option<(StatusCode, Duration)>,
}

/// A transport that records the first request, and can omit the key.
#[derive(Clone, Debug)]
struct Probe {
    transport: HttpTransport,
    omits_key: bool,
    seen: Arc<Mutex<Seen>>,
}

impl Probe {
    fn new(transport: &HttpTransport, omits_key: bool) -> Self {
        Self {
            transport: transport.clone(),
            omits_key,
            seen: Arc::default(),
        }
    }

    fn seen(&self) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

/// Returns the scheme, host and port of a URL.
fn host(uri: &Uri) -> String {
    let (scheme, authority) = (uri.scheme_str(), uri.authority());
    let authority = authority.map_or("", |authority| authority.as_str());
    format!("{}://{authority}", scheme.unwrap_or_default())
}

impl Transport for Probe {
    fn send(
        &self,
        mut request: http::Request<Bytes>,
    ) -> BoxFuture<'static, Result<http::Response<Body>>> {
        if self.omits_key {
            request.headers_mut().remove(AUTHORIZATION);
        }
        let probe = self.clone();
        let host = host(request.uri());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.host.get_or_insert(host);
        drop(seen);
        Box::pin(async move {
            let started = probe.now();
            let response = probe.transport.send(request).await?;
            let time = probe.now().saturating_sub(started);
            let mut seen = probe.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.answered.get_or_insert((response.status(), time));
            drop(seen);
            Ok(response)
        })
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.transport.detach(task);
    }
}

impl Timer for Probe {
    fn now(&self) -> Duration {
        self.transport.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.transport.sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        self.transport.system_time()
    }
}
