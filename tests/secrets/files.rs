//! Files and their names: session files contain their cookies and nothing else.

use std::{env, fs, path::Path, time::SystemTime};

use crate::watch::{search, search_except};

/// Searches the files below a folder for secrets, except for the cookies of a session file.
pub(crate) fn search_sessions(folder: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        search("a file name", &path.to_string_lossy());
        if path.is_dir() {
            count += search_sessions(&path);
            continue;
        }
        let content = fs::read(&path).unwrap_or_default();
        let content = String::from_utf8_lossy(&content);
        search_except("a session file", &content, &["cookie"]);
        count += 1;
    }
    count
}

/// Searches the names in the folder of temporary files, and the content of files that were written
/// since a time.
pub(crate) fn search_temporary(since: SystemTime) {
    for entry in fs::read_dir(env::temp_dir()).unwrap().flatten() {
        search(
            "the name of a temporary file",
            &entry.file_name().to_string_lossy(),
        );
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let is_new = metadata.modified().is_ok_and(|time| since <= time);
        if metadata.is_file() && is_new && metadata.len() < 1 << 20 {
            let content = fs::read(entry.path()).unwrap_or_default();
            search("a temporary file", &String::from_utf8_lossy(&content));
        }
    }
}
