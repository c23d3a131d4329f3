//! Where things are: the workspace and its target directory, as Cargo says.

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
    /// Cargo's target directory, wherever it was put.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks Cargo.
    pub(crate) fn find() -> Result<Self> {
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
        let metadata: Value = serde_json::from_str(&answer).context("cargo metadata is no JSON")?;
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

    /// Where the built guests lie: `p1/NAME.wasm` and `p2/NAME.wasm`.
    pub(crate) fn guests(&self) -> PathBuf {
        self.target.join("guests")
    }

    /// Where Kubo and IPFS Cluster lie that were built here.
    pub(crate) fn kubo(&self) -> PathBuf {
        self.target.join("kubo")
    }

    /// A `cargo` that runs in the workspace's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.root).args(arguments);
        cargo
    }
}
