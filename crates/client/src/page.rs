//! Recognition of HTML pages in place of a response, and of browser challenges among them.

use http::HeaderMap;

/// Returns true if a body is HTML or XML, regardless of its content type.
pub fn is_page(body: &str) -> bool {
    let body = body.trim_start_matches('\u{feff}').trim_start();
    body.starts_with('<')
}

/// Returns true if a response is a browser challenge: a page with a script that only browsers pass.
///
/// It is recognized by a header (`cf-mitigated` of Cloudflare, `x-vercel-mitigated` of Vercel,
/// `x-amzn-waf-action` of AWS WAF), or by texts of Cloudflare's challenge and block pages. An error
/// page of a gateway (502, 504, 520 to 530) is not a challenge.
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

/// Texts of Cloudflare's challenge and block pages. The list has neither `cf-cloudflare-status`,
/// which is in all of its 5xx pages, nor `challenge-platform`, a script that it adds to other sites'
/// pages too.
const MARKS: [&str; 7] = [
    "<title>Just a moment",
    "<title>Attention Required! | Cloudflare",
    "_cf_chl_opt",
    "cf-chl-",
    "cf-please-wait",
    "cf-spinner-please-wait",
    "challenge-error-text",
];
