//! What somebody else meets who takes these crates: a workspace without a lock file, and packages out of a registry.
//!
//! Invariant: the tree is left as it is. What is resolved or packed is a copy, or below the target directory.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{process, workspace::Workspace};

/// The crates whose packages are also built, alone, as a registry would hand them out: what stands on its own, and
/// the backends that are to be free of the patched dependency. The others pull in wasmtime, which takes minutes to
/// compile once more, and their packages are as well-formed as those that are built.
const BUILT: &[&str] = &[
    "block-staging",
    "kubo-protocol",
    "pinner-api",
    // What the others' tests depend on by its version.
    "pinner-conformance",
    "pinner-gateway",
    "pinner-http",
    "pinner-kubo",
    "pinset",
    "unixfs",
];

/// That Cargo finds a set of versions without the lock file: where it does not, nobody can depend on these crates, and
/// `cargo update` fails. A release that is yanked is chosen only where a lock file names it.
pub(super) fn resolves_afresh(workspace: &Workspace) -> Result<()> {
    let copy = tempfile::tempdir().context("cannot make a temporary directory")?;
    let mut git = std::process::Command::new("git");
    git.current_dir(&workspace.root);
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    for name in process::output(&mut git)?.lines() {
        let from = workspace.root.join(name);
        // A lock file below is that of another workspace; a file that was removed and not committed is still listed.
        if name != "Cargo.lock" && from.is_file() {
            copy_to(&from, &copy.path().join(name))?;
        }
    }
    let mut cargo = std::process::Command::new("cargo");
    cargo
        .current_dir(copy.path())
        .args(["generate-lockfile", "--quiet"]);
    process::run(&mut cargo).context(
        "the workspace cannot be resolved without its lock file; a release that something needs may have been yanked",
    )
}

fn copy_to(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// That every crate that is to be published can be packed, and those in [`BUILT`] be built from their packages.
///
/// A crate that depends on one with `publish = false` cannot: a registry would not have it. (A dependency of tests
/// alone, by path without a version, is left out of the package, and does no harm.)
pub(super) fn packs(workspace: &Workspace) -> Result<()> {
    let members = workspace.members()?;
    let published = members.iter().filter(|member| member.is_published);
    let published: Vec<_> = published.map(|member| member.name.as_str()).collect();
    let built: Vec<_> = published
        .iter()
        .copied()
        .filter(|name| BUILT.contains(name))
        .collect();
    if built.is_empty() {
        bail!("none of the crates that are to be built from their packages is published");
    }
    // Together each time: Cargo then takes the packages of the others for what a registry would have of them.
    pack(workspace, &published, &["--no-verify"])?;
    pack(workspace, &built, &[])
}

fn pack(workspace: &Workspace, names: &[&str], flags: &[&str]) -> Result<()> {
    let mut cargo = workspace.cargo(&["package", "--quiet"]);
    // Of its own, so that packages built another time are still built, and nobody waits for anybody's lock.
    cargo
        .arg("--target-dir")
        .arg(workspace.target.join("packages"));
    for name in names {
        cargo.args(["-p", name]);
    }
    cargo.args(flags);
    if is_dirty(workspace)? {
        // Cargo refuses what is not committed, which is right for publishing, and no fault of the tree's before.
        cargo.arg("--allow-dirty");
    }
    process::run(&mut cargo)
}

fn is_dirty(workspace: &Workspace) -> Result<bool> {
    let mut git = std::process::Command::new("git");
    git.current_dir(&workspace.root)
        .args(["status", "--porcelain"]);
    Ok(!process::output(&mut git)?.is_empty())
}
