//! The `login` command with a fake browser: killed at any moment, it leaves nothing behind.

use std::{
    env,
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Run, command, unix::signal};

/// The variable that turns this test program into a browser; its value is the folder of the test.
const FOLDER: &str = "INFERSTREAM_TEST_BROWSER";

/// The variable with the number of bytes of the browser's cookie.
const COOKIE: &str = "INFERSTREAM_TEST_COOKIE";

/// The variable that makes the browser start another process.
const CHILD: &str = "INFERSTREAM_TEST_CHILD";

/// How long the browser takes for each reply, so that a signal can arrive at any step.
const REPLY: Duration = Duration::from_millis(3);

/// A folder with a program that acts as a browser, temporary files and a session file.
struct Place {
    root: TempDir,
    session: PathBuf,
}

impl Place {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        for name in ["kept", "tmp"] {
            let folder = root.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        }
        let browser = root.path().join("browser");
        // Like a browser, it writes to its profile, and starts another process.
        let this = env::current_exe().unwrap();
        let script = [
            "#!/bin/sh",
            "for option in \"$@\"; do case $option in --user-data-dir=*)",
            "mkdir -p \"${option#*=}/Default\" && : > \"${option#*=}/Default/Cookies\";;",
            "esac; done",
            "if [ -n \"$INFERSTREAM_TEST_CHILD\" ]; then sleep 1000 3<&- 4>&- & fi",
            &format!(
                "exec '{}' --exact login::fake_browser --nocapture",
                this.display()
            ),
        ];
        let script = script.join("\n");
        fs::write(&browser, script).unwrap();
        fs::set_permissions(&browser, Permissions::from_mode(0o700)).unwrap();
        let session = root.path().join("kept").join("auth_Cloudflare.json");
        Self { root, session }
    }

    fn command(&self) -> Command {
        let path = |name: &str| self.root.path().join(name).display().to_string();
        let mut command = command(&[
            "login",
            "cloudflare",
            "--page",
            "https://a.example/",
            "--browser",
            &path("browser"),
            "--session-file",
            self.session.to_str().unwrap(),
        ]);
        command
            .env("TMPDIR", path("tmp"))
            .env(FOLDER, self.root.path())
            .env(COOKIE, "3000");
        command
    }

    /// Signs in, and ends the program with this signal after a time.
    fn signaled(&self, name: &str, after: Duration) -> ExitStatus {
        let mut command = self.command();
        if name != "KILL" {
            // After SIGKILL, only processes that notice the closed pipe end.
            command.env(CHILD, "1");
        }
        let mut child = command.spawn().unwrap();
        thread::sleep(after);
        // It may have exited, but its id stays valid until `wait`.
        signal(&child, name);
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end after {name}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns the size of the session's cookie, or `None` if there is no file.
    #[track_caller]
    fn session(&self) -> Option<usize> {
        let text = fs::read_to_string(&self.session).ok()?;
        let session: Value = serde_json::from_str(&text).unwrap();
        Some(session["cookies"]["cf_clearance"].as_str().unwrap().len())
    }

    fn put_old(&self) {
        let old = json!({"cookies": {"cf_clearance": "old"}, "headers": {}});
        fs::write(&self.session, old.to_string()).unwrap();
        fs::set_permissions(&self.session, Permissions::from_mode(0o600)).unwrap();
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let names = fs::read_dir(self.root.path().join(folder)).unwrap();
        names
            .map(|name| name.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Returns the names of the running processes that the browser started, and of itself.
    fn processes(&self) -> Vec<String> {
        let mark = format!("{FOLDER}={}", self.root.path().display());
        let read = |folder: &Path| {
            let environ = fs::read(folder.join("environ")).ok()?;
            let is_ours = environ
                .split(|byte| *byte == 0)
                .any(|entry| entry == mark.as_bytes());
            let name = fs::read_to_string(folder.join("comm")).ok()?;
            is_ours.then_some(name)
        };
        let folders = fs::read_dir("/proc").into_iter().flatten();
        folders
            .filter_map(|folder| read(&folder.ok()?.path()))
            .collect()
    }

    /// Waits for the end of the processes: an exited one disappears when it is waited for.
    #[track_caller]
    fn check_no_process(&self, what: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "{what}: {left:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Acts as a browser if another test started it: replies to each message until the pipe closes.
#[test]
fn fake_browser() {
    let (Some(_), Ok(size)) = (env::var_os(FOLDER), env::var(COOKIE)) else {
        return;
    };
    let cookie = "x".repeat(size.parse().unwrap());
    let mut from = BufReader::new(File::open("/dev/fd/3").unwrap());
    let mut to = File::options().write(true).open("/dev/fd/4").unwrap();
    loop {
        let mut message = Vec::new();
        if from.read_until(0, &mut message).unwrap() == 0 {
            return;
        }
        message.pop();
        let message: Value = serde_json::from_slice(&message).unwrap();
        let method = message["method"].as_str().unwrap();
        let result = match method {
            "Target.getTargets" => {
                json!({"targetInfos": [{"type": "page", "url": "about:blank", "targetId": "t"}]})
            }
            "Target.attachToTarget" => json!({"sessionId": "s"}),
            "Runtime.evaluate" => json!({"result": {"value": {
                "passed": true, "host": "a.example", "userAgent": "Fake/1"
            }}}),
            "Network.getCookies" => json!({"cookies": [
                {"name": "cf_clearance", "value": cookie, "domain": "a.example"}
            ]}),
            _ => json!({}),
        };
        thread::sleep(REPLY);
        let mut reply = json!({"id": message["id"], "result": result}).to_string();
        reply.push('\0');
        // The program may have been killed.
        if to.write_all(reply.as_bytes()).is_err() || method == "Browser.close" {
            return;
        }
    }
}

/// Signs in without a signal; returns how long it took.
#[track_caller]
fn undisturbed(place: &Place) -> Duration {
    let begun = Instant::now();
    let run = Run::of(&mut place.command());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("saved 1 cookies"), "{}", run.stderr);
    assert_eq!(place.session(), Some(3000));
    begun.elapsed()
}

/// Returns a moment up to a little after the end.
fn moment(round: u32, rounds: u32, whole: Duration) -> Duration {
    whole * 6 / 5 * round / rounds
}

#[test]
fn a_signal_at_any_moment_leaves_nothing_behind() {
    const ROUNDS: u32 = 60;
    let place = Place::new();
    let whole = undisturbed(&place);
    assert_eq!(place.names("tmp"), [""; 0]);
    place.check_no_process("undisturbed");
    for round in 0..ROUNDS {
        for file in [
            place.session.clone(),
            place.session.with_extension("json.lock"),
        ] {
            let _ = fs::remove_file(file);
        }
        if round % 2 == 0 {
            place.put_old();
        }
        let (name, number) = [("TERM", 15), ("INT", 2), ("HUP", 1)][round as usize % 3];
        let status = place.signaled(name, moment(round, ROUNDS, whole));
        let what = format!("{name} in round {round}: {status}");
        let is_before_start = status.signal() == Some(number);
        let is_end = [Some(0), Some(128 + number)].contains(&status.code());
        assert!(is_before_start || is_end, "{what}");
        let old = if round % 2 == 0 { Some(3) } else { None };
        let session = place.session();
        match status.code() {
            Some(0) => assert_eq!(session, Some(3000), "{what}"),
            _ => assert!(
                session == old || session == Some(3000),
                "{what}: {session:?}"
            ),
        }
        assert_eq!(place.names("tmp"), [""; 0], "{what}");
        let kept = place.names("kept");
        assert!(
            kept.iter().all(|name| name.starts_with("auth_")),
            "{what}: {kept:?}"
        );
        place.check_no_process(&what);
    }
}

#[test]
fn after_a_kill_at_any_moment_the_next_login_works() {
    const ROUNDS: u32 = 40;
    let place = Place::new();
    let whole = undisturbed(&place);
    for round in 0..ROUNDS {
        place.put_old();
        place.signaled("KILL", moment(round, ROUNDS, whole));
        let session = place.session();
        assert!(session == Some(3) || session == Some(3000), "{session:?}");
        place.check_no_process(&format!("round {round}"));
    }
    undisturbed(&place);
}
