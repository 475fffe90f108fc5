//! The arguments of the `batch` command.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

use clap::Args;
use inferstream_batch::Part;

use crate::{args::Service, chat_args::OnUnsupported};

const AFTER_HELP: &str = "\
Exit codes:
  0    all rows have a response
  1    some rows failed, which the file of failed rows lists; or a file could not be written
  2    invalid arguments, settings or input; nothing was sent
  3    missing key, or the service rejected it (401, 403)
  4    the quota is used up (402)
  5    the service could not be reached
  130  Ctrl-C: the responses under way were waited for; a second one ends at once
  141  standard output was closed
  143  SIGTERM

  Whatever ended it, the same command continues where it stopped.";

/// Sends many prompts and writes each response as a line; continues after a crash
///
/// Each line of INPUT is a request of OpenAI's batch API (`custom_id`, `method`, `url`, `body`), or
/// an object with `prompt` or `messages`, whose other members are settings. A response is appended
/// to OUTPUT as soon as it is complete, in the format of the batch API. Rows that failed are
/// written to `OUTPUT.failed.jsonl`, which is an input again.
///
/// Without OUTPUT, rows come from INPUT or standard input, and results go to standard output, in the
/// order of completion: responses, and rows that failed.
#[derive(Args, Debug)]
// Each is an independent flag.
#[allow(clippy::struct_excessive_bools)]
#[command(next_help_heading = "Rows", after_long_help = AFTER_HELP)]
pub(crate) struct Batch {
    /// The file of rows
    #[arg(value_name = "INPUT", display_order = 0)]
    pub(crate) input: Option<PathBuf>,

    /// Write the responses to this file, and continue it if it exists
    #[arg(short, long, value_name = "FILE", requires = "input")]
    pub(crate) output: Option<PathBuf>,

    /// The lines of the input are prompts, not JSON
    #[arg(long)]
    pub(crate) text: bool,

    /// Take every N-th row, from the I-th on
    #[arg(long, value_name = "I/N")]
    pub(crate) part: Option<Part>,

    /// Ask rows again that failed in an earlier run
    #[arg(long, requires = "output")]
    pub(crate) retry_failed: bool,

    /// Send requests again that may have been processed, and possibly pay twice
    #[arg(long, conflicts_with = "at_most_once")]
    pub(crate) retry_ambiguous: bool,

    /// Never pay twice: rows whose response was lost fail as `maybe_paid`
    ///
    /// These are the rows that were under way when an earlier run was killed, except predictions of
    /// Replicate, which are resumed.
    #[arg(long)]
    pub(crate) at_most_once: bool,

    /// Exit with 0 even if rows failed
    #[arg(long)]
    pub(crate) failed_as_rows: bool,

    /// Print the summary as JSON: to standard output, or to standard error without OUTPUT
    #[arg(long)]
    pub(crate) json: bool,

    /// The model of all rows: `provider/model`, an alias, or one of the default provider
    ///
    /// It replaces the model of each row. Without it, rows that name no model get the default one.
    #[arg(short, long, help_heading = "Requests")]
    pub(crate) model: Option<String>,

    /// Maximum number of requests in flight
    ///
    /// A batch begins with 8, and adds one after each round that no rate limit refused.
    #[arg(
        long,
        value_name = "N",
        default_value = "64",
        help_heading = "Requests"
    )]
    pub(crate) max_in_flight: NonZeroUsize,

    /// Maximum number of requests per minute
    #[arg(long, value_name = "N", help_heading = "Requests")]
    pub(crate) rpm: Option<NonZeroU32>,

    /// Maximum number of tokens per minute
    #[arg(long, value_name = "N", help_heading = "Requests")]
    pub(crate) tpm: Option<NonZeroU32>,

    /// Send the header `Idempotency-Key`, a hash of the row [default: only for openai-compat]
    ///
    /// A gateway that keeps responses returns the same response to the same row again.
    #[arg(long, help_heading = "Requests")]
    pub(crate) idempotency_key: bool,

    /// How to handle settings that the provider does not support [default: error]
    #[arg(long, value_name = "WHAT", help_heading = "Requests")]
    pub(crate) on_unsupported: Option<OnUnsupported>,

    #[command(flatten)]
    pub(crate) service: Service,
}
