//! The guest of `cargo xtask demo`: lists a directory, shows its entries' metadata, and reads a piece from the middle
//! of a large file.
//!
//! Arguments: `DIR FILE`, where `FILE` is a path below `DIR`.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use guest::{
    arguments::Arguments,
    content::{Fnv, sorted_names},
    outcome::succeeds,
};

/// How many bytes of the file are read.
const PIECE_BYTES: usize = 4096;

fn main() {
    let mut arguments = Arguments::of("tour DIR FILE");
    let (dir, file) = (arguments.word(), arguments.word());
    println!("{dir}:");
    for name in succeeds(&dir, sorted_names(Path::new(&dir))) {
        let path = Path::new(&dir).join(&name);
        let what = path.display().to_string();
        let metadata = succeeds(&what, fs::symlink_metadata(&path));
        let name = name.display();
        if metadata.is_symlink() {
            let target = fs::read_link(&path).unwrap_or_else(|_| "?".into());
            println!("  l          {name} -> {}", target.display());
        } else {
            let kind = if metadata.is_dir() { 'd' } else { 'f' };
            println!("  {kind} {:>8} {name}", metadata.len());
        }
    }

    let path = format!("{dir}/{file}");
    let mut open = succeeds(&path, File::open(&path));
    let length = succeeds(&path, open.metadata()).len();
    let middle = length / 2;
    let mut piece = vec![0; PIECE_BYTES.min((length - middle) as usize)];
    succeeds(&path, open.seek(SeekFrom::Start(middle)));
    succeeds(&path, open.read_exact(&mut piece));
    println!(
        "{path}: {length} bytes; {} of them from {middle}: fnv={}",
        piece.len(),
        Fnv::of(&piece)
    );
    let line = piece
        .split(|byte| *byte == b'\n')
        .nth(1)
        .unwrap_or_default();
    println!("  … {}", String::from_utf8_lossy(line));
}
