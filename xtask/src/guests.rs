//! `cargo xtask guests`: builds the programs that run inside the sandbox, as `.wasm` files: ours, ripgrep, and the
//! matrix's, in other languages and by other people.

mod matrix;
mod package;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use clap::Args;

use crate::{process, tools::Tool, workspace::Workspace};

/// A target, and the folder for its guests.
type Target = (&'static str, &'static str);

/// Both targets.
const TARGETS: [Target; 2] = [PREVIEW_1, PREVIEW_2];
const PREVIEW_1: Target = ("wasm32-wasip1", "p1");
const PREVIEW_2: Target = ("wasm32-wasip2", "p2");

/// A program of another project, to test that it works too.
const RIPGREP: Tool = Tool {
    name: "ripgrep",
    version: "15.1.0",
};

/// uutils' coreutils, with the tools that WASI can have. Built if all guests are asked for.
const COREUTILS: Tool = Tool {
    name: "coreutils",
    version: "0.12.0",
};

/// Only the tools that WASI can have, in one program.
const OF_COREUTILS: [&str; 5] = [
    "--no-default-features",
    "--features",
    "feat_wasm",
    "--bin",
    "coreutils",
];

/// The programs of other people that lie among ours.
const OTHERS: [&str; 3] = ["rg", "coreutils", "sqlite3"];

/// Which guests to build.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Also builds uutils' coreutils, which takes minutes.
    #[arg(long)]
    all: bool,
}

/// Builds the guests.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    match flags.all {
        true => build_all(workspace),
        false => build(workspace),
    }
}

/// Builds all guests that the tests run, if they are missing or older than their source.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    build_ours(workspace)?;
    matrix::build(workspace)?;
    build_other(workspace, RIPGREP, "rg", &[])
}

/// Builds the guests that take long to build, too.
pub(crate) fn build_all(workspace: &Workspace) -> Result<()> {
    build(workspace)?;
    build_other(workspace, COREUTILS, "coreutils", &OF_COREUTILS)
}

/// Builds all of the project's own guests.
pub(crate) fn build_ours(workspace: &Workspace) -> Result<()> {
    compile(workspace, &TARGETS, &[])?;
    let programs_of_both = programs(&workspace.root.join("tests/guests/src/bin"), "rs")?;
    let components = components(workspace)?;
    for name in &components {
        let package = name.to_string_lossy();
        compile(workspace, &[PREVIEW_2], &["--package", &package])?;
    }
    let in_go = build_go(workspace)?;
    for target in TARGETS {
        let mut wanted = programs_of_both.clone();
        if target == PREVIEW_2 {
            wanted.extend(components.iter().cloned());
        }
        hand_out(workspace, target, &wanted)?;
        if target == PREVIEW_1 {
            wanted.extend(in_go.iter().cloned());
        }
        // A guest whose source is gone must not go on passing tests.
        let folder = workspace.guests().join(target.1);
        let others = programs(&folder, "wasm")?;
        for gone in others.difference(&wanted) {
            if !OTHERS.iter().any(|other| gone == other) {
                fs::remove_file(folder.join(gone).with_extension("wasm"))?;
            }
        }
    }
    Ok(())
}

/// Builds one guest for preview 2, and returns its path.
pub(crate) fn build_one(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    compile(workspace, &[PREVIEW_2], &["--bin", name])?;
    hand_out(workspace, PREVIEW_2, &BTreeSet::from([name.into()]))?;
    let folder = workspace.guests().join(PREVIEW_2.1);
    Ok(folder.join(name).with_extension("wasm"))
}

/// Installs the targets. `rust-toolchain.toml` could name them, but rustup only adds those if it is allowed to install
/// by itself.
fn add_targets(workspace: &Workspace, targets: &[Target]) -> Result<()> {
    for (target, _) in targets {
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

/// Removes flags that were set for the host, such as a sanitizer's, since they do not fit a guest.
fn without_host_flags(cargo: &mut Command) -> &mut Command {
    cargo
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
}

/// Compiles the programs that run as commands, or what `chosen`, arguments for cargo, selects.
fn compile(workspace: &Workspace, targets: &[Target], chosen: &[&str]) -> Result<()> {
    add_targets(workspace, targets)?;
    let manifest = "tests/guests/Cargo.toml";
    let mut cargo = workspace.cargo(&[
        "build",
        "--release",
        "--locked",
        "--manifest-path",
        manifest,
    ]);
    for (target, _) in targets {
        cargo.args(["--target", target]);
    }
    cargo.args(chosen);
    cargo.arg("--target-dir").arg(build_folder(workspace));
    process::run(without_host_flags(&mut cargo))
}

fn build_folder(workspace: &Workspace) -> PathBuf {
    workspace.guests().join("build")
}

/// Returns the names of the guests that are not commands, and so are packages of their own, for preview 2 alone.
fn components(workspace: &Workspace) -> Result<BTreeSet<OsString>> {
    let folder = workspace.root.join("tests/guests");
    let listing = || format!("cannot list {}", folder.display());
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder).with_context(listing)? {
        let entry = entry.with_context(listing)?;
        if entry.path().join("Cargo.toml").is_file() {
            names.insert(entry.file_name());
        }
    }
    Ok(names)
}

/// Builds the programs in Go, each in a folder of its own, for preview 1. Returns the names of those that it built.
///
/// Without Go the other guests are built. The tests of these ones then fail by their names.
fn build_go(workspace: &Workspace) -> Result<BTreeSet<OsString>> {
    let module = workspace.root.join("tests/guests/go");
    let listing = || format!("cannot list {}", module.display());
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&module).with_context(listing)? {
        let entry = entry.with_context(listing)?;
        if entry.path().join("main.go").is_file() {
            names.insert(entry.file_name());
        }
    }
    if let Err(error) = process::output(Command::new("go").arg("version")) {
        eprintln!("NOT BUILT: {names:?}: {error:#}; Go is at https://go.dev/doc/install");
        return Ok(BTreeSet::new());
    }
    let made = build_folder(workspace).join("go");
    let folder = workspace.guests().join(PREVIEW_1.1);
    for folder in [&made, &folder] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    for name in &names {
        let file = Path::new(name).with_extension("wasm");
        let mut go = Command::new("go");
        go.current_dir(&module)
            .env("GOOS", "wasip1")
            .env("GOARCH", "wasm")
            .env("GOWORK", "off")
            .args(["build", "-trimpath", "-buildvcs=false", "-o"])
            .arg(made.join(&file))
            .arg(Path::new(".").join(name));
        process::run(&mut go)?;
        copy_if_other(&made.join(&file), &folder.join(&file))?;
    }
    Ok(names)
}

/// Copies compiled guests to the folder where the tests look for them.
fn hand_out(workspace: &Workspace, target: Target, names: &BTreeSet<OsString>) -> Result<()> {
    let (target, folder) = target;
    let made = build_folder(workspace).join(target).join("release");
    let folder = workspace.guests().join(folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for name in names {
        let file = Path::new(name).with_extension("wasm");
        copy_if_other(&made.join(&file), &folder.join(&file))?;
    }
    Ok(())
}

/// Returns the names, without the extension, of the files in a folder that have this extension.
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

/// Copies a file unless the destination is the same already. Its date then stays, so results made from it stay valid.
fn copy_if_other(from: &Path, to: &Path) -> Result<()> {
    let made = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == made) {
        return Ok(());
    }
    fs::write(to, made).with_context(|| format!("cannot write {}", to.display()))
}

/// Builds another project's program unless this version is already built: it takes minutes, and the file only changes
/// with the version.
///
/// The debug information that its own release profile may keep is left out: it is most of the file, and every run
/// begins with reading the file.
fn build_other(workspace: &Workspace, tool: Tool, program: &str, chosen: &[&str]) -> Result<()> {
    add_targets(workspace, &[PREVIEW_1])?;
    let root = workspace.guests().join(tool.name);
    let file = Path::new(program).with_extension("wasm");
    let built = root.join("bin").join(&file);
    if !tool.is_in(&root) || !built.exists() {
        let build = workspace.guests().join(format!("build-{}", tool.name));
        let mut cargo = tool.install(&root);
        cargo
            .current_dir(&workspace.root)
            .args(["--force", "--target", PREVIEW_1.0])
            .args(chosen)
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_STRIP", "true");
        process::run(without_host_flags(cargo.arg("--target-dir").arg(&build)))?;
        fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    }
    copy_if_other(&built, &workspace.guests().join(PREVIEW_1.1).join(file))
}
