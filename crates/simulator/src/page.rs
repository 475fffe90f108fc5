//! Cloudflare's HTML pages: the browser challenge and the error of an unavailable service.

use http::{HeaderName, StatusCode};

use crate::reply::Reply;

/// The content type of a page.
pub(crate) const HTML: &str = "text/html; charset=UTF-8";

/// The page of a Worker that exceeded its limits.
const UNAVAILABLE: &str = "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head><title>Worker exceeded resource limits | simulated | Cloudflare</title></head>\n<body><h1>Error 1102</h1><p>Worker exceeded resource limits</p></body>\n</html>\n";

/// Returns the page of a browser challenge.
///
/// Its script sets the cookie `cf_clearance` after 300 ms and reloads the page.
pub(crate) fn challenge(clearance: &str) -> Reply {
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head><title>Just a moment...</title></head>\n<body class=\"no-js\">\n<h1>Just a moment...</h1>\n<p>Simulated: any client that runs this script passes.</p>\n<script>\nsetTimeout(() => {{\n  document.cookie = \"cf_clearance={clearance}; path=/\";\n  location.reload();\n}}, 300);\n</script>\n</body>\n</html>\n"
    );
    Reply::text(StatusCode::FORBIDDEN, HTML, page)
        .header(HeaderName::from_static("cf-mitigated"), "challenge")
}

/// Returns the page of error 1102.
pub(crate) fn unavailable() -> Reply {
    Reply::text(StatusCode::SERVICE_UNAVAILABLE, HTML, UNAVAILABLE)
}
