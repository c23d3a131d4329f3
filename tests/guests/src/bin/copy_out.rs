//! Copies a file or a tree out of `/ipfs` into a writable native directory, and reads it back.
//!
//! Arguments: `SOURCE DEST`. Below `DEST`, which exists, `fs::copy` makes `copied` and `io::copy` makes `streamed`.
//! Prints `len=BYTES fnv=DIGEST PATH` for each file, with the path relative to `SOURCE`.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use guest::{
    arguments::Arguments,
    content::{drain, sorted_names},
    outcome::succeeds,
    posix,
};

fn main() {
    let mut arguments = Arguments::of("copy_out SOURCE DEST");
    let (source, dest) = (arguments.word(), arguments.word());
    let (source, dest) = (Path::new(&source), Path::new(&dest));
    copy(source, &dest.join("copied"), &dest.join("streamed"), "");
}

fn copy(source: &Path, copied: &Path, streamed: &Path, name: &str) {
    let what = source.display().to_string();
    let metadata = succeeds(&what, fs::symlink_metadata(source));
    if metadata.is_dir() {
        succeeds(&what, fs::create_dir(copied));
        succeeds(&what, fs::create_dir(streamed));
        for entry in succeeds(&what, sorted_names(source)) {
            let entry = entry.to_str().expect("names are UTF-8 on WASI");
            let below = match name {
                "" => entry.to_owned(),
                name => format!("{name}/{entry}"),
            };
            let (copied, streamed) = (copied.join(entry), streamed.join(entry));
            copy(&source.join(entry), &copied, &streamed, &below);
        }
        return;
    }
    if metadata.is_symlink() {
        // wasmtime-wasi refuses to make absolute symlinks, and even to read them, so they are not copied.
        let target = fs::read_link(source).unwrap_or_else(|_| "/".into());
        let target = target.to_str().expect("targets are UTF-8 on WASI");
        if !target.starts_with('/') {
            for link in [copied, streamed] {
                let link = link.to_str().expect("paths are UTF-8 on WASI");
                succeeds(&what, posix::symlink(target, link));
            }
        }
        return;
    }

    let open = |path: &Path| succeeds(&path.display().to_string(), File::open(path));
    let wanted = succeeds(&what, drain(open(source), 64 * 1024));
    assert_eq!(
        wanted.0,
        metadata.len(),
        "{what}: metadata tells another length"
    );
    assert_eq!(
        succeeds(&what, fs::copy(source, copied)),
        wanted.0,
        "{what}: fs::copy"
    );
    let mut sink = succeeds(&what, File::create(streamed));
    assert_eq!(
        succeeds(&what, io::copy(&mut open(source), &mut sink)),
        wanted.0,
        "{what}: io::copy"
    );
    drop(sink);
    for made in [copied, streamed] {
        let read = succeeds(&what, drain(open(made), 10_007));
        assert_eq!(read, wanted, "{}: reads back differently", made.display());
    }
    println!("len={} fnv={} {name:?}", wanted.0, wanted.1);
}
