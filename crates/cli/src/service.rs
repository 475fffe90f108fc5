//! Creates the providers of a request from flags, the configuration and environment variables.

use std::{env, sync::Arc};

use inferstream::{Provider, Timeouts, Timer, transport::HttpTransport};
use inferstream_simulator::{Fault, Simulator};

use crate::{
    args::Service as Flags,
    background::{Background, Watched},
    config::{Config, Route, Settings, Target, fallback},
    exit::Failure,
    files::Files,
    kind::Kind,
    output::say,
};

/// The key of simulated requests; the simulator accepts any key.
const SIMULATED_KEY: &str = "simulated";

/// The account id of simulated requests.
const SIMULATED_ACCOUNT: &str = "00000000000000000000000000000000";

/// The environment variable with the model of requests that name none.
const MODEL: &str = "INFERSTREAM_MODEL";

/// A provider, with its simulator if one was requested.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) provider: Arc<dyn Provider>,
    /// The clock of the provider's transport.
    pub(crate) timer: Arc<dyn Timer>,
    background: Background,
    // The simulator stops when it is dropped.
    _simulator: Option<Simulator>,
}

impl Service {
    /// Waits up to 2 s for background tasks, such as canceling an abandoned prediction.
    pub(crate) async fn settle(self) {
        drop(self.provider);
        self.background.settle().await;
    }

    /// Creates the service of a route: one provider, or several to fall back through.
    pub(crate) async fn new(
        route: &Route,
        config: &Config,
        flags: &Flags,
        mut files: Files,
    ) -> Result<Self, Failure> {
        let simulator = simulator_of(flags).await?;
        let background = Background::default();
        let transport = Watched::new(
            transport(flags, &mut files, simulator.as_ref())?,
            &background,
        );
        let timer = Arc::new(transport.clone());
        let mut providers = Vec::new();
        for target in route.targets() {
            let settings = settings(config, target, flags, &mut files, simulator.as_ref())?;
            let provider = settings.build(target.kind, transport.clone());
            let provider = provider.map_err(|error| match config.providers.get(&target.name) {
                None => error,
                Some(_) => error.context(format!("[providers.{}]", target.name)),
            })?;
            providers.push((target, provider));
        }
        let provider = match providers.pop() {
            Some((_, provider)) if providers.is_empty() => provider,
            last => fallback(providers.into_iter().chain(last), transport)?,
        };
        Ok(Self {
            provider,
            timer,
            background,
            _simulator: simulator,
        })
    }
}

/// Selects the providers and the model by the flags, the environment and the configuration.
///
/// # Errors
///
/// Returns `Config` if the provider is unknown, or the variable is not Unicode.
pub(crate) fn route(
    config: &Config,
    flags: &Flags,
    model: Option<&str>,
) -> inferstream::Result<Route> {
    let variable = default_model()?;
    Route::new(
        config,
        flags.provider.as_deref(),
        model,
        variable.as_deref(),
    )
}

/// Returns the value of `INFERSTREAM_MODEL`, unless it is blank.
fn default_model() -> inferstream::Result<Option<String>> {
    match env::var(MODEL) {
        Ok(model) if model.trim().is_empty() => Ok(None),
        Ok(model) => Ok(Some(model)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            let message = format!("invalid {MODEL}: expected Unicode text");
            Err(inferstream::Error::config(message).with_setting("model"))
        }
    }
}

/// Returns true if the environment or the configuration has a default model.
pub(crate) fn has_default(config: &Config) -> bool {
    config.default.is_some() || default_model().is_ok_and(|model| model.is_some())
}

/// Starts a simulator if the flags ask for one.
pub(crate) async fn simulator_of(flags: &Flags) -> Result<Option<Simulator>, Failure> {
    if flags.simulate {
        simulate(flags).await.map(Some)
    } else {
        Ok(None)
    }
}

/// Returns the settings of a provider: those of the configuration and the flags, or of the
/// simulator.
pub(crate) fn settings(
    config: &Config,
    target: &Target,
    flags: &Flags,
    files: &mut Files,
    simulator: Option<&Simulator>,
) -> inferstream::Result<Settings> {
    let settings = match simulator {
        None => config.settings(&target.name)?,
        Some(simulator) => {
            let settings = config.plain_settings(&target.name);
            simulated(settings, target.kind, flags, simulator)
        }
    };
    Ok(with_flags(settings, target, flags, files))
}

/// Returns a transport for clients that send nothing.
pub(crate) fn plain_transport() -> inferstream::Result<HttpTransport> {
    HttpTransport::builder().no_proxy().build()
}

async fn simulate(flags: &Flags) -> Result<Simulator, Failure> {
    let simulator = simulator(flags.sim_seed, flags.tps, &flags.fault)
        .tls(true)
        .start()
        .await
        .map_err(|error| Failure::Io("cannot start the simulator".to_owned(), error))?;
    say(&format!(
        "SIMULATED: no model runs; the response is generated by this process, at {}",
        simulator.base_url()
    ));
    Ok(simulator)
}

/// Returns a builder of a simulator.
pub(crate) fn simulator(
    seed: u64,
    tps: f64,
    faults: &[Fault],
) -> inferstream_simulator::SimulatorBuilder {
    let builder = faults
        .iter()
        .cloned()
        .fold(Simulator::builder().seed(seed), |builder, fault| {
            builder.fault(fault)
        });
    match tps {
        0.0 => builder,
        tps => builder.tokens_per_second(tps),
    }
}

/// Points settings at the simulator. No key and no environment variable is used.
fn simulated(settings: Settings, kind: Kind, flags: &Flags, simulator: &Simulator) -> Settings {
    let is_playground = settings.playground || flags.playground;
    let has_gateway = settings.gateway.is_some() || flags.gateway.is_some();
    let base_url = match kind {
        Kind::Cablyai | Kind::OpenaiCompat | Kind::Preset(_) => simulator.compatible_url(),
        Kind::Cerebras => simulator.base_url(),
        Kind::Cloudflare if is_playground => simulator.playground_url(),
        Kind::Cloudflare if has_gateway => simulator.gateway_url(),
        Kind::Cloudflare => simulator.cloudflare_url(),
        Kind::Replicate => simulator.replicate_url(),
    };
    // With cookies, the key comes from their session.
    let has_key = !is_playground && flags.cookies.is_none();
    let key = inferstream::ApiKey::new(SIMULATED_KEY).ok();
    Settings {
        ignores_environment: true,
        base_url: Some(base_url.to_owned()),
        key: key.filter(|_| has_key),
        behind_gateway: true,
        session_url: Some(simulator.cerebras_session_url().to_owned()),
        account: Some(SIMULATED_ACCOUNT.to_owned()),
        stream_origins: vec![format!("https://{}", simulator.stream_authority())],
        ..settings
    }
}

/// Adds the flags, which take precedence.
fn with_flags(
    mut settings: Settings,
    target: &Target,
    flags: &Flags,
    files: &mut Files,
) -> Settings {
    let is_cerebras = target.kind == Kind::Cerebras;
    if let Some(cookies) = files.cookies.take() {
        let key = env::var("CEREBRAS_API_KEY").unwrap_or_default();
        if is_cerebras && !settings.ignores_environment && !key.trim().is_empty() {
            say("CEREBRAS_API_KEY is set: ignoring `--cookies`");
        }
        settings.cookies = Some(cookies);
    }
    let strings = [
        (&mut settings.account, &flags.account),
        (&mut settings.base_url, &flags.base_url),
        (&mut settings.gateway, &flags.gateway),
    ];
    for (setting, flag) in strings {
        if flag.is_some() {
            setting.clone_from(flag);
        }
    }
    if let Some(key) = files.key.take() {
        settings.key = Some(key);
    }
    if flags.session_file.is_some() {
        settings.session_file.clone_from(&flags.session_file);
    }
    settings.agent |= flags.agent;
    settings.behind_gateway |= flags.behind_gateway;
    settings.playground |= flags.playground;
    settings
        .stream_origins
        .extend(flags.stream_origin.iter().cloned());
    settings.connect_timeout = flags.connect_timeout.or(settings.connect_timeout);
    settings.first_event_timeout = flags.first_event_timeout.or(settings.first_event_timeout);
    settings.idle_timeout = flags.idle_timeout.or(settings.idle_timeout);
    settings.timeout = flags.timeout.or(settings.timeout);
    settings.attempts = flags.attempts.or(settings.attempts);
    settings
}

/// Creates the transport of the flags.
pub(crate) fn transport(
    flags: &Flags,
    files: &mut Files,
    simulator: Option<&Simulator>,
) -> Result<HttpTransport, Failure> {
    let settings = Settings {
        connect_timeout: flags.connect_timeout,
        ..Settings::default()
    };
    let timeouts = settings.timeouts(Timeouts::default());
    let mut builder = HttpTransport::builder().timeouts(timeouts);
    if let Some(pem) = simulator.and_then(Simulator::certificate_pem) {
        return Ok(builder.certificate_pem(pem).no_proxy().build()?);
    }
    if let Some(url) = &flags.proxy {
        builder = builder.proxy(url);
    }
    if flags.no_proxy {
        builder = builder.no_proxy();
    }
    match (&flags.cacert, files.certificates.take()) {
        (Some(path), Some(pem)) => {
            let built = builder.certificate_pem(pem).build();
            Ok(built.map_err(|error| error.context(path.display()))?)
        }
        _ => Ok(builder.build()?),
    }
}
