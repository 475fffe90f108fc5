//! The inputs that fuzzing starts with: the recorded responses, and the files of `tests/fuzz/seeds`.

use std::{fs, path::PathBuf};

use super::folder;
use crate::run::{Result, root};

/// The recorded responses that a target starts with.
struct Recordings {
    target: &'static str,
    /// The folder below `tests/fixtures`; empty for all.
    folder: &'static str,
    /// The bytes of an input before those of the response.
    prefix: &'static [u8],
}

const fn recordings(
    target: &'static str,
    folder: &'static str,
    prefix: &'static [u8],
) -> Recordings {
    Recordings {
        target,
        folder,
        prefix,
    }
}

/// A last byte of 0 is a response in one piece, and of 7 one of single bytes: `Input::pieces`.
const RECORDINGS: &[Recordings] = &[
    recordings("sse", "", &[0, 0]),
    recordings("sse", "", &[1, 7]),
    recordings("playground", "cloudflare-playground", &[0]),
    recordings("playground", "cloudflare-playground", &[7]),
    recordings("partial", "", &[]),
    // The first byte is the provider, and the next two are where the connection is lost.
    recordings("providers", "openai-compat", &[0, 150, 0, 0]),
    recordings("providers", "openai-compat", &[0, 250, 0, 7]),
    recordings("providers", "cerebras", &[1, 250, 0, 7]),
    recordings("providers", "openai-compat", &[2, 50, 1, 0]),
    recordings("providers", "cloudflare", &[3, 250, 0, 7]),
    recordings("providers", "cloudflare", &[4, 250, 0, 7]),
    recordings("providers", "replicate", &[5, 250, 0, 7]),
];

/// The types of files that are responses; the others are expected events and documentation.
const TYPES: [&str; 4] = ["sse", "json", "txt", "html"];

/// The longest input of a target, in bytes.
pub(super) fn max_length(target: &str) -> usize {
    match target {
        // Their time grows with the square of the length.
        "partial" | "schemas" | "tags" => 256,
        "chunks" | "ends" | "hints" | "resume" => 512,
        _ => 2048,
    }
}

/// Writes the recordings as inputs, and returns the folders that have inputs of a target.
pub(super) fn folders(target: &str) -> Result<Vec<PathBuf>> {
    let recorded = folder().join("target/seeds").join(target);
    fs::create_dir_all(&recorded)?;
    let lists = RECORDINGS.iter().filter(|list| list.target == target);
    for (number, list) in lists.enumerate() {
        for path in files(list.folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let input = [list.prefix, &fs::read(&path)?].concat();
            fs::write(recorded.join(format!("{number}-{name}")), input)?;
        }
    }
    let committed = folder().join("seeds").join(target);
    let mut folders = vec![recorded];
    folders.extend(Some(committed).filter(|folder| folder.is_dir()));
    Ok(folders)
}

/// Returns the recorded responses in a folder of `tests/fixtures`, or in all of them.
fn files(folder: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join("tests/fixtures").join(folder))? {
        let path = entry?.path();
        if path.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.extend(self::files(&name)?);
        } else if path
            .extension()
            .is_some_and(|found| TYPES.iter().any(|name| found == *name))
        {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::{RECORDINGS, files};
    use crate::fuzz::targets;

    #[test]
    fn each_list_has_a_target_and_recordings() {
        let targets = targets().unwrap();
        for list in RECORDINGS {
            assert!(targets.iter().any(|target| target == list.target));
            assert!(!files(list.folder).unwrap().is_empty(), "{}", list.folder);
        }
    }
}
