//! The command-line arguments, as clap derives them.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;
use inferstream_simulator::{Fault, ProxyFault};

use crate::{config_command::ConfigArgs, doctor::Doctor, limit::Limit};

pub(crate) use crate::{batch_args::Batch, chat_args::Chat};

const AFTER_HELP: &str = "\
Exit codes:
  0    the response is complete, or it reached the limit of `--max-tokens`
  1    the service reported an error, or its response is invalid; a check of `doctor` or
       `config check` failed
  2    invalid arguments, settings, key or certificate
  3    missing key, or the service rejected it (401, 403)
  4    rate limit or quota exceeded (429, 402)
  5    network, TLS or proxy failure, or a timeout
  6    the response was truncated (*)
  7    the response ended early: a token limit that you did not set, a content filter, or an
       unknown finish reason (*)
  129  SIGHUP (*)
  130  Ctrl-C (*)
  141  standard output was closed (as by `| head`)
  143  SIGTERM (*)

  (*) The part of the response that arrived is printed.

Environment:
  INFERSTREAM_MODEL  the default model; `--model` takes precedence, and it over the configuration
  CABLYAI_API_KEY, CEREBRAS_API_KEY, CLOUDFLARE_API_TOKEN, OPENAI_COMPAT_API_KEY,
  REPLICATE_API_TOKEN
                     the API key of the provider; `--key-file` takes precedence. Each other
                     service has its own, such as GROQ_API_KEY: see the README
  CLOUDFLARE_ACCOUNT_ID
                     the Cloudflare account id; `--account` takes precedence
  CABLYAI_BASE_URL, CEREBRAS_BASE_URL, CLOUDFLARE_BASE_URL, OPENAI_COMPAT_BASE_URL,
  REPLICATE_BASE_URL
                     the base URL of the service; `--base-url` takes precedence
  REPLICATE_STREAM_ORIGIN
                     comma-separated origins of Replicate streams to which the key may
                     be sent; `--stream-origin` adds to them
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY
                     proxies, as for curl; `--proxy` and `--no-proxy` take precedence
  NO_COLOR           disables colors";

/// Streams text from inference services
#[derive(Debug, Parser)]
#[command(name = "inferstream", version, after_long_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Print details to standard error
    ///
    /// These are the causes of errors, the request id, attempts, rate limits and the page of a
    /// Replicate prediction.
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Batch(Box<Batch>),
    /// Sends a prompt to a model and prints the response as it streams
    #[command(after_long_help = AFTER_HELP)]
    Chat(Box<Chat>),
    /// Lists the models of a provider
    ///
    /// Without a key, lists the provider's public models if it has such a list.
    #[command(after_long_help = AFTER_HELP)]
    Models(Box<Models>),
    /// Checks the configuration file, or prints where it is
    #[command(after_long_help = AFTER_HELP)]
    Config(ConfigArgs),
    /// Checks the configuration, keys, proxies, certificates, and the way to each service
    ///
    /// Checks the providers of the configuration, those whose key is in the environment, and the
    /// default; with `-p`, only that one. For each, the model list is requested, which costs nothing.
    /// Prints one line per check, with a remedy if it fails; keys are never printed. The exit code is
    /// 1 if a check fails.
    #[command(after_long_help = AFTER_HELP)]
    Doctor(Box<Doctor>),
    /// Opens a page in your browser and saves the resulting session
    ///
    /// Requires an installed Chromium or Chrome, which is started with a separate profile. The
    /// window is visible so that you can complete the page's browser check. After that the cookies
    /// and the user agent are written to the file, and the browser closes.
    #[cfg(all(feature = "browser", unix))]
    #[command(after_long_help = AFTER_HELP)]
    Login(Login),
    #[cfg(feature = "serve")]
    Serve(Box<crate::serve::Serve>),
    /// Runs a local server that simulates the supported services, until Ctrl-C
    ///
    /// The first line on standard output is the base URL of the Cerebras API; standard error lists
    /// the others. No model runs: responses are generated from the seed.
    Simulate(Simulate),
    /// Converts an event stream on standard input to JSON, one object per line
    ///
    /// An event is printed as {"event":…,"data":…,"id":…}: `event` defaults to `message`, and `id`
    /// is the last id that was set. A reconnection time is printed as {"retry":…}, in milliseconds.
    /// The input may be any bytes; invalid UTF-8 is replaced by U+FFFD.
    Sse(Sse),
    /// Prints a script that completes commands, flags and models in a shell
    ///
    /// For bash: `source <(inferstream completions bash)`. For fish, write the script to
    /// `~/.config/fish/completions/inferstream.fish`; for zsh, to a file `_inferstream` in a folder
    /// of `fpath`. It completes the models that this version knows.
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Writes the manual pages to a folder
    #[command(hide = true)]
    Man {
        /// The folder, which is created
        folder: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Models {
    /// Print one JSON array
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) service: Service,
}

/// The service and the connection to it.
#[derive(Args, Debug)]
// Each is an independent flag.
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct Service {
    /// The provider: of the configuration, or such as cerebras, groq or ollama
    ///
    /// The default is that of the default model, or else cerebras.
    #[arg(short, long, value_name = "NAME", help_heading = "Service")]
    pub(crate) provider: Option<String>,

    /// Read this configuration file [default: see `inferstream config path`]
    #[arg(long, value_name = "FILE", help_heading = "Service")]
    pub(crate) config: Option<PathBuf>,

    /// Base URL of the service
    ///
    /// No key is required unless it is the provider's own.
    #[arg(long, value_name = "URL", help_heading = "Service")]
    pub(crate) base_url: Option<String>,

    /// Treat the base URL as a gateway to Cerebras and send requests in the format of Cerebras
    ///
    /// JSON schemas are adapted, and the token limit is sent as `max_completion_tokens`.
    #[arg(long, help_heading = "Service", hide_short_help = true)]
    pub(crate) behind_gateway: bool,

    /// Cloudflare account id
    #[arg(long, value_name = "ID", help_heading = "Service")]
    pub(crate) account: Option<String>,

    /// Send requests through this Cloudflare AI Gateway
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Service",
        hide_short_help = true
    )]
    pub(crate) gateway: Option<String>,

    /// Use Cloudflare's playground instead of Workers AI (unofficial)
    ///
    /// Its original API is closed; `--agent` selects the current one.
    #[arg(long, conflicts_with_all = ["account", "gateway"], help_heading = "Service")]
    pub(crate) playground: bool,

    /// Use the playground's WebSocket API as its web page does
    ///
    /// It requires a browser session.
    #[arg(
        long,
        requires = "playground",
        help_heading = "Service",
        hide_short_help = true
    )]
    pub(crate) agent: bool,

    /// Store the playground session in this file: JSON with `headers` and `cookies`
    #[arg(
        long,
        value_name = "FILE",
        requires = "playground",
        help_heading = "Service",
        hide_short_help = true
    )]
    pub(crate) session_file: Option<PathBuf>,

    /// Allow sending the key to this origin for Replicate streams; repeatable
    #[arg(
        long,
        value_name = "URL",
        help_heading = "Service",
        hide_short_help = true
    )]
    pub(crate) stream_origin: Vec<String>,

    /// Read the API key from a file
    #[arg(long, value_name = "FILE", help_heading = "Service")]
    pub(crate) key_file: Option<PathBuf>,

    /// Get the Cerebras key with cookies from a browser (unofficial; may no longer work)
    ///
    /// The file is a cookies.txt, the JSON export of a browser extension, or a HAR file with
    /// sensitive data, saved at inference.cerebras.ai while you are signed in. A key in the
    /// environment takes precedence.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["key_file", "account", "gateway", "playground"],
        help_heading = "Service", hide_short_help = true
    )]
    pub(crate) cookies: Option<PathBuf>,

    /// Use this proxy: http://, https://, socks5:// or socks5h://
    #[arg(
        long,
        value_name = "URL",
        conflicts_with = "no_proxy",
        help_heading = "Connection"
    )]
    pub(crate) proxy: Option<String>,

    /// Use no proxy and ignore the proxy environment variables
    #[arg(long, help_heading = "Connection", hide_short_help = true)]
    pub(crate) no_proxy: bool,

    /// Trust the certificates in this PEM file in addition
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Connection",
        hide_short_help = true
    )]
    pub(crate) cacert: Option<PathBuf>,

    /// Timeout for DNS lookup, connecting and TLS, each; 0 disables it [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = Limit::parse, help_heading = "Connection", hide_short_help = true)]
    pub(crate) connect_timeout: Option<Limit>,

    /// Timeout for the response headers [default: 60] and then for the first event [default: 120,
    /// replicate: 600]; 0 disables both
    #[arg(long, value_name = "SECONDS", value_parser = Limit::parse, help_heading = "Connection", hide_short_help = true)]
    pub(crate) first_event_timeout: Option<Limit>,

    /// Timeout between events; 0 disables it [default: 120, playground: 300]
    #[arg(long, value_name = "SECONDS", value_parser = Limit::parse, help_heading = "Connection", hide_short_help = true)]
    pub(crate) idle_timeout: Option<Limit>,

    /// Timeout for the whole request; 0 disables it [default: 0]
    #[arg(long, value_name = "SECONDS", value_parser = Limit::parse, help_heading = "Connection")]
    pub(crate) timeout: Option<Limit>,

    /// Maximum number of attempts; only safe retries are made [default: 3]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Connection", hide_short_help = true
    )]
    pub(crate) attempts: Option<u32>,

    /// Use a simulated service in this process: no key, no network
    #[arg(
        long,
        conflicts_with_all = ["account", "base_url", "stream_origin", "key_file", "proxy", "cacert"],
        help_heading = "Simulation"
    )]
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
        help_heading = "Simulation",
        hide_short_help = true
    )]
    pub(crate) sim_seed: u64,

    /// Simulate this fault in the next request; repeatable
    ///
    /// `inferstream simulate --list-faults` lists the faults.
    #[arg(
        long,
        value_name = "NAME",
        requires = "simulate",
        help_heading = "Simulation"
    )]
    pub(crate) fault: Vec<Fault>,
}

#[cfg(all(feature = "browser", unix))]
#[derive(Args, Debug)]
pub(crate) struct Login {
    /// The provider to sign in to
    #[arg(value_parser = ["cloudflare"])]
    pub(crate) provider: String,

    /// Write the session to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) session_file: PathBuf,

    /// The page to open
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://playground.ai.cloudflare.com/"
    )]
    pub(crate) page: String,

    /// Path of the browser [default: the first known browser in PATH]
    #[arg(long, value_name = "FILE")]
    pub(crate) browser: Option<PathBuf>,

    /// Show no window; a check that requires user action then fails
    #[arg(long)]
    pub(crate) headless: bool,

    /// Timeout for the page and the user
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) timeout: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Simulate {
    /// Port on 127.0.0.1; 0 selects a free port
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port: u16,

    /// Use TLS with a certificate generated for this run
    #[arg(long)]
    pub(crate) tls: bool,

    /// Write the certificate to a file, as PEM
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) cert_file: Option<PathBuf>,

    /// Seed of the simulated responses
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Tokens per second; 0 is unlimited
    #[arg(long, value_name = "N", default_value = "60", value_parser = rate)]
    pub(crate) tps: f64,

    /// List the faults by name, with what the server does and what a careful client does
    ///
    /// One line per fault: its name, the services that can have it, what the server does, and what
    /// must happen, separated by tabs.
    #[arg(long)]
    pub(crate) list_faults: bool,

    /// Simulate this fault in the next request; repeatable [see `--list-faults`]
    ///
    /// A status from 400 to 599 is a fault, too: 503, or 429:2 with `Retry-After: 2`; stream:404 is
    /// the status of a Replicate prediction's streams. With create: before its name, a fault of the
    /// bytes applies to the response that creates a prediction.
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub(crate) fault: Vec<Fault>,

    /// Simulate this fault in every request after those of `--fault`
    #[arg(long, value_name = "NAME")]
    pub(crate) every_fault: Option<Fault>,

    /// Also run a proxy with this fault, for HTTP and SOCKS5; `none` runs one that works
    ///
    /// Standard error lists its URLs, and `--list-faults` its faults.
    #[arg(long, value_name = "NAME", value_parser = proxy)]
    pub(crate) proxy_fault: Option<ProxyKind>,

    /// Accept only this key [default: any key]
    #[arg(long, value_name = "KEY")]
    pub(crate) api_key: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Sse {
    /// Pass at most this many bytes at a time to the decoder [default: as read]
    #[arg(long, value_name = "N")]
    pub(crate) chunk_size: Option<NonZeroUsize>,
}

/// A simulated proxy, with a fault or without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProxyKind(pub(crate) Option<ProxyFault>);

fn proxy(name: &str) -> Result<ProxyKind, String> {
    if name == "none" {
        return Ok(ProxyKind(None));
    }
    let fault = ProxyFault::find(name).map(|fault| ProxyKind(Some(fault)));
    fault.ok_or_else(|| {
        let names = ProxyFault::ALL.iter().map(ToString::to_string);
        format!(
            "expected `none` or one of {}",
            names.collect::<Vec<_>>().join(", ")
        )
    })
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && 0.0 <= rate => Ok(rate),
        _ => Err("expected a number of tokens per second, 0 or more".to_owned()),
    }
}
