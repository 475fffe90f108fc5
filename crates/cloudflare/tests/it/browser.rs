//! The playground's session from a real browser, with a simulated page.

use std::{
    collections::BTreeSet,
    env, fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use inferstream_cloudflare::{ErrorKind, Phase, playground::browser::Browser};
use inferstream_simulator::{Fault, Simulator, SimulatorBuilder};
use tokio::{
    net::TcpListener,
    sync::{Mutex, MutexGuard},
    time::sleep,
};

use crate::client;

/// A browser starts within a second, but slower on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Returns true, and prints that the test is skipped, if no browser is installed.
fn is_skipped() -> bool {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path);
    let is_there = env::var_os("CHROME").is_some()
        || folders.any(|folder| names.iter().any(|name| folder.join(name).is_file()));
    if !is_there {
        eprintln!("SKIPPED: no Chromium here");
    }
    !is_there
}

/// A lock that lets one test at a time run a browser, because each counts this process's children.
struct Alone {
    _guard: MutexGuard<'static, ()>,
    /// The temporary folders that existed before.
    before: BTreeSet<String>,
}

async fn alone() -> Alone {
    static BROWSER: Mutex<()> = Mutex::const_new(());
    Alone {
        _guard: BROWSER.lock().await,
        before: temporary_folders(),
    }
}

impl Alone {
    /// Returns the processes and temporary folders that should have been removed.
    fn left_behind(&self) -> BTreeSet<String> {
        let children = children().into_iter();
        let children = children.map(|child| format!("process {child}"));
        self.folders().chain(children).collect()
    }

    fn folders(&self) -> impl Iterator<Item = String> {
        let folders = temporary_folders().into_iter();
        folders.filter(|name| !self.before.contains(name))
    }
}

fn browser(page: impl Into<String>) -> Browser {
    Browser::new(page).headless(true).timeout(LONG)
}

async fn start(simulator: SimulatorBuilder) -> (Simulator, String) {
    let simulator = simulator.challenge(true).start().await.unwrap();
    let page = format!("{}/", simulator.playground_url());
    (simulator, page)
}

#[tokio::test]
async fn a_browser_gets_a_session_from_the_page() {
    if is_skipped() {
        return;
    }
    let alone = alone().await;
    let (simulator, page) = start(Simulator::builder()).await;
    let session = browser(&page).session().await.unwrap();
    let names = session.cookies.keys().collect::<Vec<_>>();
    assert_eq!(names, ["__cf_bm", "cf_clearance"]);
    assert!(session.headers["user-agent"].contains("Chrome/"));
    assert_eq!(session.headers["referer"], page);
    assert_eq!(session.headers["accept-language"], "en-US");
    assert!(!format!("{session:?}").contains("sim-"));
    assert_eq!(simulator.counts().pages, 2);
    assert_eq!(alone.left_behind(), BTreeSet::new());
}

#[tokio::test]
async fn a_request_gets_its_session_from_a_browser() {
    if is_skipped() {
        return;
    }
    let _alone = alone().await;
    let (simulator, page) = start(Simulator::builder().fault(Fault::Expire)).await;
    let browser = browser(page);
    let cloudflare = client(&simulator)
        .playground()
        .base_url(simulator.playground_url())
        .refresh(move || {
            let browser = browser.clone();
            Box::pin(async move { browser.session().await })
        })
        .build()
        .unwrap();
    let response = cloudflare.chat("Hi").await.unwrap();
    assert!(!response.text().is_empty());
    // The first session was refused; the second one is reused for the next request.
    assert_eq!(simulator.counts().pages, 4);
    cloudflare.chat("Hi").await.unwrap();
    assert_eq!(simulator.counts().pages, 4);
    let requests = simulator.requests();
    let agent = requests.last().unwrap().headers["user-agent"].to_str();
    assert!(agent.unwrap().contains("Chrome/"));
}

#[tokio::test]
async fn a_profile_is_kept_and_used_again() {
    if is_skipped() {
        return;
    }
    let alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let (simulator, page) = start(Simulator::builder()).await;
    let browser = browser(page).profile(folder.path());
    let first = browser.session().await.unwrap();
    assert!(folder.path().join("Default").exists());
    assert_eq!(simulator.counts().pages, 2);
    let second = browser.session().await.unwrap();
    assert_eq!(second.cookies.len(), first.cookies.len());
    assert_eq!(alone.left_behind(), BTreeSet::new());
}

#[tokio::test]
async fn a_page_that_never_passes_times_out() {
    if is_skipped() {
        return;
    }
    let alone = alone().await;
    let page = "<!DOCTYPE html><body class=no-js>Just a moment...";
    let length = page.len();
    let answer = format!("HTTP/1.1 403 No\r\ncontent-length: {length}\r\n\r\n{page}");
    let address = page_of(&answer).await;
    let limit = Duration::from_secs(8);
    let url = format!("http://{address}/?secret");
    let error = browser(url).timeout(limit).session().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Challenge, "{error}");
    let line = "the page did not pass its check within 8s";
    assert_eq!(error.to_string(), line);

    // A page that sends nothing was not even loaded.
    let url = format!("http://{}/?secret", page_of("").await);
    let error = browser(url).timeout(limit).session().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total), "{error}");
    assert_eq!(alone.left_behind(), BTreeSet::new());
}

#[tokio::test]
async fn an_unreachable_page_is_a_connect_error() {
    if is_skipped() {
        return;
    }
    let _alone = alone().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/?secret");
    let error = browser(url).session().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert!(!error.to_string().contains("secret"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn dropping_the_future_leaves_nothing_behind() {
    if is_skipped() {
        return;
    }
    let alone = alone().await;
    let address = page_of("").await;
    let browser = browser(format!("http://{address}/"));
    // Drops the future immediately, during the start of the browser, and while it waits for the
    // page.
    for millis in [0, 20, 200, 600, 3000] {
        let pause = Duration::from_millis(millis);
        let (mut group, mut folder) = (None, None);
        let look = async {
            let until = Instant::now() + pause;
            while Instant::now() < until {
                sleep(Duration::from_millis(10)).await;
                group = group.or_else(|| children().first().copied());
                folder = folder.take().or_else(|| alone.folders().next());
            }
        };
        tokio::select! {
            biased;
            session = browser.session() => panic!("{session:?}"),
            () = look => {}
        }
        if 600 <= millis {
            assert!(group.is_some() && folder.is_some());
        }
        assert_eq!(alone.left_behind(), BTreeSet::new(), "{millis} ms");
        if let (Some(group), Some(folder)) = (group, folder) {
            end(|process| process.group == group || knows(process, &folder)).await;
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn killing_the_browser_is_reported() {
    if is_skipped() {
        return;
    }
    let alone = alone().await;
    let address = page_of("").await;
    let browser = browser(format!("http://{address}/"));
    let kill = async {
        sleep(Duration::from_secs(4)).await;
        let child = children()[0].to_string();
        assert!(
            Command::new("kill")
                .args(["-9", &child])
                .status()
                .unwrap()
                .success()
        );
        std::future::pending::<()>().await;
    };
    let session = tokio::select! {
        session = browser.session() => session,
        () = kill => unreachable!(),
    };
    let error = session.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Canceled, "{error}");
    assert!(error.to_string().contains("exited"), "{error}");
    assert_eq!(alone.left_behind(), BTreeSet::new());
}

#[tokio::test]
async fn a_program_that_is_not_a_browser_is_an_error() {
    let alone = alone().await;
    let page = "https://playground.example/";
    let error = of_program(page, "/none/chromium").await;
    assert!(error.contains("/none/chromium"), "{error}");
    let error = of_program(page, "no-such-browser").await;
    assert!(error.contains("no-such-browser"), "{error}");
    let error = of_program(page, "true").await;
    assert!(error.contains("starting the browser failed"), "{error}");
    let error = of_program("playground", "true").await;
    assert!(error.contains("invalid page"), "{error}");
    assert_eq!(alone.left_behind(), BTreeSet::new());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_program_is_killed_with_its_children() {
    use std::os::unix::fs::PermissionsExt as _;

    let alone = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("browser");
    fs::write(
        &program,
        "#!/bin/sh\ntrap '' TERM HUP INT\nsleep 1000 &\nsleep 1000\n",
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let limit = Duration::from_secs(1);
    let browser = browser("https://playground.example/").timeout(limit);
    let look = async {
        sleep(limit / 2).await;
        children()[0]
    };
    let browser = browser.program(program);
    let (session, group) = tokio::join!(browser.session(), look);
    let error = session.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(Phase::Total), "{error}");
    assert!(error.to_string().contains("did not respond"), "{error}");
    assert_eq!(alone.left_behind(), BTreeSet::new());
    end(|process| process.group == group).await;
}

async fn of_program(page: &str, program: &str) -> String {
    let browser = browser(page).program(program);
    let error = browser.session().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error.to_string()
}

/// Serves this response to all connections; an empty one is never sent.
async fn page_of(answer: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = answer.to_owned();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
            let _ = stream.try_read(&mut [0; 4096]);
            let _ = stream.try_write(answer.as_bytes());
            kept.push(stream);
        }
    });
    address
}

fn temporary_folders() -> BTreeSet<String> {
    let folders = fs::read_dir(env::temp_dir()).unwrap();
    let names = folders.map(|folder| {
        folder
            .unwrap()
            .file_name()
            .into_string()
            .unwrap_or_default()
    });
    let marks = ["inferstream-", "org.chromium.", ".org.chromium."];
    names
        .filter(|name| marks.iter().any(|mark| name.starts_with(mark)))
        .collect()
}

/// Returns the child processes of this one, including exited ones that were not waited for.
fn children() -> Vec<u32> {
    let own = std::process::id();
    let processes = processes().into_iter();
    processes
        .filter(|process| process.parent == own)
        .map(|process| process.id)
        .collect()
}

/// Waits until the processes that were killed with the browser, or exit because it did, are gone.
/// On a busy machine this takes a moment.
#[cfg(target_os = "linux")]
async fn end(is_meant: impl Fn(&Process) -> bool) {
    let since = Instant::now();
    // An exited process remains until its parent, or the process that adopted it, waits for it.
    let is_alive = |process: &Process| process.state != "Z" && is_meant(process);
    while let Some(process) = processes().into_iter().find(&is_alive) {
        let elapsed = since.elapsed();
        assert!(elapsed < Duration::from_secs(2), "{} lives", process.name);
        sleep(Duration::from_millis(1)).await;
    }
}

/// Returns true for a process with this temporary folder in its environment. The crash handler is
/// not in the browser's process group.
#[cfg(target_os = "linux")]
fn knows(process: &Process, folder: &str) -> bool {
    let environ = fs::read(format!("/proc/{}/environ", process.id)).unwrap_or_default();
    let mut parts = environ.windows(folder.len());
    parts.any(|part| part == folder.as_bytes())
}

struct Process {
    id: u32,
    name: String,
    state: String,
    parent: u32,
    group: u32,
}

/// Reads `/proc`, if it exists: `id (name) state parent group …`.
fn processes() -> Vec<Process> {
    let Ok(folders) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let read = |folder: &Path| {
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let (id, name) = head.split_once('(')?;
        let mut tail = tail.split_whitespace();
        Some(Process {
            id: id.trim().parse().ok()?,
            name: name.to_owned(),
            state: tail.next()?.to_owned(),
            parent: tail.next()?.parse().ok()?,
            group: tail.next()?.parse().ok()?,
        })
    };
    folders
        .filter_map(|folder| read(&folder.ok()?.path()))
        .collect()
}
