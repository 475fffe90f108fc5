//! The origins that requests with the key may be sent to.

use http::Uri;
use inferstream_client::base_url;
use inferstream_core::{Error, ErrorKind, Result};

/// The domains whose hosts may see the key.
const FAMILIES: [&str; 3] = ["replicate.com", "replicate.delivery", "replicate.net"];

/// The origins that may receive the key.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// Origins that the user wrote: that of the base URL, and those beside it.
    origins: Vec<Origin>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads the origin of a URL; `None` where it has none, or one that is not what it seems.
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let authority = uri.authority()?;
        let default = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let host = authority.host();
        // What stands beside the host must be a port: no user name, and no number beyond a port.
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

    /// Returns true for a host of the service's own, over TLS and on its usual port.
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
    /// Trusts the service's hosts, and the origin of a base URL.
    pub(crate) fn new(base_url: &str) -> Self {
        let origin = base_url.parse().ok().and_then(|uri| Origin::of(&uri));
        Self {
            origins: origin.into_iter().collect(),
        }
    }

    /// Trusts another origin, as `https://host` or `http://host:port`.
    ///
    /// # Errors
    ///
    /// `Config` if it is none.
    pub(crate) fn add(&mut self, origin: &str) -> Result<()> {
        let about = |error: Error| error.with_setting("stream_origin");
        let checked =
            base_url(origin).map_err(|error| about(error.context("the stream's origin")))?;
        let origin = checked.parse().ok().and_then(|uri| Origin::of(&uri));
        let not_one = || {
            about(Error::config(
                "the stream's origin is none: it is like `https://host`",
            ))
        };
        self.origins.push(origin.ok_or_else(not_one)?);
        Ok(())
    }

    /// Returns true for a URL at one of the service's own hosts, which may differ from the base URL's.
    pub(crate) fn is_replicates(uri: &Uri) -> bool {
        Origin::of(uri).is_some_and(|origin| origin.is_replicates())
    }

    /// Returns the URL if the key may go there.
    ///
    /// # Errors
    ///
    /// `UntrustedHost`, which names the host alone: path and query of a stream are a secret.
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
                "replicate's {what} is at {scheme}://{host}:{port}, which may not see the key; where it \
                 should, add it with `stream_origin`"
            ))
            .with_setting("stream_origin")),
            _ => Err(untrusted(format!(
                "replicate's {what} has a URL that is not one of http or https to a plain host"
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
    fn the_services_hosts_are_trusted() {
        check("https://stream.replicate.com/v1/files/abc", true);
        check(
            "https://streaming-api.svc.us.c.replicate.net/v1/predictions/x",
            true,
        );
        check("https://replicate.delivery/x?y=z", true);
        check("HTTPS://Stream.Replicate.COM:443/x", true);
    }

    #[test]
    fn what_only_looks_like_one_is_not() {
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
    fn what_the_user_wrote_is_trusted_as_written() {
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
