//! The scenarios of the job `page`: what a user does, and what the page must show.

use std::{collections::BTreeSet, path::Path};

use serde_json::json;

use super::{KEY, Page, Scenario};
use crate::run::Result;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("models are listed", "", models),
    ("a response grows and is complete", "--tps 40", complete),
    (
        "a truncated response is not complete",
        "--fault truncate",
        truncated,
    ),
    ("a stream without its end is not complete", "", unended),
    ("a rate limit is shown", "--fault 429:7", limited),
    ("Stop frees the service", "--tps 5", stopped),
    (
        "a key is required and not stored",
        "--key team=env:PAGE_TEST_KEY",
        key,
    ),
    ("a response is never markup", "", hostile),
];

const MODEL: &str = "cerebras/gpt-oss-120b";
const PROMPT: &str = "Tell me a short story about space";

fn models(page: &mut Page) -> Result<String> {
    let browser = &mut page.browser;
    browser.wait("5 < document.getElementById('model').options.length")?;
    let listed = browser.evaluate(
        "[...document.querySelectorAll('#model option')].map(o => o.value).filter(v => v.includes('/'))",
    )?;
    let expected = browser.evaluate(
        "fetch('v1/models').then(r => r.json()).then(list => list.data.map(model => model.id))",
    )?;
    if listed != expected {
        return Err(format!("listed {listed}, expected {expected}").into());
    }
    browser.text("models")
}

fn complete(page: &mut Page) -> Result<String> {
    page.send(MODEL, PROMPT)?;
    let mut lengths = BTreeSet::new();
    loop {
        let seen = page.browser.evaluate(
            "[document.getElementById('text').textContent.length,
              document.getElementById('verdict').dataset.state]",
        )?;
        lengths.extend(seen[0].as_u64());
        if seen[1] != "running" {
            break;
        }
    }
    if lengths.len() < 5 {
        return Err(format!("the text had {} lengths only", lengths.len()).into());
    }
    expect("the verdict", &page.verdict()?, "complete")?;
    expect("the finish reason", &page.browser.text("finish")?, "stop")?;
    let figures = ["first", "chunks", "tokens"].map(|id| page.browser.text(id));
    let [first, chunks, tokens] = figures;
    let (first, chunks, tokens) = (first?, chunks?, tokens?);
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if ![&first, &chunks, &tokens]
        .iter()
        .all(|text| is_number(text))
    {
        return Err(format!("figures: {first:?}, {chunks:?}, {tokens:?}").into());
    }
    page.browser
        .wait("document.getElementById('metric-requests').textContent === '1'")?;
    Ok(format!(
        "{} steps, {chunks} chunks, {tokens} tokens, the first after {first}",
        lengths.len()
    ))
}

fn truncated(page: &mut Page) -> Result<String> {
    page.send(MODEL, PROMPT)?;
    let verdict = page.verdict()?;
    starts("the verdict", &verdict, "NOT COMPLETE: cerebras")?;
    if page.browser.text("text")?.is_empty() {
        return Err("the text before the end is missing".into());
    }
    page.browser
        .wait("document.getElementById('metric-truncated').textContent === '1'")?;
    Ok(verdict)
}

/// Replaces the response by one that the gateway never sends.
fn replace_response(page: &mut Page, chunks: &[serde_json::Value]) -> Result<()> {
    let events = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    let body: String = events.collect();
    let script = format!(
        "window.fetch = (fetch => (url, options) => url === 'v1/chat/completions'
           ? Promise.resolve(new Response({}, {{ headers: {{
               'content-type': 'text/event-stream', 'x-inferstream-model': {},
             }} }}))
           : fetch(url, options))(window.fetch); true",
        json!(body),
        json!(HOSTILE),
    );
    page.browser.evaluate(&script)?;
    Ok(())
}

fn unended(page: &mut Page) -> Result<String> {
    let chunk = json!({ "choices": [{ "delta": { "content": "half" }, "finish_reason": "stop" }] });
    replace_response(page, &[chunk])?;
    page.send(MODEL, PROMPT)?;
    let verdict = page.verdict()?;
    expect(
        "the verdict",
        &verdict,
        "NOT COMPLETE: the stream ended without [DONE]",
    )?;
    Ok(verdict)
}

fn limited(page: &mut Page) -> Result<String> {
    page.send(MODEL, PROMPT)?;
    let verdict = page.verdict()?;
    starts("the verdict", &verdict, "NOT COMPLETE: ")?;
    if !verdict.ends_with("(status 429, retry after 7 s)") {
        return Err(format!("the verdict is {verdict:?}").into());
    }
    Ok(verdict)
}

fn stopped(page: &mut Page) -> Result<String> {
    page.send(MODEL, PROMPT)?;
    page.browser
        .wait("0 < document.getElementById('text').textContent.length")?;
    let open = page.metrics()?;
    contains(&open, "inferstream_responses_in_flight 1\n")?;
    page.browser
        .evaluate("document.getElementById('stop').click()")?;
    let verdict = page.verdict()?;
    expect("the verdict", &verdict, "NOT COMPLETE: stopped by you")?;
    page.browser.wait(
        "fetch('metrics').then(r => r.text()).then(text =>
           text.includes('inferstream_responses_in_flight 0\\n') && /end=\"canceled\".* 1\\n/.test(text))",
    )?;
    Ok(verdict)
}

fn key(page: &mut Page) -> Result<String> {
    let browser = &mut page.browser;
    browser.wait("document.getElementById('models').dataset.state === 'bad'")?;
    let without = browser.text("models")?;
    starts("the hint", &without, "missing key")?;
    browser.evaluate("document.getElementById('key').focus()")?;
    browser.call("Input.insertText", json!({ "text": KEY }))?;
    browser.wait("5 < document.getElementById('model').options.length")?;
    page.send(MODEL, PROMPT)?;
    expect("the verdict", &page.verdict()?, "complete")?;
    let stored = page.browser.evaluate(
        "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])",
    )?;
    let stored = stored.as_str().unwrap_or_default();
    if stored.contains(KEY) {
        return Err(format!("the key is stored: {stored}").into());
    }
    // Opened again, the page has forgotten it.
    let url = page.url.clone();
    page.browser.call("Page.reload", json!({}))?;
    page.browser.open(&url)?;
    page.browser
        .wait("document.getElementById('models').dataset.state === 'bad'")?;
    expect(
        "the key",
        page.browser
            .evaluate("document.getElementById('key').value")?
            .as_str()
            .unwrap_or("?"),
        "",
    )?;
    Ok(without)
}

const HOSTILE: &str =
    "<img src=x onerror=\"window.hasRun = true\"><script>window.hasRun = true</script>";

fn hostile(page: &mut Page) -> Result<String> {
    let delta = json!({ "content": HOSTILE, "reasoning_content": HOSTILE });
    let chunk = json!({ "choices": [{ "delta": delta, "finish_reason": HOSTILE }] });
    let error = json!({ "choices": [], "error": { "message": HOSTILE } });
    replace_response(page, &[chunk, error])?;
    page.send(MODEL, PROMPT)?;
    let verdict = page.verdict()?;
    for id in ["text", "thought", "finish", "from"] {
        expect(id, &page.browser.text(id)?, HOSTILE)?;
    }
    expect("the verdict", &verdict, &format!("NOT COMPLETE: {HOSTILE}"))?;
    let found = page.browser.evaluate(
        "document.querySelectorAll('img, main script').length === 0 && window.hasRun === undefined",
    )?;
    if found != true {
        return Err("a response became markup".into());
    }
    // Even a mistake in the page could not do it: its policy refuses.
    let refused = page.browser.evaluate(&format!(
        "(() => {{ try {{ document.body.innerHTML = {}; return false }} catch {{ return true }} }})()",
        json!(HOSTILE)
    ))?;
    // The browser reports the attempt.
    let complaints = page.browser.complaints();
    if refused != true || complaints.len() != 1 {
        return Err(format!("the policy does not refuse markup: {complaints:?}").into());
    }
    Ok("text, reasoning, model, finish reason and error are text".to_owned())
}

/// Writes pictures of a truncated and a complete response.
pub(super) fn screenshots(page: &mut Page, folder: &Path) -> Result<()> {
    let take = |page: &mut Page, name: &str, width: u32, height: u32, scheme: &str| -> Result<()> {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        page.browser
            .call("Emulation.setDeviceMetricsOverride", metrics)?;
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        page.browser
            .call("Emulation.setEmulatedMedia", json!({ "features": feature }))?;
        page.browser.screenshot(&folder.join(format!("{name}.png")))
    };
    take(page, "start", 1280, 800, "light")?;
    page.send(MODEL, PROMPT)?;
    page.verdict()?;
    page.browser
        .wait("document.getElementById('metric-truncated').textContent === '1'")?;
    take(page, "truncated-light", 1280, 800, "light")?;
    take(page, "truncated-dark", 1280, 800, "dark")?;
    page.send("replicate/meta/meta-llama-3-70b-instruct", PROMPT)?;
    page.browser
        .wait("200 < document.getElementById('text').textContent.length")?;
    take(page, "streaming-dark", 1280, 800, "dark")?;
    page.verdict()?;
    page.browser
        .wait("document.getElementById('metric-requests').textContent === '2'")?;
    take(page, "complete-light", 1280, 800, "light")?;
    take(page, "complete-dark", 1280, 800, "dark")?;
    take(page, "complete-narrow", 390, 1500, "light")
}

fn expect(what: &str, found: &str, expected: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} is {found:?}, not {expected:?}").into())
}

fn starts(what: &str, found: &str, expected: &str) -> Result<()> {
    if found.starts_with(expected) {
        return Ok(());
    }
    Err(format!("{what} is {found:?}, not {expected:?}…").into())
}

fn contains(found: &str, expected: &str) -> Result<()> {
    if found.contains(expected) {
        return Ok(());
    }
    Err(format!("{expected:?} is missing in {found}").into())
}
