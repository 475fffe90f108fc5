//! The origins to which the key may be sent.

use http::Uri;
use inferstream_client::base_url;
use inferstream_core::{Error, ErrorKind, Result};

/// The domains to whose hosts the key may be sent.
const FAMILIES: [&str; 3] = ["replicate.com", "replicate.delivery", "replicate.net"];

/// The origins to which the key may be sent.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// The origins that the user set: that of the base URL, and additional ones.
    origins: Vec<Origin>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Returns the origin of a URL; `None` if it has none, or an ambiguous one.
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let authority = uri.authority()?;
        let default = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let host = authority.host();
        // Only a valid port may follow the host. A user name, or a number that is not a port, could
        // hide the actual destination.
        let port = match authority.as_str().strip_prefix(host)? {
            "" => default,
            port => {
                let digits = port.strip_prefix(':')?;
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                digits.parse().ok().filter(|_| is_number)?
            }
        };
        Some(Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// Returns true for a host of the service over TLS on its default port.
    fn is_replicates(&self) -> bool {
        let is_below = |family: &str| {
            let before = self.host.strip_suffix(family);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        let has_labels = self.host.split('.').all(|label| !label.is_empty());
        self.scheme == "https"
            && self.port == 443
            && has_labels
            && FAMILIES.iter().any(|family| is_below(family))
    }
}

impl Trust {
    /// Allows the service's hosts and the origin of the base URL.
    pub(crate) fn new(base_url: &str) -> Self {
        let origin = base_url.parse().ok().and_then(|uri| Origin::of(&uri));
        Self {
            origins: origin.into_iter().collect(),
        }
    }

    /// Allows another origin, such as `https://host` or `http://host:port`.
    ///
    /// # Errors
    ///
    /// Returns `Config` if the origin is invalid.
    pub(crate) fn add(&mut self, origin: &str) -> Result<()> {
        let about = |error: Error| error.with_setting("stream_origin");
        let checked =
            base_url(origin).map_err(|error| about(error.context("the stream's origin")))?;
        let origin = checked.parse().ok().and_then(|uri| Origin::of(&uri));
        let not_one = || {
            about(Error::config(
                "invalid stream origin: expected something like `https://host`",
            ))
        };
        self.origins.push(origin.ok_or_else(not_one)?);
        Ok(())
    }

    /// Returns true for a URL at one of the service's own hosts, which may differ from the base
    /// URL's host.
    pub(crate) fn is_replicates(uri: &Uri) -> bool {
        Origin::of(uri).is_some_and(|origin| origin.is_replicates())
    }

    /// Returns the URL if the key may be sent to it.
    ///
    /// # Errors
    ///
    /// Returns `UntrustedHost`. Its message contains only the host, because the path and query of a
    /// stream are a secret.
    pub(crate) fn check(&self, what: &str, url: &str) -> Result<Uri> {
        let uri = url.parse::<Uri>().ok();
        let origin = uri.as_ref().and_then(Origin::of);
        match (uri, origin) {
            (Some(uri), Some(origin))
                if origin.is_replicates() || self.origins.contains(&origin) =>
            {
                Ok(uri)
            }
            (_, Some(Origin { scheme, host, port })) => Err(untrusted(format!(
                "replicate's {what} points to {scheme}://{host}:{port}, to which the key is not sent; if it \
                 should be, add it with `stream_origin`"
            ))
            .with_setting("stream_origin")),
            _ => Err(untrusted(format!(
                "invalid {what} from replicate: expected an `http` or `https` URL without a user name"
            ))),
        }
    }
}

fn untrusted(message: String) -> Error {
    Error::new(ErrorKind::UntrustedHost, message)
}

#[cfg(test)]
mod tests {
    use super::Trust;

    #[track_caller]
    fn check(url: &str, trusted: bool) {
        let trust = Trust::new("https://api.replicate.com/v1");
        assert_eq!(trust.check("stream", url).is_ok(), trusted, "{url}");
    }

    #[test]
    fn hosts_of_the_service_are_trusted() {
        check("https://stream.replicate.com/v1/files/abc", true);
        check(
            "https://streaming-api.svc.us.c.replicate.net/v1/predictions/x",
            true,
        );
        check("https://replicate.delivery/x?y=z", true);
        check("HTTPS://Stream.Replicate.COM:443/x", true);
    }

    #[test]
    fn similar_urls_are_not_trusted() {
        for url in [
            "http://stream.replicate.com/x",
            "https://stream.replicate.com:8443/x",
            "https://stream.replicate.com.evil.example/x",
            "https://evilreplicate.com/x",
            "https://replicate.com./x",
            "https://.replicate.com/x",
            "https://stream..replicate.com/x",
            "https://key@stream.replicate.com/x",
            "https://stream.replicate.com@evil.example/x",
            "https://stream.replicate.com:99999/x",
            "https://stream.replicate.com:/x",
            "https://stream.replicate.com:+443/x",
            "https://1.2.3.4/x",
            "https://[::1]/x",
            "https://xn--replicte-2fg.com/x",
            "https://replicаte.com/x",
            "//stream.replicate.com/x",
            "/x",
            "file:///etc/passwd",
            "ftp://replicate.com/x",
            "",
        ] {
            check(url, false);
        }
    }

    #[test]
    fn origins_that_the_user_set_are_trusted_exactly() {
        let mut trust = Trust::new("http://127.0.0.1:8080/v1");
        trust.add("http://127.0.0.1:8081").unwrap();
        for (url, trusted) in [
            ("http://127.0.0.1:8080/x", true),
            ("http://127.0.0.1:8081/x", true),
            ("http://127.0.0.1:8082/x", false),
            ("https://127.0.0.1:8081/x", false),
            ("http://localhost:8081/x", false),
        ] {
            assert_eq!(trust.check("stream", url).is_ok(), trusted, "{url}");
        }
        assert!(trust.add("nonsense").is_err());
        assert!(trust.add("ftp://x").is_err());
    }
}
