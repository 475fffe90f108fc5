//! Checks of the headers `Host` and `Origin`: a web page can reach loopback addresses, too.

use std::net::IpAddr;

use http::{HeaderMap, header, uri::Authority};

use crate::{config::Serve, refusal::Refusal};

/// Refuses requests of web pages that are not allowed.
pub(crate) fn check(headers: &HeaderMap, serve: &Serve, has_keys: bool) -> Result<(), Refusal> {
    let host = headers.get(header::HOST);
    let host = host.map(|host| host.to_str().unwrap_or_default());
    if let Some(host) = host {
        // With keys, a page of a rebound name has none, so every name is allowed unless some are listed.
        let is_open = has_keys && serve.hosts.is_empty();
        if !is_open && !is_known(host, &serve.hosts) {
            let message = "unknown host: add it to the setting `hosts`";
            return Err(Refusal::forbidden("unknown_host", message));
        }
    }
    match headers.get(header::ORIGIN) {
        None => Ok(()),
        Some(origin) => {
            let origin = origin.to_str().unwrap_or_default();
            let own = origin.split_once("://").map(|(_, authority)| authority);
            let is_own = host.is_some() && own == host;
            if is_own || serve.cors.iter().any(|allowed| allowed == origin) {
                return Ok(());
            }
            let message = "unknown origin: add it to the setting `cors`";
            Err(Refusal::forbidden("unknown_origin", message))
        }
    }
}

/// Returns true for an address, which no DNS entry can rebind, a local name, or a listed name.
fn is_known(host: &str, listed: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_local = name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || address.parse::<IpAddr>().is_ok();
    is_local || listed.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::check;
    use crate::config::Serve;

    fn passes(host: &str, origin: &str, has_keys: bool) -> bool {
        let hosts = (!has_keys).then(|| "ai.example.com".to_owned());
        let serve = Serve {
            hosts: hosts.into_iter().collect(),
            cors: vec!["https://app.example.com".to_owned()],
            ..Serve::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if !origin.is_empty() {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        check(&headers, &serve, has_keys).is_ok()
    }

    #[test]
    fn a_rebound_name_is_refused_without_keys() {
        for host in [
            "localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "10.0.0.7",
            "AI.example.com",
        ] {
            assert!(passes(host, "", false), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8080",
            "",
            "user@localhost",
            "a b",
        ] {
            assert_eq!(passes(host, "", false), host == "user@localhost", "{host}");
        }
        assert!(passes("evil.example", "", true));
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        for (origin, expected) in [
            ("http://localhost:8080", true),
            ("https://app.example.com", true),
            ("https://evil.example", false),
            ("http://localhost:9090", false),
            ("null", false),
        ] {
            assert_eq!(
                passes("localhost:8080", origin, false),
                expected,
                "{origin}"
            );
        }
    }
}
