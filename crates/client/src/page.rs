//! Pages of HTML in place of a response: browser challenges, and all others.

use http::HeaderMap;

/// Returns true if a body is a page of HTML or XML, whatever its content type says.
pub fn is_page(body: &str) -> bool {
    let body = body.trim_start_matches('\u{feff}').trim_start();
    body.starts_with('<')
}

/// Returns true if a response is a browser challenge: a page whose script only a browser passes.
///
/// It is known by a header (`cf-mitigated` of Cloudflare, `x-vercel-mitigated` of Vercel,
/// `x-amzn-waf-action` of AWS WAF), or else by what stands in Cloudflare's challenge pages and in its
/// block page. A gateway's page of errors (502, 504, 520 to 530) is not a challenge: its status says
/// what it is.
///
/// ```
/// use http::HeaderMap;
/// use inferstream_client::is_challenge;
///
/// let headers = HeaderMap::new();
/// assert!(is_challenge(&headers, "<html><title>Just a moment...</title></html>"));
/// assert!(!is_challenge(&headers, "<html><title>502: Bad gateway</title></html>"));
/// ```
pub fn is_challenge(headers: &HeaderMap, body: &str) -> bool {
    let says = |(name, word): &(&str, &str)| headers.get(*name).is_some_and(|value| value == word);
    let shows = |mark: &&str| body.contains(*mark);
    HEADERS.iter().any(says) || is_page(body) && MARKS.iter().any(shows)
}

const HEADERS: [(&str, &str); 4] = [
    ("cf-mitigated", "challenge"),
    ("x-amzn-waf-action", "captcha"),
    ("x-amzn-waf-action", "challenge"),
    ("x-vercel-mitigated", "challenge"),
];

/// What stands in Cloudflare's pages. Not among them are `cf-cloudflare-status`, which is in each of
/// its 5xx pages, and `challenge-platform`, a script that it adds to the pages of others too.
const MARKS: [&str; 7] = [
    "<title>Just a moment",
    "<title>Attention Required! | Cloudflare",
    "_cf_chl_opt",
    "cf-chl-",
    "cf-please-wait",
    "cf-spinner-please-wait",
    "challenge-error-text",
];
