//! Reads the files that flags name.

use std::{fs::File, io::Read as _, path::Path};

use inferstream::{ApiKey, Error, cerebras::Cookies};

use crate::args::Service as Flags;

/// The contents of the files that flags name.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) key: Option<ApiKey>,
    pub(crate) cookies: Option<Cookies>,
    /// Certificates as PEM.
    pub(crate) certificates: Option<Vec<u8>>,
}

impl Files {
    /// Reads the files. Blocks while a named pipe among them has no data.
    pub(crate) fn read(flags: &Flags) -> Result<Self, Error> {
        let cookies = flags.cookies.as_ref();
        Ok(Self {
            key: flags.key_file.as_deref().map(key).transpose()?,
            cookies: cookies.map(Cookies::from_file).transpose()?,
            certificates: flags.cacert.as_deref().map(read).transpose()?,
        })
    }
}

/// Reads the API key from a file.
fn key(path: &Path) -> Result<ApiKey, Error> {
    let key = String::from_utf8(read(path)?);
    let key = key.map_err(|_| Error::config("invalid API key: expected UTF-8 text"));
    key.and_then(ApiKey::new)
        .map_err(|error| error.context(path.display()))
}

/// Reads a text file of up to 1 MiB.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    let invalid = |_| Error::config(format!("invalid file {}: expected UTF-8", path.display()));
    String::from_utf8(read(path)?).map_err(invalid)
}

/// Reads a file of up to 1 MiB, more than any certificate bundle needs.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    const LIMIT: u64 = 1 << 20;
    let broken = |error| Error::config(format!("cannot read {}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(broken)?;
    file.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(broken)?;
    if LIMIT < bytes.len() as u64 {
        return Err(Error::config(format!(
            "invalid file {}: expected at most 1 MiB",
            path.display()
        )));
    }
    Ok(bytes)
}
