//! `cargo xtask kubo`: provides a real Kubo, and IPFS Cluster's service, for the tests and for trying things by hand.
//!
//! An installed program is used if its version fits. Otherwise it is built with Go under `target/kubo/` and kept, so
//! that only the first run takes long. The program `private-node` starts the node.

mod go;

use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use self::go::GoProgram;
use crate::{process, workspace::Workspace};

/// Which programs to provide.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Provides IPFS Cluster's service too, and prints its path below Kubo's.
    #[arg(long)]
    cluster: bool,
    /// Also starts a private node, on loopback and with a throw-away repository, until Ctrl-C; with `--cluster`, also
    /// a cluster of one in front of it.
    #[arg(long)]
    run: bool,
}

/// Provides the programs, prints their paths, and starts them if asked to.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    let kubo = KUBO.ensure(workspace)?;
    println!("{}", kubo.display());
    let cluster = match flags.cluster {
        true => Some(CLUSTER.ensure(workspace)?),
        false => None,
    };
    if let Some(program) = &cluster {
        println!("{}", program.display());
    }
    match flags.run {
        true => serve(workspace, &kubo, cluster.as_deref()),
        false => Ok(()),
    }
}

/// Starts the node, which runs until Ctrl-C.
fn serve(workspace: &Workspace, kubo: &Path, cluster: Option<&Path>) -> Result<()> {
    process::run(&mut workspace.cargo(&["build", "--quiet", "--package", "private-node"]))?;
    let mut node = Command::new(workspace.target.join("debug/private-node"));
    process::replace(node.arg(kubo).args(cluster))
}

/// A program that does not come from the crate registry.
#[derive(Debug)]
pub(crate) struct Installed {
    /// Its usual name.
    name: &'static str,
    /// The file name, in PATH and under `target/kubo`.
    program: &'static str,
    /// The environment variable that can hold its path.
    variable: &'static str,
    /// The arguments that make it print its version as a line's last word.
    version: &'static [&'static str],
    /// The least version, which is also the one that is built.
    least: Version,
    /// How it is built.
    source: GoProgram,
}

/// The node itself. Lazy pins need 0.43: before it, a garbage collection during a write to MFS can wedge MFS for good.
pub(crate) const KUBO: Installed = Installed {
    name: "Kubo",
    program: "ipfs",
    variable: "IPFS_BIN",
    version: &["version", "--number"],
    least: Version(0, 43, 0),
    source: GoProgram {
        module: "github.com/ipfs/kubo",
        package: "github.com/ipfs/kubo/cmd/ipfs",
        version: "v0.43.0",
        // Tags from before Go had modules, which Go would take for the newest.
        excluded: &[
            "github.com/ipfs/go-ipfs-cmds v2.0.1+incompatible",
            "github.com/libp2p/go-libp2p v6.0.23+incompatible",
        ],
        requirements: go::Requirements::OfTheProgram,
    },
};

/// IPFS Cluster, which keeps one pinset for many nodes.
pub(crate) const CLUSTER: Installed = Installed {
    name: "IPFS Cluster's service",
    program: "ipfs-cluster-service",
    variable: "IPFS_CLUSTER_BIN",
    version: &["--version"],
    least: Version(1, 1, 6),
    source: GoProgram {
        module: "github.com/ipfs-cluster/ipfs-cluster",
        package: "github.com/ipfs-cluster/ipfs-cluster/cmd/ipfs-cluster-service",
        version: "v1.1.6",
        excluded: &[],
        requirements: go::Requirements::OfTheTreeThatResolves,
    },
};

impl Installed {
    /// Returns the program's path: the one in the variable, or else one in PATH that is new enough, or else the one
    /// that was built here. Builds it now if necessary.
    pub(crate) fn ensure(&self, workspace: &Workspace) -> Result<PathBuf> {
        if let Some(named) = env::var_os(self.variable).filter(|named| !named.is_empty()) {
            return self.named(named);
        }
        if let Some(found) = self.in_path(env::var_os("PATH")) {
            match self.version_of(&found) {
                Ok(version) if version >= self.least => return Ok(found),
                Ok(version) => eprintln!(
                    "{} is {} {version}, older than {}: building one under {}",
                    found.display(),
                    self.name,
                    self.least,
                    workspace.kubo().display(),
                ),
                Err(error) => eprintln!("ignoring {}: {error:#}", found.display()),
            }
        }
        let built = workspace.kubo().join(self.program);
        // An older version may be there, from before `least` was raised.
        if !self
            .version_of(&built)
            .is_ok_and(|version| version == self.least)
        {
            let build = workspace.kubo().join("build").join(self.program);
            self.source.build(&build, &built).with_context(|| {
                format!(
                    "cannot build {}; if {} {} or newer is installed, set {}=/path/to/{} instead of building it",
                    self.name, self.name, self.least, self.variable, self.program
                )
            })?;
            let version = self.version_of(&built)?;
            if version != self.least {
                bail!("{} says that it is {version}", built.display());
            }
        }
        Ok(built)
    }

    /// Checks the program that the variable names. It never falls back to another, which would be a surprise.
    fn named(&self, named: OsString) -> Result<PathBuf> {
        let path = PathBuf::from(named);
        // Absolute, because tests run in their own package's folder.
        let path = path
            .canonicalize()
            .with_context(|| format!("{}={} does not exist", self.variable, path.display()))?;
        let version = self.version_of(&path).with_context(|| {
            format!("{}={} is not {}", self.variable, path.display(), self.name)
        })?;
        if version < self.least {
            bail!(
                "{}={} is {} {version}; at least {} is needed",
                self.variable,
                path.display(),
                self.name,
                self.least
            );
        }
        Ok(path)
    }

    fn in_path(&self, path: Option<OsString>) -> Option<PathBuf> {
        env::split_paths(&path?)
            // A relative folder would be a different one in each package's tests.
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(self.program))
            .find(|program| program.is_file())
    }

    fn version_of(&self, program: &Path) -> Result<Version> {
        let mut command = Command::new(program);
        // It must neither look for a repository nor phone home to print its version.
        command
            .args(self.version)
            .env("IPFS_PATH", "/nonexistent")
            .env("DO_NOT_TRACK", "1");
        let output = command
            .output()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.split_whitespace().next_back().unwrap_or_default();
        Version::parse(last).with_context(|| {
            format!(
                "{} {} printed {:?}; expected a version",
                program.display(),
                self.version.join(" "),
                text.trim()
            )
        })
    }
}

/// `major.minor.patch`. A suffix after `-` or `+` says how the program was built, not what it supports, so it is
/// ignored. The exceptions are release candidates and development versions, which come before their release: they count
/// as the version before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32, u32);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, candidate) = match text.split_once(['-', '+']) {
            Some((numbers, rest)) => (numbers, rest.starts_with("rc") || rest.starts_with("dev")),
            None => (text, false),
        };
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        let version = Self(numbers.next()??, numbers.next()??, numbers.next()??);
        match numbers.next() {
            Some(_) => None,
            None if candidate => Some(version.before()),
            None => Some(version),
        }
    }

    fn before(self) -> Self {
        match self {
            Self(major, minor, patch @ 1..) => Self(major, minor, patch - 1),
            Self(major, minor @ 1.., 0) => Self(major, minor - 1, u32::MAX),
            Self(major, 0, 0) => Self(major.saturating_sub(1), u32::MAX, u32::MAX),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    /// A program that prints `version`.
    fn program(folder: &Path, version: &str) -> PathBuf {
        let path = folder.join("ipfs");
        fs::write(&path, format!("#!/bin/sh\necho {version}\n")).expect("writing a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("making it run");
        path
    }

    #[test]
    fn versions_are_ordered() {
        let version = |text| Version::parse(text).expect("a version");
        assert_eq!(version("0.43.0"), KUBO.least);
        assert!(version("0.100.0") > KUBO.least && version("v1.0.0") > KUBO.least);
        assert!(version("0.42.9") < KUBO.least);
        // Nobody knows what a release candidate lacks.
        assert!(version("0.43.0-rc1") < KUBO.least && version("0.43.1-rc1") >= KUBO.least);
        assert_eq!(version("0.43.0-a1b2c3"), KUBO.least);
        for text in ["", "0.43", "0.43.0.1", "version", "0.x.0"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_named_has_to_fit() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = KUBO.named("/no/such/ipfs".into());
        let missing = missing.expect_err("it is not there").to_string();
        assert!(missing.contains("IPFS_BIN=/no/such/ipfs"), "{missing}");

        let old = program(folder.path(), "0.39.0");
        let error = KUBO.named(old.into_os_string()).expect_err("it is too old");
        let error = error.to_string();
        assert!(
            error.contains("0.39.0") && error.contains("0.43.0"),
            "{error}"
        );

        let other = program(folder.path(), "hello");
        let error = KUBO.named(other.into_os_string()).expect_err("it is none");
        assert!(format!("{error:#}").contains("hello"), "{error:#}");

        let new = program(folder.path(), "0.44.1");
        assert!(KUBO.named(new.into_os_string()).is_ok());
    }

    #[test]
    fn only_absolute_folders_of_path_count() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(KUBO.in_path(Some(folder.path().into())), None);
        let there = program(folder.path(), "0.43.0");
        let path = env::join_paths(["relative".as_ref(), folder.path().as_os_str()]);
        assert_eq!(
            KUBO.in_path(Some(path.expect("a list of paths"))),
            Some(there)
        );
        assert_eq!(KUBO.in_path(None), None);
    }
}
