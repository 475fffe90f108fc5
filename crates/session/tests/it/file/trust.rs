//! Tests of files, folders and locks that are not used because of their type, owner or mode.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, symlink},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use inferstream_session::CacheFile;

use super::{CANARY, Place, check_one, is_root, mode, parse, read, remove, run, set_mode, write};

#[test]
fn a_file_readable_by_others_is_read_once_and_restricted() {
    for open in [0o644, 0o640, 0o604] {
        let place = Place::with(b"whole:1");
        set_mode(&place.path, open);
        let (content, warnings) = read(&place.file());
        assert_eq!(content.unwrap(), b"1");
        check_one(
            &warnings,
            "other users could read it: its mode was changed to 0600",
        );
        assert_eq!(mode(&place.path), 0o600);
        assert_eq!(read(&place.file()), (Some(b"1".to_vec()), vec![]));
    }
}

#[test]
fn a_file_writable_by_others_is_replaced_without_reading() {
    for open in [0o666, 0o660, 0o602, 0o777] {
        let place = Place::with(b"whole:1");
        set_mode(&place.path, open);
        let file = place.file();
        let (content, warnings) = read(&file);
        assert_eq!(content, None);
        check_one(&warnings, "other users can write to it");
        assert_eq!(mode(&place.path), open, "reading does not change the file");
        let mut seen = Some(vec![]);
        let keep = |old| {
            seen = old;
            Some(b"whole:2".to_vec())
        };
        assert!(file.update(parse, keep, &mut Vec::new()));
        assert_eq!(seen, None);
        assert_eq!(mode(&place.path), 0o600);
        assert_eq!(read(&file), (Some(b"2".to_vec()), vec![]));
    }
}

/// Checks that read, update and remove leave the file unchanged, and report why.
#[track_caller]
fn check_refused(place: &Place, why: &str) {
    let before = fs::symlink_metadata(&place.path).unwrap();
    let (content, warnings) = read(&place.file());
    assert_eq!(content, None);
    check_one(&warnings, why);
    let (is_written, warnings) = write(&place.file(), format!("whole:{CANARY}").as_bytes());
    assert!(!is_written);
    check_one(&warnings, why);
    let (is_removed, warnings) = remove(&place.file());
    assert!(!is_removed);
    check_one(&warnings, why);
    let after = fs::symlink_metadata(&place.path).unwrap();
    let what = |metadata: &fs::Metadata| (metadata.ino(), metadata.mode(), metadata.mtime_nsec());
    assert_eq!(what(&before), what(&after));
    assert!(
        place.names().iter().all(|name| !name.starts_with('.')),
        "{:?}",
        place.names()
    );
}

#[test]
fn links_are_refused() {
    let place = Place::with(b"whole:1");
    let target = place.root.path().join("target");
    fs::rename(&place.path, &target).unwrap();
    symlink(&target, &place.path).unwrap();
    check_refused(&place, "it is a link");
    assert_eq!(fs::read(&target).unwrap(), b"whole:1");
    fs::remove_file(&target).unwrap();
    check_refused(&place, "it is a link");
    assert!(!target.exists());
    fs::remove_file(&place.path).unwrap();
    symlink("/dev/full", &place.path).unwrap();
    check_refused(&place, "it is a link");
}

#[test]
fn hard_links_are_refused() {
    let place = Place::with(b"whole:1");
    fs::hard_link(&place.path, place.root.path().join("other")).unwrap();
    check_refused(&place, "hard link");
}

#[test]
fn folders_and_pipes_are_refused_without_waiting() {
    let place = Place::new();
    place.make_folder();
    fs::create_dir(&place.path).unwrap();
    check_refused(&place, "not a regular file");
    fs::remove_dir(&place.path).unwrap();
    if run(Command::new("mkfifo").arg(&place.path)) {
        check_refused(&place, "not a regular file");
        fs::remove_file(&place.path).unwrap();
    }
    drop(std::os::unix::net::UnixListener::bind(&place.path).unwrap());
    check_refused(&place, "opening it failed");
}

#[test]
fn devices_are_refused() {
    let mut warnings = Vec::new();
    let full = CacheFile::new("/dev/full").unwrap();
    assert_eq!(full.read(parse, &mut warnings), None);
    assert_eq!(warnings.len(), 1);
    let place = Place::new();
    place.make_folder();
    // The numbers of /dev/full.
    if run(Command::new("mknod").arg(&place.path).args(["c", "1", "7"])) {
        check_refused(&place, "not a regular file");
        assert!(
            fs::metadata(&place.path)
                .unwrap()
                .file_type()
                .is_char_device()
        );
    }
}

#[test]
fn a_file_of_another_owner_is_refused() {
    let place = Place::with(b"whole:1");
    if is_root() {
        std::os::unix::fs::chown(&place.path, Some(65534), None).unwrap();
        check_refused(&place, "another owner");
    }
}

#[test]
fn folders_that_are_links_open_or_of_others_are_refused() {
    let check = |place: &Place, why: &str| {
        let (content, warnings) = read(&place.file());
        assert_eq!(content, None);
        check_one(&warnings, why);
        let (is_written, warnings) = write(&place.file(), b"whole:2");
        assert!(!is_written);
        check_one(&warnings, why);
        assert!(!remove(&place.file()).0);
        assert_eq!(fs::read(&place.path).unwrap(), b"whole:1");
    };
    let place = Place::with(b"whole:1");
    for open in [0o777, 0o702, 0o1777] {
        set_mode(place.folder(), open);
        check(
            &place,
            "its folder is not used: other users can write to it",
        );
    }
    set_mode(place.folder(), 0o700);
    if is_root() {
        std::os::unix::fs::chown(place.folder(), Some(65534), None).unwrap();
        check(&place, "its folder is not used: it has another owner");
        std::os::unix::fs::chown(place.folder(), Some(0), None).unwrap();
    }
    let real = place.root.path().join("real");
    fs::rename(place.folder(), &real).unwrap();
    symlink(&real, place.folder()).unwrap();
    check(&place, "its folder is not used: it is a link");
    fs::remove_file(place.folder()).unwrap();
    fs::write(place.folder(), "").unwrap();
    let (is_written, warnings) = write(&place.file(), b"whole:2");
    assert!(!is_written);
    check_one(
        &warnings,
        "its folder is not used: it is a link or not a directory",
    );
}

#[test]
fn a_replacement_of_the_file_is_never_written_through() {
    let place = Place::with(b"whole:other");
    let target = place.root.path().join("target");
    fs::write(&target, CANARY).unwrap();
    set_mode(&target, 0o600);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| {
            let other = place.folder().join("other");
            for n in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                match n % 4 {
                    0 => symlink(&target, &other).unwrap(),
                    1 => fs::hard_link(&target, &other).unwrap(),
                    2 => {
                        run(Command::new("mkfifo").arg(&other));
                    }
                    _ => {
                        fs::write(&other, "whole:other").unwrap();
                        set_mode(&other, 0o600);
                    }
                }
                if fs::rename(&other, &place.path).is_err() || other.exists() {
                    let _ = fs::remove_file(&other);
                    let _ = fs::remove_file(&place.path);
                }
            }
        });
        for n in 0..500 {
            let (content, _) = read(&place.file());
            let content = content.unwrap_or_else(|| b"other".to_vec());
            let is_whole = content == b"other" || content.starts_with(b"mine ");
            assert!(is_whole, "{:?}", String::from_utf8_lossy(&content));
            write(&place.file(), format!("whole:mine {n}").as_bytes());
        }
    });
    assert_eq!(fs::read(&target).unwrap(), CANARY.as_bytes());
    assert_eq!(mode(&target), 0o600);
}

/// Stops the other thread when dropped, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
