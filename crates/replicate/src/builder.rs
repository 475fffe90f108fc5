//! The builder of a client.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use inferstream_client::{Client, Semaphore, Setting, Settings, base_url, same_host};
use inferstream_core::{Error, ErrorKind, Result};

use crate::{
    client::Replicate, info::INFO, inputs::Inputs, protocol::Predictions,
    settings::PredictionSettings, trust::Trust,
};

/// Where the service is, with the version that every path begins with.
const BASE_URL: &str = "https://api.replicate.com/v1";

/// The most cancels in the background at a time: a program that drops thousands of streams at once
/// must not open thousands of connections.
const CANCELS: usize = 16;

/// The settings of a [`Replicate`].
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
    /// Creates a client with the key in `REPLICATE_API_TOKEN`, or else `REPLICATE_API_KEY`, for the
    /// service at `REPLICATE_BASE_URL` if that is set.
    ///
    /// # Errors
    ///
    /// `Auth` if there is no key; `Config` if the key or the URL cannot be used.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let replicate = ReplicateBuilder::from_env()?.build()?;
        replicate.client.check_key()?;
        Ok(replicate)
    }

    /// Begins to set up a client, from nothing: no environment variable is read.
    pub fn builder() -> ReplicateBuilder {
        ReplicateBuilder::default()
    }
}

inferstream_client::builder!(ReplicateBuilder with key);

impl ReplicateBuilder {
    /// Reads `REPLICATE_API_TOKEN`, or else `REPLICATE_API_KEY`, `REPLICATE_BASE_URL` and
    /// `REPLICATE_STREAM_ORIGIN`, where they are set.
    ///
    /// A key or base URL that is set afterwards wins. `REPLICATE_STREAM_ORIGIN` holds one or more
    /// origins, separated by commas; [`stream_origin`](Self::stream_origin) adds to them.
    ///
    /// # Errors
    ///
    /// `Config` if one is not Unicode.
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

    /// Sets where the service is: `https://api.replicate.com/v1`.
    ///
    /// A URL without a path gets `/v1`. A service elsewhere is asked without a key if none is set.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(Setting::new(url));
        self
    }

    /// Lets the key go to another origin, such as `https://streams.example.com`, where the service
    /// names one for its streams; may be called again.
    ///
    /// Trusted as it is are hosts of `replicate.com`, `replicate.delivery` and `replicate.net` over
    /// TLS on port 443, and the origin of the base URL.
    /// A stream elsewhere is an error, `UntrustedHost`, before a byte is sent there.
    pub fn stream_origin(mut self, origin: impl Into<String>) -> Self {
        self.stream_origins.push(Setting::new(origin));
        self
    }

    /// Says how models name their inputs whose names begin in this way; may be called again.
    ///
    /// It comes before the built-in table, and the longest beginning holds.
    pub fn inputs(mut self, model_begins: impl Into<String>, inputs: Inputs) -> Self {
        self.inputs.push((model_begins.into(), inputs));
        self
    }

    /// Has the service itself end each prediction after so long: whole seconds, at least 1.
    ///
    /// It is sent as `Cancel-After`, which the service knows since October 2025. A prediction whose
    /// deadline comes before it begins is `aborted`, later ones are `canceled`; both are errors,
    /// `Canceled`. Off by default.
    pub fn cancel_after(mut self, deadline: Duration) -> Self {
        self.cancel_after = Some(deadline);
        self
    }

    /// Sets whether a prediction is canceled when its stream is dropped before the end: true.
    ///
    /// It is one request in the background, for 2 s at most: a program that ends at once should call
    /// [`ChatStream::cancel`](crate::ChatStream::cancel).
    /// A client and its clones send at most 16 of these at a time; the others wait in turn, in
    /// memory, and none is dropped. The 2 s of each begin when it is sent, so n streams that are
    /// dropped at once are canceled within n / 16 · 2 s, even where the service does not respond, as
    /// long as the runtime runs.
    /// Without it the service goes on, and bills.
    pub fn cancel_on_drop(mut self, cancel: bool) -> Self {
        self.cancel_on_drop = cancel;
        self
    }

    /// Sets whether the prediction is asked for its counts and times once the stream has ended: true.
    ///
    /// The stream does not tell them. It takes a request, or more where the status is behind the
    /// stream, for 2 s at most between the last text and the answer's `Finish`. If the prediction says
    /// otherwise than a stream that ended with success, in its output or its status, the answer is
    /// complete and has a warning. Without it there is neither `Usage` nor `Timing`; where the
    /// stream was cut, the prediction is asked all the same.
    pub fn metrics(mut self, ask: bool) -> Self {
        self.metrics = ask;
        self
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// `Config` for a key, URL, header or deadline that cannot be used, or where there is no
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
            // No origin has a comma in it.
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
    let message = format!("replicate needs a key: set REPLICATE_API_TOKEN; keys are at {login}");
    Error::new(ErrorKind::Auth, message).with_setting("api_key")
}

fn deadline(deadline: Duration) -> Result<HeaderValue> {
    let not_one = || {
        Error::config("`cancel_after` is less than a second: nothing can be made in it")
            .with_setting("cancel_after")
    };
    match deadline.as_secs() {
        0 => Err(not_one()),
        seconds => HeaderValue::try_from(format!("{seconds}s")).map_err(|_| not_one()),
    }
}
