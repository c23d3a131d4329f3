//! Checks the crates as other people get them: resolved without a lock file, and as packages from a registry.
//!
//! Invariant: the tree is not changed. Resolving works on a copy, and packages are below the target directory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{process, workspace::Workspace};

/// The crates whose packages are also built by themselves, as a registry would serve them: those that are useful by
/// themselves, and the backends that must be free of the patched dependency. The others pull in wasmtime, which takes
/// minutes to compile again, and their packages are as well-formed as those that are built.
const BUILT: &[&str] = &[
    "block-hash",
    "block-staging",
    "kubo-protocol",
    "pinner-api",
    // The others' tests depend on these by their versions.
    "pinner-car",
    "pinner-car-remote",
    "pinner-conformance",
    "pinner-gateway",
    "pinner-http",
    "pinner-kubo",
    "pinner-layered",
    "pinner-mock",
    "pinner-routing",
    "pinset",
    "pinset-policy",
    "unixfs",
];

/// Checks that Cargo can resolve the versions without the lock file. Otherwise nobody could depend on these crates, and
/// `cargo update` would fail. A yanked release is only chosen if a lock file names it.
pub(super) fn resolves_afresh(workspace: &Workspace) -> Result<()> {
    let copy = tempfile::tempdir().context("cannot make a temporary directory")?;
    let mut git = std::process::Command::new("git");
    git.current_dir(&workspace.root);
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    for name in process::output(&mut git)?.lines() {
        let from = workspace.root.join(name);
        // Lock files in subfolders belong to other workspaces. A removed file whose removal is not committed is still
        // listed.
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

/// Checks that every crate to be published can be packaged, and that those in [`BUILT`] build from their packages.
///
/// A crate that depends on one with `publish = false` cannot be packaged: a registry would not have that one. (A
/// dev-dependency by path without a version is left out of the package, and does no harm.)
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
        bail!("none of the crates to build from their packages is published");
    }
    let folder = workspace.target.join("packages");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let home = own_home(&folder)?;
    // All in one call: Cargo then uses the packages of the others as if they came from a registry.
    pack(workspace, &folder, &home, &published, &["--no-verify"])?;
    pack(workspace, &folder, &home, &built, &[])?;
    // The packages and what was built of them serve nothing else.
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Makes a `CARGO_HOME` that shares the downloads of the user's, but not what it unpacked.
///
/// Cargo takes a version that it has unpacked or compiled once for what a registry has under that version now. So the
/// packages of an earlier run would be built in the place of today's.
fn own_home(folder: &Path) -> Result<PathBuf> {
    let users = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir()
            .context("there is neither CARGO_HOME nor a home directory")?
            .join(".cargo"),
    };
    let home = folder.join("home");
    let registry = home.join("registry");
    fs::create_dir_all(&registry).with_context(|| format!("cannot make {}", registry.display()))?;
    for name in ["config.toml", "config", "registry/index", "registry/cache"] {
        let (of_user, ours) = (users.join(name), home.join(name));
        if of_user.exists() {
            share(&of_user, &ours).with_context(|| format!("cannot make {}", ours.display()))?;
        }
    }
    Ok(home)
}

#[cfg(unix)]
fn share(path: &Path, here: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(path, here)
}

/// Nothing is shared: it is downloaded again.
#[cfg(not(unix))]
fn share(_path: &Path, _here: &Path) -> std::io::Result<()> {
    Ok(())
}

fn pack(
    workspace: &Workspace,
    folder: &Path,
    home: &Path,
    names: &[&str],
    flags: &[&str],
) -> Result<()> {
    let mut cargo = workspace.cargo(&["package", "--quiet"]);
    // A target directory of its own, so that no lock has to be waited for.
    cargo.arg("--target-dir").arg(folder);
    cargo.env("CARGO_HOME", home);
    for name in names {
        cargo.args(["-p", name]);
    }
    cargo.args(flags);
    if is_dirty(workspace)? {
        // Cargo refuses uncommitted changes. That is right for publishing, but they are not a fault before it.
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
