//! Tests of the cache file in one process.

mod trust;

use std::{
    fs::{self, File, Permissions},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use inferstream_session::{CacheFile, Warning};
use tempfile::TempDir;

pub(crate) const NAME: &str = "auth_Cloudflare.json";

/// What a fixture in the file begins with, so that anything else is damaged.
pub(crate) const MARK: &[u8] = b"whole:";

const CANARY: &str = "canary-77ac";

/// A folder, and the path of a file in it that need not exist.
struct Place {
    root: TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let path = root.path().join("kept").join(NAME);
        Self { root, path }
    }

    /// Writes content to the file, with mode 0600.
    fn with(content: &[u8]) -> Self {
        let place = Self::new();
        place.make_folder();
        fs::write(&place.path, content).unwrap();
        set_mode(&place.path, 0o600);
        place
    }

    fn make_folder(&self) {
        fs::create_dir(self.folder()).unwrap();
        set_mode(self.folder(), 0o700);
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap()
    }

    fn file(&self) -> CacheFile {
        CacheFile::new(&self.path).unwrap()
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.folder().join(format!("{NAME}{suffix}"))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Vec<u8>> {
    bytes.strip_prefix(MARK).map(<[u8]>::to_vec)
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Reads the file, and returns the content with the warnings.
fn read(file: &CacheFile) -> (Option<Vec<u8>>, Vec<String>) {
    let mut warnings = Vec::new();
    let read = file.read(parse, &mut warnings);
    (read, lines(warnings))
}

fn write(file: &CacheFile, content: &[u8]) -> (bool, Vec<String>) {
    let mut warnings = Vec::new();
    let is_written = file.update(parse, |_| Some(content.to_vec()), &mut warnings);
    (is_written, lines(warnings))
}

fn remove(file: &CacheFile) -> (bool, Vec<String>) {
    let mut warnings = Vec::new();
    let is_removed = file.remove(parse, |_| true, &mut warnings);
    (is_removed, lines(warnings))
}

/// Checks that no warning shows the folder or the content.
#[track_caller]
fn lines(warnings: Vec<Warning>) -> Vec<String> {
    let lines: Vec<String> = warnings.into_iter().map(String::from).collect();
    for line in &lines {
        assert!(
            !line.contains('/') && !line.contains(CANARY) && !line.contains('\n'),
            "{line}"
        );
        assert!(
            line.starts_with("the session file auth_Cloudflare.json: "),
            "{line}"
        );
    }
    lines
}

#[track_caller]
fn check_one(warnings: &[String], part: &str) {
    assert!(
        warnings.len() == 1 && warnings[0].contains(part),
        "{warnings:?}"
    );
}

#[test]
fn folder_and_file_are_created_for_the_owner_only() {
    let place = Place::new();
    let file = CacheFile::new(place.folder().join("deeper").join(NAME)).unwrap();
    assert_eq!(read(&file), (None, vec![]));
    assert!(!place.folder().exists(), "reading creates no file");
    assert_eq!(remove(&file), (true, vec![]));
    assert_eq!(write(&file, b"whole:1"), (true, vec![]));
    assert_eq!(mode(place.folder()), 0o700);
    assert_eq!(mode(&place.folder().join("deeper")), 0o700);
    assert_eq!(mode(&place.folder().join("deeper").join(NAME)), 0o600);
    assert_eq!(read(&file), (Some(b"1".to_vec()), vec![]));
}

#[test]
fn an_existing_folder_is_unchanged() {
    let place = Place::new();
    place.make_folder();
    set_mode(place.folder(), 0o755);
    assert_eq!(write(&place.file(), b"whole:1"), (true, vec![]));
    assert_eq!(mode(place.folder()), 0o755);
    assert_eq!(place.names(), [NAME, "auth_Cloudflare.json.lock"]);
    assert_eq!(mode(&place.beside(".lock")), 0o600);
}

#[test]
fn an_update_sees_the_current_content() {
    let place = Place::with(b"whole:1");
    let file = place.file();
    let mut seen = None;
    let add = |old: Option<Vec<u8>>| {
        seen = old;
        Some(b"whole:2".to_vec())
    };
    assert!(file.update(parse, add, &mut Vec::new()));
    assert_eq!(seen.unwrap(), b"1");
    assert!(file.update(parse, |_| None, &mut Vec::new()));
    assert_eq!(read(&file).0.unwrap(), b"2");
}

#[test]
fn a_removal_keeps_other_content() {
    let place = Place::with(b"whole:1");
    let file = place.file();
    assert!(file.remove(parse, |content| content == b"2", &mut Vec::new()));
    assert!(place.path.exists());
    assert!(file.remove(parse, |content| content == b"1", &mut Vec::new()));
    assert!(!place.path.exists());
    assert_eq!(remove(&file), (true, vec![]));
}

#[test]
fn a_file_of_a_newer_version_is_unchanged() {
    for content in [
        r#"{"version":2,"headers":{},"cookies":{"a":"b"}}"#,
        r#"{"version":1.5}"#,
        r#"{"cookies":[],"version":"2"}"#,
        r#"{"version":18446744073709551616}"#,
    ] {
        let content = content.as_bytes();
        let place = Place::with(content);
        let newer = "it was written by a newer version of this client, and stays unchanged";
        for parse_all in [true, false] {
            let parse = |bytes: &[u8]| parse_all.then(|| bytes.to_vec());
            let mut warnings = Vec::new();
            assert_eq!(place.file().read(parse, &mut warnings), None);
            let change = |_| Some(b"whole:1".to_vec());
            assert!(!place.file().update(parse, change, &mut warnings));
            assert!(!place.file().remove(parse, |_| true, &mut warnings));
            let warnings = lines(warnings);
            assert_eq!(warnings.len(), 3);
            assert!(
                warnings.iter().all(|line| line.ends_with(newer)),
                "{warnings:?}"
            );
            assert_eq!(fs::read(&place.path).unwrap(), content);
            assert!(!place.beside(".corrupt").exists());
        }
    }
    for content in [
        r#"{"version":1,"cookies":{}}"#,
        r#"{"version":0}"#,
        r#"{"version":null}"#,
        r#"{"version":"chrome"}"#,
        r#"{"cookies":{"version":"2"}}"#,
        "{}",
    ] {
        let place = Place::with(content.as_bytes());
        let whole = |bytes: &[u8]| Some(bytes.to_vec());
        let mut warnings = Vec::new();
        assert!(place.file().read(whole, &mut warnings).is_some());
        assert_eq!(warnings, [], "{content}");
    }
}

#[test]
fn damaged_content_is_set_aside() {
    let json =
        |bytes: &[u8]| serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(bytes).ok();
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let damaged: [&[u8]; 10] = [
        b"",
        br#"{"cookies":{"a":"b"#,
        br#"{"cookies":{}}"b"}}"#,
        b"{}\0",
        b"\0\0\0\0",
        b"\x89PNG\r\n\x1a\n",
        b"[]",
        b"{\"a\":\"\xff\"}",
        deep.as_bytes(),
        large.as_bytes(),
    ];
    let place = Place::with(b"");
    for content in damaged {
        let file = place.file();
        fs::write(&place.path, content).unwrap();
        let mut warnings = Vec::new();
        assert_eq!(file.read(json, &mut warnings), None);
        check_one(
            &lines(warnings),
            "was damaged, and was renamed to auth_Cloudflare.json.corrupt",
        );
        assert!(!place.path.exists());
        assert_eq!(fs::read(place.beside(".corrupt")).unwrap(), content);
        // Only one damaged file is kept, and the warning is reported once.
        fs::write(&place.path, content).unwrap();
        set_mode(&place.path, 0o600);
        let mut warnings = Vec::new();
        assert!(file.update(json, |_| Some(b"{}".to_vec()), &mut warnings));
        assert!(warnings.is_empty());
        assert_eq!(fs::read(&place.path).unwrap(), b"{}");
        assert_eq!(place.names().len(), 3, "{:?}", place.names());
        assert_eq!(mode(&place.beside(".corrupt")), 0o600);
    }
}

#[test]
fn a_huge_file_is_not_read() {
    let place = Place::with(b"");
    File::options()
        .write(true)
        .open(&place.path)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let (content, warnings) = read(&place.file());
    assert_eq!(content, None);
    check_one(&warnings, "damaged");
    assert_eq!(
        fs::metadata(place.beside(".corrupt")).unwrap().len(),
        1 << 30
    );
}

#[test]
fn a_damaged_file_that_cannot_be_renamed_is_replaced() {
    let place = Place::with(b"broken");
    fs::create_dir(place.beside(".corrupt")).unwrap();
    fs::write(place.beside(".corrupt").join("x"), "").unwrap();
    let file = place.file();
    let (content, warnings) = read(&file);
    assert_eq!(content, None);
    check_one(&warnings, "renaming it failed");
    assert_eq!(write(&file, b"whole:1"), (true, vec![]));
    assert_eq!(read(&file).0.unwrap(), b"1");
}

#[test]
fn a_held_lock_is_waited_for_and_then_ignored() {
    let place = Place::with(b"whole:1");
    let file = place.file().lock_wait(Duration::ZERO);
    assert_eq!(write(&file, b"whole:2"), (true, vec![]));
    let holder = File::open(place.beside(".lock")).unwrap();
    holder.lock().unwrap();
    let (is_written, warnings) = write(&file, b"whole:3");
    assert!(is_written);
    check_one(&warnings, "another process holds the lock for too long");
    assert_eq!(read(&file), (Some(b"3".to_vec()), vec![]));
    holder.unlock().unwrap();
    assert_eq!(write(&place.file(), b"whole:4"), (true, vec![]));
}

#[test]
fn a_lock_file_that_is_a_link_is_not_used() {
    let place = Place::with(b"whole:1");
    let target = place.root.path().join("target");
    symlink(&target, place.beside(".lock")).unwrap();
    let (is_written, warnings) = write(&place.file(), b"whole:2");
    assert!(is_written && !target.exists());
    check_one(&warnings, "locking it failed");
    fs::remove_file(place.beside(".lock")).unwrap();
    if run(Command::new("mkfifo").arg(place.beside(".lock"))) {
        let (is_written, warnings) = write(&place.file(), b"whole:3");
        assert!(is_written);
        check_one(&warnings, "the lock file is not a regular file");
    }
}

#[test]
fn files_of_killed_processes_are_deleted_after_an_hour() {
    let place = Place::with(b"whole:1");
    let old = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    let make = |name: &str, time| {
        let path = place.folder().join(name);
        let file = File::create(&path).unwrap();
        file.set_modified(time).unwrap();
    };
    let swept = ".auth_Cloudflare.json.0123456789abcdef";
    let kept = [
        ".auth_Cloudflare.json.0123456789abcde",
        ".auth_Cloudflare.json.0123456789abcdeg",
        ".auth_Other.json.0123456789abcdef",
        "auth_Cloudflare.json.0123456789abcdef",
    ];
    make(swept, old);
    for name in kept {
        make(name, old);
    }
    make(".auth_Cloudflare.json.aaaaaaaaaaaaaaaa", SystemTime::now());
    make(
        ".auth_Cloudflare.json.bbbbbbbbbbbbbbbb",
        SystemTime::now() + Duration::from_secs(1 << 30),
    );
    fs::create_dir(
        place
            .folder()
            .join(".auth_Cloudflare.json.cccccccccccccccc"),
    )
    .unwrap();
    assert_eq!(write(&place.file(), b"whole:2"), (true, vec![]));
    let names = place.names();
    assert!(!names.iter().any(|name| name == swept), "{names:?}");
    assert_eq!(names.len(), 2 + kept.len() + 3, "{names:?}");
}

#[test]
fn a_folder_deleted_in_the_meantime_is_created_again() {
    let place = Place::with(b"whole:1");
    let file = place.file();
    assert_eq!(write(&file, b"whole:2"), (true, vec![]));
    fs::remove_file(&place.path).unwrap();
    assert_eq!(write(&file, b"whole:3"), (true, vec![]));
    fs::remove_dir_all(place.folder()).unwrap();
    assert_eq!(read(&file), (None, vec![]));
    assert_eq!(write(&file, b"whole:4"), (true, vec![]));
    assert_eq!(read(&file).0.unwrap(), b"4");
}

#[test]
fn invalid_paths_turn_the_file_off() {
    let long = format!("/{}/{NAME}", "x/".repeat(2100));
    let name = format!("/tmp/{}", "x".repeat(201));
    for path in ["", "/", "/tmp/..", &long, &name, "/tmp/a\nb"] {
        let warning = CacheFile::new(path).unwrap_err();
        assert!(
            warning
                .as_str()
                .starts_with("the session is kept in memory only"),
            "{path}"
        );
    }
    let odd = std::ffi::OsStr::from_bytes(b"/tmp/\xff");
    assert!(CacheFile::new(odd).is_err());
    assert!(
        CacheFile::new(NAME).is_ok(),
        "a relative path is resolved by the caller"
    );
    let long = "/x".repeat(2100);
    for home in [None, Some(""), Some("relative"), Some("./x"), Some(&*long)] {
        let home = home.map(std::ffi::OsStr::new);
        assert!(CacheFile::in_home(home, NAME).is_err(), "{home:?}");
    }
    assert!(CacheFile::in_home(Some(odd), NAME).is_err());
    assert!(CacheFile::in_home(Some("/home/x".as_ref()), NAME).is_ok());
    // A NUL is refused by the system.
    let nul = CacheFile::new("/tmp/a\0b/c").unwrap();
    let mut warnings = Vec::new();
    assert!(!nul.update(parse, |_| Some(vec![]), &mut warnings));
    assert_eq!(warnings.len(), 1);
}

#[test]
fn debug_output_shows_neither_folder_nor_content() {
    let place = Place::with(format!("broken {CANARY}").as_bytes());
    let file = place.file();
    let folder = place.root.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(
        format!("{file:?}"),
        format!("CacheFile {{ name: {NAME:?}, .. }}")
    );
    let (_, warnings) = read(&file);
    write(&file, format!("whole:{CANARY}").as_bytes());
    for shown in warnings.iter().chain(&place.names()) {
        assert!(
            !shown.contains(CANARY) && !shown.contains(folder),
            "{shown}"
        );
    }
}

/// Runs a tool. Returns false, with a message, if it is missing or not permitted.
pub(crate) fn run(command: &mut Command) -> bool {
    let is_run = command.status().is_ok_and(|status| status.success());
    if !is_run {
        eprintln!("SKIPPED: {command:?} does not work here");
    }
    is_run
}

pub(crate) fn is_root() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !is_root {
        eprintln!("SKIPPED: another owner needs root");
    }
    is_root
}
