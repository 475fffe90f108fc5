//! The arguments of the `chat` command.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use inferstream::Json;

use crate::args::Service;

#[derive(Args, Debug)]
// Each is an independent flag.
#[allow(clippy::struct_excessive_bools)]
#[command(next_help_heading = "Message")]
pub(crate) struct Chat {
    /// The prompt; without one, an interactive session starts
    ///
    /// Piped standard input is prepended. The session needs a terminal as standard input and output.
    /// `/help` lists its commands: a line that ends with a backslash continues, text between lines
    /// of `"""` is one message, Ctrl-C stops a response and Ctrl-D ends the session.
    #[arg(display_order = 0)]
    pub(crate) prompt: Vec<String>,

    /// Do not read standard input
    #[arg(short, long, hide_short_help = true)]
    pub(crate) no_stdin: bool,

    /// The model: `provider/model`, an alias, or one of the default provider
    ///
    /// Aliases are those of the configuration. The default is `INFERSTREAM_MODEL`, or that of
    /// the configuration or the provider.
    #[arg(short, long)]
    pub(crate) model: Option<String>,

    /// The system message; it replaces that of the conversation
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) system: Option<String>,

    /// Continue the conversation in this JSON file, and save it there
    ///
    /// The file is a JSON array of messages of the chat protocol, or does not exist yet. It is read
    /// before the request and replaced atomically after the response. A request without any
    /// response does not change it. An incomplete response has the member `"truncated": true`:
    /// later requests contain its text, but not its tool calls.
    #[arg(long, value_name = "FILE", conflicts_with = "messages")]
    pub(crate) session: Option<PathBuf>,

    /// Start from the messages in this JSON file, without changing it
    ///
    /// No prompt is required if the last message is a user's or a tool's.
    #[arg(long, value_name = "FILE")]
    pub(crate) messages: Option<PathBuf>,

    /// Attach an image: a PNG, JPEG, GIF or WebP file, or a URL; repeatable
    ///
    /// A file may have up to 10 MiB and is sent as a data URL. Whether a URL is accepted depends on
    /// the service.
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) image: Vec<String>,

    /// Require JSON of this schema: a file, or such as 'name, age int'
    ///
    /// The file contains a JSON schema, or an object with `name`, `schema` and `strict`. The short
    /// form lists the members of an object, separated by commas or line breaks, each as
    /// `name type: description`. The type is `str` (the default), `int`, `float` or `bool`; all
    /// members are required.
    #[arg(long, value_name = "FILE|TEXT")]
    pub(crate) schema: Option<String>,

    /// Let the model call the tools that this JSON file defines; repeatable
    ///
    /// The file contains one definition or an array, each either
    /// `{"type":"function","function":{"name":…,"description":…,"parameters":…}}` or only the inner
    /// object. Each call is printed to standard output, as one line of JSON:
    /// `{"type":"tool_call","index":0,"id":…,"name":…,"arguments":"{…}"}`. The exit code is 0: the
    /// response is complete. With `--session`, pass the results by `--tool-result` and the
    /// definitions again.
    #[arg(long, value_name = "FILE")]
    pub(crate) tool: Vec<PathBuf>,

    /// The result of a tool call of the conversation; repeatable
    ///
    /// All calls of the last response need a result before the conversation can continue.
    #[arg(long, value_name = "ID=TEXT", value_parser = tool_result)]
    pub(crate) tool_result: Vec<(String, String)>,

    /// Do not read or write the history of prompts
    ///
    /// In a terminal session, prompts are kept in `inferstream/history` in the state folder
    /// (`XDG_STATE_HOME`, or `~/.local/state`), except those that start with a space.
    #[arg(long, hide_short_help = true)]
    pub(crate) no_history: bool,

    /// Print one JSON object at the end
    ///
    /// Its members are `text`, `reasoning`, `tool_calls`, `finish_reason`, `usage`, `timing`,
    /// `model`, `id` and `error`, which is null unless the response failed. `finish_reason` shows
    /// whether the response reached a token limit.
    #[arg(long, conflicts_with = "jsonl", help_heading = "Output")]
    pub(crate) json: bool,

    /// Print one JSON object per event, as events arrive
    ///
    /// The `type` is `text`, `reasoning`, `tool_call` (once, when complete), `logprobs`,
    /// `reasoning_logprobs`, `usage`, `timing` or `finish`. After a failure, the last line has the
    /// type `error`.
    #[arg(long, help_heading = "Output")]
    pub(crate) jsonl: bool,

    /// Request the complete response at once instead of a stream
    #[arg(long, help_heading = "Output", hide_short_help = true)]
    pub(crate) no_stream: bool,

    /// Print token counts and speed to standard error
    ///
    /// The line has the token counts, the time to the first token and the tokens per second. Tokens
    /// per second are measured by the service if it reports a time. Otherwise they are measured from
    /// the first event to the end, for streamed responses only.
    #[arg(short, long, help_heading = "Output")]
    pub(crate) usage: bool,

    /// Print reasoning to standard error even if it is not a terminal
    #[arg(
        long,
        conflicts_with = "no_reasoning",
        help_heading = "Output",
        hide_short_help = true
    )]
    pub(crate) reasoning: bool,

    /// Do not print reasoning, even on a terminal
    ///
    /// JSON output always contains it.
    #[arg(short = 'R', long, help_heading = "Output", hide_short_help = true)]
    pub(crate) no_reasoning: bool,

    /// Maximum number of tokens to generate
    #[arg(long, value_name = "N", help_heading = "Sampling")]
    pub(crate) max_tokens: Option<u64>,

    /// Sampling temperature, 0 to 2
    #[arg(
        long,
        value_name = "T",
        allow_negative_numbers = true,
        help_heading = "Sampling"
    )]
    pub(crate) temperature: Option<f64>,

    /// Sampling seed
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Sampling",
        hide_short_help = true
    )]
    pub(crate) seed: Option<i64>,

    /// Stop sequence; repeatable
    #[arg(
        long,
        value_name = "TEXT",
        help_heading = "Sampling",
        hide_short_help = true
    )]
    pub(crate) stop: Vec<String>,

    /// How to handle settings that the provider does not support [default: error]
    #[arg(
        long,
        value_name = "WHAT",
        help_heading = "Sampling",
        hide_short_help = true
    )]
    pub(crate) on_unsupported: Option<OnUnsupported>,

    /// An additional member of the request, JSON or else a string
    ///
    /// An option that repeats a flag or the prompt is an error.
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = option, help_heading = "Sampling")]
    pub(crate) option: Vec<(String, Json)>,

    #[command(flatten)]
    pub(crate) service: Service,
}

/// How to handle settings that the provider does not support.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum OnUnsupported {
    /// Send nothing and exit with code 2
    Error,
    /// Omit the setting and print a warning
    Warn,
    /// Omit the setting
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

fn option(text: &str) -> Result<(String, Json), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((
            key.to_owned(),
            Json::parse(value).unwrap_or_else(|_| Json::from(value)),
        )),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn tool_result(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((id, result)) => Ok((id.to_owned(), result.to_owned())),
        None => Err("expected ID=TEXT".to_owned()),
    }
}
