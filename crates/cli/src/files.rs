//! The files that flags name in, what stands in them out.

use std::{fs::File, io::Read as _, path::Path};

use inferstream::{ApiKey, Error, cerebras::Cookies};

use crate::args::Service as Flags;

/// What stands in the files that the flags name.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) key: Option<ApiKey>,
    pub(crate) cookies: Option<Cookies>,
    /// Certificates as PEM.
    pub(crate) certificates: Option<Vec<u8>>,
}

impl Files {
    /// Reads them. Blocks, for as long as nobody writes into a pipe among them.
    pub(crate) fn read(flags: &Flags) -> Result<Self, Error> {
        let cookies = flags.cookies.as_ref();
        Ok(Self {
            key: flags.key_file.as_deref().map(key).transpose()?,
            cookies: cookies.map(Cookies::from_file).transpose()?,
            certificates: flags.cacert.as_deref().map(read).transpose()?,
        })
    }
}

/// Reads the key that stands in a file.
fn key(path: &Path) -> Result<ApiKey, Error> {
    let key = String::from_utf8(read(path)?);
    let key = key.map_err(|_| Error::config("not a key, not even text"));
    key.and_then(ApiKey::new)
        .map_err(|error| error.context(path.display()))
}

/// Reads a file of settings: at most 1 MiB, more than any bundle of certificates has.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    const LIMIT: u64 = 1 << 20;
    let broken = |error| Error::config(format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(broken)?;
    file.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(broken)?;
    if LIMIT < bytes.len() as u64 {
        return Err(Error::config(format!(
            "{}: larger than 1 MiB",
            path.display()
        )));
    }
    Ok(bytes)
}
