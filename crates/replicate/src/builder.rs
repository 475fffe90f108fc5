//! The builder of [`Replicate`].

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use inferstream_client::{Client, Semaphore, Setting, Settings, base_url, same_host};
use inferstream_core::{Error, ErrorKind, Result};

use crate::{
    client::Replicate, info::INFO, inputs::Inputs, protocol::Predictions,
    settings::PredictionSettings, trust::Trust,
};

/// The base URL of the API, with its version.
const BASE_URL: &str = "https://api.replicate.com/v1";

/// The maximum number of concurrent cancel requests in the background. A program that drops
/// thousands of streams at once must not open thousands of connections.
const CANCELS: usize = 16;

/// A builder for a [`Replicate`] client.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ReplicateBuilder {
    settings: Settings,
    stream_origins: Vec<Setting>,
    inputs: Vec<(String, Inputs)>,
    cancel_after: Option<Duration>,
    cancel_on_drop: bool,
    metrics: bool,
}

impl Default for ReplicateBuilder {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            stream_origins: Vec::new(),
            inputs: Vec::new(),
            cancel_after: None,
            cancel_on_drop: true,
            metrics: true,
        }
    }
}

impl Replicate {
    /// Creates a client with the key in `REPLICATE_API_TOKEN` or `REPLICATE_API_KEY`, and the base
    /// URL in `REPLICATE_BASE_URL` if it is set.
    ///
    /// # Errors
    ///
    /// Returns `Auth` if there is no key, and `Config` if the key or the URL is invalid.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let replicate = ReplicateBuilder::from_env()?.build()?;
        replicate.client.check_key()?;
        Ok(replicate)
    }

    /// Creates a builder without any settings; it reads no environment variables.
    pub fn builder() -> ReplicateBuilder {
        ReplicateBuilder::default()
    }
}

inferstream_client::builder!(ReplicateBuilder with key);

impl ReplicateBuilder {
    /// Reads `REPLICATE_API_TOKEN` or `REPLICATE_API_KEY`, `REPLICATE_BASE_URL` and
    /// `REPLICATE_STREAM_ORIGIN` if they are set.
    ///
    /// Later calls of setters override the key and the base URL. `REPLICATE_STREAM_ORIGIN` contains
    /// one or more origins separated by commas; [`stream_origin`](Self::stream_origin) adds to
    /// them.
    ///
    /// # Errors
    ///
    /// Returns `Config` if a variable is not valid Unicode.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            settings: Settings::from_env(
                &["REPLICATE_API_TOKEN", "REPLICATE_API_KEY"],
                &["REPLICATE_BASE_URL"],
            )?,
            stream_origins: Setting::from_env(&["REPLICATE_STREAM_ORIGIN"])?
                .into_iter()
                .collect(),
            ..Self::default()
        })
    }

    /// Sets the base URL. The default is `https://api.replicate.com/v1`.
    ///
    /// If the URL has no path, `/v1` is added. At another host, the key is optional.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(Setting::new(url));
        self
    }

    /// Allows the key to be sent to another origin, such as `https://streams.example.com`, if the
    /// service names it for a stream. May be called several times.
    ///
    /// Hosts of `replicate.com`, `replicate.delivery` and `replicate.net` over TLS on port 443, and
    /// the origin of the base URL, are always allowed. A stream at another origin is the error
    /// `UntrustedHost`, before anything is sent there.
    pub fn stream_origin(mut self, origin: impl Into<String>) -> Self {
        self.stream_origins.push(Setting::new(origin));
        self
    }

    /// Sets the input names of models whose names start with a prefix. May be called several times.
    ///
    /// These settings take precedence over the built-in table. The longest matching prefix is used.
    pub fn inputs(mut self, model_begins: impl Into<String>, inputs: Inputs) -> Self {
        self.inputs.push((model_begins.into(), inputs));
        self
    }

    /// Sets a deadline after which the service itself ends each prediction: at least 1 s, rounded
    /// down to seconds. Off by default.
    ///
    /// It is sent as `Cancel-After`, which the service supports since October 2025. A prediction
    /// whose deadline passes before it starts is `aborted`, and a later one is `canceled`; both are
    /// errors of the kind `Canceled`.
    pub fn cancel_after(mut self, deadline: Duration) -> Self {
        self.cancel_after = Some(deadline);
        self
    }

    /// Sets whether dropping a stream before its end cancels the prediction. The default is true;
    /// otherwise the prediction continues, and is billed.
    ///
    /// The cancel is one request in the background that takes at most 2 s. A program that exits
    /// immediately should call [`ChatStream::cancel`](crate::ChatStream::cancel).
    ///
    /// A client and its clones send at most 16 of these requests at a time. The others wait in
    /// memory, in order, and none is dropped. The 2 s of each start when it is sent. If the service
    /// does not respond, n streams that are dropped at once are therefore canceled within n / 16 ·
    /// 2 s, as long as the runtime runs.
    pub fn cancel_on_drop(mut self, cancel: bool) -> Self {
        self.cancel_on_drop = cancel;
        self
    }

    /// Sets whether token counts and times are read from the prediction after the end of the
    /// stream. The default is true.
    ///
    /// The stream itself does not contain them. Reading them takes one request, or several if the
    /// prediction's status lags behind its stream, and delays the `Finish` event by at most 2 s. If
    /// the output or the status of the prediction contradicts a stream that ended with success, the
    /// response is complete and has a warning.
    ///
    /// Without it there are no `Usage` and `Timing` events. If the stream was interrupted, the
    /// prediction is read regardless of this setting.
    pub fn metrics(mut self, ask: bool) -> Self {
        self.metrics = ask;
        self
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// Returns `Config` if the key, a URL, a header or the deadline is invalid, or if there is no
    /// transport.
    pub fn build(self) -> Result<Replicate> {
        let mut settings = self.settings;
        settings
            .timeouts
            .get_or_insert_with(Replicate::default_timeouts);
        let base = base_url(&settings.base_url_or(BASE_URL));
        let base = base.map_err(|error| settings.explain_base(error))?;
        let mut trust = Trust::new(&base);
        for setting in &self.stream_origins {
            // An origin never contains a comma.
            for origin in setting.value().split(',').map(str::trim) {
                trust.add(origin).map_err(|error| setting.explain(error))?;
            }
        }
        let needs_key = same_host(&base, BASE_URL);
        let predictions = PredictionSettings {
            needs_key,
            trust,
            inputs: self.inputs,
            cancel_after: self.cancel_after.map(deadline).transpose()?,
            cancel_on_drop: self.cancel_on_drop,
            cancels: Semaphore::new(CANCELS),
            metrics: self.metrics,
        };
        let protocol = Predictions {
            settings: Arc::new(predictions),
        };
        let client = if needs_key {
            Client::with_required_key(protocol, &base, settings, no_key())
        } else {
            Client::new(protocol, &base, settings)
        };
        Ok(Replicate::new(client?))
    }
}

fn no_key() -> Error {
    let login = INFO.login_url();
    let message =
        format!("missing key for replicate: set REPLICATE_API_TOKEN; create a key at {login}");
    Error::new(ErrorKind::Auth, message).with_setting("api_key")
}

fn deadline(deadline: Duration) -> Result<HeaderValue> {
    let not_one = || {
        Error::config("invalid `cancel_after`: expected at least one second")
            .with_setting("cancel_after")
    };
    match deadline.as_secs() {
        0 => Err(not_one()),
        seconds => HeaderValue::try_from(format!("{seconds}s")).map_err(|_| not_one()),
    }
}
