//! Walks a tree and prints all of it, so that two trees can be compared line by line.
//!
//! Arguments: `DIR` (or a file). Prints, depth first, names sorted by their bytes:
//! - `d PATH` for a directory, `f len=BYTES fnv=DIGEST PATH` for a file, `l TARGET PATH` for a symlink;
//! - `e ERROR PATH` for a node that cannot be read; the walk continues.
//!
//! `PATH` is relative to `DIR`. It and `TARGET` are quoted as by Rust's `{:?}`.

use std::{
    fs::{self, File, Metadata},
    io,
    path::Path,
};

use guest::{
    arguments::Arguments,
    content::{drain, sorted_names},
    outcome::name,
};

fn main() {
    let root = Arguments::of("walk_hash DIR").word();
    walk(Path::new(&root), "");
}

fn walk(path: &Path, below: &str) {
    let line = fs::symlink_metadata(path).and_then(|metadata| line(path, &metadata));
    match line {
        Ok(line) => println!("{line} {below:?}"),
        Err(error) => return println!("e {} {below:?}", name(&error)),
    }
    if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return;
    }
    match sorted_names(path) {
        Err(error) => println!("e {} {below:?}", name(&error)),
        Ok(names) => {
            for entry in names {
                let entry = entry.to_str().expect("names are UTF-8 on WASI");
                let below = match below {
                    "" => entry.to_owned(),
                    below => format!("{below}/{entry}"),
                };
                walk(&path.join(entry), &below);
            }
        }
    }
}

fn line(path: &Path, metadata: &Metadata) -> io::Result<String> {
    if metadata.is_dir() {
        return Ok("d".to_owned());
    }
    if metadata.is_symlink() {
        return Ok(format!("l {:?}", fs::read_link(path)?));
    }
    let (length, digest) = drain(File::open(path)?, 64 * 1024)?;
    assert_eq!(
        length,
        metadata.len(),
        "{path:?}: metadata tells another length"
    );
    Ok(format!("f len={length} fnv={digest}"))
}
