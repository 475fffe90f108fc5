//! The `serve` command: an OpenAI-compatible gateway to all providers.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::Duration,
};

use clap::{ArgAction, Args};
use inferstream::{
    Error, Hub, Result,
    cablyai::CablyAi,
    cerebras::Cerebras,
    cloudflare::Cloudflare,
    openai_compat::Compatible,
    replicate::{Replicate, ReplicateBuilder},
    transport::HttpTransport,
};
use inferstream_gateway::{Config, Gateway, KeyConfig, KeySource, Record, serve};
use inferstream_simulator::{Fault, Simulator};
use tokio::{net::TcpListener, runtime, time::sleep};

use crate::{
    args::rate,
    config::Config as File,
    exit::Failure,
    limit::Limit,
    output::{json_line, say},
    service::simulator,
};

/// The key of simulated requests; the simulator accepts any key.
const SIMULATED_KEY: &str = "simulated";

/// The account id of simulated requests.
const SIMULATED_ACCOUNT: &str = "00000000000000000000000000000000";

/// The time for work in the background after the last response, such as canceling a prediction.
const SETTLE: Duration = Duration::from_secs(1);

/// Serves all providers through one OpenAI-compatible endpoint
///
/// The first line on standard output is its base URL. The providers and their keys are those of
/// the environment variables. A stream that was truncated ends with an error and without
/// `[DONE]`.
// Each is an independent flag.
#[allow(clippy::struct_excessive_bools)]
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Configuration file [default: in the platform's configuration folder]
    ///
    /// Besides the providers and models, it has the members of [serve] and [keys.NAME]. Flags take
    /// precedence.
    #[arg(long, value_name = "FILE", conflicts_with = "simulate")]
    pub(crate) config: Option<PathBuf>,

    /// Address to listen on; port 0 selects a free port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,

    /// Serve a model under another name; repeatable
    ///
    /// With several models, separated by commas, the next one is used if one fails before the first
    /// content of its response.
    #[arg(
        long,
        value_name = "NAME=PROVIDER/MODEL,…",
        value_parser = alias,
        action = ArgAction::Append
    )]
    pub(crate) alias: Vec<(String, Vec<String>)>,

    /// Require a key from clients; repeatable
    ///
    /// The key itself is in an environment variable or in a file: NAME=env:VARIABLE or
    /// NAME=file:PATH. Its name appears in the log. SIGHUP reads the keys and the configuration file
    /// again.
    #[arg(
        long,
        value_name = "NAME=REFERENCE",
        value_parser = key,
        action = ArgAction::Append
    )]
    pub(crate) key: Vec<(String, KeySource)>,

    /// Allow an address that other machines can reach although no key is required
    #[arg(long, conflicts_with = "key")]
    pub(crate) no_auth: bool,

    /// Accept requests that name this host, such as ai.example.com; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,

    /// Accept requests from web pages of this origin, with its scheme; repeatable
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) cors: Vec<String>,

    /// Keep complete responses to requests with `Idempotency-Key` in this file
    ///
    /// A request with the same key gets the same response, also after the program was killed. Without
    /// a file, responses are kept in memory.
    #[arg(long, value_name = "FILE")]
    pub(crate) kept_responses: Option<PathBuf>,

    /// Time for responses in flight after SIGTERM or Ctrl-C; a second signal ends them, and 0
    /// disables the limit [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = Limit::parse)]
    pub(crate) drain: Option<Limit>,

    /// Check the settings, including the keys, and exit
    #[arg(long)]
    pub(crate) check: bool,

    /// Print no log of requests to standard error
    #[arg(long)]
    pub(crate) no_log: bool,

    /// Use simulated services in this process: no key, no network
    #[arg(long, help_heading = "Simulation")]
    pub(crate) simulate: bool,

    /// Tokens per second; 0 is unlimited
    #[arg(
        long,
        value_name = "N",
        default_value = "60",
        value_parser = rate,
        requires = "simulate",
        help_heading = "Simulation"
    )]
    pub(crate) tps: f64,

    /// Seed of the simulated responses
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        requires = "simulate",
        help_heading = "Simulation"
    )]
    pub(crate) sim_seed: u64,

    /// Simulate this fault in the next request; repeatable [see `inferstream simulate --list-faults`]
    #[arg(
        long,
        value_name = "NAME",
        requires = "simulate",
        help_heading = "Simulation"
    )]
    pub(crate) fault: Vec<Fault>,
}

impl Serve {
    /// Reads the configuration file; the simulator needs none.
    fn file(&self) -> Result<File> {
        if self.simulate {
            return Ok(File::default());
        }
        File::load(self.config.as_deref())
    }

    /// Returns the settings of the file, with those of the flags on top.
    fn config(&self, file: &File) -> Config {
        let mut config = Config::default();
        config.serve = file.serve.clone();
        for (name, targets) in &file.models {
            let models = targets.iter().map(|target| match &target.model {
                None => target.name.clone(),
                Some(model) => format!("{}/{model}", target.name),
            });
            config = config.alias(name, models);
        }
        for (name, key) in &file.keys {
            let mut key = key.clone();
            key.key = key.key.relative_to(file.folder());
            config = config.key(name, key);
        }
        let kept = &mut config.serve.kept_responses;
        kept.file = match (&self.kept_responses, kept.file.take()) {
            // A gateway that uses the file does not make the settings invalid.
            _ if self.check => None,
            (Some(path), _) => Some(path.clone()),
            (None, path) => path.map(|path| file.folder().join(path)),
        };
        if let Some(listen) = self.listen {
            config.serve.listen = listen;
        }
        if let Some(Limit(drain)) = self.drain {
            config.serve.drain = drain.unwrap_or(Duration::MAX);
        }
        config.serve.allow_without_keys |= self.no_auth;
        config.serve.hosts.extend(self.host.iter().cloned());
        config.serve.cors.extend(self.cors.iter().cloned());
        for (name, models) in &self.alias {
            config = config.alias(name, models);
        }
        for (name, source) in &self.key {
            config = config.key(name, KeyConfig::new(source.clone()));
        }
        config
    }
}

fn alias(text: &str) -> Result<(String, Vec<String>), String> {
    match text.split_once('=') {
        Some((name, models)) if !name.is_empty() && !models.is_empty() => {
            let models = models.split(',').map(str::to_owned);
            Ok((name.to_owned(), models.collect()))
        }
        _ => Err("expected NAME=PROVIDER/MODEL".to_owned()),
    }
}

fn key(text: &str) -> Result<(String, KeySource), String> {
    let expected = || "expected NAME=env:VARIABLE or NAME=file:PATH".to_owned();
    let (name, source) = text.split_once('=').ok_or_else(expected)?;
    match source.parse() {
        Ok(source) if !name.is_empty() => Ok((name.to_owned(), source)),
        _ => Err(expected()),
    }
}

/// Runs the `serve` command.
pub(crate) fn run(args: &Serve) -> Result<(), Failure> {
    // Half of the cores: the services behind a gateway need more time than it does.
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| Failure::Io("cannot start the runtime".to_owned(), error))?;
    let outcome = runtime.block_on(run_until_signal(args));
    runtime.shutdown_background();
    outcome
}

async fn run_until_signal(args: &Serve) -> Result<(), Failure> {
    let simulator = if args.simulate {
        let simulator = simulator(args.sim_seed, args.tps, &args.fault).start();
        let failed = |error| Failure::Io("cannot start the simulator".to_owned(), error);
        Some(simulator.await.map_err(failed)?)
    } else {
        None
    };
    let settings = || {
        let file = args.file()?;
        let hub = match &simulator {
            None => configured(&file)?,
            Some(simulator) => simulated(simulator)?,
        };
        Ok::<_, Error>((hub, args.config(&file)))
    };
    let (hub, config) = settings()?;
    let listen = config.serve.listen;
    let gateway = if args.no_log {
        Gateway::new(hub, config)?
    } else {
        let log = Log::start();
        Gateway::with_log(hub, config, move |record| log.write(record))?
    };
    gateway.check_address(listen).map_err(remedy)?;
    if args.check {
        say("the settings are valid");
        return Ok(());
    }
    let listener = TcpListener::bind(listen).await;
    let listener =
        listener.map_err(|error| Failure::Io(format!("cannot listen on {listen}"), error))?;
    let mut signals = Signals::listen()
        .map_err(|error| Failure::Io("cannot install signal handlers".to_owned(), error))?;
    announce(&listener, simulator.is_some())?;
    let reload = || {
        let reloaded = settings().and_then(|(hub, config)| gateway.reload(hub, config));
        match reloaded {
            Ok(()) => say("the settings were read again"),
            Err(error) => {
                gateway.reload_failed();
                say(&format!("reading the settings again failed: {error}"));
            }
        }
    };
    let shutdown = async {
        while signals.next().await == Signal::Reload {
            reload();
        }
        say("shutting down: waiting for responses in flight; a second signal ends them");
        // The second signal does not wait for anything.
        tokio::spawn(async move {
            while signals.next().await == Signal::Reload {}
            process::exit(143);
        });
    };
    let served = serve(listener, gateway.clone(), shutdown).await;
    served.map_err(|error| Failure::Io("the server failed".to_owned(), error))?;
    sleep(SETTLE).await;
    Ok(())
}

/// Names the flags in place of the settings of the library.
fn remedy(error: Error) -> Error {
    error.map_message(|message| match message.split_once("; add a key") {
        None => message.to_owned(),
        Some((problem, _)) => format!("{problem}; add `--key`, or set `--no-auth`"),
    })
}

/// Prints the base URL, and how to use it.
fn announce(listener: &TcpListener, is_simulated: bool) -> Result<(), Failure> {
    let address = listener.local_addr()?;
    let url = format!("http://{address}/v1");
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{url}")?;
    stdout.flush()?;
    if is_simulated {
        say("SIMULATED: no model runs; responses are generated by this process");
    }
    let model = "cerebras/gpt-oss-120b";
    say(&format!(
        "Press Ctrl-C to stop. Open http://{address} in a browser, or in another terminal:\n\n  \
         curl -N {url}/chat/completions \
         -H 'Content-Type: application/json' \\\n    -d '{{\"model\":\"{model}\",\"stream\":true,\
         \"messages\":[{{\"role\":\"user\",\"content\":\"Hi\"}}]}}'\n"
    ));
    Ok(())
}

/// Creates a hub of the environment's providers and of those of the file, which replace them.
fn configured(file: &File) -> Result<Hub> {
    let transport = HttpTransport::builder().build()?;
    let mut hub = Hub::from_env()?;
    for name in file.providers.keys() {
        hub = hub.with_name(name, file.provider(name, transport.clone())?);
    }
    Ok(hub)
}

/// Creates a hub whose providers are all in the simulator.
fn simulated(simulator: &Simulator) -> Result<Hub> {
    let transport = HttpTransport::builder().no_proxy().build()?;
    let cablyai = CablyAi::builder()
        .base_url(simulator.compatible_url())
        .api_key(SIMULATED_KEY)
        .transport(transport.clone());
    let cerebras = Cerebras::builder()
        .base_url(simulator.base_url())
        .behind_gateway()
        .api_key(SIMULATED_KEY)
        .transport(transport.clone());
    let cloudflare = Cloudflare::builder()
        .base_url(simulator.cloudflare_url())
        .account_id(SIMULATED_ACCOUNT)
        .api_token(SIMULATED_KEY)
        .transport(transport.clone());
    let compatible = Compatible::new(simulator.compatible_url()).transport(transport.clone());
    let replicate: ReplicateBuilder = Replicate::builder()
        .base_url(simulator.replicate_url())
        .stream_origin(format!("http://{}", simulator.stream_authority()))
        .api_key(SIMULATED_KEY)
        .transport(transport);
    Ok(Hub::new()
        .with(cablyai.build()?)
        .with(cerebras.build()?)
        .with(cloudflare.build()?)
        .with(compatible.build()?)
        .with(replicate.build()?))
}

/// A log of requests on standard error, one JSON object per line.
///
/// A thread writes it, so that a reader that is slow holds no response back. Lines that it is too slow
/// for are dropped.
struct Log(SyncSender<String>);

impl Log {
    fn start() -> Self {
        const LINES: usize = 10_000;
        let (sender, lines) = sync_channel::<String>(LINES);
        thread::spawn(move || {
            for line in lines {
                // If standard error is closed, there is nowhere to report it.
                let _ = io::stderr().lock().write_all(line.as_bytes());
            }
        });
        Self(sender)
    }

    fn write(&self, record: &Record) {
        if let Ok(line) = json_line(record) {
            let _ = self.0.try_send(line);
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Signal {
    /// SIGHUP.
    Reload,
    /// SIGTERM or Ctrl-C.
    Stop,
}

#[cfg(unix)]
struct Signals {
    hangup: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
        }
    }
}

#[cfg(not(unix))]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Signal {
        self.0.recv().await;
        Signal::Stop
    }
}
