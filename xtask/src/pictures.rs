//! `cargo xtask pictures`: draws the pictures of the README, so that they can be edited as text.
//!
//! `docs/read.svg` is the way of one read. `docs/figures.svg` is the chart of the bench, from the runs in
//! `docs/bench.json`: `cargo xtask pictures --add target/bench.json --machine "…"` adds one. `cargo xtask tidy` checks
//! that the committed pictures are the ones that this command draws.

mod figures;
mod read;
mod svg;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::workspace::Workspace;

/// Whether to add a run before drawing.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Adds the figures of a run of the bench to `docs/bench.json`; may be given twice, as `--kubo` writes a file of
    /// its own.
    #[arg(long, value_name = "BENCH.JSON", requires = "machine")]
    add: Vec<PathBuf>,
    /// The machine of the run, in a few words: processors, file system, operating system.
    #[arg(long, value_name = "TEXT")]
    machine: Option<String>,
}

/// The figures of all runs.
const BENCH: &str = "docs/bench.json";

/// Draws the pictures.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    if let Some(machine) = &flags.machine {
        add(&workspace.root.join(BENCH), &flags.add, machine)?;
    }
    for (name, drawn) in draw(&workspace.root)? {
        let path = workspace.root.join(name);
        match drawn {
            Some(text) => {
                fs::write(&path, text).with_context(|| format!("cannot write {name}"))?;
                println!("{name}");
            }
            None => println!("{name}: not drawn, since {BENCH} does not exist"),
        }
    }
    Ok(())
}

/// Fails if a committed picture differs from the one that is drawn now.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    for (name, drawn) in draw(&workspace.root)? {
        let there = fs::read_to_string(workspace.root.join(name)).ok();
        ensure!(
            there == drawn,
            "{name} differs from the picture that `cargo xtask pictures` draws: run it and commit the result"
        );
    }
    Ok(())
}

/// Returns each picture's name and text; `None` if its figures are missing.
fn draw(root: &Path) -> Result<[(&'static str, Option<String>); 2]> {
    let bench = root.join(BENCH);
    let figures = match bench.exists() {
        true => Some(figures::draw(&parse(&bench)?)?),
        false => None,
    };
    Ok([
        ("docs/read.svg", Some(read::draw())),
        ("docs/figures.svg", figures),
    ])
}

fn parse(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// Adds the figures in these files as one run.
fn add(bench: &Path, files: &[PathBuf], machine: &str) -> Result<()> {
    if files.is_empty() {
        bail!("--machine describes a run, and needs --add with the figures of that run");
    }
    let mut figures = serde_json::Map::new();
    for file in files {
        let run = parse(file)?;
        let named = run["figures"].as_object();
        let named = named.with_context(|| format!("{} has no figures", file.display()))?;
        for (name, figure) in named {
            figures.insert(name.clone(), figure["value"].clone());
        }
    }
    let mut all = match bench.exists() {
        true => parse(bench)?,
        false => json!({ "runs": [] }),
    };
    let runs = all["runs"].as_array_mut();
    let runs = runs.with_context(|| format!("{} has no runs", bench.display()))?;
    runs.push(json!({ "machine": machine, "figures": figures }));
    fs::write(bench, format!("{all:#}\n")).with_context(|| format!("cannot write {BENCH}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_added_and_drawn() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        fs::create_dir(root.join("docs"))?;
        let run = root.join("run.json");
        let figures = json!({ "stat, p2, times preopen": { "value": 2.5, "target": "reported" } });
        fs::write(&run, json!({ "figures": figures }).to_string())?;
        assert_eq!(draw(root)?[1].1, None);
        for _ in 0..2 {
            add(&root.join(BENCH), std::slice::from_ref(&run), "a machine")?;
        }
        let all = parse(&root.join(BENCH))?;
        assert_eq!(all["runs"][1]["figures"]["stat, p2, times preopen"], 2.5);
        assert_eq!(all["runs"].as_array().map(Vec::len), Some(2));
        assert!(draw(root)?[1].1.is_some());

        let workspace = Workspace {
            root: root.to_owned(),
            target: root.join("target"),
        };
        assert!(check(&workspace).is_err(), "nothing is drawn yet");
        let flags = Flags {
            add: Vec::new(),
            machine: None,
        };
        super::run(&workspace, &flags)?;
        check(&workspace)
    }
}
