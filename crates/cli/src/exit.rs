//! Failures of the program: exit code, message, and JSON object for scripts.

use std::{error::Error as StdError, io, io::Write as _, process::ExitCode, time::Duration};

use inferstream::{Error, ErrorKind};
use serde::Serialize;

use crate::{runtime::Signal, screen};

/// The reason why the program fails.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader of standard output closed it.
    Closed,
    /// The response was complete as a stream, but its finish reason reports an early end, which was
    /// already printed.
    Early,
    /// The program received a signal, such as that of Ctrl-C.
    Interrupted(Signal),
    /// Accessing a file or standard output failed. Contains the operation and its error.
    Io(String, io::Error),
    /// Preparing or sending the request failed.
    Request(Error),
    /// Some rows of a batch failed, which was already printed.
    Rows,
    /// A check failed, which was already printed.
    Unhealthy,
    /// The service does not have the model. Contains the command that lists its models.
    UnknownModel(Error, String),
}

impl Failure {
    /// Returns the exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            // The exit code that a shell reports for a program killed by SIGPIPE.
            Self::Closed => 141,
            Self::Early => 7,
            Self::Interrupted(signal) => signal.code(),
            Self::Io(..) | Self::Rows | Self::Unhealthy => 1,
            Self::Request(error) | Self::UnknownModel(error, _) => code(error.kind()),
        })
    }

    /// Prints the failure to standard error.
    pub(crate) fn report(&self, verbose: bool) {
        let mut stderr = anstream::stderr().lock();
        let mut say = |line: &str| {
            // If standard error is closed, there is nowhere to report it.
            let _ = writeln!(stderr, "{}", screen::line(line));
        };
        match self {
            Self::Closed | Self::Early | Self::Interrupted(_) | Self::Rows | Self::Unhealthy => {}
            Self::Io(what, cause) => say(&format!("error: {what}: {cause}")),
            Self::Request(error) | Self::UnknownModel(error, _) => {
                say(&format!("error: {error}{}", wait(error.retry_after())));
                if let Self::UnknownModel(_, command) = self {
                    say(&format!("hint: `{command}` lists the models"));
                }
                if let Some((setting, flag)) = error.setting().and_then(flag) {
                    say(&format!("hint: the flag for `{setting}` is `{flag}`"));
                }
                if !verbose {
                    return;
                }
                let mut source = error.source();
                while let Some(cause) = source {
                    say(&format!("caused by: {cause}"));
                    source = cause.source();
                }
                if let Some(id) = error.request_id() {
                    say(&format!("request id: {id}"));
                }
                if 1 < error.attempts() {
                    say(&format!("attempts: {}", error.attempts()));
                }
            }
        }
    }

    /// Returns the failure as JSON.
    pub(crate) fn to_json(&self) -> ErrorObject<'_> {
        let plain = |kind: &'static str, message: String| ErrorObject {
            kind,
            message,
            ..ErrorObject::default()
        };
        match self {
            Self::Closed => plain("closed", "standard output was closed".to_owned()),
            Self::Early => plain("early", "the response ended early".to_owned()),
            Self::Rows => plain("rows", "some rows failed".to_owned()),
            Self::Unhealthy => plain("unhealthy", "a check failed".to_owned()),
            Self::Interrupted(_) => plain(ErrorKind::Canceled.as_str(), "interrupted".to_owned()),
            Self::Io(what, cause) => plain("io", format!("{what}: {cause}")),
            Self::Request(error) | Self::UnknownModel(error, _) => ErrorObject {
                phase: match error.kind() {
                    ErrorKind::Timeout(phase) => Some(phase.as_str()),
                    _ => None,
                },
                // A response that was cut off has the status 200, which does not explain the error.
                status: error
                    .status()
                    .filter(|status| !status.is_success())
                    .map(|status| status.as_u16()),
                code: error.code(),
                setting: error.setting(),
                retry_after: error.retry_after().map(|wait| wait.as_secs_f64()),
                ..plain(error.kind().as_str(), error.to_string())
            },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}

/// A failure to write to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io("standard output".to_owned(), error),
        }
    }
}

/// An error as JSON for scripts.
#[derive(Debug, Default, Serialize)]
#[serde(tag = "type", rename = "error")]
pub(crate) struct ErrorObject<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    /// The library's name of the setting that the error is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    setting: Option<&'a str>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<f64>,
    message: String,
}

/// Returns the library's name of a setting, and the flag that sets it, if there is one.
fn flag(setting: &str) -> Option<(&str, &'static str)> {
    let flag = match setting {
        "account_id" => "--account",
        "api_key" | "api_token" => "--key-file",
        "base_url" => "--base-url",
        "certificate_pem" => "--cacert",
        "cookies" => "--cookies",
        "extra" => "--option",
        "gateway" => "--gateway",
        "max_tokens" => "--max-tokens",
        "model" => "--model",
        "no_proxy" => "--no-proxy",
        "on_unsupported" => "--on-unsupported",
        "proxy" => "--proxy",
        "seed" => "--seed",
        "stop" => "--stop",
        "stream_origin" => "--stream-origin",
        "temperature" => "--temperature",
        _ => return None,
    };
    Some((setting, flag))
}

fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Config | ErrorKind::Unsupported | ErrorKind::ModelNotSupported => 2,
        ErrorKind::Auth | ErrorKind::Permission | ErrorKind::Challenge => 3,
        ErrorKind::RateLimited | ErrorKind::Quota => 4,
        ErrorKind::Dns
        | ErrorKind::Connect
        | ErrorKind::Tls
        | ErrorKind::Proxy
        | ErrorKind::Redirect
        | ErrorKind::UntrustedHost
        | ErrorKind::Timeout(_)
        | ErrorKind::Disconnected => 5,
        ErrorKind::Truncated => 6,
        _ => 1,
    }
}

fn wait(retry_after: Option<Duration>) -> String {
    match retry_after {
        None => String::new(),
        Some(wait) => format!(" (try again in {} s)", wait.as_secs_f64()),
    }
}

/// Returns true if the error means that the service, or its model list, does not have the model.
pub(crate) fn is_unknown_model(error: &Error) -> bool {
    // After a prediction was created, a 404 does not concern the model.
    let has_begun = error.partial().is_some_and(|partial| partial.id.is_some());
    let says = |phrases: &[&str]| {
        let message = error.to_string().to_lowercase();
        message.contains("model") && phrases.iter().any(|phrase| message.contains(phrase))
    };
    match error.kind() {
        ErrorKind::ModelNotSupported => true,
        ErrorKind::NotFound => !has_begun,
        ErrorKind::Config => error.setting() == Some("model"),
        ErrorKind::InvalidRequest | ErrorKind::Permission => {
            error.code() == Some("model_not_found")
                || says(&[
                    "does not exist",
                    "invalid model",
                    "no such model",
                    "not a valid model",
                    "not found",
                    "unknown model",
                ])
        }
        _ => false,
    }
}
