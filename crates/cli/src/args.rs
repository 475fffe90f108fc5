//! What can be said at the prompt.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use inferstream::Json;
use inferstream_simulator::Fault;

const AFTER_HELP: &str = "\
Exit codes:
  0    the response is complete, or it ended at the limit of `--max-tokens`
  1    the service refused or failed, or its answer makes no sense
  2    wrong usage: arguments, settings, key or certificate that cannot be used
  3    no key, or one that the service does not accept (401, 403)
  4    too many requests, or the quota is used up (429, 402)
  5    network, TLS, proxy, or a time limit that ran out
  6    the answer was cut off; what came is printed
  7    the response ended early: a token limit that you did not set, a content filter, or a
       finish reason that is not known; what came is printed
  129  SIGHUP; what came is printed
  130  Ctrl-C; what came is printed
  141  nobody read the output any longer (as with `| head`)
  143  SIGTERM; what came is printed

Environment:
  CABLYAI_API_KEY, CEREBRAS_API_KEY, CLOUDFLARE_API_TOKEN, OPENAI_COMPAT_API_KEY,
  REPLICATE_API_TOKEN
                     the provider's key; `--key-file` comes first
  CLOUDFLARE_ACCOUNT_ID
                     the account at Cloudflare; `--account` comes first
  CABLYAI_BASE_URL, CEREBRAS_BASE_URL, CLOUDFLARE_BASE_URL, OPENAI_COMPAT_BASE_URL,
  REPLICATE_BASE_URL
                     where the service is; `--base-url` comes first
  REPLICATE_STREAM_ORIGIN
                     origins, separated by commas, that the key may go to for Replicate's
                     streams; `--stream-origin` adds to them
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY
                     as for curl; `--proxy` and `--no-proxy` come first
  NO_COLOR           no colors";

/// Streams text from inference services.
#[derive(Debug, Parser)]
#[command(name = "inferstream", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Say more on standard error: causes, request id, attempts, rate limits, Replicate's prediction
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Asks a model and prints its answer as it comes
    #[command(after_help = AFTER_HELP)]
    Chat(Box<Chat>),
    /// Lists the models of a provider
    ///
    /// Without a key it is the provider's public list, where there is one.
    #[command(after_help = AFTER_HELP)]
    Models(Box<Models>),
    /// Opens a page in your own browser and keeps the session that you get there
    ///
    /// The browser is an installed Chromium or Chrome, with a profile of its own. It is visible, so
    /// that you can do what the page's check asks for; once that is passed, its cookies and its name
    /// are written to the file, and the browser closes.
    #[cfg(all(feature = "browser", unix))]
    #[command(after_help = AFTER_HELP)]
    Login(Login),
    /// Runs a server on this machine that answers as Cerebras, Cloudflare and Replicate do, until
    /// Ctrl-C
    ///
    /// The first line on standard output is the base URL of Cerebras' chat protocol; standard error
    /// says the others. No model runs: answers are made up from the seed.
    Simulate(Simulate),
    /// Turns an event stream on standard input into JSON, one object per line
    ///
    /// A frame is {"event":…,"data":…,"id":…}: the event is `message` where the stream names none,
    /// the id is the last one in force. Where the stream sets a reconnection time it is
    /// {"retry":…}, in milliseconds. Input may be any bytes; what is not UTF-8 becomes U+FFFD.
    Sse(Sse),
}

#[derive(Args, Debug)]
// Each is a flag of its own.
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct Chat {
    /// The prompt; piped standard input is put before it
    pub(crate) prompt: Vec<String>,

    /// Do not read standard input
    #[arg(short, long)]
    pub(crate) no_stdin: bool,

    /// The model, also as `provider/model` [default: the provider's]
    #[arg(short, long)]
    pub(crate) model: Option<String>,

    /// What the model should know before the prompt
    #[arg(short, long)]
    pub(crate) system: Option<String>,

    /// Print one JSON object at the end
    ///
    /// Its members are `text`, `reasoning`, `tool_calls`, `finish_reason`, `usage`, `timing`,
    /// `model`, `id` and `error`, which is null if the response did not fail; whether it reached a
    /// limit is in `finish_reason`.
    #[arg(long, conflicts_with = "jsonl")]
    pub(crate) json: bool,

    /// Print one JSON object per event, as they come
    ///
    /// The `type` is `text`, `reasoning`, `tool_call` (once, when it is whole), `logprobs`,
    /// `reasoning_logprobs`, `usage`, `timing` or `finish`; a failure is the last line, with the type `error`.
    #[arg(long)]
    pub(crate) jsonl: bool,

    /// Ask for the whole answer at once
    #[arg(long)]
    pub(crate) no_stream: bool,

    /// Say tokens, time to the first one, and tokens per second on standard error
    ///
    /// Tokens per second are by the service's clock where it tells one, else by ours from the first
    /// event to the end, and then only of an answer that came in pieces.
    #[arg(short, long)]
    pub(crate) usage: bool,

    /// Show the model's thoughts on standard error, though it is not a terminal
    #[arg(long, conflicts_with = "no_reasoning")]
    pub(crate) reasoning: bool,

    /// Do not show the model's thoughts, even on a terminal; JSON has them in any case
    #[arg(short = 'R', long)]
    pub(crate) no_reasoning: bool,

    /// The most tokens to answer with
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u64>,

    /// How freely to choose words, 0 to 2
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub(crate) temperature: Option<f64>,

    /// The seed of the choice of words
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i64>,

    /// A text that ends the answer; may be given again
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,

    /// What becomes of a setting that the provider lacks [default: error]
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_unsupported: Option<OnUnsupported>,

    /// A further member of the request: JSON if the value is JSON, else a string
    ///
    /// One that a flag or the prompt sets too is an error.
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = option)]
    pub(crate) option: Vec<(String, Json)>,

    #[command(flatten)]
    pub(crate) service: Service,
}

#[derive(Args, Debug)]
pub(crate) struct Models {
    /// Print one JSON array
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) service: Service,
}

/// Which service, and how to get there.
#[derive(Args, Debug)]
// Each is a flag of its own.
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct Service {
    /// Who answers [default: cerebras]
    #[arg(short, long)]
    pub(crate) provider: Option<ProviderName>,

    /// Where the service is; a service elsewhere than the provider's own needs no key
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) base_url: Option<String>,

    /// Cerebras is behind a gateway at the base URL: send what Cerebras accepts, as at its own host
    ///
    /// JSON schemas are adapted, and the token limit is sent as `max_completion_tokens`.
    #[arg(long, help_heading = "Connection")]
    pub(crate) behind_gateway: bool,

    /// The account at Cloudflare, by its id
    #[arg(long, value_name = "ID", help_heading = "Connection")]
    pub(crate) account: Option<String>,

    /// Ask Cloudflare through this AI gateway of the account's
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    pub(crate) gateway: Option<String>,

    /// Ask Cloudflare's playground in place of Workers AI: unofficial, and closed at its own address
    #[arg(long, conflicts_with_all = ["account", "gateway"], help_heading = "Connection")]
    pub(crate) playground: bool,

    /// Ask the playground as its page does today, over a WebSocket: it needs a browser's session
    #[arg(long, requires = "playground", help_heading = "Connection")]
    pub(crate) agent: bool,

    /// Keep the playground's session in this file: JSON with `headers` and `cookies`
    #[arg(
        long,
        value_name = "FILE",
        requires = "playground",
        help_heading = "Connection"
    )]
    pub(crate) session_file: Option<PathBuf>,

    /// Let the key go to this origin too, where Replicate names it for its streams; may be given again
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) stream_origin: Vec<String>,

    /// Read the key from a file
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) key_file: Option<PathBuf>,

    /// Get Cerebras' key by a browser's cookies: unofficial, and perhaps gone
    ///
    /// The file is a cookies.txt, JSON of an extension, or a HAR with sensitive data, saved at
    /// the page inference.cerebras.ai while you are signed in. A key in the environment comes first.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["key_file", "account", "gateway", "playground"],
        help_heading = "Connection"
    )]
    pub(crate) cookies: Option<PathBuf>,

    /// Go through this proxy: http://, https://, socks5:// or socks5h://
    #[arg(
        long,
        value_name = "URL",
        conflicts_with = "no_proxy",
        help_heading = "Connection"
    )]
    pub(crate) proxy: Option<String>,

    /// Use no proxy, whatever the environment says
    #[arg(long, help_heading = "Connection")]
    pub(crate) no_proxy: bool,

    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) cacert: Option<PathBuf>,

    /// The limit on looking up the host, on connecting and on TLS, each; 0 is none [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = limit, help_heading = "Connection")]
    pub(crate) connect_timeout: Option<Limit>,

    /// The limit on waiting for the answer's head [default: 60] and then for its first event
    /// [default: 120, replicate: 600]; 0 is none
    #[arg(long, value_name = "SECONDS", value_parser = limit, help_heading = "Connection")]
    pub(crate) first_event_timeout: Option<Limit>,

    /// The limit on silence within an answer; 0 is none [default: 120, playground: 300]
    #[arg(long, value_name = "SECONDS", value_parser = limit, help_heading = "Connection")]
    pub(crate) idle_timeout: Option<Limit>,

    /// The limit on the whole request; 0 is none [default: none]
    #[arg(long, value_name = "SECONDS", value_parser = limit, help_heading = "Connection")]
    pub(crate) timeout: Option<Limit>,

    /// How often to send the request at most, where that is safe [default: 3]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Connection"
    )]
    pub(crate) attempts: Option<u32>,

    /// Ask a server in this process, which makes answers up: no key, no network
    #[arg(
        long,
        conflicts_with_all = ["account", "base_url", "stream_origin", "key_file", "proxy", "cacert"],
        help_heading = "Simulation"
    )]
    pub(crate) simulate: bool,

    /// Tokens per second; 0 is as fast as it goes
    #[arg(
        long,
        value_name = "N",
        default_value = "60",
        value_parser = rate,
        requires = "simulate",
        help_heading = "Simulation"
    )]
    pub(crate) tps: f64,

    /// The seed of what is made up
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        requires = "simulate",
        help_heading = "Simulation"
    )]
    pub(crate) sim_seed: u64,

    /// Let the next request fail in this way; may be given again [see `inferstream simulate -h`]
    #[arg(
        long,
        value_name = "NAME",
        requires = "simulate",
        help_heading = "Simulation"
    )]
    pub(crate) fault: Vec<Fault>,
}

/// What becomes of a setting that the provider lacks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum OnUnsupported {
    /// Nothing is sent, and the exit code is 2
    Error,
    /// It is left out, and standard error says so
    Warn,
    /// It is left out
    Ignore,
}

impl From<OnUnsupported> for inferstream::OnUnsupported {
    fn from(what: OnUnsupported) -> Self {
        match what {
            OnUnsupported::Error => Self::Error,
            OnUnsupported::Warn => Self::Warn,
            OnUnsupported::Ignore => Self::Ignore,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ProviderName {
    Cablyai,
    Cerebras,
    Cloudflare,
    /// Any compatible service, at `--base-url`
    OpenaiCompat,
    Replicate,
}

#[cfg(all(feature = "browser", unix))]
#[derive(Args, Debug)]
pub(crate) struct Login {
    /// Whose session
    #[arg(value_parser = ["cloudflare"])]
    pub(crate) provider: String,

    /// Keep it in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) session_file: PathBuf,

    /// The page
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://playground.ai.cloudflare.com/"
    )]
    pub(crate) page: String,

    /// The browser's program [default: the first of the known ones on the path]
    #[arg(long, value_name = "FILE")]
    pub(crate) browser: Option<PathBuf>,

    /// Show no window: a check that wants a person is not passed then
    #[arg(long)]
    pub(crate) headless: bool,

    /// How long the page may take, and you
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) timeout: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Simulate {
    /// The port on 127.0.0.1; 0 is any free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port: u16,

    /// Speak TLS, with a certificate made for this run
    #[arg(long)]
    pub(crate) tls: bool,

    /// Write that certificate to a file, as PEM
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) cert_file: Option<PathBuf>,

    /// The seed of what is made up
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Tokens per second; 0 is as fast as it goes
    #[arg(long, value_name = "N", default_value = "60", value_parser = rate)]
    pub(crate) tps: f64,

    /// Let the next request fail in this way; may be given again
    ///
    /// Within an answer: badjson, cut, error, stall, truncate. In its place: close, silence, or a
    /// status such as 503; 429:2 is one with `Retry-After: 2`. At Cloudflare alone: baredone,
    /// challenge, context, empty, heartbeats, html, jsonstream, midfinish, nofinish, notsuccess, plan,
    /// quota, quota-rest. Of Replicate's predictions alone:
    /// aborted, canceled, coldboot, donefail, early, evilcancel, evilhost, failed, lost, noid, nourl,
    /// and stream:404 or another status; of them and of the playground's agents cutall. At the
    /// playground alone: expire, and of its agents binary, coalesced, evicted, fragments, pings,
    /// restart, unfinished.
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub(crate) fault: Vec<Fault>,

    /// Let every request fail in this way, once those of `--fault` have
    #[arg(long, value_name = "NAME")]
    pub(crate) every_fault: Option<Fault>,

    /// Refuse every other key [default: take any]
    #[arg(long, value_name = "KEY")]
    pub(crate) api_key: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Sse {
    /// Feed the decoder pieces of at most so many bytes [default: as they are read]
    #[arg(long, value_name = "N")]
    pub(crate) chunk_size: Option<NonZeroUsize>,
}

/// A time limit, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

fn limit(text: &str) -> Result<Limit, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) => Ok(Limit(None)),
        Ok(limit) => Ok(Limit(Some(limit))),
        Err(error) => Err(error.to_string()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && 0.0 <= rate => Ok(rate),
        _ => Err("not a number of tokens per second".to_owned()),
    }
}

fn option(text: &str) -> Result<(String, Json), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((
            key.to_owned(),
            Json::parse(value).unwrap_or_else(|_| Json::from(value)),
        )),
        _ => Err("not of the form KEY=VALUE".to_owned()),
    }
}
