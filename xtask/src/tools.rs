//! Tools from the crate registry: pinned versions, under the target directory, built if missing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{process, workspace::Workspace};

/// A crate with a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// The crate's name, which for Cargo's subcommands is also the program's.
    pub(crate) name: &'static str,
    /// The exact version.
    pub(crate) version: &'static str,
}

/// Checks the dependencies' licences, duplicates and sources.
pub(crate) const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// Measures which lines run.
pub(crate) const CARGO_LLVM_COV: Tool = Tool {
    name: "cargo-llvm-cov",
    version: "0.9.1",
};

impl Tool {
    /// Installs the tool unless exactly this version is installed. Returns the program's path.
    pub(crate) fn ensure(&self, workspace: &Workspace) -> Result<PathBuf> {
        let root = workspace.target.join("tools");
        if !self.is_in(&root) {
            let build = root.join("build");
            let mut cargo = self.install(&root);
            process::run(cargo.arg("--target-dir").arg(&build))?;
            fs::remove_dir_all(&build)
                .with_context(|| format!("cannot remove {}", build.display()))?;
        }
        Ok(root.join("bin").join(self.name))
    }

    /// Whether `cargo install --root` has installed exactly this version there.
    pub(crate) fn is_in(&self, root: &Path) -> bool {
        let wanted = format!("\"{} {} (", self.name, self.version);
        fs::read_to_string(root.join(".crates.toml")).is_ok_and(|list| list.contains(&wanted))
    }

    /// Returns the command that installs the tool.
    pub(crate) fn install(&self, root: &Path) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args([
            "install",
            "--locked",
            self.name,
            "--version",
            self.version,
            "--root",
        ]);
        cargo.arg(root);
        cargo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_version_counts() -> Result<()> {
        let root = tempfile::tempdir()?;
        assert!(!CARGO_DENY.is_in(root.path()));
        let list = "[v1]\n\"cargo-deny 0.20.2 (registry+https://example)\" = [\"cargo-deny\"]\n";
        fs::write(root.path().join(".crates.toml"), list)?;
        assert!(CARGO_DENY.is_in(root.path()));
        let other = Tool {
            version: "0.20",
            ..CARGO_DENY
        };
        assert!(!other.is_in(root.path()));
        assert!(!CARGO_LLVM_COV.is_in(root.path()));
        Ok(())
    }
}
