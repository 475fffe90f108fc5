//! The address of a new agent, with a random name.

use http::{Uri, uri::Authority};
use inferstream_client::Redact;
use inferstream_core::{ChatRequest, Error, Result};

use super::socket::random;

/// The address of an agent.
pub(super) struct Address {
    pub(super) uri: Uri,
    /// The origin of the page, sent in the header `origin`.
    pub(super) origin: String,
    /// The agent's name and the connection's key.
    secrets: [String; 2],
}

impl Address {
    pub(super) fn new(base: &str) -> Result<Self> {
        let uri = |text: &str| {
            let uri = text.parse::<Uri>();
            uri.map_err(|_| Error::config("invalid base URL: expected something like `https://playground.ai.cloudflare.com`"))
        };
        let page = uri(base)?;
        let scheme = page.scheme_str().unwrap_or("https");
        let host = page.authority().map(Authority::as_str).unwrap_or_default();
        let (name, key) = (random(), uuid());
        let agent = format!("{base}/agents/playground/Cloudflare-AI-Playground-{name}");
        Ok(Self {
            uri: uri(&format!("{agent}?_pk={key}"))?,
            origin: format!("{scheme}://{host}"),
            secrets: [name, key],
        })
    }

    /// Collects the secrets that errors about a request to this address must not show.
    pub(super) fn redact(&self, request: ChatRequest) -> Redact {
        let secrets = self.secrets.iter().map(String::as_str);
        let redact = secrets.fold(Redact::new(request.messages), Redact::credential);
        // Settings may contain keys; the quotes of a JSON string are not part of the secret.
        let settings = request.extra.iter().map(|(_, value)| value.as_str());
        settings.fold(redact, |redact, json| {
            redact.text(json.trim_matches('"')).json(json)
        })
    }
}

/// Creates a UUID of version 4 (RFC 9562).
fn uuid() -> String {
    let bits = fastrand::u128(..);
    let bits = (bits & !(0xF << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{bits:032x}");
    let (digits, last) = digits.split_at(20);
    let [first, second, third, fourth] =
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..]];
    format!("{first}-{second}-{third}-{fourth}-{last}")
}
