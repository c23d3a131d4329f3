//! Credentials and certificates for servers.
//!
//! Invariant: a secret comes from a file or from the environment, never from the command line, which other users of the
//! machine can read; and it is never shown. A message about invalid credentials says where they are, not what they are.

use std::{
    env::{self, VarError},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::Context;
#[cfg(not(feature = "kubo"))]
use pinner_gateway::{Auth, certificates};
#[cfg(feature = "kubo")]
use pinner_kubo::{Auth, certificates};

use crate::usage::Usage;

/// The form of credentials, for messages.
const FORMS: &str = "expected bearer:TOKEN or basic:USER:PASSWORD";

/// The longest file of credentials or certificates, in bytes.
const LONGEST: u64 = 1 << 20;

/// Text that holds secrets, and where it was found.
pub(super) struct Found {
    pub(super) text: String,
    /// The place, for messages.
    pub(super) place: String,
}

impl Found {
    /// The error that the credentials have another form.
    pub(super) fn invalid(&self) -> anyhow::Error {
        Usage::invalid(format!("invalid credentials in {}: {FORMS}", self.place))
    }
}

/// Returns the text of `file`, or else of the environment's `variable`.
pub(super) fn find(file: Option<&Path>, variable: &str) -> anyhow::Result<Option<Found>> {
    if let Some(path) = file {
        let place = format!("'{}'", path.display());
        let bytes =
            read(path).with_context(|| format!("cannot read the credentials in {place}"))?;
        let text = String::from_utf8(bytes)
            // The error would show the text.
            .map_err(|_| Usage::invalid(format!("{place} is not UTF-8: {FORMS}")))?;
        return Ok(Some(Found { text, place }));
    }
    match env::var(variable) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(Found {
            text,
            place: variable.to_owned(),
        })),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(Usage::invalid(format!("{variable} is not UTF-8: {FORMS}")))
        }
    }
}

/// Parses one server's credentials.
pub(super) fn parse(text: &str) -> Option<Auth> {
    match text.split_once(':')? {
        ("bearer", token) if !token.is_empty() => Some(Auth::bearer(token)),
        ("basic", pair) => match pair.split_once(':')? {
            ("", _) => None,
            (user, password) => Some(Auth::basic(user, password)),
        },
        _ => None,
    }
}

/// Reads the certificates of all `files`, each in DER.
pub(super) fn trusted(files: &[PathBuf]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for path in files {
        let what = || format!("cannot read the certificates in '{}'", path.display());
        let pem = read(path).with_context(what)?;
        all.extend(certificates(&pem).with_context(what)?);
    }
    Ok(all)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)?;
    anyhow::ensure!(
        bytes.len() as u64 <= LONGEST,
        "it is larger than {LONGEST} bytes"
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read() {
        assert!(parse("bearer:a:b") == Some(Auth::bearer("a:b")));
        assert!(parse("basic:me:p:w") == Some(Auth::basic("me", "p:w")));
        assert!(parse("basic:me:") == Some(Auth::basic("me", "")));
        for wrong in [
            "",
            "token",
            "bearer:",
            "basic:me",
            "basic::pw",
            "digest:a:b",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
