//! `cargo xtask guests`: the programs that run inside the sandbox, ours and ripgrep, as `.wasm` files.

use std::{collections::BTreeSet, ffi::OsString, fs, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::{process, tools::Tool, workspace::Workspace};

/// The targets, and the folders that their guests go to.
const TARGETS: [(&str, &str); 2] = [("wasm32-wasip1", "p1"), ("wasm32-wasip2", "p2")];

/// Somebody else's program, to see that it works too.
const RIPGREP: Tool = Tool {
    name: "ripgrep",
    version: "15.1.0",
};

/// Builds what is missing or older than its source.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    add_targets(workspace)?;
    build_ours(workspace)?;
    build_ripgrep(workspace)
}

/// `rust-toolchain.toml` could name the targets, but rustup adds those only where it may install by itself.
fn add_targets(workspace: &Workspace) -> Result<()> {
    for (target, _) in TARGETS {
        let mut rustc = Command::new("rustc");
        rustc.current_dir(&workspace.root);
        let libraries =
            process::output(rustc.args(["--print", "target-libdir", "--target", target]))?;
        if !Path::new(libraries.trim()).exists() {
            let mut rustup = Command::new("rustup");
            rustup.current_dir(&workspace.root);
            process::run(rustup.args(["target", "add", target]))?;
        }
    }
    Ok(())
}

/// Flags that somebody set for the host, such as those of a sanitizer, do not fit a guest.
fn without_host_flags(cargo: &mut Command) -> &mut Command {
    cargo
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
}

fn build_ours(workspace: &Workspace) -> Result<()> {
    let build = workspace.guests().join("build");
    let manifest = "tests/guests/Cargo.toml";
    let mut cargo = workspace.cargo(&[
        "build",
        "--release",
        "--locked",
        "--manifest-path",
        manifest,
    ]);
    for (target, _) in TARGETS {
        cargo.args(["--target", target]);
    }
    process::run(without_host_flags(cargo.arg("--target-dir").arg(&build)))?;

    let sources = workspace.root.join("tests/guests/src/bin");
    let wanted = programs(&sources, "rs")?;
    for (target, folder) in TARGETS {
        let made = build.join(target).join("release");
        let folder = workspace.guests().join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for name in &wanted {
            let file = Path::new(name).with_extension("wasm");
            copy_if_other(&made.join(&file), &folder.join(&file))?;
        }
        // A guest whose source is gone must not go on passing tests.
        let others = programs(&folder, "wasm")?;
        for gone in others.difference(&wanted).filter(|name| *name != "rg") {
            fs::remove_file(folder.join(gone).with_extension("wasm"))?;
        }
    }
    Ok(())
}

/// The names, without their extension, of the files with this extension.
fn programs(folder: &Path, extension: &str) -> Result<BTreeSet<OsString>> {
    let listing = || format!("cannot list {}", folder.display());
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            names.extend(path.file_stem().map(ToOwned::to_owned));
        }
    }
    Ok(names)
}

/// Leaves a file that is the same already: its date stays, and with it what others made of it.
fn copy_if_other(from: &Path, to: &Path) -> Result<()> {
    let made = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == made) {
        return Ok(());
    }
    fs::write(to, made).with_context(|| format!("cannot write {}", to.display()))
}

/// Minutes of building for a file that never changes: kept until the version does.
///
/// Without the debug information that ripgrep's own release keeps: it is most of the file, and every run of the
/// file begins with reading it.
fn build_ripgrep(workspace: &Workspace) -> Result<()> {
    let root = workspace.guests().join("ripgrep");
    let program = root.join("bin/rg.wasm");
    if !RIPGREP.is_in(&root) || !program.exists() {
        let build = workspace.guests().join("build-ripgrep");
        let mut cargo = RIPGREP.install(&root);
        cargo
            .current_dir(&workspace.root)
            .args(["--force", "--target", TARGETS[0].0])
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_STRIP", "true");
        process::run(without_host_flags(cargo.arg("--target-dir").arg(&build)))?;
        fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    }
    copy_if_other(&program, &workspace.guests().join("p1/rg.wasm"))
}
