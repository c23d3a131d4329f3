//! Builds each feature by itself, and checks what a build without it leaves out.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::{process, workspace::Workspace};

/// A crate with only these features.
#[derive(Clone, Copy, Debug)]
struct Build {
    of: &'static str,
    features: &'static [&'static str],
    /// Names of crates that it must not compile.
    leaves_out: &'static [&'static str],
}

const BUILDS: [Build; 9] = [
    Build {
        of: "pinset",
        features: &[],
        leaves_out: &["metrics"],
    },
    Build {
        of: "pinset",
        features: &["metrics"],
        leaves_out: &[],
    },
    Build {
        of: "wasi-ipfs-fs",
        features: &[],
        leaves_out: &["wiggle"],
    },
    Build {
        of: "wasi-ipfs-fs",
        features: &["p3"],
        leaves_out: &[],
    },
    Build {
        of: "wasi-ipfs-fs",
        features: &["p1"],
        leaves_out: &[],
    },
    Build {
        of: "wasi-ipfs",
        features: &[],
        leaves_out: &["hyper", "object_store", "reqwest", "ring", "rustls"],
    },
    Build {
        of: "wasi-ipfs",
        features: &["kubo"],
        leaves_out: &[],
    },
    Build {
        of: "wasi-ipfs",
        features: &["gateway"],
        leaves_out: &["kubo-protocol", "object_store", "pinner-kubo"],
    },
    Build {
        of: "wasi-ipfs",
        features: &["object-store"],
        leaves_out: &["kubo-protocol", "pinner-gateway", "pinner-kubo"],
    },
];

impl Build {
    /// Returns `cargo <arguments>` for this build.
    fn cargo(&self, workspace: &Workspace, arguments: &[&str]) -> std::process::Command {
        let mut cargo = workspace.cargo(arguments);
        cargo.args(["-p", self.of, "--no-default-features"]);
        if !self.features.is_empty() {
            cargo.args(["--features", &self.features.join(",")]);
        }
        cargo
    }

    /// Returns the crates of a tree, with one crate on each line, that should be left out.
    fn found_in<'t>(&self, tree: &'t str) -> BTreeSet<&'t str> {
        tree.lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| self.leaves_out.contains(name))
            .collect()
    }
}

/// Checks the tree of each build, and compiles it.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let mut wrong = Vec::new();
    for build in BUILDS {
        let tree = ["tree", "-e", "normal,build", "--prefix", "none"];
        let tree = process::output(&mut build.cargo(workspace, &tree))?;
        for name in build.found_in(&tree) {
            wrong.push(format!(
                "{} with the features {:?} compiles {name}",
                build.of, build.features
            ));
        }
        process::run(&mut build.cargo(workspace, &["check"]))?;
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_to_be_left_out() {
        let tree = "wasi-ipfs v0.1.0 (/somewhere)\nring v0.17.14\nrustls-pki-types v1.0.0\n";
        let found: Vec<_> = BUILDS[5].found_in(tree).into_iter().collect();
        assert_eq!(found, ["ring"]);
        assert!(BUILDS[6].found_in(tree).is_empty());
    }
}
