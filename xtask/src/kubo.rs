//! `cargo xtask kubo`: a real Kubo, and IPFS Cluster's service, for the tests and for trying things by hand.
//!
//! What is installed is used where its version fits; what is not is built with Go under `target/kubo/`, and kept,
//! so that only the first run pays. Which node is started, and how, is the program `private-node`'s.

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

/// What to get.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Gets IPFS Cluster's service too, and prints its path below Kubo's.
    #[arg(long)]
    cluster: bool,
    /// Starts a private node too, on loopback and with a throw-away repository, until Ctrl-C; with `--cluster`, and
    /// a cluster of one in front of it.
    #[arg(long)]
    run: bool,
}

/// Gets the programs, prints where they are, and starts them if asked to.
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

/// A program that is not out of the crate registry.
#[derive(Debug)]
pub(crate) struct Installed {
    /// What people call it.
    name: &'static str,
    /// The program, in PATH and under `target/kubo`.
    program: &'static str,
    /// The variable that names it wherever it lies.
    variable: &'static str,
    /// The arguments that make it print its version as a line's last word.
    version: &'static [&'static str],
    /// The least version, which is also the one that is built.
    least: Version,
    /// How it is built.
    source: GoProgram,
}

/// The node itself. Before 0.43 a collection that meets a write to MFS can wedge MFS for good, so lazy pins need it.
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
        // Tags from before there were modules: Go would take them for the newest.
        excluded: &[
            "github.com/ipfs/go-ipfs-cmds v2.0.1+incompatible",
            "github.com/libp2p/go-libp2p v6.0.23+incompatible",
        ],
        requirements: go::Requirements::OfTheProgram,
    },
};

/// What keeps one pinset for many nodes.
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
    /// The program's path: what the variable names, what is in PATH and new enough, or what was built, if need be now.
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
                Err(error) => eprintln!("passing over {}: {error:#}", found.display()),
            }
        }
        let built = workspace.kubo().join(self.program);
        // Another version is there after `least` was raised.
        if !self
            .version_of(&built)
            .is_ok_and(|version| version == self.least)
        {
            let build = workspace.kubo().join("build").join(self.program);
            self.source.build(&build, &built).with_context(|| {
                format!(
                    "cannot build {}; where {} {} or newer is installed, {}=/path/to/{} saves building it",
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

    /// Asked for by name: another one in its place would surprise.
    fn named(&self, named: OsString) -> Result<PathBuf> {
        let path = PathBuf::from(named);
        // Absolute: tests run in their own package's folder.
        let path = path
            .canonicalize()
            .with_context(|| format!("{}={} is not there", self.variable, path.display()))?;
        let version = self
            .version_of(&path)
            .with_context(|| format!("{}={} is no {}", self.variable, path.display(), self.name))?;
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
            // A relative folder would mean another one in every package's tests.
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(self.program))
            .find(|program| program.is_file())
    }

    fn version_of(&self, program: &Path) -> Result<Version> {
        let mut command = Command::new(program);
        // It must not look for a repository, nor phone home, to say its version.
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
                "{} {} printed {:?}, where a version was wanted",
                program.display(),
                self.version.join(" "),
                text.trim()
            )
        })
    }
}

/// `major.minor.patch`. What stands behind a `-` or `+` says how it was built, not what it can do, but that a
/// release candidate comes before its release: it is taken for the version before.
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
        // What a candidate lacks, nobody knows.
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
