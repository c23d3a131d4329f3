//! Finds the crates of a checkout, and loads their module trees.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::tree::Tree;

/// A crate of the workspace, by its folder.
pub(crate) struct Crate {
    /// The folder, relative to the root: `crates/pinset`.
    pub(crate) folder: String,
    /// Its module trees: that of the library and that of the program.
    pub(crate) trees: Vec<Tree>,
}

/// Reads the crates in these folders. `crates/*` stands for every folder with a manifest in `crates`.
pub(crate) fn read(root: &Path, folders: &[&str]) -> Result<Vec<Crate>> {
    let mut found = Vec::new();
    for folder in folders {
        match folder.strip_suffix("/*") {
            Some(parent) => found.extend(children(root, parent)?),
            None => found.push((*folder).to_owned()),
        }
    }
    let is_crate = |folder: &String| root.join(folder).join("Cargo.toml").is_file();
    found
        .into_iter()
        .filter(is_crate)
        .map(|folder| {
            let starts = ["src/lib.rs", "src/main.rs"].map(|file| Path::new(&folder).join(file));
            let starts = starts.iter().filter(|file| root.join(file).is_file());
            let read = |path: &Path| fs::read_to_string(root.join(path)).ok();
            let trees: Result<Vec<_>> = starts.map(|file| Tree::load(file, &read)).collect();
            Ok(Crate {
                folder,
                trees: trees?,
            })
        })
        .collect()
}

fn children(root: &Path, parent: &str) -> Result<Vec<String>> {
    let folder = root.join(parent);
    let listing = || format!("cannot list {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(listing)? {
        let name: PathBuf = entry.with_context(listing)?.file_name().into();
        names.push(format!("{parent}/{}", name.display()));
    }
    names.sort();
    Ok(names)
}
