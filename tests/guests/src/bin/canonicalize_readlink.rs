//! Canonical paths and the targets of symlinks, of everything in a tree.
//!
//! Arguments: `DIR`, an absolute path without symlinks. Prints `TARGET => CANONICAL PATH` for each symlink, quoted as
//! by Rust's `{:?}`. `CANONICAL` is an error's name if the link leads nowhere. Both are `EPERM` if the host does not
//! show an absolute target.

use std::{
    fs,
    path::{Path, PathBuf},
};

use guest::{
    arguments::Arguments,
    content::sorted_names,
    outcome::{self, quietly_fails, succeeds},
    posix,
};

fn main() {
    let root = Arguments::of("canonicalize_readlink DIR").word();
    let root = Path::new(&root);
    let canonical = |path: PathBuf| succeeds(&path.display().to_string(), fs::canonicalize(&path));
    assert_eq!(canonical(root.to_owned()), root);
    assert_eq!(canonical(root.join(".")), root);
    assert_eq!(canonical(root.join("./././")), root);
    for missing in ["no-such-name", "no-such-name/below"] {
        let missing = root.join(missing);
        quietly_fails(
            "a missing name",
            fs::canonicalize(&missing),
            outcome::NO_ENTRY,
        );
        quietly_fails("a missing name", fs::read_link(&missing), outcome::NO_ENTRY);
    }
    below(root);
}

fn below(dir: &Path) {
    for name in succeeds("list", sorted_names(dir)) {
        let path = dir.join(name);
        let text = path.to_str().expect("paths are UTF-8 on WASI");
        let metadata = succeeds(text, fs::symlink_metadata(&path));
        if metadata.is_symlink() {
            link(&path, text);
            continue;
        }
        quietly_fails(text, fs::read_link(&path), outcome::INVALID);
        assert_eq!(succeeds(text, fs::canonicalize(&path)), path);
        if metadata.is_dir() {
            let around = path
                .join("..")
                .join(path.file_name().expect("it came from a listing"));
            assert_eq!(succeeds(text, fs::canonicalize(around)), path);
            below(&path);
        }
    }
}

fn link(path: &Path, text: &str) {
    let target = match fs::read_link(path) {
        Ok(target) => target,
        // wasmtime-wasi does not even show the target of an absolute symlink.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            quietly_fails(text, fs::canonicalize(path), outcome::NOT_PERMITTED);
            return println!("EPERM => EPERM {text:?}");
        }
        Err(error) => panic!("read_link {text}: {error}"),
    };
    let bytes = target
        .to_str()
        .expect("targets are UTF-8 on WASI")
        .as_bytes();
    // POSIX: a target that does not fit is cut off without an error.
    for size in [1, bytes.len(), bytes.len() + 1] {
        let wanted = &bytes[..size.min(bytes.len())];
        assert_eq!(
            succeeds(text, posix::readlink(text, size)),
            wanted,
            "{text}"
        );
    }
    let led = fs::canonicalize(path);
    if let Ok(canonical) = &led {
        let metadata = succeeds(text, fs::symlink_metadata(canonical));
        assert!(
            !metadata.is_symlink(),
            "{text}: {canonical:?} is still a link"
        );
        let direct = posix::identity_of_path(canonical.to_str().expect("paths are UTF-8"));
        let through = posix::identity_of_path(text);
        let (direct, through) = (succeeds(text, direct), succeeds(text, through));
        assert!(direct == through || !posix::NUMBER_IS_FOLLOWED, "{text}");
    }
    let led = led.map_or_else(|error| outcome::name(&error), |to| format!("{to:?}"));
    println!("{target:?} => {led} {text:?}");
}
