//! The client of Workers AI and of the playground.

use std::time::Duration;

use inferstream_client::Client;
#[cfg(feature = "playground")]
use inferstream_core::ErrorKind;
use inferstream_core::{BoxFuture, Error, Json, Model, Provider, Result, Timeouts};
use inferstream_openai_compat::Chat;

#[cfg(feature = "playground")]
use crate::playground::Playground;
use crate::{
    models::INFO,
    workers_ai::{WorkersAi, of_document, search},
};

/// A client for Cloudflare Workers AI or for the playground.
///
/// Cloning is cheap; clones share connections and the list of models.
#[derive(Clone, Debug)]
pub struct Cloudflare {
    service: Service,
}

/// The service that requests are sent to.
#[derive(Clone, Debug)]
pub(crate) enum Service {
    WorkersAi(Client<Chat<WorkersAi>>),
    #[cfg(feature = "playground")]
    Playground(Playground),
}

inferstream_client::provider! {
    #[stream doc = "Without a token limit in the request, 2048 is sent."]
    impl Cloudflare: this => this.provider()
}

impl Cloudflare {
    /// Returns the default timeouts. They are those of [`Timeouts::default`], except that the idle
    /// timeout for the playground is 300 s, as in gpt4free's class.
    pub fn default_timeouts(playground: bool) -> Timeouts {
        if playground {
            Timeouts::default().idle(Duration::from_secs(300))
        } else {
            Timeouts::default()
        }
    }

    pub(crate) fn new(service: Service) -> Self {
        Self { service }
    }

    fn provider(&self) -> &dyn Provider {
        match &self.service {
            Service::WorkersAi(client) => client,
            #[cfg(feature = "playground")]
            Service::Playground(playground) => playground,
        }
    }

    /// Searches the models of all tasks for a text.
    ///
    /// # Errors
    ///
    /// The same as [`models`](Self::models).
    pub fn search(&self, text: &str) -> BoxFuture<'static, Result<Vec<Model>>> {
        let client = self.workers_ai();
        let query = format!("search={}", encoded(text));
        Box::pin(async move {
            let client = client?;
            let call = client.call().await?;
            client.protocol().dialect().check_lists()?;
            search(&call, client.protocol(), &query).await
        })
    }

    /// Requests the JSON schema of a model's input and output.
    ///
    /// # Errors
    ///
    /// The same as [`models`](Self::models), and `NotFound` if the model does not exist.
    pub fn schema(&self, model: &str) -> BoxFuture<'static, Result<Json>> {
        let client = self.workers_ai();
        let path = format!("/models/schema?model={}", encoded(INFO.resolve(model)));
        Box::pin(async move {
            let client = client?;
            let call = client.call().await?;
            let protocol = client.protocol();
            protocol.dialect().check_lists()?;
            let body = protocol.document(&call, &path).await?;
            let broken = || {
                Error::protocol(
                    "invalid response to the request for a model's schema: expected an object in `result`",
                )
            };
            let value = serde_json::from_slice::<serde_json::Value>(&body);
            let value = value.map_err(|_| broken())?;
            if let Some(error) = of_document(&value) {
                return Err(error);
            }
            match &value["result"] {
                schema @ serde_json::Value::Object(_) => Ok(Json::from_text(schema.to_string())),
                _ => Err(broken()),
            }
        })
    }

    #[cfg_attr(
        not(feature = "playground"),
        expect(clippy::unnecessary_wraps, reason = "only the playground fails here")
    )]
    pub(crate) fn workers_ai(&self) -> Result<Client<Chat<WorkersAi>>> {
        match &self.service {
            Service::WorkersAi(client) => Ok(client.clone()),
            #[cfg(feature = "playground")]
            Service::Playground(_) => Err(Error::new(
                ErrorKind::Unsupported,
                "the playground does not support this: only `models` is available",
            )),
        }
    }
}

/// Percent-encodes a text for use in a query (RFC 3986, section 2.1).
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
