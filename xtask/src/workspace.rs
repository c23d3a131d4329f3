//! The workspace, its target directory and its members, as Cargo reports them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The workspace that xtask belongs to.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root Cargo.toml.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
}

/// A crate of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is meant for a registry: it has no `publish = false`.
    pub(crate) is_published: bool,
}

fn metadata() -> Result<Value> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut cargo = Command::new("cargo");
    cargo.args([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--manifest-path",
    ]);
    let answer = process::output(cargo.arg(manifest))?;
    serde_json::from_str(&answer).context("the output of cargo metadata is not JSON")
}

impl Workspace {
    /// Asks Cargo for the workspace.
    pub(crate) fn find() -> Result<Self> {
        let metadata = metadata()?;
        let path = |key: &str| {
            let text = metadata[key].as_str();
            text.map(PathBuf::from)
                .with_context(|| format!("cargo metadata has no {key}"))
        };
        Ok(Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
        })
    }

    /// Returns the workspace's crates, as Cargo lists them.
    pub(crate) fn members(&self) -> Result<Vec<Member>> {
        let metadata = metadata()?;
        let packages = metadata["packages"].as_array();
        let packages = packages.context("cargo metadata has no packages")?;
        let member = |package: &Value| {
            let name = package["name"].as_str().context("a package has no name")?;
            Ok(Member {
                name: name.to_owned(),
                // `null` means any registry, a list means those in it; `publish = false` is the empty list.
                is_published: package["publish"]
                    .as_array()
                    .is_none_or(|to| !to.is_empty()),
            })
        };
        packages.iter().map(member).collect()
    }

    /// The folder of the built guests: `p1/NAME.wasm` and `p2/NAME.wasm`.
    pub(crate) fn guests(&self) -> PathBuf {
        self.target.join("guests")
    }

    /// The folder of the Kubo and IPFS Cluster that were built here.
    pub(crate) fn kubo(&self) -> PathBuf {
        self.target.join("kubo")
    }

    /// Returns a `cargo` command that runs in the workspace's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.root).args(arguments);
        cargo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_apart() -> Result<()> {
        let members = Workspace::find()?.members()?;
        let is_published = |name: &str| {
            let member = members.iter().find(|member| member.name == name);
            member.map(|member| member.is_published)
        };
        assert_eq!(is_published("xtask"), Some(false));
        assert_eq!(is_published("pinner-api"), Some(true));
        assert_eq!(is_published("serde_json"), None);
        Ok(())
    }
}
