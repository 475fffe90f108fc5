//! A test of the gateway's page in a browser without a window.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;

use crate::run::{Background, Outcome, Result, build_program, target, words};

mod browser;
mod scenarios;

use self::{browser::Browser, scenarios::SCENARIOS};

/// A scenario: its name, the arguments of the gateway, and the function that returns what was observed.
type Scenario = (&'static str, &'static str, fn(&mut Page) -> Result<String>);

/// The key of the gateways that require one.
const KEY: &str = "key-of-the-page-test";

/// A gateway with simulated services, and its page in a browser.
struct Page {
    browser: Browser,
    url: String,
    _gateway: Background,
}

/// Runs all scenarios, or those whose name contains the argument.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    let (filter, screenshots) = match arguments {
        [] => ("", None),
        [flag, folder] if flag == "--screenshots" => ("", Some(PathBuf::from(folder))),
        [filter] if !filter.starts_with('-') => (filter.as_str(), None),
        _ => return Err("usage: cargo xtask page [SCENARIO | --screenshots FOLDER]".into()),
    };
    if !cfg!(unix) {
        return Ok(Outcome::Skipped("the job needs `sh`".to_owned()));
    }
    let Some(chromium) = browser::find() else {
        return Ok(Outcome::Skipped("no Chromium here".to_owned()));
    };
    let program = build_program()?;
    if let Some(folder) = screenshots {
        fs::create_dir_all(&folder)?;
        let mut page = Page::open(&program, &chromium, "--tps 40 --fault truncate")?;
        scenarios::screenshots(&mut page, &folder)?;
        return Ok(Outcome::Done);
    }
    let chosen = || SCENARIOS.iter().filter(|(name, ..)| name.contains(filter));
    let mut failed = 0;
    for (name, options, scenario) in chosen() {
        let run = || -> Result<String> {
            let mut page = Page::open(&program, &chromium, options)?;
            let seen = scenario(&mut page)?;
            match page.browser.complaints().as_slice() {
                [] => Ok(seen),
                complaints => Err(complaints.join("\n").into()),
            }
        };
        match run() {
            Ok(seen) => eprintln!("ok   {name}: {seen}"),
            Err(why) => {
                failed += 1;
                eprintln!("FAIL {name}: {why}");
            }
        }
    }
    match (failed, chosen().count()) {
        (_, 0) => Err(format!("no scenario whose name contains `{filter}`").into()),
        (0, _) => Ok(Outcome::Done),
        (_, count) => Err(format!("{failed} of {count} scenarios failed").into()),
    }
}

impl Page {
    fn open(program: &Path, chromium: &Path, options: &str) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .args(words(
                "serve --simulate --sim-seed 7 --no-log --listen 127.0.0.1:0",
            ))
            .args(words(options))
            .env("PAGE_TEST_KEY", KEY)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut gateway = Background::start(&mut command)?;
        let url = gateway.first_line()?;
        let url = url.strip_suffix("v1").ok_or("the gateway printed no URL")?;
        let browser = Browser::start(chromium, target().join("page/profile"))?;
        let mut page = Self {
            browser,
            url: url.to_owned(),
            _gateway: gateway,
        };
        page.browser.open(url)?;
        Ok(page)
    }

    /// Selects a model, types a prompt and sends it by the keyboard.
    fn send(&mut self, model: &str, prompt: &str) -> Result<()> {
        let browser = &mut self.browser;
        let option = format!(
            "[...document.getElementById('model').options].some(o => o.value === {})",
            json!(model)
        );
        browser.wait(&option)?;
        browser.evaluate(&format!(
            "document.getElementById('model').value = {};
             document.getElementById('prompt').focus();
             document.getElementById('prompt').value = ''",
            json!(model)
        ))?;
        browser.call("Input.insertText", json!({ "text": prompt }))?;
        for kind in ["rawKeyDown", "keyUp"] {
            let control = 2;
            browser.call(
                "Input.dispatchKeyEvent",
                json!({
                    "type": kind, "modifiers": control, "key": "Enter", "code": "Enter",
                    "windowsVirtualKeyCode": 13,
                }),
            )?;
        }
        browser.wait("document.getElementById('verdict').dataset.state !== undefined")
    }

    /// Waits for the end of a response and returns what the page says about it.
    fn verdict(&mut self) -> Result<String> {
        self.browser
            .wait("['complete', 'not-complete'].includes(document.getElementById('verdict').dataset.state)")?;
        self.browser.text("verdict")
    }

    /// Returns the gateway's metrics, as the page's origin gets them.
    fn metrics(&mut self) -> Result<String> {
        let text = self
            .browser
            .evaluate("fetch('metrics').then(response => response.text())")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }
}
