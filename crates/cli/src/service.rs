//! Flags and environment into a provider.

use std::{env, sync::Arc};

use clap::ValueEnum as _;
use inferstream::{
    Provider, RetryPolicy, Timeouts,
    cablyai::CablyAiBuilder,
    cerebras::CerebrasBuilder,
    cloudflare::{Cloudflare, CloudflareBuilder},
    openai_compat::CompatibleBuilder,
    replicate::{Replicate, ReplicateBuilder},
    transport::HttpTransport,
};
use inferstream_simulator::{Fault, Simulator};

use crate::{
    args::{Limit, ProviderName, Service as Flags},
    background::{Background, Watched},
    exit::Failure,
    files::Files,
    output::say,
};

/// What simulated requests carry; the simulator takes any.
const SIMULATED_KEY: &str = "simulated";

/// The account of simulated requests.
const SIMULATED_ACCOUNT: &str = "00000000000000000000000000000000";

/// A provider, and the simulator that stands behind it where one was asked for.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) provider: Arc<dyn Provider>,
    background: Background,
    // It stops when it is dropped.
    _simulator: Option<Simulator>,
}

impl Service {
    /// Waits for what goes on in the background, such as to cancel what nobody reads, for 2 s at most.
    pub(crate) async fn settle(self) {
        drop(self.provider);
        self.background.settle().await;
    }

    /// Creates what the flags say.
    pub(crate) async fn new(
        name: ProviderName,
        flags: &Flags,
        mut files: Files,
    ) -> Result<Self, Failure> {
        let simulator = if flags.simulate {
            Some(simulate(flags).await?)
        } else {
            None
        };
        let background = Background::default();
        let transport = Watched::new(
            transport(flags, &mut files, simulator.as_ref())?,
            &background,
        );
        let provider: Arc<dyn Provider> = match name {
            ProviderName::Cablyai => Arc::new(
                cablyai(flags, files, simulator.as_ref())?
                    .transport(transport)
                    .timeouts(timeouts(flags, Timeouts::default()))
                    .retry(retry(flags))
                    .build()?,
            ),
            ProviderName::Cerebras => Arc::new(
                cerebras(flags, files, simulator.as_ref())?
                    .transport(transport)
                    .timeouts(timeouts(flags, Timeouts::default()))
                    .retry(retry(flags))
                    .build()?,
            ),
            ProviderName::Cloudflare => Arc::new(
                cloudflare(flags, files, simulator.as_ref())?
                    .transport(transport)
                    .timeouts(timeouts(
                        flags,
                        Cloudflare::default_timeouts(flags.playground),
                    ))
                    .retry(retry(flags))
                    .build()?,
            ),
            ProviderName::OpenaiCompat => Arc::new(
                compatible(flags, files, simulator.as_ref())?
                    .transport(transport)
                    .timeouts(timeouts(flags, Timeouts::default()))
                    .retry(retry(flags))
                    .build()?,
            ),
            ProviderName::Replicate => Arc::new(
                replicate(flags, files, simulator.as_ref())?
                    .transport(transport)
                    .timeouts(timeouts(flags, Replicate::default_timeouts()))
                    .retry(retry(flags))
                    .build()?,
            ),
        };
        Ok(Self {
            provider,
            background,
            _simulator: simulator,
        })
    }
}

/// Splits `provider/model` where the first part is a provider's name; a provider that was named
/// with `-p` takes off its own name alone, since a model's may contain another's.
pub(crate) fn route(
    provider: Option<ProviderName>,
    model: Option<&str>,
) -> (ProviderName, Option<&str>) {
    let Some(model) = model else {
        return (provider.unwrap_or(ProviderName::Cerebras), None);
    };
    let prefix = model.split_once('/').and_then(|(name, rest)| {
        let name = ProviderName::from_str(name, false).ok()?;
        Some((name, rest))
    });
    match (provider, prefix) {
        (None, Some((name, rest))) => (name, Some(rest)),
        (Some(provider), Some((name, rest))) if provider == name => (name, Some(rest)),
        (provider, _) => (provider.unwrap_or(ProviderName::Cerebras), Some(model)),
    }
}

async fn simulate(flags: &Flags) -> Result<Simulator, Failure> {
    let simulator = simulator(flags.sim_seed, flags.tps, &flags.fault)
        .tls(true)
        .start()
        .await
        .map_err(|error| Failure::Io("the simulator could not be started".to_owned(), error))?;
    say(&format!(
        "SIMULATED: the answer is made up in this process, at {}",
        simulator.base_url()
    ));
    Ok(simulator)
}

/// Begins to set up a simulator.
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

fn cablyai(
    flags: &Flags,
    files: Files,
    simulator: Option<&Simulator>,
) -> Result<CablyAiBuilder, Failure> {
    if let Some(simulator) = simulator {
        let builder = CablyAiBuilder::default().base_url(simulator.compatible_url());
        return Ok(builder.api_key(SIMULATED_KEY));
    }
    let mut builder = CablyAiBuilder::from_env()?;
    if let Some(key) = files.key {
        builder = builder.api_key(key.expose());
    }
    if let Some(url) = &flags.base_url {
        builder = builder.base_url(url);
    }
    Ok(builder)
}

fn compatible(
    flags: &Flags,
    files: Files,
    simulator: Option<&Simulator>,
) -> Result<CompatibleBuilder, Failure> {
    if let Some(simulator) = simulator {
        let builder = CompatibleBuilder::default().base_url(simulator.compatible_url());
        return Ok(builder.api_key(SIMULATED_KEY));
    }
    let mut builder = CompatibleBuilder::from_env()?;
    if let Some(key) = files.key {
        builder = builder.api_key(key.expose());
    }
    if let Some(url) = &flags.base_url {
        builder = builder.base_url(url);
    }
    Ok(builder)
}

fn cerebras(
    flags: &Flags,
    files: Files,
    simulator: Option<&Simulator>,
) -> Result<CerebrasBuilder, Failure> {
    if let Some(simulator) = simulator {
        let builder = CerebrasBuilder::default()
            .base_url(simulator.base_url())
            .behind_gateway();
        return Ok(match files.cookies {
            None => builder.api_key(SIMULATED_KEY),
            Some(cookies) => builder
                .cookies(cookies)
                .session_url(simulator.cerebras_session_url()),
        });
    }
    let mut builder = CerebrasBuilder::from_env()?;
    if flags.behind_gateway {
        builder = builder.behind_gateway();
    }
    if let Some(cookies) = files.cookies {
        let key = env::var("CEREBRAS_API_KEY").unwrap_or_default();
        if !key.trim().is_empty() {
            say("CEREBRAS_API_KEY is set: the cookies are not used");
        }
        builder = builder.cookies(cookies);
    }
    if let Some(key) = files.key {
        builder = builder.api_key(key.expose());
    }
    if let Some(url) = &flags.base_url {
        builder = builder.base_url(url);
    }
    Ok(builder)
}

fn cloudflare(
    flags: &Flags,
    files: Files,
    simulator: Option<&Simulator>,
) -> Result<CloudflareBuilder, Failure> {
    if flags.playground {
        return Ok(playground(flags, simulator));
    }
    let builder = match simulator {
        None => CloudflareBuilder::from_env()?,
        Some(simulator) => CloudflareBuilder::default()
            .account_id(SIMULATED_ACCOUNT)
            .api_token(SIMULATED_KEY)
            .base_url(match flags.gateway {
                None => simulator.cloudflare_url(),
                Some(_) => simulator.gateway_url(),
            }),
    };
    let mut builder = match &flags.gateway {
        None => builder,
        Some(name) => builder.gateway(name),
    };
    if let Some(id) = &flags.account {
        builder = builder.account_id(id);
    }
    if let Some(key) = files.key {
        builder = builder.api_token(key.expose());
    }
    if let Some(url) = &flags.base_url {
        builder = builder.base_url(url);
    }
    Ok(builder)
}

fn playground(flags: &Flags, simulator: Option<&Simulator>) -> CloudflareBuilder {
    let builder = CloudflareBuilder::default();
    let mut builder = if flags.agent {
        builder.playground_agent()
    } else {
        builder.playground()
    };
    if let Some(simulator) = simulator {
        builder = builder.base_url(simulator.playground_url());
    }
    if let Some(url) = &flags.base_url {
        builder = builder.base_url(url);
    }
    if let Some(path) = &flags.session_file {
        builder = builder.session_file(path);
    }
    builder
}

fn replicate(
    flags: &Flags,
    files: Files,
    simulator: Option<&Simulator>,
) -> Result<ReplicateBuilder, Failure> {
    if let Some(simulator) = simulator {
        let builder = ReplicateBuilder::default()
            .base_url(simulator.replicate_url())
            .stream_origin(format!("https://{}", simulator.stream_authority()));
        return Ok(builder.api_key(SIMULATED_KEY));
    }
    let mut builder = ReplicateBuilder::from_env()?;
    if let Some(key) = files.key {
        builder = builder.api_key(key.expose());
    }
    if let Some(url) = &flags.base_url {
        builder = builder.base_url(url);
    }
    for origin in &flags.stream_origin {
        builder = builder.stream_origin(origin);
    }
    Ok(builder)
}

fn transport(
    flags: &Flags,
    files: &mut Files,
    simulator: Option<&Simulator>,
) -> Result<HttpTransport, Failure> {
    let mut builder = HttpTransport::builder().timeouts(timeouts(flags, Timeouts::default()));
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

fn timeouts(flags: &Flags, default: Timeouts) -> Timeouts {
    let mut timeouts = default;
    if let Some(Limit(limit)) = flags.connect_timeout {
        timeouts = timeouts.dns(limit).connect(limit).tls(limit);
    }
    if let Some(Limit(limit)) = flags.first_event_timeout {
        timeouts = timeouts.head(limit).first_event(limit);
    }
    if let Some(Limit(limit)) = flags.idle_timeout {
        timeouts = timeouts.idle(limit);
    }
    if let Some(Limit(limit)) = flags.timeout {
        timeouts = timeouts.total(limit);
    }
    timeouts
}

fn retry(flags: &Flags) -> RetryPolicy {
    let policy = RetryPolicy::default();
    policy.max_attempts(flags.attempts.unwrap_or(policy.max_attempts))
}
