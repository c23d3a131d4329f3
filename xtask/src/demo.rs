//! `cargo xtask demo`: imports a directory, and a WebAssembly guest lists, stats and reads it under `/ipfs/<CID>`. No
//! more is fetched than it reads.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{car, guests, process, steps::Steps, workspace::Workspace};

/// The file of which the guest reads a piece. It is large enough to tell a lazy read from a copy.
const LARGE: &str = "large.txt";

/// The number of its lines: some 16 MiB, in blocks of 1 MiB.
const LARGE_LINES: usize = 400_000;

/// The guest that runs.
const GUEST: &str = "tour";

/// Builds the command with support for CAR files only. Kubo, gateways and their TLS are most of a first build, and the
/// demonstration does not need them.
const COMMAND: [&str; 6] = [
    "build",
    "-p",
    "wasi-ipfs",
    "--bin",
    "wasi-ipfs",
    "--no-default-features",
];

/// Runs the demonstration, and prints each command line.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut steps = Steps::default();
    let guest = steps.run("guests", || guests::build_one(workspace, GUEST))?;
    steps.run("command", || process::run(&mut workspace.cargo(&COMMAND)))?;
    steps.run("run", || show(workspace, &guest))?;
    println!("demo: {steps}");
    Ok(())
}

fn show(workspace: &Workspace, program: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (tree, file) = (
        folder.path().join("sample"),
        folder.path().join("sample.car"),
    );
    sample(&tree)?;

    let command = workspace.target.join("debug/wasi-ipfs");
    let mut import = std::process::Command::new(&command);
    import.arg("import").arg(&tree).arg("-o").arg(&file);
    println!("$ {}", process::line(&import));
    let printed = process::output(&mut import)?;
    let cid = printed.trim();
    println!("{cid}");
    if cid.is_empty() || cid.contains(char::is_whitespace) {
        bail!("import printed {printed:?}; expected a CID and nothing else");
    }

    let mut guest = std::process::Command::new(&command);
    guest.arg("run").arg("--car").arg(&file).arg("--stats");
    guest.arg(program);
    guest.args([format!("/ipfs/{cid}"), LARGE.to_owned()]);
    process::run(&mut guest)?;

    let there = car::contents(&file)?;
    println!(
        "the CAR file has {} blocks, {} bytes",
        there.blocks, there.bytes
    );
    Ok(())
}

/// Writes a tree with some of everything.
fn sample(tree: &Path) -> Result<()> {
    let write = |name: &str, content: &str| {
        let path = tree.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(tree.join("notes")).context("cannot make the sample tree")?;
    write("hello.txt", "Hello from IPFS.\n")?;
    write("empty", "")?;
    write("notes/first.txt", "A file in a folder.\n")?;
    let lines = (0..LARGE_LINES).map(|line| format!("line {line:08} of a file of many blocks\n"));
    write(LARGE, &lines.collect::<String>())?;
    #[cfg(unix)]
    std::os::unix::fs::symlink("hello.txt", tree.join("link")).context("cannot make a symlink")?;
    Ok(())
}
