//! `cargo xtask demo`: a directory becomes a CID, and a WebAssembly guest lists, stats and reads it under
//! `/ipfs/<CID>`, of which it fetches no more than it reads.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{car, guests, process, workspace::Workspace};

/// The file that the guest reads a piece of: large enough that a lazy read can be told from a copy.
const LARGE: &str = "large.txt";

/// Its lines; some 16 MiB, in blocks of 1 MiB.
const LARGE_LINES: usize = 400_000;

/// Shows it, with every command line that it takes.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    guests::build(workspace)?;
    process::run(&mut workspace.cargo(&["build", "-p", "wasi-ipfs", "--bin", "wasi-ipfs"]))?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (tree, file) = (
        folder.path().join("sample"),
        folder.path().join("sample.car"),
    );
    sample(&tree)?;

    let program = workspace.target.join("debug/wasi-ipfs");
    let mut import = std::process::Command::new(&program);
    import.arg("import").arg(&tree).arg("-o").arg(&file);
    println!("$ {}", process::line(&import));
    let printed = process::output(&mut import)?;
    let cid = printed.trim();
    println!("{cid}");
    if cid.is_empty() || cid.contains(char::is_whitespace) {
        bail!("import printed {printed:?}, where a CID alone was wanted");
    }

    let mut guest = std::process::Command::new(&program);
    guest.arg("run").arg("--car").arg(&file).arg("--stats");
    guest.arg(workspace.guests().join("p2/tour.wasm"));
    guest.args([format!("/ipfs/{cid}"), LARGE.to_owned()]);
    process::run(&mut guest)?;

    let there = car::contents(&file)?;
    println!(
        "there were {} blocks, {} bytes in the CAR file",
        there.blocks, there.bytes
    );
    Ok(())
}

/// A tree with some of everything.
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
