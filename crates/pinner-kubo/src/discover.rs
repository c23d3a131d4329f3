//! Finds a node as `ipfs` itself does: by the files that the daemon leaves in its repository.
//!
//! This reads two small files and the environment, and asks no node. The caller passes the environment in, so that
//! nothing here depends on the process.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use pinner_http::Endpoint;

use crate::error::KuboError;

/// A Kubo repository: the directory in which a running daemon records where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repo(PathBuf);

impl Repo {
    /// The repository at this path.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The repository at `$IPFS_PATH`, else `~/.ipfs`. `None` if neither `IPFS_PATH` nor `HOME` is set.
    pub(crate) fn found(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let home = set("HOME").map(PathBuf::from);
        let Some(given) = set("IPFS_PATH").map(PathBuf::from) else {
            return Some(Self(home?.join(".ipfs")));
        };
        // `ipfs` itself expands a tilde that the shell left alone.
        Some(Self(match (given.strip_prefix("~"), home) {
            (Ok(below), Some(home)) => home.join(below),
            (Ok(_) | Err(_), _) => given,
        }))
    }

    /// Returns the address of the RPC.
    ///
    /// # Errors
    /// * [`KuboError::NoAddress`]: there is no such file, so no daemon is listening.
    /// * [`KuboError::BadAddress`]: the file cannot be parsed.
    pub(crate) fn rpc(&self) -> Result<Endpoint, KuboError> {
        let file = self.0.join("api");
        match address(&file)? {
            Some(endpoint) => Ok(endpoint),
            None => Err(KuboError::NoAddress { looked_for: file }),
        }
    }

    /// Returns the address of the gateway, if the daemon has one.
    ///
    /// # Errors
    /// [`KuboError::BadAddress`].
    pub(crate) fn gateway(&self) -> Result<Option<Endpoint>, KuboError> {
        address(&self.0.join("gateway"))
    }
}

/// Reads the address from a file of one line; `None` if there is no such file.
fn address(file: &Path) -> Result<Option<Endpoint>, KuboError> {
    /// The most bytes that are read of a file. No address is longer.
    const LONGEST: u64 = 4096;
    let wrong = |reason: String| KuboError::BadAddress {
        file: file.to_owned(),
        reason,
    };
    let text = match read_start(file, LONGEST) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    text.trim()
        .parse()
        .map(Some)
        .map_err(|error: pinner_http::ParseEndpointError| wrong(error.to_string()))
}

fn read_start(file: &Path, longest: u64) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(
        &mut io::Read::take(fs::File::open(file)?, longest),
        &mut text,
    )?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ipfs_path: Option<&str>, home: Option<&str>) -> Option<PathBuf> {
        let repo = Repo::found(|name| match name {
            "IPFS_PATH" => ipfs_path.map(Into::into),
            "HOME" => home.map(Into::into),
            _ => None,
        });
        repo.map(|repo| repo.0)
    }

    #[test]
    fn the_repository_is_where_ipfs_looks_for_it() {
        let home = Some("/home/a");
        assert_eq!(found(None, home), Some("/home/a/.ipfs".into()));
        assert_eq!(found(Some(""), home), Some("/home/a/.ipfs".into()));
        assert_eq!(found(Some("/srv/ipfs"), home), Some("/srv/ipfs".into()));
        assert_eq!(found(Some("/srv/ipfs"), None), Some("/srv/ipfs".into()));
        assert_eq!(found(Some("~/x"), home), Some("/home/a/x".into()));
        assert_eq!(found(Some("~/x"), None), Some("~/x".into()));
        assert_eq!(found(None, None), None);
        assert_eq!(found(None, Some("")), None);
    }

    #[test]
    fn the_daemons_files_say_where_it_listens() {
        let dir = tempfile::tempdir().expect("a directory");
        let repo = Repo::at(dir.path().to_owned());
        let error = repo.rpc().expect_err("no file");
        assert!(
            matches!(&error, KuboError::NoAddress { looked_for } if looked_for.ends_with("api"))
        );
        assert!(error.to_string().contains("ipfs daemon"), "{error}");
        assert_eq!(repo.gateway().expect("none is fine"), None);

        let write =
            |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("written");
        write("api", "/ip4/127.0.0.1/tcp/5001\n");
        write("gateway", "http://127.0.0.1:8080");
        let endpoint = |text: &str| text.parse::<Endpoint>().expect("an endpoint");
        assert_eq!(
            repo.rpc().expect("an address"),
            endpoint("http://127.0.0.1:5001")
        );
        assert_eq!(
            repo.gateway().expect("an address"),
            Some(endpoint("http://127.0.0.1:8080"))
        );
        write("api", "/unix/run/ipfs.sock");
        assert_eq!(
            repo.rpc().expect("a socket"),
            endpoint("/unix/run/ipfs.sock")
        );

        for wrong in [
            "",
            "nonsense",
            "/ip4/127.0.0.1/udp/5001",
            &"x".repeat(10_000),
        ] {
            write("api", wrong);
            let error = repo.rpc().expect_err(wrong);
            assert!(
                matches!(error, KuboError::BadAddress { .. }),
                "{wrong:?}: {error}"
            );
        }
        fs::write(dir.path().join("api"), [0xff, 0xfe]).expect("written");
        assert!(matches!(repo.rpc(), Err(KuboError::BadAddress { .. })));
    }
}
